#!/bin/bash
# watch.sh: figures of watches between two of three hosts on this machine:
# from write(2) on one to inotify on another, and how fast a burst is told.
# What ZooKeeper's and etcd's watches take is measured after it, where they are
# installed.
# BUILD and TMPDIR as for run.sh; QUICK=1 is shorter.
SRC=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=$(cd "${BUILD:-$SRC/build}" && pwd) || exit 2
export SRC BUILD
# What is in it the inner one ends; the directory is the outer one's.
if [ -z "${WORK:-}" ]; then
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-bench.XXXXXX") || exit 1
	WORK=$work bash "$0"
	status=$?
	rm -rf --one-file-system "$work"
	exit $status
fi
. "$SRC/tests/cluster/lib.sh"
. "$SRC/tests/cluster/watch.sh"
WATCH=$BUILD/tests/mount/bench_watch
COUNT=2000 BURST=100000
[ -n "${QUICK:-}" ] && COUNT=300 BURST=20000
must start_all
mkdir "$WORK/m1/w" "$WORK/m1/unseen" "$WORK/m1/burst"
is_there() {
	[ -d "$WORK/m2/burst" ]
}
check "three hosts" wait_until 10 is_there
echo "# goals: median 600 us (ZooKeeper, etcd), 99th 5000 us, 5000 changes/s"
echo "# load $(cut -d' ' -f1-3 /proc/loadavg), the leader is z$(leader_of 1)"
must "$WATCH" latency "$WORK/m1/w" "$WORK/m2/w" "$COUNT"
must "$WATCH" many "$WORK/m1/w" "$WORK/m2/w" $((COUNT / 4))
must "$WATCH" burst "$WORK/m1/burst" "$WORK/m2/burst" "$BURST"
# Only what the helper does: it goes on once all is there.
mkdir "$WORK/m1/drain"
is_there() {
	[ -d "$WORK/m2/drain" ]
}
must wait_until 10 is_there
helper=$(helper_of 2)
agree_on() { # DIR
	[ "$(cd "$WORK/m1/$1" && ls | md5sum)" = \
	    "$(cd "$WORK/m2/$1" && ls | md5sum)" ]
}
check "both hosts list the same" agree_on burst
# A directory that z2 has never looked at.
count_of() {
	awk -v name="zkfs_$1_total" '$1 == name { print $2 }' \
	    "$WORK/m2/.zkfs/metrics"
}
applied() {
	[ "$(cut -d' ' -f1 "$WORK/m2/.zkfs/digest")" -ge "$1" ]
}
is_quiet() {
	grep -q "^zkfs_watch_waiting 0" "$WORK/m2/.zkfs/metrics"
}
must wait_until 10 is_quiet
tasks=$(count_of watch_tasks) requests=$(count_of fuse_requests)
must "$WATCH" make "$WORK/m1/unseen" - "$BURST"
must wait_until 60 applied "$(cut -d' ' -f1 "$WORK/m1/.zkfs/digest")"
asked=$(($(count_of fuse_requests) - requests))
printf '%-52s %8d system calls on the mount\n' \
    "of $BURST changes that nobody watches, another host" \
    $(($(count_of watch_tasks) - tasks))
printf '%-52s %8d requests of the kernel, for these figures\n' "" "$asked"
is_late() {
	[ "$(awk '$1 == "zkfs_watch_waiting" { print $2 }' \
	    "$WORK/m2/.zkfs/metrics")" -ge 8000 ]
}
kill -STOP "$helper"
spawn "$WATCH" burst "$WORK/m1/drain" "$WORK/m2/drain" 8000
drain=$!
must wait_until 60 is_late
kill -CONT "$helper"
wait "$drain"
grep "^zkfs_watch" "$WORK/m2/.zkfs/metrics"
stop_all
# The others, in the same run.
for peer in zookeeper etcd; do
	WATCH_ONLY=1 BUILD=$BUILD "$SRC/tests/bench/peers/$peer.sh"
done
