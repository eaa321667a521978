# seen.py FROM TO: what one mount has done is seen on another after a lock, a
# sync or a read with O_DIRECT, however much of it the kernel had cached there.
import fcntl
import os
import sys

COUNT = 1000
ROUNDS = 2
there, here = sys.argv[1], sys.argv[2]


def transaction(line):
    fd = os.open(there + "/.zkfs/txn", os.O_WRONLY)
    os.write(fd, b"".join(line(i).encode() for i in range(COUNT)))
    os.close(fd)


def name(i):
    return "/seen/f%04d" % i


def read(path):
    with open(path) as file:
        return file.read()


def sync():
    fd = os.open(here + "/seen/other", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def direct():
    fd = os.open(here + "/seen/other", os.O_RDONLY | os.O_DIRECT)
    os.read(fd, 4096)
    os.close(fd)


CHANGES = {
    "set": (lambda i: "set %s new\n" % name(i), lambda p: read(p) == "new\n"),
    "delete": (lambda i: "delete %s\n" % name(i), lambda p: not os.path.exists(p)),
}


def count_stale(seen):
    return sum(not seen(here + name(i)) for i in reversed(range(COUNT)))


def prepare():
    transaction(lambda i: "create %s old\n" % name(i))
    sync()
    for i in range(COUNT):
        assert read(here + name(i)) == "old\n"


def by_call(how, change):
    line, seen = CHANGES[change]
    prepare()
    transaction(line)
    how()
    return count_stale(seen)


def by_lock(lock, change):
    line, seen = CHANGES[change]
    prepare()
    mine = os.open(there + "/seen/lock", os.O_RDWR)
    lock(mine, fcntl.LOCK_EX)
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        theirs = os.open(here + "/seen/lock", os.O_RDWR)
        os.write(tell, b"x")
        lock(theirs, fcntl.LOCK_EX)
        stale = count_stale(seen)
        os._exit(min(stale, 255))
    os.read(ready, 1)
    transaction(line)
    lock(mine, fcntl.LOCK_UN)
    stale = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(mine)
    return stale


def main():
    os.mkdir(there + "/seen")
    for file in ("other", "lock"):
        with open(there + "/seen/" + file, "w") as out:
            out.write("x")
    fd = os.open(there + "/seen/empty", os.O_CREAT | os.O_WRONLY)
    sync_dir = os.open(here, os.O_RDONLY)
    os.fsync(sync_dir)
    assert os.stat(here + "/seen/empty").st_size == 0
    os.write(fd, b"full")
    asks = os.open(here + "/seen/empty", os.O_RDONLY | os.O_DIRECT)
    assert os.read(asks, 10) == b"full", "O_DIRECT did not ask"

    ways = {"sync": (by_call, sync), "O_DIRECT": (by_call, direct),
            "flock": (by_lock, fcntl.flock), "fcntl": (by_lock, fcntl.lockf)}
    for _ in range(ROUNDS):
        for way, (run, how) in ways.items():
            for change in CHANGES:
                stale = run(how, change)
                assert stale == 0, "%s, %s: %d stale" % (way, change, stale)
                if change == "set":
                    transaction(lambda i: "delete %s\n" % name(i))


main()
