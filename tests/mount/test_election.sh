#!/bin/bash
# timeout: 300
# Master election: of any number that open one ephemeral file for writing at
# once, exactly one succeeds, and all others meet EBUSY.  ROUNDS is the number
# of elections.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 100 || echo 10)}
must start_fs
mkdir "$M/c" && chmod u+s "$M/c"

check "$rounds elections of 64 processes" \
    "$BUILD/tests/mount/worker_elect" "$M/c/master" "$rounds" 64

# The same from the shell.  All wait for the pipe "go" to be opened; who wins
# stays until "over" is.
candidate='read -r _ <"$2/go"
	if { exec 9>"$1"; } 2>"$2/said.$3"; then
		echo "$3" >&9
		echo winner >>"$2/results"
		read -r _ <"$2/over"
	else
		grep -q "Device or resource busy" "$2/said.$3" &&
		    echo busy >>"$2/results" || echo strange >>"$2/results"
	fi'
# shellcheck disable=SC2317
all_have_tried() {
	[ "$(wc -l <"$WORK/results")" = 64 ]
}
elect_in_shells() {
	local i pids=()
	rm -f "$WORK/go" "$WORK/over"
	mkfifo "$WORK/go" "$WORK/over"
	: >"$WORK/results"
	for ((i = 0; i < 64; i++)); do
		spawn bash -c "$candidate" candidate "$M/c/shell" "$WORK" "$i"
		pids+=($!)
	done
	# Readers that come later than this find the pipe open as well.
	exec 7<>"$WORK/go"
	for i in "${pids[@]}"; do
		echo >&7
	done
	wait_until 30 all_have_tried
	[ "$(grep -c winner "$WORK/results")" = 1 ] &&
	    [ "$(grep -c busy "$WORK/results")" = 63 ] &&
	    read -r i <"$M/c/shell" && [ "$i" -lt 64 ]
	i=$?
	exec 7>&- 8<>"$WORK/over"
	for _ in "${pids[@]}"; do # however many have won
		echo >&8
	done
	wait "${pids[@]}"
	exec 8>&-
	sort "$WORK/results" | uniq -c
	return "$i"
}
check "an election of 64 shells" elect_in_shells
# shellcheck disable=SC2317
is_gone() {
	[ ! -e "$M/c/shell" ]
}
check "the winner's file is gone with it" wait_until 5 is_gone
check "and another election" elect_in_shells
must stop_fs
