#!/bin/bash
# One write(2) of up to 1 MiB - 4 KiB is one change; the largest file is
# max_file, and a write that would go beyond it changes nothing.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs max_file=4M
cd "$M" || exit 1

check "writes of many sizes at many offsets are one change each" \
    python3 - f <<'END'
import os, sys
path = sys.argv[1]
largest = 1024 * 1024 - 4096
model = bytearray()
fd = os.open(path, os.O_RDWR | os.O_CREAT)
def version():
    return int(os.getxattr(path, "user.zkfs.version"))
sizes = [1, 2, 100, 1023, 1024, 1025, 4095, 4096, 4097, 8191, 8192, 8193,
         16384, 65535, 65537, 131072, 262145, largest - 1, largest]
for i, size in enumerate(sizes):
    for off in 0, 1, 1000, 4095, 4097, 70001:
        data = bytes([65 + (i * 7 + off) % 26]) * size
        before = version()
        n = os.pwrite(fd, data, off)
        assert n == size, (size, off, n)
        assert version() == before + 1, (size, off, before, version())
        if len(model) < off + size:
            model.extend(bytes(off + size - len(model)))
        model[off:off + size] = data
        if size > 100000 or off == 4097:
            assert open(path, "rb").read() == model, (size, off)
assert os.stat(path).st_size == len(model)
assert open(path, "rb").read() == model
END

check "large values arrive whole, in whatever pieces" python3 - big <<'END'
import os, random, sys
data = random.Random(1).randbytes(3 * 1024 * 1024 + 12345)
with open(sys.argv[1], "wb", buffering=0) as f:
    at = 0
    while at < len(data):
        at += f.write(data[at:])
assert open(sys.argv[1], "rb").read() == data
END

check "reads by O_DIRECT, mmap and pread agree" python3 - big <<'END'
import mmap, os, sys
path = sys.argv[1]
want = open(path, "rb").read()
with open(path, "rb") as f, \
        mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
    assert m[:] == want
buf = mmap.mmap(-1, 4 * 1024 * 1024)
fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
got = b""
while True:
    n = os.preadv(fd, [buf], len(got))
    if n == 0:
        break
    got += buf[:n]
assert got == want
fd = os.open(path, os.O_RDONLY)
for off in 0, 1, 4095, 8192, 1000000, len(want) - 1, len(want), 1 << 40:
    assert os.pread(fd, 5000, off) == want[off:off + 5000], off
END

# Exactly max_file fits; one byte more is refused, and nothing is changed.
check "no write goes beyond max_file, none changes anything before" \
    python3 - f <<'END'
import errno, os, sys
path = sys.argv[1]
limit = 4 * 1024 * 1024
def refused(call, *args):
    try:
        call(*args)
    except OSError as e:
        assert e.errno == errno.EFBIG, e
        return
    assert False, "not refused"
def state():
    st = os.stat(path)
    return (st.st_size, st.st_mtime_ns, open(path, "rb").read(),
            os.getxattr(path, "user.zkfs.version"))
fd = os.open(path, os.O_RDWR | os.O_TRUNC)
os.write(fd, b"value")
before = state()
refused(os.pwrite, fd, b"x", limit)
refused(os.pwrite, fd, b"xy", limit - 1)
refused(os.pwrite, fd, b"x" * 100000, limit - 99999)
refused(os.pwrite, fd, b"x", 1 << 50)
refused(os.ftruncate, fd, limit + 1)
refused(os.truncate, path, 1 << 50)
refused(os.posix_fallocate, fd, limit, 1)
assert state() == before
assert os.pwrite(fd, b"x", limit - 1) == 1
assert os.stat(path).st_size == limit
before = state()
append = os.open(path, os.O_WRONLY | os.O_APPEND)
refused(os.write, append, b"x")
assert state() == before
os.ftruncate(fd, limit - 1000)
before = state()
refused(os.write, append, b"x" * 1001)
assert state() == before
assert os.write(append, b"x" * 1000) == 1000
END

check "a value that is too large leaves the old one, also with O_TRUNC" \
    python3 - f <<'END'
import errno, os, sys
path = sys.argv[1]
open(path, "w").write("old")
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
try:
    os.pwrite(fd, b"new", 4 * 1024 * 1024)
    assert False, "not refused"
except OSError as e:
    assert e.errno == errno.EFBIG, e
os.close(fd)
assert open(path).read() == "old"
END

check "a hole reads as zeros and costs nothing" python3 - hole <<'END'
import os, sys
path = sys.argv[1]
fd = os.open(path, os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"end", 3000000)
st = os.stat(path)
assert st.st_size == 3000003
assert st.st_blocks * 512 < 100000, st.st_blocks
assert open(path, "rb").read() == bytes(3000000) + b"end"
assert os.lseek(fd, 0, os.SEEK_DATA) >= 2900000
assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
END

cd / || exit 1
must remount max_file=1K
check "with a smaller limit what is there is still read" \
    test "$(stat -c %s "$M/hole")" = 3000003
check "and can be replaced by what fits" \
    bash -c 'echo small >$1/hole && [ "$(cat $1/hole)" = small ]' sh "$M"
must stop_fs
