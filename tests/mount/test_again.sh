#!/bin/bash
# umount and at once mount.zkfs again, as scripts and `systemctl restart` do:
# the daemon before has still to finish.  What is well says nothing.
. "$(dirname "$0")/lib.sh"

# umount(2) returns before the daemon hears of it.
again() {
	local i
	for i in 1 2 3 4 5; do
		echo "$i" >"$M/file" && umount "$M" &&
		    "$BUILD/mount.zkfs" "$M" -o "$(fs_options)" || return 1
		read -r FS_PID <"$D/pid" && : >"$WORK/pids/$FS_PID"
		[ "$(cat "$M/file")" = "$i" ] || return 1
	done
}
must start_fs_background
before=$FS_PID
check "five times umount, and mount.zkfs at once" again
check "it is another daemon" test "$before" != "$FS_PID"

mkdir "$WORK/m2"
timeout 30 "$BUILD/mount.zkfs" "$WORK/m2" -o "data=$D,config=none" \
    2>"$WORK/err"
same "who does not end is waited for no longer than that" 32 $?
check "one line says it" grep -qx \
    "mount.zkfs: data=$D: in use by another mount.zkfs" "$WORK/err"
must stop_fs

# Three that find each other have something to log, and nobody to tell.
port_is_taken() {
	grep -qi "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") " /proc/net/tcp
}
port=$((20000 + $$ * 16 % 10000))
voters=
for i in 1 2 3; do
	port=$((port + 1))
	while port_is_taken $port; do
		port=$((port + 1))
	done
	voters=$voters${voters:+,}z$i=127.0.0.1:$port
	mkdir "$WORK/v$i"
done
# $1: which.  What it says is in err.$1, with its status as the last line.
mount_voter() {
	"$BUILD/mount.zkfs" "$voters" "$WORK/v$1" \
	    -o "name=z$1,data=$WORK/e$1,config=none" 2>"$WORK/err.$1"
	echo $? >>"$WORK/err.$1"
}
voting=()
for i in 1 2 3; do
	mount_voter $i &
	voting+=($!)
done
wait "${voting[@]}"
for i in 1 2 3; do
	same "z$i is mounted without a word" 0 "$(cat "$WORK/err.$i")"
	read -r pid <"$WORK/e$i/pid" && : >"$WORK/pids/$pid"
	check "umount" umount "$WORK/v$i"
	check "z$i ends" "$WAITFOR" gone 20 "$pid"
done
