#!/bin/bash
# timeout: 60
# Several who append to a partition of one host at once do not wait for each
# other in the kernel: each has an inode of it to itself.  Nobody else sees more
# than one, and who watches the file hears of all of them.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t

# Prints the node id that the kernel has for descriptor 0, which stat(2) and
# all else hide.
cat >"$WORK/node.py" <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
handle = (ctypes.c_ubyte * 136)()
ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
mount = ctypes.c_int()
rc = libc.name_to_handle_at(0, b"", handle, ctypes.byref(mount), 0x1000)
assert rc == 0, os.strerror(ctypes.get_errno())
print(bytes(handle[8:8 + handle[0]]).hex())
END
node_of() {
	python3 "$WORK/node.py"
}
# different HANDLE...: no two are equal.
different() {
	[ "$(printf '%s\n' "$@" | sort -u | wc -l)" = $# ]
}

must start_fs
must mkdir "$T"
for file in p0 any by-key; do
	exec 5>>"$T/$file" 6>>"$T/$file" 7>>"$T/$file"
	check "each who appends to $file has a node of its own" different \
	    "$(node_of <&5)" "$(node_of <&6)" "$(node_of <&7)"
	for fd in 5 6 7; do
		same "stat of descriptor $fd of $file" \
		    "$(stat -c '%i %s %h' "$T/$file")" \
		    "$(stat -L -c '%i %s %h' /proc/self/fd/$fd)"
	done
	exec 5>&- 6>&- 7>&-
done

exec 4<"$T/p0" 5>>"$T/p0" 6>>"$T/p0"
own=$(node_of <&4)
same "the first of them has the node itself" "$own" "$(node_of <&5)"
exec 3<"$T/p0"
same "a reader has, who comes later" "$own" "$(node_of <&3)"
for i in 1 2 3; do
	echo "five $i" >&5
	echo "six $i" >&6
	echo "name $i" >>"$T/p0"
	echo "link $i" >>/proc/self/fd/6
done
same "what they appended" \
    "$(for i in 1 2 3; do printf '%s\n' "five $i" "six $i" "name $i" "link $i"
	done)" "$(cat <&4)"
check "it is one file to test(1)" [ "$T/p0" -ef /proc/self/fd/6 ]
check "a lock" flock -n 6
check_not "... holds for all of them" flock -n 5
flock -u 6
exec 6>&-
exec 6>>"$T/p0"
check "what was closed is free again" different "$own" "$(node_of <&6)"
exec 5>&- 6>&-
exec 6>>"$T/p0"
same "the node itself, too" "$own" "$(node_of <&6)"

exec 5>>"$T/p0"
check "again one each" different "$(node_of <&5)" "$(node_of <&6)"
mkfifo "$WORK/events"
spawn bash -c 'exec "$1" p0="$2" >"$3"' sh "$BUILD/tests/mount/watcher" \
    "$T/p0" "$WORK/events" 3<&- 4<&- 5>&- 6>&-
exec 8<"$WORK/events"
# hears: the file's own watch has a MODIFY next.
hears() {
	local line
	read -r -t 20 line <&8 && same "$1" "MODIFY p0" "$line"
}
read -r -t 20 line <&8
same "the watch" ready "$line"
echo x >&6
hears "who watches the file hears of the node itself"
for i in 1 2 3; do
	echo x >&5
	hears "... and of the others, each time"
done
exec 3<&- 4<&- 5>&- 6>&- 8<&-
must stop_fs
