#!/bin/bash
# What was acknowledged is there after umount and mount, and after kill -9 of
# the daemon; the dead mount that is left is cleaned up by the next mount.zkfs.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"

fill_tree() {
	mkdir -p "$M/a/b/c" "$M/empty"
	echo small >"$M/a/small"
	head -c 3000000 /dev/urandom >"$M/a/b/large"
	: >"$M/a/b/c/nothing"
	ln -s ../small "$M/a/b/link"
	ln "$M/a/small" "$M/a/b/hard"
	mkfifo "$M/a/fifo"
	chmod 640 "$M/a/small"
	chown 1234:567 "$M/a/b/large"
	chmod 1777 "$M/empty"
	setfattr -n user.note -v "a note" "$M/a/small"
	touch -d '2001-02-03 04:05:06.789' "$M/a/b/c/nothing"
	truncate -s 1000000 "$M/a/hole"
	echo end >>"$M/a/hole"
}
# Everything about the tree that must stay.
picture() {
	cd "$M" || return
	find . -path ./.zkfs -prune -o \
	    -printf '%p %y %m %U %G %n %s %T@ %C@ %i %l\n' | sort
	find . -path ./.zkfs -prune -o -type f -exec sha256sum {} + | sort
	getfattr -R -d -m '^user\.(note|zkfs\.(czxid|mzxid|version))' . \
	    2>/dev/null | sort
	cd / || return
}

# With the limits of a shell that may write small files only.
limited() {
	local whole
	whole=$(ulimit -S -f)
	ulimit -S -f 64
	start_fs
	local rc=$?
	ulimit -S -f "$whole"
	return $rc
}
must limited
same "tree and topics are flushed by a thread each" 2 \
    "$(cat "/proc/$FS_PID/task/"*/comm | grep -cx zkfs-flush)"
niceness() {
	sed 's/.*) //' "/proc/$FS_PID/stat" | cut -d' ' -f17
}
# Where that may be, and nobody has said otherwise.
want=$(nice)
[ "$want" -ne 0 ] || want=$(nice -n -10 nice 2>/dev/null)
same "it goes before those who wait for it" "$want" "$(niceness)"
fill_tree
before=$(picture)
check "the picture shows the tree" test "$(wc -l <<<"$before")" -gt 30
must remount
same "all is there after umount and mount" "$before" "$(picture)"
must kill_fs
refuses "Transport endpoint is not connected" ls "$M"
must start_fs
same "and after kill -9" "$before" "$(picture)"
for i in 1 2 3; do
	echo "$i" >"$M/acknowledged$i"
	must kill_fs
	must start_fs
	same "what was written just before kill -9 number $i" "$i" \
	    "$(cat "$M/acknowledged$i")"
done
rm "$M"/acknowledged*
same "nothing else has changed" "$(grep -v '^\. ' <<<"$before")" \
    "$(picture | grep -v '^\. ')"
must stop_fs

# The way mount(8) and people do it: in the background.
must start_fs_background
check "in the background it is usable when mount.zkfs returns" \
    bash -c '[ "$(cat "$1/a/small")" = small ] && echo v >"$1/b"' sh "$M"
kill -KILL "$FS_PID"
"$WAITFOR" gone 10 "$FS_PID"
check "a dead mount is left behind by kill -9" is_mounted
must start_fs_background
same "a new mount.zkfs on the same directory cleans it up" v "$(cat "$M/b")"
same "and one mount is there, not two" 1 \
    "$(awk -v d="$M" '$5 == d' /proc/self/mountinfo | wc -l)"
refuses "" "$BUILD/mount.zkfs" "$M" -o "$(fs_options)"
check "a second one on a living mount is refused, and harms nothing" \
    test "$(cat "$M/b")" = v
must stop_fs
check "umount has ended it" test ! -e "$D/pid" -o ! -d "/proc/$(
    cat "$D/pid" 2>/dev/null || echo none)"

# A process that had its directory on the dead mount does no harm either.
must start_fs
mkdir -p "$M/cwd"
mkfifo "$WORK/go"
spawn bash -c 'cd "$1/cwd" && read -r _ <"$2"; ls' sh "$M" "$WORK/go"
stayer=$!
wait_until 5 test "$(readlink "/proc/$stayer/cwd")" = "$M/cwd"
must kill_fs
must start_fs
same "a new mount beside a process in the old one" v "$(cat "$M/b")"
echo >"$WORK/go"
wait "$stayer"
must stop_fs
