#!/bin/bash
# What the kernel has cached needs no daemon: it is read while that is stopped.
# And what changed is not read from there.
. "$(dirname "$0")/lib.sh"
must start_fs
check "attributes, names and pages are the kernel's" \
    python3 - "$M" "$FS_PID" <<'END'
import os, select, signal, sys
mount, daemon = sys.argv[1], int(sys.argv[2])
path = mount + "/d/f"
os.mkdir(mount + "/d")
with open(path, "w") as f:
    f.write("value " * 1000)
fd = os.open(path, os.O_RDONLY)
want = os.pread(fd, 6000, 0)
assert want == b"value " * 1000
os.stat(path)
assert not os.path.exists(mount + "/d/none")
r, w = os.pipe()
os.kill(daemon, signal.SIGSTOP)
try:
    pid = os.fork()
    if pid == 0:
        for i in range(1000):
            assert os.pread(fd, 6000, 0) == want
            assert os.stat(path).st_size == 6000
            assert not os.path.exists(mount + "/d/none")
        os.write(w, b"d")
        os._exit(0)
    os.close(w)
    done = select.select([r], [], [], 30)[0] and os.read(r, 1) == b"d"
finally:
    # Also for the child's end: closing a file waits for the daemon.
    os.kill(daemon, signal.SIGCONT)
os.waitpid(pid, 0)
assert done, "somebody asked the daemon"
END
check "what was written is read at once, by the writer and by others" \
    python3 - "$M/g" <<'END'
import os, sys
path = sys.argv[1]
r1, w1 = os.pipe()
r2, w2 = os.pipe()
with open(path, "wb") as f:
    f.write(b"start")
if os.fork() == 0:
    os.close(w1)
    while os.read(r1, 1):
        with open(path, "rb") as f:
            value = f.read()
        assert os.stat(path).st_size == len(value)
        os.write(w2, value.ljust(64))
    os._exit(0)
os.close(w2)
for i in range(300):
    value = b"%d " % i * (i % 7 + 1)
    with open(path, "wb") as f:
        f.write(value)
    with open(path, "rb") as f:
        assert f.read() == value, i
    assert os.stat(path).st_size == len(value), i
    os.write(w1, b"?")
    assert os.read(r2, 64) == value.ljust(64), i
os.close(w1)
assert os.wait()[1] == 0
END
must stop_fs
