#!/bin/bash
# Another program in the place of the daemon (SIGUSR2), again and again, while
# everything that can be held is held: nobody notices but by a pause.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v inotifywait >/dev/null || skip "no inotifywait"
# The program is replaced, so it is this test's own.
cp "$BUILD/mount.zkfs" "$WORK/mount.zkfs"
real=$BUILD
BUILD=$WORK must start_fs
cd "$M" || exit 1
status() { sed -n "s/^$1: //p" .zkfs/status; }
is_upgrade() { [ "$(timeout 10 cat .zkfs/status | sed -n 's/^upgrades: //p')" = "$1" ]; }
rounds=20

mkdir d locks
mkdir -m u+s eph
session=$(cat .zkfs/session)

# What is held here must not be held by children too.
hold_none() { spawn "$@" 6>&- 7>&- 8>&-; }

# Holders: an ephemeral, a lock and one who waits for it, POSIX locks, an
# unlinked file, a directory being read, a deferred truncation.
exec 7>eph/me
echo mine >&7
exec 8>locks/l
must flock 8
hold_none flock locks/l sh -c 'echo got >"$0"' "$WORK/got"
cat >"$WORK/holder.py" <<'END'
import fcntl, os, sys, time
f = open("locks/p", "w+")
f.write("0123456789")
f.flush()
fcntl.lockf(f, fcntl.LOCK_EX, 5, 0)
g = open("locks/gone", "w+")
g.write("still here")
g.flush()
os.unlink("locks/gone")
os.setxattr(g.fileno(), "user.z", b"1")
d = os.scandir(".")
next(d)
t = os.open("trunc", os.O_CREAT | os.O_WRONLY)
os.write(t, b"old value")
os.close(t)
t = os.open("trunc", os.O_WRONLY | os.O_TRUNC)
open(sys.argv[1] + "/held", "w").close()
open(sys.argv[1] + "/go").read()
os.write(t, b"new")
g.seek(0)
assert g.read() == "still here"
assert os.fstat(g.fileno()).st_nlink == 0
list(d)
fcntl.lockf(f, fcntl.LOCK_UN, 5, 0)
open(sys.argv[1] + "/holder", "w").close()
END
mkfifo "$WORK/go"
hold_none python3 "$WORK/holder.py" "$WORK"
holder=$!
must wait_until 20 test -e "$WORK/held"
# An open partition.
mkdir topics topics/t
must wait_until 20 test -e topics/t/p0
exec 6>>topics/t/p0
echo before >&6
# Outcomes of transactions: one that nobody has read, and one half read.
exec 5<>.zkfs/txn
echo 'mkdir /d/txn' >&5
exec 4<>.zkfs/txn
echo 'delete /d/txn' >&4
same "half an outcome" ok "$(dd bs=2 count=1 status=none <&4)"
# Watchers.
inotifywait -q -m -e create,close_write,delete --format '%e %f' d \
    >"$WORK/inotify" 2>"$WORK/inotify.err" 6>&- 7>&- 8>&- &
watcher=$!
: >"$WORK/pids/$watcher"
hold_none cat .zkfs/events >"$WORK/events"
hold_none timeout 300 bash -c 'while IFS= read -r l; do echo "$l"; done \
    <.zkfs/events' >"$WORK/events.bash"
hold_none python3 -u -c '
import os, select, sys
fd = os.open(".zkfs/events", os.O_RDONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLIN)
while True:
    p.poll()
    try:
        sys.stdout.write(os.read(fd, 65536).decode())
    except BlockingIOError:
        pass
' >"$WORK/events.poll"
watching() {
	touch d/ready && rm d/ready
	[ -s "$WORK/inotify" ] && [ -s "$WORK/events" ] &&
	    [ -s "$WORK/events.bash" ] && [ -s "$WORK/events.poll" ]
}
must wait_until 20 watching
# Writers in a loop: every value counts, and so does every append.
cat >"$WORK/writer.py" <<'END'
import os, sys, time
n, longest = 0, 0.0
a = os.open("appended", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while not os.path.exists(sys.argv[1] + "/over"):
    t = time.monotonic()
    with open("value", "w") as f:
        f.write("%d\n" % n)
    os.write(a, b"%d\n" % n)
    assert open("value").read() == "%d\n" % n
    if n % 20 == 0:
        os.mkdir("d/x%d" % n)
    longest = max(longest, time.monotonic() - t)
    n += 1
open(sys.argv[1] + "/writer", "w").write("%d %.1f\n" % (n, longest))
END
hold_none python3 "$WORK/writer.py" "$WORK"

for i in $(seq $rounds); do
	kill -USR2 "$FS_PID"
	must wait_until 20 is_upgrade "$i"
done
same "the process is the same" "$FS_PID" "$(status pid)"
same "and so is the session" "$session" "$(cat .zkfs/session)"
same "none was refused" 0 "$(status 'refused upgrades')"
same "the ephemeral is there" mine "$(cat eph/me)"
check "and its owner can write it" bash -c 'echo again >&7'
refuses "Device or resource busy" bash -c 'echo no >eph/me'
check_not "the lock is held" flock -n locks/l true
check_not "the waiter waits" test -e "$WORK/got"
check_not "the POSIX lock is held" python3 -c '
import fcntl
fcntl.lockf(open("locks/p", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)'
check "but no other part of it" python3 -c '
import fcntl
fcntl.lockf(open("locks/p", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)'
read -r said <&5
check "the outcome of a transaction is there" grep -qx 'ok [0-9]*' <<<"$said"
check "and so is the rest of one" grep -qx ' [0-9]*' <<<"$(timeout 9 cat <&4)"
exec 4<&- 5<&-
same "nobody has seen the file empty" "old value" "$(cat trunc)"
check "an open partition takes records" bash -c 'echo after >&6'
same "behind those before" "before after" "$(xargs <topics/t/p0)"
exec 6>&-
exec 8>&-
check "the waiter gets the lock" wait_until 20 test -e "$WORK/got"
: >"$WORK/over"
: >"$WORK/go"
check "the writer has met no error" wait_until 20 test -e "$WORK/writer"
check "nor has the holder" wait_until 20 test -e "$WORK/holder"
wait "$holder"
same "which ended well" 0 $?
same "the truncation was done with the write" new "$(cat trunc)"
read -r count longest <"$WORK/writer"
echo "$count values, the longest pause was $longest s"
check "no append is lost or doubled" cmp <(seq 0 $((count - 1))) appended
mkdir d/end
for name in inotify events events.bash events.poll; do
	check "$name goes on" wait_until 20 grep -q end "$WORK/$name"
done
made() { grep -o 'x[0-9]*' "$1"; }
seq -f x%.0f 0 20 $((count - 1)) >"$WORK/want"
for name in inotify events events.bash events.poll; do
	check "$name has each change once" \
	    cmp "$WORK/want" <(made "$WORK/$name")
done
exec 7>&-
gone() { [ ! -e eph/me ]; }
check "the ephemeral goes with its owner" wait_until 10 gone

# What does not know how to take over is not let in.
cp "$WORK/mount.zkfs" "$WORK/good"
replace() {
	cp "$1" "$WORK/new" && chmod 755 "$WORK/new" &&
	    mv "$WORK/new" "$WORK/mount.zkfs"
}
was_refused() { [ "$(status 'refused upgrades')" = "$1" ]; }
must replace /bin/true
kill -USR2 "$FS_PID"
check "a program that cannot is refused" wait_until 20 was_refused 1
rm -f "$WORK/mount.zkfs"
kill -USR2 "$FS_PID"
check "and so is none at all" wait_until 20 was_refused 2
same "the daemon goes on" "$rounds" "$(status upgrades)"
check "and works" bash -c 'echo v >after && [ "$(cat after)" = v ]'
# One that says that it can, and then cannot.
cat >"$WORK/liar" <<'END'
#!/bin/sh
[ -n "$ZKFS_TAKEOVER_CHECK" ] && exit 42
exit 3
END
must replace "$WORK/good"
kill -USR2 "$FS_PID"
check "with a good one again" wait_until 20 is_upgrade $((rounds + 1))
# The end is the usual one.
kill "$watcher"
cd / || exit 1
for f in "$WORK"/pids/*; do
	[ "${f##*/}" = "$FS_PID" ] || kill "${f##*/}" 2>/dev/null
done
BUILD=$real
stopped() { umount "$M" 2>/dev/null; }
check "umount ends it" wait_until 20 stopped
check "with all of its processes" wait_until 20 fs_gone
