#!/bin/bash
# timeout: 300
# A process that holds an ephemeral file and a lock is killed with SIGKILL:
# the file goes and the lock is granted to who waits, within 50 ms (median).
# ROUNDS is the number of processes killed.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 500 || echo 100)}
must start_fs
mkdir "$M/e" && chmod u+s "$M/e"
times() {
	"$BUILD/tests/mount/worker_kill" "$M/e/owner" "$M/lock" "$rounds" 50 |
	    tee "$WORK/times"
	return "${PIPESTATUS[0]}"
}
check "$rounds owners killed" times
sed 's/^/    /' "$WORK/times"
same "both were measured" 2 "$(grep -c "$rounds rounds" "$WORK/times")"
same "nothing is left" "" "$(ls "$M/e")"
must stop_fs
