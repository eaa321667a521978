#!/bin/bash
# Two members are to give a partition up each, for two who have come and go again
# before that: each keeps his own, they do not exchange them.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
must bash -c 'echo partitions=4 >>"$0/config"' "$T"
check "each keeps what he has" timeout 60 python3 - "$T" "$G" <<'END'
import os, sys
topic, group = sys.argv[1:]

def members():
    with open(group + "/members") as f:
        return [line.split("\t")[2] for line in f.read().splitlines()]

def join():
    return os.open(group + "/next", os.O_RDONLY)

def reads(fd):
    """What was read last is not acknowledged."""
    return os.read(fd, 100).decode().strip()

a, b = join(), join()
while members() != ["p0,p1", "p2,p3"]:
    pass
for fd, p in (a, "p1"), (b, "p3"):
    with open("%s/%s" % (topic, p), "a") as f:
        f.write(p + "\n")
    assert reads(fd) == p
c = join()
d = join()
held = members()
assert held == ["p0,p1!", "p2,p3!", "-", "-"], held
os.close(c)
os.close(d)
left = members()
assert left == ["p0,p1", "p2,p3"], left
END
must stop_fs
