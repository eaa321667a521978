#!/bin/bash
# timeout: 300
# flock(2): exclusion, order of the waiters, signals, the death of owners and
# of waiters, and the fence.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 200 || echo 25)}
must start_fs
cd "$M" || exit 1

count_up='for ((i = 0; i < $1; i++)); do
	flock lock bash -c "read -r n <counter; echo \$((n + 1)) >counter" ||
	    exit 1
done'
count_together() {
	local pids=() pid status=0
	for _ in 1 2 3 4; do
		spawn bash -c "$count_up" count "$1"
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	return "$status"
}
echo 0 >counter
check "four processes increment a counter under flock(1)" \
    count_together "$rounds"
same "and none is lost" $((4 * rounds)) "$(cat counter)"

check "shared and exclusive, up and down" python3 - <<'END'
import errno, fcntl, os
def open_lock():
    return os.open("f", os.O_RDWR | os.O_CREAT)
def free(how):
    fd = open_lock()
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
        return True
    except OSError as e:
        assert e.errno == errno.EWOULDBLOCK, e
        return False
    finally:
        os.close(fd)
SH, EX, UN, NB = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN, fcntl.LOCK_NB
a, b = open_lock(), open_lock()
assert free(EX)
fcntl.flock(a, SH)
assert free(SH) and not free(EX)
fcntl.flock(b, SH)
try:
    fcntl.flock(a, EX | NB)
    assert False, "upgraded beside another"
except OSError as e:
    assert e.errno == errno.EWOULDBLOCK, e
fcntl.flock(b, UN)
fcntl.flock(a, EX | NB)
assert not free(SH)
fcntl.flock(a, SH)
assert free(SH) and not free(EX)
fcntl.flock(a, UN)
assert free(EX)
# A duplicate is the same owner; it keeps the lock until the last is closed.
fcntl.flock(a, EX)
c = os.dup(a)
fcntl.flock(c, EX | NB)
os.close(a)
assert not free(SH)
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
assert not free(SH)
fcntl.flock(c, UN)
assert free(EX)
# Opened for reading only, or a directory: that is enough for a lock.
r = os.open("f", os.O_RDONLY)
fcntl.flock(r, EX)
assert not free(SH)
os.close(r)
os.mkdir("dir")
d, e = os.open("dir", os.O_RDONLY), os.open("dir", os.O_RDONLY)
fcntl.flock(d, EX)
try:
    fcntl.flock(e, SH | NB)
    assert False
except BlockingIOError:
    pass
END

check "waiters are granted in the order of their coming" python3 - <<'END'
import fcntl, os, time
order_r, order_w = os.pipe()
def waiter(number):
    pid = os.fork()
    if pid:
        return pid
    fd = os.open("queue", os.O_RDWR)
    os.write(order_w, bytes([200]))
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(order_w, bytes([number]))
    os._exit(0)
def waits(pid):
    # The kernel's own name of where a process sleeps: in the lock call.
    with open("/proc/%d/syscall" % pid) as f:
        return f.read().split()[0] == "73"
holder = os.open("queue", os.O_RDWR | os.O_CREAT)
fcntl.flock(holder, fcntl.LOCK_EX)
pids = []
for number in range(10):
    pid = waiter(number)
    assert os.read(order_r, 1) == bytes([200])
    end = time.monotonic() + 10
    while not waits(pid):
        assert time.monotonic() < end, "does not wait"
    # Its request is under way, or answered by the daemon's queue: a
    # request of our own comes after it.
    os.stat(".zkfs/state")
    probe = os.open("queue", os.O_RDWR)
    try:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert False, "not locked"
    except BlockingIOError:
        pass
    os.close(probe)
    pids.append(pid)
fcntl.flock(holder, fcntl.LOCK_UN)
got = b""
while len(got) < 10:
    got += os.read(order_r, 10)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
assert list(got) == list(range(10)), list(got)
END

check "a wait is interrupted by a signal, and nobody is granted for it" \
    python3 - <<'END'
import errno, fcntl, os, signal, time
def handler(*args):
    raise InterruptedError(errno.EINTR, "signal")
holder = os.open("intr", os.O_RDWR | os.O_CREAT)
fcntl.flock(holder, fcntl.LOCK_EX)
for i in range(5):
    ready_r, ready_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGUSR1, handler)
        fd = os.open("intr", os.O_RDWR)
        os.write(ready_w, b"x")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os._exit(2)
        except InterruptedError:
            os._exit(0)
    assert os.read(ready_r, 1) == b"x"
    end = time.monotonic() + 10
    while open("/proc/%d/syscall" % pid).read().split()[0] != "73":
        assert time.monotonic() < end
    os.kill(pid, signal.SIGUSR1)
    assert os.waitpid(pid, 0)[1] == 0
fcntl.flock(holder, fcntl.LOCK_UN)
other = os.open("intr", os.O_RDWR)
fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
END
check "flock -w gives up in time" bash -c '
	exec 9>timed; flock 9
	flock -w 0.2 timed true; [ $? = 1 ]'

check "a killed waiter leaves the queue, a killed owner the lock" \
    python3 - <<'END'
import fcntl, os, signal, time
def child(body):
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open("kill", os.O_RDWR | os.O_CREAT)
        body(fd, w)
        signal.pause()
    os.close(w)
    return pid, r
def own(fd, w):
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(w, b"o")
def queue(fd, w):
    os.write(w, b"q")
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.write(w, b"g")
def waits(pid):
    end = time.monotonic() + 10
    while open("/proc/%d/syscall" % pid).read().split()[0] != "73":
        assert time.monotonic() < end
for i in range(10):
    owner, owner_r = child(own)
    assert os.read(owner_r, 1) == b"o"
    first, first_r = child(queue)
    assert os.read(first_r, 1) == b"q"
    waits(first)
    second, second_r = child(queue)
    assert os.read(second_r, 1) == b"q"
    waits(second)
    start = time.monotonic()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert time.monotonic() - start < 5, "the waiter could not be killed"
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    assert os.read(second_r, 1) == b"g"
    os.kill(second, signal.SIGKILL)
    os.waitpid(second, 0)
END

fence() {
	getfattr --only-values -n user.zkfs.fence "$1" 2>/dev/null
}
check "the fence is there while the lock is, and only grows" python3 - <<'END'
import errno, fcntl, os
last = 0
def fence(fd):
    return int(os.getxattr(fd, "user.zkfs.fence"))
for i in range(20):
    fd = os.open("fenced", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    now = fence(fd)
    assert now > last, (last, now)
    assert fence(fd) == now
    last = now
    if i % 2:
        fcntl.flock(fd, fcntl.LOCK_UN)
        try:
            fence(fd)
            assert False, "a fence without a lock"
        except OSError as e:
            assert e.errno == errno.ENODATA, e
    os.close(fd)
END
check "zkfs lock runs its command under the lock, with ZKFS_FENCE" \
    "$BUILD/zkfs" lock fenced -- bash -c '
	[ "$ZKFS_FENCE" -gt 0 ] && ! flock -n fenced true'
first=$("$BUILD/zkfs" lock fenced -- bash -c 'echo "$ZKFS_FENCE"')
mkdir locked
# The kernel keeps these to itself, and so they are of this host alone.
check "a lock on a directory excludes, on this host" flock locked bash -c '
	! flock -n locked true && [ "$(grep -c . .zkfs/locks)" = "$0" ]' \
    "$(grep -c . .zkfs/locks)"
refuses "Is a directory" "$BUILD/zkfs" lock locked -- true
cd / || exit 1
must remount
second=$("$BUILD/zkfs" lock "$M/fenced" -- bash -c 'echo "$ZKFS_FENCE"')
check "the fence grows over a remount ($first, $second)" \
    test "$second" -gt "$first"
flock "$M/fenced" true
must kill_fs
must start_fs
check "a lock does not outlive the daemon" flock -n "$M/fenced" true
third=$("$BUILD/zkfs" lock "$M/fenced" -- bash -c 'echo "$ZKFS_FENCE"')
check "and grows over kill -9 ($third)" test "$third" -gt "$second"
must remount op_timeout=300ms
check "a wait for a lock is not capped by op_timeout" python3 - "$M/f" <<'END'
import fcntl, os, select, sys
path = sys.argv[1]
holder = os.open(path, os.O_RDWR | os.O_CREAT)
fcntl.flock(holder, fcntl.LOCK_EX)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
    os.write(w, b"g")
    os._exit(0)
os.close(w)
# Three times as long as other requests may take: no word from the waiter.
assert select.select([r], [], [], 0.9)[0] == [], "it did not wait"
fcntl.flock(holder, fcntl.LOCK_UN)
assert os.read(r, 1) == b"g"
assert os.waitpid(pid, 0)[1] == 0
END
must stop_fs
