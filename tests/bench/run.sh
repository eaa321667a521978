#!/bin/bash
# run.sh [PART...]: the figures of one host.  BUILD is the build directory,
# QUICK=1 shortens, DIR= measures inside a directory that is there already
# instead of a mount of its own, TMPDIR is where the work directory goes: on
# a real disk, for memory has no fsync to measure.
set -u
build=${BUILD:-build}/tests/bench
examples=${EXAMPLES:-/usr/share/doc/libfuse3-dev/examples}
own=
pass_pid=

work=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-bench.XXXXXX") || exit 1
cleanup() {
	trap - EXIT INT TERM
	# A server ends with its mount; a lazy umount frees a hung one too.
	mountpoint -q "$work/zk" && umount -l "$work/zk"
	mountpoint -q "$work/pass" && umount -l "$work/pass"
	[ -n "$pass_pid" ] && kill "$pass_pid" 2>/dev/null
	wait
	[ -n "$own" ] && rm -rf "$own"
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
case $(stat -f -c %T "$work") in
tmpfs | ramfs)
	echo "bench: $work is in memory: set TMPDIR to a real disk" >&2
	exit 1
	;;
esac
mkdir "$work/plain" "$work/zk" "$work/pass"

# libfuse's own example, as Debian ships it, is what "bare FUSE" means here.
pass_up() {
	if [ ! -f "$examples/passthrough_ll.c" ]; then
		echo "# without $examples/passthrough_ll.c: no comparison of reads"
		return 1
	fi
	# shellcheck disable=SC2046 # flags are words
	cc -O2 -w -o "$work/passthrough_ll" "$examples/passthrough_ll.c" \
	    $(pkg-config --cflags --libs fuse3) || return 1
	"$work/passthrough_ll" -f -o "source=$work/plain,cache=always" \
	    "$work/pass" 2>"$work/pass.log" &
	pass_pid=$!
	"${BUILD:-build}/tests/mount/waitfor" mounted 5 "$work/pass" && return 0
	cat "$work/pass.log" >&2
	return 1
}

args=(-w "$work")
[ -n "${QUICK:-}" ] && args+=(-q)
if [ -n "${DIR:-}" ]; then
	own=$(mktemp -d "$DIR/bench.XXXXXX") || exit 1
	args+=(-z "$own")
else
	args+=(-b "${BUILD:-build}/mount.zkfs")
fi
echo "# $(uname -sr), $(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg)," \
    "$(stat -f -c %T "$work"), $(date -u +%FT%TZ)"
pass_up && args+=(-p "$work/pass" -P "$pass_pid")
"$build/bench" "${args[@]}" "$@"
