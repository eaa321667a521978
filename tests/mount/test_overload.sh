#!/bin/bash
# timeout: 300
# More at once than the daemon's queue holds: callers wait, nothing is dropped
# or mixed up, who is killed goes, and afterwards all is as before.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1

check "100 writers of 1 MiB - 4 KiB each, at once" python3 - <<'END'
import os
size = 1024 * 1024 - 4096
r, w = os.pipe()
pids = []
for worker in range(100):
    pid = os.fork()
    if pid == 0:
        os.close(w)
        data = bytes([33 + worker % 90]) * size
        os.read(r, 1)
        fd = os.open("big%d" % worker, os.O_WRONLY | os.O_CREAT)
        os._exit(0 if os.write(fd, data) == size else 1)
    pids.append(pid)
os.close(r)
os.close(w)
bad = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
assert bad == 0, bad
for worker in range(100):
    want = bytes([33 + worker % 90]) * size
    assert open("big%d" % worker, "rb").read() == want, worker
    os.unlink("big%d" % worker)
END

check "400 processes append to one file" python3 - <<'END'
import os
pids = []
for worker in range(400):
    pid = os.fork()
    if pid == 0:
        fd = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for i in range(5):
            line = b"%d %d\n" % (worker, i)
            assert os.write(fd, line) == len(line)
        os._exit(0)
    pids.append(pid)
bad = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
assert bad == 0, bad
lines = open("log").read().splitlines()
assert len(lines) == 2000, len(lines)
assert len(set(lines)) == 2000
END

check "writers killed at random moments: none is stuck, no value is partial" \
    python3 - <<'END'
import os, random, signal, time
rng = random.Random(11)
size = 300000
def write(worker):
    i = 0
    while True:
        fd = os.open("k%d" % worker, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, bytes([97 + i % 26]) * size)
        os.close(fd)
        i += 1
for turn in range(10):
    pids = []
    for worker in range(16):
        pid = os.fork()
        if pid == 0:
            write(worker)
        pids.append(pid)
    end = time.monotonic() + rng.random() * 0.1
    while time.monotonic() < end:
        os.stat(".")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
    assert time.monotonic() - start < 10, "slow to die"
    for worker in range(16):
        try:
            data = open("k%d" % worker, "rb").read()
        except FileNotFoundError:
            continue
        assert len(data) in (0, size), len(data)
        assert len(set(data)) <= 1, "mixed"
END

check "200 waiters for one lock, half of them killed" python3 - <<'END'
import fcntl, os, signal
holder = os.open("lock", os.O_RDWR | os.O_CREAT)
fcntl.flock(holder, fcntl.LOCK_EX)
r, w = os.pipe()
pids = []
for worker in range(200):
    pid = os.fork()
    if pid == 0:
        os.close(r)
        fd = os.open("lock", os.O_RDWR)
        os.write(w, b"w")
        fcntl.flock(fd, fcntl.LOCK_EX)
        n = int(open("count").read())
        with open("count", "w") as f:
            f.write("%d" % (n + 1))
        os._exit(0)
    pids.append(pid)
os.close(w)
open("count", "w").write("0")
left = 200
while left:
    left -= len(os.read(r, left))
for pid in pids[::2]:
    os.kill(pid, signal.SIGKILL)
for pid in pids[::2]:
    os.waitpid(pid, 0)
assert open("count").read() == "0"
fcntl.flock(holder, fcntl.LOCK_UN)
for pid in pids[1::2]:
    assert os.waitpid(pid, 0)[1] == 0
assert open("count").read() == "100", open("count").read()
END

check "a thousand ephemeral files of one process, gone with it" \
    python3 - <<'END'
import os, resource, signal, time
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
os.mkdir("e")
os.chmod("e", 0o4755)
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    for i in range(1000):
        os.open("e/%d" % i, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(w, b"x")
    signal.pause()
assert os.read(r, 1) == b"x"
assert len(os.listdir("e")) == 1000
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
end = time.monotonic() + 10
while os.listdir("e"):
    assert time.monotonic() < end, len(os.listdir("e"))
END
check "the state is connected" test "$(cat .zkfs/state)" = connected
cd / || exit 1
must remount
same "2000 lines after a remount" 2000 "$(wc -l <"$M/log")"
must stop_fs
