#!/bin/bash
# A member that was to give a partition up keeps it, for whoever came has gone
# before all that it had delivered was acknowledged: it goes on behind that, and
# nothing is left out, however far it had read ahead.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
# The second is what another member gets.
must bash -c 'echo partitions=2 >>"$0/config"' "$T"
must bash -c 'seq -f "r %05.0f" 0 5999 >>"$0/p1"' "$T"
check "each record comes once, in order, though others came and went" \
    python3 - "$G" "${ROUNDS:-20}" <<'END2'
import os, random, sys, time
group, rounds = sys.argv[1], int(sys.argv[2])
fd = os.open(group + "/next", os.O_RDONLY | os.O_NONBLOCK)
random.seed(5)
got = b""

def read_up_to(end):
    global got
    until = time.monotonic() + 10
    while len(got) < end:
        try:
            got += os.read(fd, end - len(got))
        except BlockingIOError:
            assert time.monotonic() < until, "%d of %d" % (len(got), end)

def members():
    with open(group + "/members") as f:
        return [line.split("\t")[2] for line in f.read().splitlines()]

for i in range(rounds):
    # Up to within a record, which is thus not acknowledged.
    read_up_to(len(got) // 8 * 8 + 8 * random.randrange(1, 50) + 3)
    other = os.open(group + "/next", os.O_RDONLY)
    assert members() == ["p0,p1!", "-"], (i, members())
    # It knows that it is to give p1 up when it tells no further record.
    until = time.monotonic() + 20
    while len(os.pread(fd, 100, len(got))) > 8:
        assert time.monotonic() < until, i
    os.close(other)
    until = time.monotonic() + 20
    while members() != ["p0,p1"]:
        assert time.monotonic() < until, (i, members())
read_up_to(48000)
assert got == b"".join(b"r %05d\n" % i for i in range(6000)), len(got)
END2
must stop_fs
