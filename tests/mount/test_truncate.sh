#!/bin/bash
# O_TRUNC: the emptying waits for the first write and is one change with it;
# without a write it is done when the file is closed.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1

size_of() {
	stat -c %s "$1"
}

for shell in bash dash; do
	echo old >"f"
	check "$shell: > empties nothing before the first write" \
	    "$shell" -c '{ read -r v <f && echo "$v, then new"; } >f'
	same "$shell: what the command had read, and its own first write" \
	    "old, then new" "$(cat f)"

	echo old >g
	"$shell" -c ': >g'
	same "$shell: : > f empties the file" 0 "$(size_of g)"
	same "$shell: and nobody can read the old value" "" "$(cat g)"
	echo old >g
	check "$shell: empty already for the next open" \
	    "$shell" -c ': >g; [ ! -s g ] && ! read -r line <g'
	"$shell" -c ': >new; exec 3<new' && rm new
	same "$shell: a loop of : > and echo" "0 0 0 0 0 " "$(
	    "$shell" -c 'for i in 1 2 3 4 5; do
		echo $i >g; : >g; wc -c <g; done' | tr '\n' ' ')"
done

check "readers see the old value until the first write" python3 - f <<'END'
import os, sys
path = sys.argv[1]
def value():
    with open(path, "rb") as f:
        return f.read()
open(path, "wb").write(b"first")
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
assert value() == b"first", value()
other = os.open(path, os.O_RDONLY)
assert os.read(other, 100) == b"first"
assert os.write(fd, b"2nd") == 3
assert value() == b"2nd", value()
assert os.pread(other, 100, 0) == b"2nd"
assert os.write(fd, b" more") == 5
assert value() == b"2nd more", value()
os.close(fd)
assert value() == b"2nd more", value()
END

check "a first write beyond the start leaves zeros before it" \
    python3 - f <<'END'
import os, sys
open(sys.argv[1], "wb").write(b"x" * 10000)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
assert os.pwrite(fd, b"end", 5000) == 3
os.close(fd)
assert open(sys.argv[1], "rb").read() == bytes(5000) + b"end"
END

check "who opened with O_TRUNC reads nothing of the old value" \
    python3 - f <<'END'
import os, sys
open(sys.argv[1], "wb").write(b"old value")
fd = os.open(sys.argv[1], os.O_RDWR | os.O_TRUNC)
got = os.read(fd, 100)
assert got == b"", got
os.write(fd, b"ab")
assert os.pread(fd, 100, 0) == b"ab"
os.close(fd)
END

check "two that opened with O_TRUNC: the later write wins whole" \
    python3 - f <<'END'
import os, sys
path = sys.argv[1]
open(path, "wb").write(b"a long old value")
a = os.open(path, os.O_WRONLY | os.O_TRUNC)
b = os.open(path, os.O_WRONLY | os.O_TRUNC)
os.write(a, b"from a, longer")
os.write(b, b"from b")
os.close(a)
got = open(path, "rb").read()
assert got == b"from b", got
os.close(b)
assert open(path, "rb").read() == b"from b"
END

check "closing without a write empties, whatever closes" \
    python3 - f <<'END'
import os, signal, sys
path = sys.argv[1]
for way in "close", "exit", "kill":
    open(path, "wb").write(b"old")
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        if way == "close":
            os.close(fd)
        if way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    os.waitpid(pid, 0)
    assert open(path, "rb").read() == b"", way
END

check "truncate(2) and ftruncate(2) act at once" python3 - f <<'END'
import os, sys
path = sys.argv[1]
open(path, "wb").write(b"0123456789")
os.truncate(path, 4)
assert open(path, "rb").read() == b"0123"
fd = os.open(path, os.O_RDWR)
os.ftruncate(fd, 6)
assert os.pread(fd, 100, 0) == b"0123\0\0"
os.ftruncate(fd, 0)
assert open(path, "rb").read() == b""
os.close(fd)
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
os.ftruncate(fd, 2)
assert open(path, "rb").read() == b"\0\0"
os.close(fd)
assert open(path, "rb").read() == b"\0\0"
END

check "a file opened with O_TRUNC | O_APPEND" python3 - f <<'END'
import os, sys
path = sys.argv[1]
open(path, "wb").write(b"old")
fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
os.write(fd, b"one")
os.write(fd, b"two")
os.close(fd)
assert open(path, "rb").read() == b"onetwo"
END

# What was written after the open that was to empty the file stays.
check "the file of a lock keeps what is written while it is held" bash -c '
	echo old >lock
	(flock 9 && echo "$$" >lock && [ "$(cat lock)" = "$$" ]) 9>lock
	[ "$(cat lock)" = "$$" ]'
check "appends to a file that somebody has opened with > are kept" bash -c '
	echo old >log
	exec 9>log
	for i in 1 2 3 4 5 6 7 8; do echo "$i" >>log & done
	wait
	[ "$(sort log | tr -d "\n")" = 12345678 ] || exit 1
	exec 9>&-
	[ "$(sort log | tr -d "\n")" = 12345678 ]'
check "whoever changes it, it was empty before" python3 - f <<'END'
import os, sys
path = sys.argv[1]
def value():
    with open(path, "rb") as f:
        return f.read()
def write_at_3():
    fd = os.open(path, os.O_WRONLY)
    assert os.pwrite(fd, b"new", 3) == 3
    os.close(fd)
def replace():
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"new")
    os.close(fd)
def allocate():
    fd = os.open(path, os.O_WRONLY)
    os.posix_fallocate(fd, 0, 3)
    os.close(fd)
for change, wanted in ((write_at_3, bytes(3) + b"new"), (replace, b"new"),
        (allocate, bytes(3)), (lambda: os.truncate(path, 5), bytes(5))):
    for others in 1, 3:
        with open(path, "wb") as f:
            f.write(b"x" * 9000)
        fds = [os.open(path, os.O_WRONLY | os.O_TRUNC) for _ in range(others)]
        reader = os.open(path, os.O_RDONLY)
        assert os.read(reader, 9001) == b"x" * 9000
        change()
        assert value() == wanted, value()
        assert os.pread(reader, 9000, 0) == wanted
        assert os.lseek(fds[0], 0, os.SEEK_END) == len(wanted)
        os.fsync(fds[0])
        assert value() == wanted, value()
        for fd in fds[1:]:
            os.close(fd)
        os.close(reader)
        assert value() == wanted, value()
        # The first write is a whole value all the same.
        assert os.pwrite(fds[0], b"v", 0) == 1
        os.close(fds[0])
        assert value() == b"v", value()
END
check "one that was refused its value leaves the file to others" \
    python3 - f <<'END'
import errno, os, sys
path = sys.argv[1]
with open(path, "wb") as f:
    f.write(b"old ")
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
try:
    os.pwrite(fd, b"x", 1 << 40)
    raise SystemExit("accepted")
except OSError as e:
    assert e.errno == errno.EFBIG, e
other = os.open(path, os.O_WRONLY | os.O_APPEND)
os.write(other, b"and new")
os.close(other)
os.close(fd)
assert open(path, "rb").read() == b"old and new"
END
check "O_TRUNC | O_APPEND: what others append stays, too" python3 - f <<'END'
import os, sys
path = sys.argv[1]
with open(path, "wb") as f:
    f.write(b"old")
fds = [os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_APPEND) for _ in "12"]
os.write(fds[1], b"one ")
os.write(fds[0], b"two")
for fd in fds:
    os.close(fd)
assert open(path, "rb").read() == b"one two"
END
check "times that are set before the close stay (cp -p of an empty file)" \
    bash -c '
	: >empty && touch -d @1000000000 empty && echo old >copy
	cp -p empty copy && [ ! -s copy ] &&
	[ "$(stat -c %Y copy)" = 1000000000 ]'

# Durable before the next open returns: not a matter of a later flush.
echo old >durable
bash -c ': >durable; exec 3<durable'
cd / || exit 1
must kill_fs
must start_fs
same "emptied for good, also after kill -9 of the daemon" 0 \
    "$(size_of "$M/durable")"
must stop_fs
