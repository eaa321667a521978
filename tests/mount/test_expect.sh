#!/bin/bash
# timeout: 300
# Compare and set: user.zkfs.expect on a descriptor, `zkfs set --if-version`.
# ROUNDS is the number of races.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 500 || echo 50)}
must start_fs
cd "$M" || exit 1

version() {
	getfattr --only-values -n user.zkfs.version "$1"
}

check "a write with the right version succeeds, else EAGAIN and no change" \
    python3 - f <<'END'
import errno, os, sys
path = sys.argv[1]
open(path, "wb").write(b"start")
def version():
    return int(os.getxattr(path, "user.zkfs.version"))
def expect(fd, number):
    os.setxattr(fd, "user.zkfs.expect", b"%d" % number)
def refused(call, *args):
    before = (version(), open(path, "rb").read())
    try:
        call(*args)
    except OSError as e:
        assert e.errno == errno.EAGAIN, e
    else:
        assert False, "not refused"
    assert (version(), open(path, "rb").read()) == before
fd = os.open(path, os.O_RDWR)
now = version()
expect(fd, now)
assert os.pwrite(fd, b"second", 0) == 6
assert version() == now + 1
for wrong in 0, now, now + 2, now + 1000, 2**64 - 1:
    expect(fd, wrong)
    refused(os.pwrite, fd, b"x", 0)
expect(fd, now + 1)
assert os.pwrite(fd, b"third!", 0) == 6
assert open(path, "rb").read() == b"third!"
os.close(fd)

# The truncation of O_TRUNC is part of the change, or of what is refused.
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
expect(fd, 999999)
refused(os.write, fd, b"x")
os.close(fd)
assert open(path, "rb").read() == b"third!"
fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
expect(fd, version())
assert os.write(fd, b"4") == 1
os.close(fd)
assert open(path, "rb").read() == b"4"

# Appends and truncations likewise.
fd = os.open(path, os.O_WRONLY | os.O_APPEND)
expect(fd, version() + 1)
refused(os.write, fd, b"x")
expect(fd, version())
assert os.write(fd, b"5") == 1
assert open(path, "rb").read() == b"45"
os.close(fd)

# What one process expects is no matter of another's.
fd = os.open(path, os.O_WRONLY)
expect(fd, 999999)
pid = os.fork()
if pid == 0:
    os._exit(0 if os.pwrite(fd, b"67", 0) == 2 else 1)
assert os.waitpid(pid, 0)[1] == 0
assert open(path, "rb").read() == b"67"
refused(os.pwrite, fd, b"x", 0)
# An announcement lasts until it is met, and then is good for one change.
refused(os.pwrite, fd, b"x", 0)
expect(fd, version())
assert os.pwrite(fd, b"89", 0) == 2
assert os.pwrite(fd, b"ab", 0) == 2
os.close(fd)
for bad in b"", b"x", b"-1", b"1x", b"99999999999999999999999":
    fd = os.open(path, os.O_WRONLY)
    try:
        os.setxattr(fd, "user.zkfs.expect", bad)
    except OSError as e:
        assert e.errno == errno.EINVAL, (bad, e)
    else:
        assert False, bad
    os.close(fd)
END

check "of eight that expect the same version one wins, each time" \
    python3 - race "$rounds" <<'END'
import errno, os, sys
path, rounds = sys.argv[1], int(sys.argv[2])
open(path, "w").write("start")
base = int(os.getxattr(path, "user.zkfs.version"))
def worker(number, out):
    won = []
    seen = base
    while seen < base + rounds:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.setxattr(fd, "user.zkfs.expect", b"%d" % seen)
        try:
            os.write(fd, b"%d of %d" % (seen, number))
            won.append(seen)
        except OSError as e:
            if e.errno != errno.EAGAIN:
                raise
        os.close(fd)
        seen = int(os.getxattr(path, "user.zkfs.version"))
    os.write(out, (" ".join(map(str, won)) + "\n").encode())
r, w = os.pipe()
pids = []
for number in range(8):
    pid = os.fork()
    if pid == 0:
        try:
            worker(number, w)
            os._exit(0)
        except BaseException as e:
            print(e)
            os._exit(1)
    pids.append(pid)
os.close(w)
text = os.fdopen(r).read()
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
won = [int(word) for word in text.split()]
assert sorted(won) == list(range(base, base + len(won))), sorted(won)
assert len(won) >= rounds, len(won)
assert int(os.getxattr(path, "user.zkfs.version")) == base + len(won)
END

echo zero >s
v=$(version s)
check "zkfs set --if-version" "$BUILD/zkfs" set --if-version "$v" s one
same "sets" one "$(cat s)"
same "and counts" $((v + 1)) "$(version s)"
"$BUILD/zkfs" set --if-version "$v" s two 2>"$WORK/err"
same "another version: exit status" 1 $?
same "one line says so" 1 "$(wc -l <"$WORK/err")"
check "naming the version" grep -q "version is not $v" "$WORK/err"
same "no change" one "$(cat s)"
check "to the empty value" "$BUILD/zkfs" set -n -i $((v + 1)) s ''
same "empty" 0 "$(stat -c %s s)"
refuses "No such file" "$BUILD/zkfs" set --if-version 1 missing v
check_not "and it is not made" test -e missing

# A counter that sixteen increment, each again until it has won.
echo 0 >counter
increment='for ((i = 0; i < 5; i++)); do
	while :; do
		{ read -r v && read -r n; } < <("$1" get -V counter) || exit 1
		"$1" set -i "$v" counter $((n + 1)) 2>/dev/null && break
	done
done'
count_together() {
	local pids=() pid status=0
	for _ in 1 2 3 4; do
		spawn bash -c "$increment" increment "$BUILD/zkfs"
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	return "$status"
}
check "four increment a counter from the shell" count_together
same "none of the increments is lost" 20 "$(cat counter)"
cd / || exit 1
must stop_fs
