#!/bin/bash
# timeout: 300
# The disk gets full in the middle of a flush: a thousand writes arrive at
# once, more than what is kept in reserve for them.  They are told ENOSPC, and
# the daemon lives on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_up 96M mkfs.ext4 -q -m 0 -O ^has_journal

must start_fs
echo old >"$M/value"
cat >"$WORK/burst.py" <<'END'
# burst.py MOUNT DISK DAEMON: prints how many writes had which end.
import collections, errno, glob, os, signal, sys, threading, time
mount, disk, daemon = sys.argv[1], sys.argv[2], int(sys.argv[3])
WRITERS, ROUNDS = 1024, 3
os.mkdir(mount + "/w")
fds = []
for i in range(WRITERS):
    fd = os.open("%s/w/%d" % (mount, i), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"x" * 9000)
    fds.append(fd)
# All that is left is what the daemon has reserved.
st = os.statvfs(disk)
ballast = os.open(disk + "/ballast", os.O_WRONLY | os.O_CREAT)
os.posix_fallocate(ballast, 0, st.f_bavail * st.f_frsize - 65536)
ends = [[] for _ in fds]

def write(i):
    for k in range(ROUNDS):
        try:
            os.pwrite(fds[i], b"y", k)
            ends[i].append(0)
        except OSError as e:
            ends[i].append(e.errno)

def waits(task):
    try:
        with open(task + "/wchan") as f:
            return "request_wait" in f.read()
    except OSError:
        return False

# The daemon finds them all in its queue at once: that is one flush.
os.kill(daemon, signal.SIGSTOP)
try:
    threading.stack_size(65536)
    threads = [threading.Thread(target=write, args=(i,))
               for i in range(WRITERS)]
    for t in threads:
        t.start()
    until = time.monotonic() + 10
    while time.monotonic() < until and \
            sum(map(waits, glob.glob("/proc/self/task/*"))) < WRITERS:
        os.sched_yield()
finally:
    os.kill(daemon, signal.SIGCONT)
for t in threads:
    t.join()
count = collections.Counter(sum(ends, []))
print({errno.errorcode.get(k, "done"): v for k, v in count.items()})
assert set(count) <= {0, errno.ENOSPC}, count
# On a busy machine they may come one after the other, and all have room.
for i, fd in enumerate(fds):
    with open("%s/w/%d" % (mount, i), "rb") as f:
        value = f.read()
    want = b"".join(b"y" if e == 0 else b"x" for e in ends[i])
    assert value == want + b"x" * (9000 - ROUNDS), (i, ends[i], value[:9])
    os.close(fd)
END
check "a thousand writes at once meet the end of the disk" \
    python3 "$WORK/burst.py" "$M" "$WORK/disk" "$FS_PID"
same "the daemon lives" connected "$(cat "$M/.zkfs/state")"
same "reads go on" old "$(cat "$M/value")"
check "deletes work" rm -r "$M/w"
rm "$WORK/disk/ballast"
try() {
	echo new >"$M/value"
}
check "there is space again: writes work, with no more done" wait_until 20 try
must remount
same "and are there after a remount" new "$(cat "$M/value")"
must stop_fs
