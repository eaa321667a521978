#!/bin/bash
# A member that reads many records at once and acknowledges each by a read of one
# byte behind it: what it has read stays where it is, though it is to give the
# partition up meanwhile; so it acknowledges nothing that it was not given.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
must bash -c 'echo partitions=2 >>"$0/config"' "$T"
must bash -c 'seq -f "r%g" 10 19 >>"$0/p1"' "$T"
check "each record comes, and none twice" timeout 60 python3 - "$T" "$G" <<'END'
import os, select, sys
topic, group = sys.argv[1:]

def lines(name):
    with open(group + "/" + name) as f:
        return f.read().splitlines()

def join():
    return os.open(group + "/next", os.O_RDONLY | os.O_NONBLOCK)

def wait(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(20000), "nothing came"

a = join()
wait(a)
got = os.read(a, 4096).decode().split()
assert got == ["r%d" % i for i in range(10, 20)], got
with open(topic + "/p0", "a") as f:
    f.write("".join("s%d\n" % i for i in range(10, 20)))
wait(a)
b = None
for i in range(len(got)):
    assert len(os.pread(a, 1, 4 * i + 4)) == 1
    with open(group + "/p1") as f:
        assert f.read() == "%d\n" % (4 * i + 4), i
    if i == 3:
        b = join()
    # Nobody else has them before they are done with.
    assert b is None or lines("members")[0].endswith("p0,p1!") == (i < 9), i
# Where nothing was read nothing is acknowledged.
try:
    os.pread(a, 1, 60)
    sys.exit("it was acknowledged")
except OSError:
    pass
wait(a)
got = os.pread(a, 4096, 40).decode().split()
assert got == ["s%d" % i for i in range(10, 20)], got
with open(topic + "/p1", "a") as f:
    f.write("r20\n")
wait(b)
assert os.read(b, 4096) == b"r20\n"
END
must stop_fs
