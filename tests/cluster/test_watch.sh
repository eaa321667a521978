#!/bin/bash
# inotify(7) on one host for what is done on another: the table of events in
# zkfs(5), row by row, with the exact list of events; and that the host where
# it is done gets what any filesystem gives, and nothing twice.
. "$(dirname "$0")/lib.sh"
must start_all
M1=$WORK/m1 M2=$WORK/m2
WATCHER=$BUILD/tests/mount/watcher
seen_on() {
	[ -e "$1/$2" ]
}

# What is there before: the watched directory w, another one, a file and a
# directory that are watched themselves.
mkdir "$M1/w" "$M1/w/dir" "$M1/other"
for f in file over old a b; do
	echo v >"$M1/w/$f"
done
must wait_until 10 seen_on "$M2" w/b

watch() { # FD DIR
	mkfifo "$WORK/events$1"
	spawn sh -c 'exec "$0" w="$1/w" file="$1/w/file" over="$1/w/over" \
	    dir="$1/w/dir" >"$2"' "$WATCHER" "$2" "$WORK/events$1"
	eval "exec $1<\"\$WORK/events$1\""
	read -r -t 40 line <&"$1" && [ "$line" = ready ]
}
must watch 7 "$M2"
must watch 8 "$M1"

# What has come on a descriptor, up to a mark.
list() { # FD MARK
	local line list='' from=''
	while read -r -t 40 line <&"$1"; do
		case $line in
		"CREATE,ISDIR w/$2") break ;;
		*mark*) continue ;;
		*'#'*) # a pair is known by having one number
			if [ "$from" = "${line##*#}" ]; then
				line="${line% #*} ="
			else
				from=${line##*#}
				line=${line% #*}
			fi
			;;
		esac
		list+="$line; "
	done
	echo "${list% }"
}
# Both marks follow all that was done before, in the order of the log.
mark=0
row() { # TEXT REMOTE LOCAL
	mark=$((mark + 1))
	mkdir "$M1/w/mark$mark"
	same "$1, on another host" "$2" "$(list 7 mark$mark)"
	mkdir "$M2/w/mark$mark-"
	local got
	got=$(list 8 mark$mark-)
	[ "${3-}" = any ] || same "$1, on its own host" "${3-$2}" "$got"
	rmdir "$M1/w/mark$mark" "$M1/w/mark$mark-"
}
cd "$M1/w" || exit 1
row "nothing" ""

# --- files
written="MODIFY w/f; CLOSE_WRITE w/f;"
(set -C && : >e)
row "a file is created" "CREATE w/e;" "CREATE w/e; OPEN w/e; CLOSE_WRITE w/e;"
echo v >f
row "with content" "CREATE w/f; OPEN w/f; $written"
echo w >f
row "it is replaced" "OPEN w/f; $written" any
echo w >>f
row "appended to" "OPEN w/f; $written"
truncate -s 1 f
row "truncated" "OPEN w/f; $written"
: >f
row "emptied" "OPEN w/f; $written" any
fallocate -l 8192 f
row "extended" "OPEN w/f; $written"
chmod 600 f
row "its mode" "ATTRIB w/f;"
chown 1:1 f
row "its owner" "ATTRIB w/f;"
touch -d 2020-01-01 -c f
row "its times" "ATTRIB w/f;" any
setfattr -n user.a -v b f
row "an attribute" "ATTRIB w/f;"
ln f link
row "a link" "CREATE w/link;"
rm link
row "a link is removed" "DELETE w/link;"
mv f g
row "renamed" "MOVED_FROM w/f; MOVED_TO w/g =;"
mv g old
row "renamed over another" "MOVED_FROM w/g; MOVED_TO w/old =;"
mv old ../other/f
row "moved away" "MOVED_FROM w/old;"
mv ../other/f f
row "moved here" "MOVED_TO w/f;"
rm f
row "removed" "DELETE w/f;"
python3 -I - <<"END"
import ctypes
ctypes.CDLL(None).renameat2(-100, b"a", -100, b"b", 2)
END
row "exchanged" "MOVED_FROM w/a; MOVED_TO w/b =; MOVED_FROM w/b; MOVED_TO w/a =;"
ln -s x symlink
row "a symbolic link" "CREATE w/symlink;"
touch -h -d 2020-01-01 symlink
row "its times" "ATTRIB w/symlink;"
mv symlink s
row "renamed" "MOVED_FROM w/symlink; MOVED_TO w/s =;"
rm s
row "removed" "DELETE w/s;"
mkfifo fifo
row "a fifo" "CREATE w/fifo;"
rm fifo
row "removed" "DELETE w/fifo;"

# --- watched themselves
echo w >>file
row "a watched file" "OPEN w/file; OPEN file; MODIFY w/file; MODIFY file; CLOSE_WRITE w/file; CLOSE_WRITE file;"
chmod 600 file
row "its mode" "ATTRIB w/file; ATTRIB file;"
mv file file2
row "renamed" "MOVED_FROM w/file; MOVED_TO w/file2 =; MOVE_SELF file;"
echo x >x
mark=$((mark + 0))
row "a file for later" "CREATE w/x; OPEN w/x; MODIFY w/x; CLOSE_WRITE w/x;"
mv x over
row "renamed over a watched file" \
    "MOVED_FROM w/x; MOVED_TO w/over =; ATTRIB over; DELETE_SELF over; IGNORED over;"
rm file2
row "a watched file removed" \
    "ATTRIB file; DELETE_SELF file; IGNORED file; DELETE w/file2;"

# --- directories
mkdir d
row "a directory" "CREATE,ISDIR w/d;"
chmod 700 d
row "its mode" "ATTRIB,ISDIR w/d;"
mv d e2
row "renamed" "MOVED_FROM,ISDIR w/d; MOVED_TO,ISDIR w/e2 =;"
rmdir e2
row "removed" "DELETE,ISDIR w/e2;"
mv dir ../other/dir
row "a watched directory is moved" "MOVED_FROM,ISDIR w/dir; MOVE_SELF dir;"
echo v >../other/dir/new
row "and watched there" \
    "CREATE dir/new; OPEN dir/new; MODIFY dir/new; CLOSE_WRITE dir/new;"
mv ../other/dir dir
row "and moved back" "MOVED_TO,ISDIR w/dir; MOVE_SELF dir;"
rm dir/new
row "emptied" "DELETE dir/new;"
rmdir dir
row "and removed" "DELETE_SELF dir; IGNORED dir; DELETE,ISDIR w/dir;"

# --- what is done on the side
chmod u+s .
row "the directory" "ATTRIB,ISDIR w;"
exec 9>eph
row "an ephemeral file" "CREATE w/eph;" any
exec 9>&-
row "ends with its owner" "DELETE w/eph;" any
chmod u-s .
row "the directory" "ATTRIB,ISDIR w;"
printf 'create /w/t1 x\nset /w/a y\nmkdir /w/t2\ndelete /w/t2\n' \
    >"$M1/.zkfs/txn"
row "a transaction" "CREATE w/t1; OPEN w/t1; MODIFY w/t1; CLOSE_WRITE w/t1; \
OPEN w/a; MODIFY w/a; CLOSE_WRITE w/a; CREATE,ISDIR w/t2; DELETE,ISDIR w/t2;"
"$BUILD/zkfs" create -s job-XXXXXXXXXX >/dev/null
row "a sequential name" "CREATE w/job-0000000000;" any

# --- what changes nothing
cat a b >/dev/null
ls -l . >/dev/null
flock a true
sync a
row "reading, listing, locking" "" any

cd "$WORK" || exit 1
exec 7<&- 8<&-

# --- programs that know nothing of it
if command -v inotifywait >/dev/null; then
	spawn inotifywait -m -r --format '%e %f' -o "$WORK/inotifywait" \
	    "$M2/w" 2>"$WORK/inotifywait.err"
	must wait_until 20 grep -q established "$WORK/inotifywait.err"
	echo v >"$M1/w/i1"
	mv "$M1/w/i1" "$M1/w/i2"
	chmod 600 "$M1/w/i2"
	rm "$M1/w/i2"
	mkdir "$M1/w/i3"
	must wait_until 20 grep -q i3 "$WORK/inotifywait"
	# The end of the last mark may come late.
	same "inotifywait" "CREATE i1; OPEN i1; MODIFY i1; \
CLOSE_WRITE,CLOSE i1; MOVED_FROM i1; MOVED_TO i2; ATTRIB i2; DELETE i2; \
CREATE,ISDIR i3;" "$(sed '/mark/d;/i3/q' "$WORK/inotifywait" | sed 's/$/;/' |
	    xargs)"
fi
echo one >"$M1/w/log"
must wait_until 10 seen_on "$M2" w/log
spawn tail -n +1 -F "$M2/w/log" >"$WORK/tail" 2>/dev/null
tail=$!
has_line() {
	grep -qx "$1" "$WORK/tail"
}
check "tail -F shows what is there" wait_until 20 has_line one
echo two >>"$M1/w/log"
check "what is appended" wait_until 20 has_line two
mv "$M1/w/log" "$M1/w/log.1"
echo three >"$M1/w/log"
check "and the file that takes its place" wait_until 20 has_line three
kill "$tail" # it has the file open
"$WAITFOR" gone 20 "$tail"

# --- on a mount that is read-only
if grep -q MOUNT_ATTR_RDONLY /usr/include/linux/mount.h 2>/dev/null; then
	stop_member 3
	must start_member 3 ro
	mkfifo "$WORK/events6"
	# shellcheck disable=SC2016 # the inner shell expands
	spawn sh -c 'exec "$0" w="$1/w" >"$2"' "$WATCHER" "$WORK/m3" \
	    "$WORK/events6"
	exec 6<"$WORK/events6"
	read -r -t 40 line <&6
	spawn "$BUILD/zkfs" watch --since 0 -r "$WORK/m3/w" >"$WORK/watch6"
	watch=$!
	refuses "Read-only" mkdir "$WORK/m3/w/no"
	mkdir "$M1/w/ro"
	mv "$M1/w/ro" "$M1/w/ro2"
	echo v >"$M1/w/ro3"
	mkdir "$M1/w/mark6"
	same "read-only: inotify is told" "CREATE,ISDIR w/ro; \
MOVED_FROM,ISDIR w/ro; MOVED_TO,ISDIR w/ro2 =; CREATE w/ro3; OPEN w/ro3; \
MODIFY w/ro3; CLOSE_WRITE w/ro3;" "$(list 6 mark6)"
	check "and so is zkfs watch" wait_until 10 grep -q mark6 "$WORK/watch6"
	check "it becomes writable" mount -i -o remount,rw "$WORK/m3"
	check "and is written to" mkdir "$WORK/m3/w/mark7"
	same "as is told" "" "$(list 6 mark7)"
	check "it becomes read-only again" mount -i -o remount,ro "$WORK/m3"
	refuses "Read-only" mkdir "$WORK/m3/w/no"
	mkdir "$M1/w/ro4"
	mv "$M1/w/ro4" "$M1/w/ro5"
	echo v >"$M1/w/ro3"
	mkdir "$M1/w/mark8"
	same "and inotify is told as before" "CREATE,ISDIR w/ro4; \
MOVED_FROM,ISDIR w/ro4; MOVED_TO,ISDIR w/ro5 =; OPEN w/ro3; MODIFY w/ro3; \
CLOSE_WRITE w/ro3;" "$(list 6 mark8)"
	refuses "Read-only" mkdir "$WORK/m3/w/no"
	exec 6<&-
	kill "$watch" # it has a file open
	"$WAITFOR" gone 20 "$watch"
	stop_member 3
	must start_member 3
fi

# --- files of .zkfs: on a host that does not lead, when the leader is killed
lead=$(leader_of 1)
other=$((lead % 3 + 1))
mkfifo "$WORK/events9"
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'exec "$0" leader="$1/leader" state="$1/state" \
    members="$1/members" >"$2"' "$WATCHER" "$WORK/m$other/.zkfs" \
    "$WORK/events9"
exec 9<"$WORK/events9"
read -r -t 40 line <&9
same "the files of .zkfs can be watched" ready "$line"
kill_member "$lead"
got=
while [ "$got" != "$other" ] && [ "$got" != $((6 - lead - other)) ] &&
    read -r -t 40 line <&9; do
	[ "$line" = "CLOSE_WRITE leader" ] && got=$(leader_of "$other")
done
check "a new leader is told, and read at the event" test "$got" -gt 0
exec 9<&-
stop_all
