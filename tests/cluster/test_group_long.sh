#!/bin/bash
# Members on hosts without a replica of the partition, who read in pieces of any
# size: they get records that are longer than what they read at a time.
. "$(dirname "$0")/lib.sh"
T=topics/t
G=$T/groups/g
must start_all
must mkdir "$WORK/m1/$T"
echo replicas=1 >>"$WORK/m1/$T/config"
must mkdir "$WORK/m1/$G"
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/$G/p0"
done
for size in 10 70000 300000 1044000; do
	head -c "$size" /dev/zero | tr '\0' a
	echo
done >"$WORK/records"
for i in $ALL; do
	for size in 5000 65536 100000 200000 1048576; do
		check "z$i: they come in pieces of $size" timeout 20 \
		    python3 - "$WORK/m$i/$G/next" "$WORK/m1/$T/p0" \
		    "$WORK/records" "$size" <<'END'
import os, sys
path, partition, records, size = sys.argv[1:]
with open(records, "rb") as f:
    want = f.readlines()
out = os.open(partition, os.O_WRONLY | os.O_APPEND)
for record in want:
    assert os.write(out, record) == len(record)
fd = os.open(path, os.O_RDONLY)
got = bytearray()
while len(got) < sum(map(len, want)):
    got += os.read(fd, int(size))
assert got == b"".join(want)
# All of it is done with.
os.set_blocking(fd, False)
try:
    os.read(fd, 1)
    sys.exit("there is more")
except BlockingIOError:
    pass
END
	done
done
stop_all
