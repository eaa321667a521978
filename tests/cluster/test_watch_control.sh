#!/bin/bash
# inotify of the files of .zkfs: what they say is told when it is another, of
# what happens on any host, in the end always and not for each of thousands of
# changes; where nobody watches it costs nothing.
. "$(dirname "$0")/lib.sh"
shopt -s extglob
must start_all
: >"$WORK/m1/f"
for i in 2 3; do
	must wait_until 10 test -e "$WORK/m$i/f"
done
cat >"$WORK/told.py" <<'END'
# told.py DIR FILE...: "ready"; for each IN_MODIFY the file and what it says.
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init()
top, names = sys.argv[1], {}
for name in sys.argv[2:]:
    wd = libc.inotify_add_watch(fd, ("%s/%s" % (top, name)).encode(), 2)
    assert wd >= 0
    names[wd] = name
print("ready", flush=True)
while True:
    data, at = os.read(fd, 65536), 0
    while at < len(data):
        wd, mask, _, size = struct.unpack_from("iIII", data, at)
        at += 16 + size
        if not mask & 2:
            sys.exit()
        with open("%s/%s" % (top, names[wd])) as file:
            text = file.read().strip().replace("\n", "|")
        print(names[wd], text, flush=True)
END
declare -A FD=()
watch() { # HOST FILE...
	local i=$1 file
	shift
	for file; do
		mkfifo "$WORK/$file.$i"
		# shellcheck disable=SC2016 # the inner shell expands
		spawn sh -c 'exec python3 -I "$0" "$1" "$2" >"$3"' \
		    "$WORK/told.py" "$WORK/m$i/.zkfs" "$file" "$WORK/$file.$i"
		exec {fd}<"$WORK/$file.$i"
		FD[$i.$file]=$fd
		read -r -t 40 line <&"${FD[$i.$file]}"
		same "z$i: .zkfs/$file is watched" ready "$line"
	done
}
# hears HOST FILE PATTERN: until it says that, after so many events.
hears() {
	local said last=
	events=0
	while read -r -t 20 _ said <&"${FD[$1.$2]}"; do
		events=$((events + 1))
		last=$said
		# shellcheck disable=SC2254 # it is a pattern
		case $said in
		$3) return 0 ;;
		esac
	done
	echo "z$1: .zkfs/$2 said last: $last"
	return 1
}
watch 2 locks sessions leader state session
watch 1 locks

# --- locks: taken, waited for, given back
head="INO KIND TYPE STATE START LENGTH SESSION PID FENCE"
exec 7<"$WORK/m1/f"
must flock 7
for i in 1 2; do
	check "z$i is told of a lock" hears $i locks "*flock write holds*"
done
spawn flock "$WORK/m3/f" true 7<&-
for i in 1 2; do
	check "z$i is told of who waits" hears $i locks "*waits*"
done
exec 7<&-
for i in 1 2; do
	check "z$i is told that there is none any more" \
	    hears $i locks "$head"
done
# Who watches the directory is told, too, however little else is known of it.
mkfifo "$WORK/dir"
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'exec "$0" d="$1" >"$2"' "$BUILD/tests/mount/watcher" \
    "$WORK/m3/.zkfs" "$WORK/dir"
watcher=$!
exec 6<"$WORK/dir"
read -r -t 40 line <&6
same "z3: .zkfs is watched" ready "$line"
echo 2 >/proc/sys/vm/drop_caches
exec 7<"$WORK/m1/f"
must flock 7
is_told() {
	while read -r -t 20 line <&6; do
		[ "$line" != "MODIFY d/locks" ] || return 0
	done
	return 1
}
check "z3 is told by the directory" is_told
kill $watcher
"$WAITFOR" gone 20 $watcher
exec 6<&-
for i in 1 2; do
	check "z$i is told of it" hears $i locks "*holds*"
done
exec 7<&-
for i in 1 2; do
	check "and that it is over" hears $i locks "$head"
done
# A file that is removed takes its locks along, and a session that ends, too.
: >"$WORK/m1/g"
exec 7<"$WORK/m1/g"
must flock 7
check "of a lock" hears 2 locks "*holds*"
rm "$WORK/m1/g"
exec 7<&-
check "that it has gone" hears 2 locks "$head"

# --- thousands of them
tasks() {
	control 3 metrics | awk '$1 == "zkfs_watch_tasks_total" { print $2 }'
}
before=$(tasks)
from=$(now_ms)
python3 -I -c '
import fcntl, sys
files = [open(sys.argv[1] + "/f", "r+") for i in range(1)]
for i in range(2500):
    fcntl.lockf(files[0], fcntl.LOCK_EX, 1, i)
    if i % 2:
        fcntl.lockf(files[0], fcntl.LOCK_UN)
' "$WORK/m1"
exec 7<"$WORK/m1/f"
must flock 7
took=$(($(now_ms) - from))
check "in the end it says how it is" hears 2 locks "*flock write holds*"
check "$events times in $took ms" test "$events" -le $((took / 50 + 4))
exec 7<&-
check "and then" hears 2 locks "$head"
same "nobody watches on z3: system calls there" 0 $(($(tasks) - before))

# --- leader: once for each thing that it says
lead=$(leader_of 2)
next=$((lead % 3 + 1))
must zkfs 1 member transfer z$next
check "z2 is told of another leader" hears 2 leader z$next
# At most once that there is none, and once that there is another.
while read -r -t 1 line <&"${FD[2.leader]}"; do
	events=$((events + 1))
done
check "$events events of that" test "$events" -le 2

# --- sessions: a host that is lost, and comes back
lost=3
kill_member $lost
check "z2 is told that a session is over" hears 2 sessions "!(*z3*)"
must start_member $lost
check "and that it has another" hears 2 sessions "*z3*"

# --- state and session: cut off for longer than a session lasts
session=$(control 2 session)
kill -STOP "${PID[1]}" "${PID[3]}"
check "z2 is told that it is cut off" hears 2 state suspended
check "and has lost its session" hears 2 state lost
kill -CONT "${PID[1]}" "${PID[3]}"
check "and is connected" hears 2 state connected
check "with another session, which is told" \
    hears 2 session "$(control 2 session)"
check_not "which is another" test "$(control 2 session)" = "$session"
stop_all
