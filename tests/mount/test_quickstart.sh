#!/bin/bash
# What `make quickstart` and `make stop` do once everything is built.
# shellcheck disable=SC2016,SC2317 # the inner shells expand
. "$(dirname "$0")/lib.sh"
quickstart() {
	MOUNT=$M DATA=$D "$SRC/dist/quickstart.sh" "$1" >"$WORK/said" 2>&1 ||
	    return
	[ ! -e "$D/pid" ] || {
		read -r FS_PID <"$D/pid" && : >"$WORK/pids/$FS_PID"
	}
}
said() {
	cat "$WORK/said"
	grep -qF -- "$1" "$WORK/said"
}
# Nobody is asked to do without blanks.
M="$WORK/a place"
D="$WORK/the data, here"
check "quickstart" quickstart start
first=$FS_PID
check "says where" said "zkfs is running on $M (pid $FS_PID), its data in $D."
check "says what to try" said "exec 9> $M/app/master"
same "is a zkfs" fuse.zkfs "$(findmnt -no FSTYPE --mountpoint "$M")"
check "is usable" bash -c 'echo v >"$1/f"; cat "$1/f"' sh "$M"
check "a second run" quickstart start
check "finds it running" said "running on $M already (pid $first)"
D="$WORK/elsewhere" quickstart start
check "a run with another DATA says what keeps the tree" \
    said "$WORK/the data, here keeps the tree."
D="$WORK/elsewhere" quickstart stop
check "stop says what keeps the tree, whatever DATA is" \
    said "$WORK/the data, here keeps the tree."
check "the daemon is gone" "$WAITFOR" gone 0 "$first"
check "stop again" quickstart stop
check "finds nothing to stop" said "is not running on $M"
M="$M/"
check "quickstart, with a slash at the end" quickstart start
same "the tree is there" v "$(cat "$M/f")"
kill -KILL "$FS_PID"
"$WAITFOR" gone 20 "$FS_PID"
check "quickstart after kill -9" quickstart start
same "cleans up and starts anew" v "$(cat "$M/f")"
cd "$M" || exit 1
check_not "what is in use is not stopped" quickstart stop
check "that is said" said "is in use"
cd / || exit 1
check "stop" quickstart stop
FS_PID=
