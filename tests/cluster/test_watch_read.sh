#!/bin/bash
# What one host reads at the event of what another did: the new state, whatever
# it had cached; each change once.  What nobody watches costs the other hosts
# nothing.  zkfs watch is told of what was done while its host was cut off.  An
# ephemeral file ends with its host.
. "$(dirname "$0")/lib.sh"
must start_all
M1=$WORK/m1 M2=$WORK/m2
mkdir "$M1/w" "$M1/w2" "$M1/eph" "$M1/unseen"
chmod u+s "$M1/eph"
: >"$M1/unseen/f"
is_placed() {
	[ -u "$M2/eph" ]
}
must wait_until 10 is_placed

cat >"$WORK/at_event.py" <<'END'
import ctypes, errno, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
ATTRIB, CREATE, DELETE, MODIFY = 4, 0x100, 0x200, 2
CLOSE_WRITE, MOVED_FROM, MOVED_TO = 8, 0x40, 0x80
there, here = sys.argv[1:3]
fd = libc.inotify_init()
assert libc.inotify_add_watch(fd, here.encode(), ATTRIB | CREATE | DELETE |
    MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO) >= 0

waiting = []
def event():
    if not waiting:
        data, at = os.read(fd, 65536), 0
        while at < len(data):
            _, mask, _, size = struct.unpack_from("iIII", data, at)
            name = data[at + 16:at + 16 + size].rstrip(b"\0").decode()
            waiting.append((mask & 0xfff, name))
            at += 16 + size
    return waiting.pop(0)
def expect(mask, name):
    got = event()
    assert got == (mask, name), "%s, not %s" % (got, (mask, name))
def look(name):
    """As the kernel has it by now; this also makes it cache that."""
    path = here + "/" + name
    try:
        st = os.lstat(path)
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        return None
    return text, st.st_mode & 0o7777, st.st_nlink, st.st_size
def at(events, *states):
    """These come, and at each of them that is the state."""
    for mask, name in events:
        expect(mask, name)
        for what, state in states:
            got = look(what)
            assert got == state, "at %x %s: %s is %s, not %s" % (mask, name,
                what, got, state)
        names = sorted(name for name, state in states if state)
        got = sorted(n for n in os.listdir(here) if n in dict(states))
        assert got == names, "%s are listed, not %s" % (got, names)

for i in range(60):
    a, b, c = ("%s%d" % (name, i) for name in "abc")
    for name in a, b, c:
        assert look(name) is None
    os.close(os.open(there + "/" + a, os.O_CREAT | os.O_EXCL | os.O_WRONLY,
        0o600))
    at([(CREATE, a)], (a, ("", 0o600, 1, 0)))
    out = os.open(there + "/" + a, os.O_WRONLY)
    for text in "one", "other":
        os.pwrite(out, text.encode(), 0)
        at([(MODIFY, a), (CLOSE_WRITE, a)], (a, (text, 0o600, 1, len(text))))
    os.ftruncate(out, 2)
    at([(MODIFY, a), (CLOSE_WRITE, a)], (a, ("ot", 0o600, 1, 2)))
    os.close(out)
    os.chmod(there + "/" + a, 0o640)
    at([(ATTRIB, a)], (a, ("ot", 0o640, 1, 2)))
    os.link(there + "/" + a, there + "/" + c)
    at([(CREATE, c)], (c, ("ot", 0o640, 2, 2)), (a, ("ot", 0o640, 2, 2)))
    os.unlink(there + "/" + c)
    at([(DELETE, c)], (c, None), (a, ("ot", 0o640, 1, 2)))
    os.rename(there + "/" + a, there + "/" + b)
    at([(MOVED_FROM, a), (MOVED_TO, b)], (a, None),
        (b, ("ot", 0o640, 1, 2)))
    os.close(os.open(there + "/" + a, os.O_CREAT | os.O_WRONLY, 0o600))
    at([(CREATE, a)], (a, ("", 0o600, 1, 0)))
    os.rename(there + "/" + b, there + "/" + a)
    at([(MOVED_FROM, b), (MOVED_TO, a)], (b, None),
        (a, ("ot", 0o640, 1, 2)))
    os.unlink(there + "/" + a)
    at([(DELETE, a)], (a, None))

# Without waiting: each write has its event, and what is read is not older.
COUNT = 1000
out = os.open(there + "/n", os.O_CREAT | os.O_WRONLY, 0o600)
at([(CREATE, "n")], ("n", ("", 0o600, 1, 0)))
pid = os.fork()
if pid == 0:
    for i in range(1, COUNT + 1):
        os.pwrite(out, b"%06d" % i, 0)
    os._exit(0)
for i in range(1, COUNT + 1):
    expect(MODIFY, "n")
    with open(here + "/n") as file:
        assert int(file.read()) >= i, "an old value at event %d" % i
    expect(CLOSE_WRITE, "n")
assert os.waitpid(pid, 0)[1] == 0
os.mkdir(there + "/end")
expect(CREATE, "end")
END
check "at each event the new state is read" timeout 120 \
    python3 -I "$WORK/at_event.py" "$M1/w" "$M2/w"
lead=$(leader_of 1)
check "also on the host that leads, of what another one did" timeout 120 \
    python3 -I "$WORK/at_event.py" "$WORK/m$((lead % 3 + 1))/w2" \
    "$WORK/m$lead/w2"

# --- nobody watches
count_of() {
	awk -v name="zkfs_$1_total" '$1 == name { print $2 }' \
	    "$M2/.zkfs/metrics"
}
is_quiet() {
	grep -q "^zkfs_watch_waiting 0" "$M2/.zkfs/metrics"
}
must wait_until 10 is_quiet
for _ in $(seq 500); do
	echo "set /unseen/f v"
done >"$WORK/lines"
tasks=$(count_of watch_tasks) requests=$(count_of fuse_requests)
for _ in $(seq 20); do
	cat "$WORK/lines" >"$M1/.zkfs/txn" || fail "a transaction"
done
must wait_until 20 agree 1 2
same "10,000 changes that nobody watches: system calls on another host" 0 \
    $(($(count_of watch_tasks) - tasks))
asked=$(($(count_of fuse_requests) - requests))
check "and requests of its kernel, but for those of this test ($asked)" \
    test "$asked" -lt 200

# --- zkfs watch on a host that is without the others for a while
spawn "$BUILD/zkfs" watch -r "$M2/w" >"$WORK/told"
watch=$!
is_watching() {
	mkdir "$M1/w/is" && rmdir "$M1/w/is"
	[ -s "$WORK/told" ]
}
must wait_until 20 is_watching
mkdir "$M1/w/before"
kill -STOP "${PID[1]}" "${PID[3]}"
is_alone() {
	[ "$(control 2 state)" != connected ]
}
check "z2 is cut off" wait_until 20 is_alone
kill -CONT "${PID[1]}" "${PID[3]}"
for i in 1 2 3 4 5; do
	wait_until 20 mkdir "$M1/w/after$i"
done
mkdir "$M1/w/last"
check "it comes to the end" wait_until 20 grep -q w/last "$WORK/told"
same "each change once, in order" "before after1 after2 after3 after4 after5 \
last" "$(sed -n 's|.*create.*/w/||p' "$WORK/told" | grep -v '^is$' | xargs)"
kill "$watch" # it has a file open
"$WAITFOR" gone 20 "$watch"

# --- an ephemeral file, and then its host
mkfifo "$WORK/events" "$WORK/never"
exec 8<>"$WORK/never"
# shellcheck disable=SC2016 # the inner shells expand
spawn sh -c 'exec 9>"$0/eph/master"; exec cat "$1"' "$WORK/m3" "$WORK/never"
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'exec "$0" eph="$1/eph" >"$2"' "$BUILD/tests/mount/watcher" "$M2" \
    "$WORK/events"
exec 7<"$WORK/events"
next() {
	read -r -t 40 line <&7
	echo "$line"
}
same "watched" ready "$(next)"
is_held() {
	[ -e "$M2/eph/master" ]
}
must wait_until 10 is_held
kill_member 3
list=
while line=$(next) && [ "$line" != "DELETE eph/master" ] && [ -n "$line" ]; do
	list+="$line; "
done
same "an ephemeral file ends with its host" "DELETE eph/master" "$line"
case $list in
"" | "CREATE eph/master; " | "CREATE eph/master; OPEN eph/master; "*) ;;
*) fail "before that: $list" ;;
esac
check_not "and is gone when that is told" is_held
exec 7<&- 8>&-
stop_all
