# load.sh: sourced after hosts.sh: clients that work while hosts fail, and the
# verdict on what they were told.
#
#   load_start I...    four programs (load.c) and a shell on each of these
#                      hosts; their work is in $WORK/load
#   load_runs SECONDS I...   until every one of these hosts' clients has done
#                      something more: what the majority must always manage
#   load_stop          ends them, within a bound
#   load_verdict       all members agree, and one order explains it all

LOAD=$WORK/load
LOAD_PIDS=()
mkdir -p "$LOAD"
mkfifo "$LOAD/never"

# What clients work on; once the ensemble is there.
load_prepare() {
	local top=$WORK/m1 i
	mkdir "$top/r" "$top/a" "$top/l" "$top/s" "$top/e" "$top/sh" &&
	    chmod u+s "$top/e" || return 1
	for i in 0 1; do
		echo init >"$top/r/r$i"
		echo "init.$i r$i 0 0 write init ok" >>"$LOAD/init.history"
		: >"$top/a/a$i"
		: >"$top/l/l$i"
	done
	: >"$top/sh/log"
	echo 0 >"$top/sh/counter"
	: >"$top/sh/lock"
	for i in $ALL; do
		wait_until 10 test -e "$WORK/m$i/sh/lock" || return 1
	done
}

# What a person types, again and again: a value of one's own, a line for all,
# a counter under a lock.  It ends with its directory, whoever forgets it.
shell_client() {
	local i=$1 top=$WORK/m$1 n=0 never
	trap 'exit 0' TERM
	exec {never}<>"$LOAD/never"
	while [ -p "$LOAD/never" ]; do
		n=$((n + 1))
		read -r -t 0.05 _ <&"$never"
		echo "? $i.$n" >"$LOAD/own$i"
		echo "$i.$n" >"$top/sh/own$i" && echo "$i.$n" >"$LOAD/own$i"
		echo "$i.$n" >>"$LOAD/sh$i.asked"
		echo "$i.$n" >>"$top/sh/log" && echo "$i.$n" >>"$LOAD/sh$i.done"
		# shellcheck disable=SC2016 # the inner shell expands
		timeout 4 flock -E 99 "$top/sh/lock" bash -c 'read -r n <"$1" &&
		    echo $((n + 1)) >"$1"' sh "$top/sh/counter" &&
		    echo "$i.$n" >>"$LOAD/count$i"
	done 2>>"$LOAD/sh$i.errors"
}

load_start() {
	local i kinds
	[ -e "$WORK/m1/r" ] || must load_prepare
	for i; do
		for kinds in register register "append sequence" "lock owner"; do
			LOAD_COUNT=$((${LOAD_COUNT:-0} + 1))
			# shellcheck disable=SC2086 # words
			"$BUILD/tests/cluster/load" "c$LOAD_COUNT" \
			    "$WORK/m$i" "$LOAD" $kinds \
			    >>"$LOAD/summary" 2>&1 </dev/null &
			LOAD_PIDS+=($!)
			: >"$WORK/pids/$!"
			LOAD_OF[LOAD_COUNT]=$i
		done
		shell_client "$i" &
		LOAD_PIDS+=($!)
		: >"$WORK/pids/$!"
	done
}
LOAD_OF=()

lines_with() {
	local count
	count=$(grep -cE "$1" "$2" 2>/dev/null)
	echo "${count:-0}"
}

# How much of what clients of host $1 asked for was done, by client; locks and
# names that others hold may keep theirs waiting, so those do not count.
load_progress() {
	local c
	for c in "${!LOAD_OF[@]}"; do
		[ "${LOAD_OF[c]}" = "$1" ] || continue
		case $((c % 4)) in
		1 | 2) lines_with ' (ok|read [^?]*)$' "$LOAD/c$c.history" ;;
		3) lines_with ' ok$' "$LOAD/c$c.records" ;;
		esac
	done
	lines_with . "$LOAD/sh$1.done"
}

load_has_progressed() {
	local i before after
	for i; do
		mapfile -t after < <(load_progress "$i")
		mapfile -t before <"$LOAD/before$i"
		for n in "${!after[@]}"; do
			[ "${after[n]}" -gt "${before[n]}" ] || return 1
		done
	done
}

load_runs() {
	local bound=$1 i
	shift
	for i; do
		load_progress "$i" >"$LOAD/before$i"
	done
	wait_until $((bound * WAITS)) load_has_progressed "$@" && return
	for i; do
		echo "before $(xargs <"$LOAD/before$i"), $bound s later" \
		    "$(load_progress "$i" | xargs)"
	done
	return 1
}

# Shells that were not started by exec do not bear the test's mark.
test_cleanup() {
	[ "${#LOAD_PIDS[@]}" -eq 0 ] || kill -KILL "${LOAD_PIDS[@]}" 2>/dev/null
}

load_stop() {
	local pid
	checks=$((checks + 1))
	kill -TERM "${LOAD_PIDS[@]}" 2>/dev/null
	for pid in "${LOAD_PIDS[@]}"; do
		"$WAITFOR" gone $((20 * WAITS)) "$pid" ||
		    fail "a client does not end: $pid" \
		        "$(cat "/proc/$pid/wchan" "/proc/$pid/comm")"
	done
	LOAD_PIDS=()
}

# No line of a shell is lost or doubled; the counter counted every section.
shell_verdict() {
	local top=$1 i done=0
	sort "$top/sh/log" >"$WORK/sh.log"
	cat "$LOAD"/sh*.done | sort >"$WORK/sh.done"
	cat "$LOAD"/sh*.asked | sort >"$WORK/sh.asked"
	same "no line of a shell is twice" "" "$(uniq -d "$WORK/sh.log")"
	same "none that was done is lost" "" \
	    "$(comm -13 "$WORK/sh.log" "$WORK/sh.done")"
	same "none is nobody's" "" "$(comm -23 "$WORK/sh.log" "$WORK/sh.asked")"
	for i in "$LOAD"/count*; do
		[ ! -e "$i" ] || done=$((done + $(wc -l <"$i")))
	done
	check "the counter counted each section: $done" \
	    test "$(cat "$top/sh/counter")" -ge "$done"
	for i in "$LOAD"/own*; do
		[ -e "$i" ] && ! grep -q '?' "$i" || continue
		same "the last value of the shell on z${i##*own}" \
		    "$(cat "$i")" "$(cat "$top/sh/${i##*/}")"
	done
}

owners_are_gone() {
	[ -z "$(ls "$1/e")" ]
}

load_verdict() {
	local i
	check "all agree" wait_until $((20 * WAITS)) agree $ALL
	for i in $ALL; do
		check "nobody owns anything on z$i" \
		    wait_until $(((SESSION + 4) * WAITS)) \
		    owners_are_gone "$WORK/m$i"
	done
	for i in $ALL; do
		check "the records on z$i" sh -c '"$0" "$@" >"$LAST"' \
		    "$BUILD/tests/cluster/audit" "$WORK/m$i" "$LOAD"/*.records
	done
	shell_verdict "$WORK/m1"
	for i in r0 r1; do
		echo "last.$i $i 8999999999999999998 8999999999999999999" \
		    "read $(cat "$WORK/m1/r/$i")" >>"$LOAD/last.history"
	done
	cat "$LOAD"/*.history "$LAST" >"$WORK/history"
	check "one order explains $(wc -l <"$WORK/history") lines" \
	    timeout 120 "$BUILD/tests/lib/history" "$WORK/history"
	sort -V "$LOAD/summary"
	cat "$LOAD"/sh*.errors 2>/dev/null | sed 's/.*: //' | sort | uniq -c |
	    sort -rn | head -n 5
}
export LAST=$WORK/offsets
