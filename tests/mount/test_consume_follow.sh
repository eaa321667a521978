#!/bin/bash
# zkfs consume --follow, without a group, of a topic that gets more partitions.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t

has_lines() { # COUNT
	[ "$(wc -l <"$WORK/told")" -ge "$1" ]
}

must start_fs
must mkdir "$T"
must bash -c 'echo old >>"$0/p0"' "$T"
: >"$WORK/told"
spawn "$BUILD/zkfs" consume --follow --from end --json "$T" >"$WORK/told"
pid=$!
# Only from here on it certainly follows.
began() {
	echo begin >>"$T/p0"
	has_lines 1
}
must wait_until 20 began
for count in 2 40; do
	must bash -c 'echo "partitions=$1" >>"$0/config"' "$T" "$count"
	echo "of $count" >>"$T/p$((count - 1))"
	check "a partition that is new is followed" wait_until 10 \
	    grep -qxF "{\"partition\":$((count - 1)),\"offset\":0,\"value\":\"of $count\"}" \
	    "$WORK/told"
done
check "it goes on" kill -0 "$pid"
kill "$pid"
wait "$pid" 2>/dev/null
# shellcheck disable=SC2016 # the inner shell expands
spawn bash -c '"$0" consume --follow "$1" | head -n 1; echo "${PIPESTATUS[0]}"' \
    "$BUILD/zkfs" "$T" >"$WORK/one"
check "it ends with who reads its output" wait_until 20 grep -qx 141 "$WORK/one"
same "nothing comes twice" "" "$(sort "$WORK/told" | uniq -d)"
must stop_fs
