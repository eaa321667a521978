#!/bin/bash
# timeout: 300
# fcntl(2) locks: POSIX and OFD, ranges, who is in the way, signals, deaths.
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1
cat >"$WORK/locks.py" <<'END'
import errno, fcntl, os, signal, struct, sys, time
RD, WR, UN = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
OFD_GETLK, OFD_SETLK, OFD_SETLKW = 36, 37, 38
FORMAT = "hhqqi4x"
def pack(kind, start, length, whence=os.SEEK_SET):
    return struct.pack(FORMAT, kind, whence, start, length, 0)
def lock(fd, kind, start, length, command=fcntl.F_SETLK):
    fcntl.fcntl(fd, command, pack(kind, start, length))
def get(fd, kind, start, length, command=fcntl.F_GETLK):
    out = fcntl.fcntl(fd, command, pack(kind, start, length))
    kind, whence, start, length, pid = struct.unpack(FORMAT, out)
    return None if kind == UN else (kind, start, length, pid)
def refused(fd, kind, start, length, command=fcntl.F_SETLK):
    try:
        lock(fd, kind, start, length, command)
    except OSError as e:
        assert e.errno in (errno.EAGAIN, errno.EACCES), e
        return
    assert False, ("granted", kind, start, length)
def child(body):
    """body runs in a child and yields; each next() here takes one step."""
    down_r, down_w = os.pipe()
    up_r, up_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(down_w)
        os.close(up_r)
        try:
            for value in body():
                os.write(up_w, b"k")
                if os.read(down_r, 1) != b"n":
                    break
        except BaseException as e:
            print("child:", repr(e))
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    os.close(down_r)
    os.close(up_w)
    assert os.read(up_r, 1) == b"k", "the child failed"
    return pid, down_w, up_r
def step(c):
    os.write(c[1], b"n")
    assert os.read(c[2], 1) == b"k", "the child failed"
def end(c):
    os.close(c[1])
    assert os.waitpid(c[0], 0)[1] == 0
    os.close(c[2])
def in_fcntl(pid):
    limit = time.monotonic() + 10
    while open("/proc/%d/syscall" % pid).read().split()[0] != "72":
        assert time.monotonic() < limit, "does not wait"
END
export PYTHONPATH=$WORK PYTHONDONTWRITEBYTECODE=1

check "ranges: split, merge, upgrade, and whole files" python3 - <<'END'
from locks import *
fd = os.open("ranges", os.O_RDWR | os.O_CREAT)
def body():
    mine = os.open("ranges", os.O_RDWR)
    lock(mine, WR, 0, 100)
    yield
    lock(mine, UN, 40, 20)
    yield
    lock(mine, RD, 60, 40)
    yield
    lock(mine, WR, 40, 60)
    yield
    lock(mine, UN, 0, 0)
    lock(mine, WR, 1000, 0)
    yield
c = child(body)
pid = c[0]
assert get(fd, WR, 0, 0) == (WR, 0, 100, pid), get(fd, WR, 0, 0)
refused(fd, RD, 99, 1)
lock(fd, WR, 100, 10)
step(c)
assert get(fd, WR, 0, 50) == (WR, 0, 40, pid), get(fd, WR, 0, 50)
assert get(fd, RD, 40, 20) is None
lock(fd, WR, 40, 20)
assert get(fd, WR, 40, 60) == (WR, 60, 40, pid), get(fd, WR, 40, 60)
step(c)
lock(fd, RD, 60, 40)
refused(fd, WR, 60, 40)
lock(fd, UN, 40, 60)
step(c)
assert get(fd, WR, 0, 0)[1:3] == (0, 100), get(fd, WR, 0, 0)
step(c)
assert get(fd, WR, 0, 1000) is None
got = get(fd, WR, 0, 0)
assert got == (WR, 1000, 0, pid), got
refused(fd, RD, 1 << 60, 1)
end(c)
lock(fd, WR, 0, 0)
os.close(fd)
END

check "a process's locks go when it closes any descriptor of the file" \
    python3 - <<'END'
from locks import *
fd = os.open("any", os.O_RDWR | os.O_CREAT)
def body():
    a, b = os.open("any", os.O_RDWR), os.open("any", os.O_RDONLY)
    lock(a, WR, 0, 10)
    yield
    os.close(b)
    yield
    lock(a, WR, 0, 10)
    yield
c = child(body)
refused(fd, WR, 0, 10)
step(c)
limit = time.monotonic() + 5
while get(fd, WR, 0, 10) is not None:
    assert time.monotonic() < limit
step(c)
refused(fd, WR, 0, 10)
os.kill(c[0], signal.SIGKILL)
os.waitpid(c[0], 0)
limit = time.monotonic() + 5
while get(fd, WR, 0, 10) is not None:
    assert time.monotonic() < limit
END

check "locks of a process are not inherited, and need the right mode" \
    python3 - <<'END'
from locks import *
fd = os.open("modes", os.O_RDWR | os.O_CREAT)
lock(fd, WR, 0, 10)
def body():
    refused(fd, WR, 0, 10)
    yield
end(child(body))
r, w = os.open("modes", os.O_RDONLY), os.open("modes", os.O_WRONLY)
for which, kind in (r, WR), (w, RD):
    try:
        lock(which, kind, 100, 1)
        assert False
    except OSError as e:
        assert e.errno == errno.EBADF, e
END

check "waiters: granted in order, by signals interrupted, by death removed" \
    python3 - <<'END'
from locks import *
fd = os.open("wait", os.O_RDWR | os.O_CREAT)
lock(fd, WR, 0, 10)
order_r, order_w = os.pipe()
def start(number, start_at=0):
    pid = os.fork()
    if pid:
        in_fcntl(pid)
        refused_probe()
        return pid
    def handler(*args):
        raise InterruptedError
    signal.signal(signal.SIGUSR1, handler)
    mine = os.open("wait", os.O_RDWR)
    try:
        lock(mine, WR, start_at, 10, fcntl.F_SETLKW)
    except InterruptedError:
        os._exit(4)
    os.write(order_w, bytes([number]))
    os._exit(0)
def refused_probe():
    pid = os.fork()
    if pid == 0:
        refused(os.open("wait", os.O_RDWR), WR, 0, 10)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
pids = [start(i) for i in range(6)]
os.kill(pids[1], signal.SIGUSR1)
assert os.waitstatus_to_exitcode(os.waitpid(pids[1], 0)[1]) == 4
os.kill(pids[3], signal.SIGKILL)
os.waitpid(pids[3], 0)
lock(fd, UN, 0, 10)
got = b""
while len(got) < 4:
    got += os.read(order_r, 10)
assert list(got) == [0, 2, 4, 5], list(got)
for i in 0, 2, 4, 5:
    assert os.waitpid(pids[i], 0)[1] == 0
lock(fd, WR, 0, 0)
END

check "OFD locks belong to the open file" python3 - <<'END'
from locks import *
a = os.open("ofd", os.O_RDWR | os.O_CREAT)
b = os.open("ofd", os.O_RDWR)
lock(a, WR, 0, 100, OFD_SETLK)
refused(b, WR, 50, 1, OFD_SETLK)
assert get(b, WR, 0, 0, OFD_GETLK) == (WR, 0, 100, -1), \
    get(b, WR, 0, 0, OFD_GETLK)
lock(b, WR, 100, 100, OFD_SETLK)
c = os.dup(a)
os.close(a)
refused(b, RD, 0, 1, OFD_SETLK)
# The close of another descriptor of the file does not drop them.
os.close(os.open("ofd", os.O_RDONLY))
refused(b, RD, 0, 1, OFD_SETLK)
pid = os.fork()
if pid == 0:
    refused(os.open("ofd", os.O_RDWR), RD, 0, 1)
    lock(c, UN, 0, 50, OFD_SETLK)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
lock(b, WR, 0, 50, OFD_SETLK)
refused(b, WR, 50, 50, OFD_SETLK)
os.close(c)
limit = time.monotonic() + 5
while get(b, WR, 50, 50, OFD_GETLK) is not None:
    assert time.monotonic() < limit
END

check "POSIX, OFD and flock locks: the first two meet, flock does not" \
    python3 - <<'END'
from locks import *
a = os.open("kinds", os.O_RDWR | os.O_CREAT)
b = os.open("kinds", os.O_RDWR)
lock(a, WR, 0, 10)
refused(b, WR, 0, 10, OFD_SETLK)
fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)
lock(a, UN, 0, 10)
lock(b, WR, 0, 10, OFD_SETLK)
refused(a, WR, 0, 10)
END

check "a deadlock of two is found, or ended by a signal" python3 - <<'END'
from locks import *
fd = os.open("dead", os.O_RDWR | os.O_CREAT)
lock(fd, WR, 0, 1)
def body():
    mine = os.open("dead", os.O_RDWR)
    lock(mine, WR, 1, 1)
    yield
    lock(mine, WR, 0, 1, fcntl.F_SETLKW)
    yield
c = child(body)
os.write(c[1], b"n")
in_fcntl(c[0])
def handler(*args):
    raise InterruptedError(errno.EINTR, "signal")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    lock(fd, WR, 1, 1, fcntl.F_SETLKW)
    assert False, "granted to both"
except OSError as e:
    assert e.errno in (errno.EDEADLK, errno.EINTR), e
signal.setitimer(signal.ITIMER_REAL, 0)
lock(fd, UN, 0, 1)
assert os.read(c[2], 1) == b"k"
end(c)
END

check "eight processes count under POSIX locks" python3 - <<'END'
from locks import *
open("count", "w").write("0\n")
pids = []
for worker in range(8):
    pid = os.fork()
    if pid == 0:
        fd = os.open("count", os.O_RDWR)
        for i in range(25):
            lock(fd, WR, 0, 0, fcntl.F_SETLKW)
            n = int(os.pread(fd, 20, 0))
            os.pwrite(fd, b"%d\n" % (n + 1), 0)
            lock(fd, UN, 0, 0)
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
assert open("count").read() == "200\n"
END
cd / || exit 1
must stop_fs
