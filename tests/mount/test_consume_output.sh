#!/bin/bash
# zkfs consume of a group whose output goes nowhere: it ends, says so in a line,
# and has acknowledged nothing that did not get out.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
said="zkfs: consume: cannot write to standard output"

full() { # ARGS...
	timeout 20 "$BUILD/zkfs" consume "$@" "$T" >/dev/full 2>"$WORK/said"
	same "status of a consumer without output" 1 $?
	same "what it says" "$said" "$(cat "$WORK/said")"
}

seq 100 >>"$T/p0"
full -g g -n 50
same "nothing is acknowledged" 0 "$(cat "$G/p0")"
full -g g -j
same "nothing is acknowledged" 0 "$(cat "$G/p0")"
full

# More than is printed at once.
seq 101 50000 >>"$T/p0"
full -g g
same "nothing is acknowledged" 0 "$(cat "$G/p0")"

# A pipe whose other end goes in the midst of it.
# shellcheck disable=SC2016 # the inner shell expands
timeout 20 bash -c 'trap "" PIPE; "$0" consume -g g "$1" 2>"$2" | head -n 1000' \
    "$BUILD/zkfs" "$T" "$WORK/said" >"$WORK/got"
same "what it says" "$said" "$(cat "$WORK/said")"
same "the first come" 1000 "$(tail -n 1 "$WORK/got")"
# What came through before that was acknowledged, or comes again.
timeout 20 "$BUILD/zkfs" consume -g g -n 1 "$T" >"$WORK/got"
check "no record is left out" test "$(cat "$WORK/got")" -le 30000
must stop_fs
