#!/bin/bash
# inotify for what no system call does by name, on one host; and the process
# that makes these events: whatever becomes of it, events go on, and neither a
# mount nor a process hangs.
. "$(dirname "$0")/lib.sh"
must start_fs
WATCHER=$BUILD/tests/mount/watcher
mkdir "$M/w" "$M/eph"
chmod u+s "$M/eph"

watch() {
	mkfifo "$WORK/events"
	# shellcheck disable=SC2016 # the inner shell expands
	spawn sh -c 'exec "$0" w="$1/w" eph="$1/eph" >"$2"' "$WATCHER" "$M" \
	    "$WORK/events"
	WATCHER_PID=$!
	exec 7<"$WORK/events"
	read -r -t 40 line <&7 && [ "$line" = ready ]
}
unwatch() {
	exec 7<&-
	kill "$WATCHER_PID"
	rm "$WORK/events"
}
# What has come, up to a mark that the helper raises.
mark=0
list() {
	local line list=''
	mark=$((mark + 1))
	echo "mkdir /w/mark$mark" >"$M/.zkfs/txn"
	while read -r -t 40 line <&7; do
		case $line in
		"CREATE,ISDIR w/mark$mark") break ;;
		*mark*) continue ;;
		esac
		list+="$line; "
	done
	echo "rmdir /w/mark$mark" >"$M/.zkfs/txn" 2>/dev/null ||
		rmdir "$M/w/mark$mark"
	echo "${list% }"
}
metric() {
	awk -v name="zkfs_watch_$1" '$1 == name { print $2 }' "$M/.zkfs/metrics"
}
helpers() {
	local pid
	for pid in $(cat "/proc/$FS_PID/task/"*/children 2>/dev/null); do
		[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = zkfs-replay ] &&
			echo "$pid"
	done
}
has_helper() {
	[ -n "$(helpers)" ]
}

must watch
# --- ephemerals, sequential names, truncation at close
exec 9>"$M/eph/master"
echo me >&9
list >/dev/null
exec 9>&-
# close(2) does not wait for what follows from it.
must wait_until 10 test ! -e "$M/eph/master"
same "an ephemeral file ends with its owner" "DELETE eph/master;" \
    "$(list | sed 's/CLOSE_WRITE [^;]*; *//')"
sh -c 'echo $$ >"$1"; exec cat' sh "$WORK/holder" >/dev/null \
    </dev/null 9>"$M/eph/two"
must wait_until 10 test ! -e "$M/eph/two"
same "and with its process" "CREATE eph/two; OPEN eph/two; \
CLOSE_WRITE eph/two; DELETE eph/two;" "$(list)"
"$BUILD/zkfs" -m "$M" create -s /w/job-XXXXXXXXXX v >/dev/null
got=$(list)
case $got in
*"CREATE w/job-0000000000;"*) got=told ;;
esac
same "a sequential name is told" told "$got"
rm "$M/w/job-0000000000"
echo v >"$M/w/f"
list >/dev/null
: >"$M/w/f"
got=$(list)
case $got in
*"CLOSE_WRITE w/f; MODIFY w/f;") got=told ;;
esac
same "a file emptied at its close is told once it is empty" told "$got"

# --- nothing for what nobody can watch
# The root is always known, and so may be what was told of in it.
printf 'mkdir /unseen\nmkdir /unseen/deep\n' >"$M/.zkfs/txn"
list >/dev/null
before=$(metric tasks_total)
for i in 1 2 3 4 5; do
	printf 'create /unseen/deep/f%s x\nset /unseen/deep/f%s y\n' \
	    "$i" "$i" >"$M/.zkfs/txn"
done
same "no system calls for what the kernel does not know" "$before" \
    "$(metric tasks_total)"
same "and nothing waits" 0 "$(metric waiting)"
unwatch

# --- the helper is killed
must watch
old=$(helpers)
check "there is one helper" test "$(echo "$old" | wc -w)" = 1
kill -KILL "$old"
echo "create /w/t1 x" >"$M/.zkfs/txn"
same "what comes when it was killed is told" \
    "CREATE w/t1; OPEN w/t1; MODIFY w/t1; CLOSE_WRITE w/t1;" "$(list)"
check "by another one" test "$(helpers)" != "$old"
same "and that is counted" 1 "$(metric restarts_total)"

# --- and again when our mount cannot be found: one that lies on top of it
cd "$M/.zkfs" || exit 1
exec 8>txn
mount -t tmpfs none "$M"
old=$(awk '$1 == "zkfs_watch_restarts_total" { print $2 }' metrics)
kill -KILL "$(helpers)"
echo "create /w/t3 x" >&8
has_tried() {
	[ "$(awk '$1 == "zkfs_watch_restarts_total" { print $2 }' metrics)" \
	    -gt $((old + 1)) ]
}
must wait_until 10 has_tried
umount "$M"
cd "$WORK" || exit 1
exec 8>&-
same "what comes when our mount cannot be found is told" \
    "CREATE w/t3; OPEN w/t3; MODIFY w/t3; CLOSE_WRITE w/t3;" "$(list)"

# --- a directory whose name the kernel has dropped
echo 2 >/proc/sys/vm/drop_caches
echo "create /w/t2" >"$M/.zkfs/txn"
same "after the caches were dropped" "CREATE w/t2;" \
    "$(list | sed 's/ OPEN w.t2; MODIFY w.t2; CLOSE_WRITE w.t2;//')"

# --- it is stopped: nothing waits, all is told when it goes on
kill -STOP "$(helpers)"
for i in 1 2 3 4 5 6 7 8 9; do
	echo "create /w/s$i x" >"$M/.zkfs/txn"
done
check "a local change meanwhile" mkdir "$M/w/local"
check "and one of what is still to be told" rm "$M/w/s5"
same "waiting" true "$([ "$(metric waiting)" -ge 9 ] && echo true)"
kill -CONT "$(helpers)"
got=$(list | tr ';' '\n' | grep -c "CREATE w/s")
same "told, but for the one that is gone" 8 "$got"
unwatch

# --- the ends
must watch
kill -STOP "$(helpers)"
echo "create /w/u1 x" >"$M/.zkfs/txn"
unwatch
check "the mount is not busy with a helper that is stopped" umount "$M"
check "the daemon ends" "$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID" 2>/dev/null
check_not "and the helper, too" has_helper
must start_fs
must wait_until 10 has_helper
old=$(helpers)
kill -STOP "$old"
kill -KILL "$FS_PID"
"$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID" 2>/dev/null
check "a killed daemon takes it along" "$WAITFOR" gone 20 "$old"
umount -l "$M"

# --- umount in the middle of events
must start_fs
echo v >"$M/w/churn"
must watch
for i in $(seq 40); do
	printf 'set /w/churn %s\ncreate /w/c%s\ndelete /w/c%s\n' "$i" "$i" \
	    "$i" >"$M/.zkfs/txn"
done
unwatch
check "umount in the middle of events" umount "$M"
check "the daemon ends" "$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID" 2>/dev/null
