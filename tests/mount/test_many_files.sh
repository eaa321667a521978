#!/bin/bash
# timeout: 900
# Very many files in one directory: made, listed, looked up, removed.  COUNT
# is their number.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
count=${COUNT:-$([ "${FULL:-0}" = 1 ] && echo 100000 || echo 20000)}
must start_fs
mkdir "$M/big"

check "$count files are made by eight processes" python3 - "$M/big" "$count" \
    <<'END'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
pids = []
for worker in range(8):
    pid = os.fork()
    if pid == 0:
        for i in range(worker, count, 8):
            fd = os.open("%s/file-%07d" % (top, i),
                         os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            if i % 100 == 0:
                os.write(fd, b"%d\n" % i)
            os.close(fd)
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
END
listing() {
	python3 - "$M/big" "$count" <<'END'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
names = os.listdir(top)
assert len(names) == count, len(names)
assert len(set(names)) == count, "a name twice"
assert set(names) == {"file-%07d" % i for i in range(count)}
for i in range(0, count, 100):
    assert open("%s/file-%07d" % (top, i)).read() == "%d\n" % i, i
END
}
check "each is listed once, and each value is right" listing
same "ls and find agree" "$count $count" \
    "$(find "$M/big" -type f | wc -l) $(find "$M/big" -maxdepth 1 -name 'file-*' \
	-printf x | wc -c)"
check_not "a name that is not there is not" test -e "$M/big/file-$count"
check "a listing while files come and go misses none that stay" \
    python3 - "$M/big" "$count" <<'END'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
stop_r, stop_w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(stop_w)
    os.set_blocking(stop_r, False)
    i = 0
    while True:
        try:
            if os.read(stop_r, 1) == b"":
                break
        except BlockingIOError:
            pass
        path = "%s/churn-%d" % (top, i % 50)
        open(path, "w").close()
        os.unlink(path)
        i += 1
    os._exit(0)
os.close(stop_r)
want = {"file-%07d" % i for i in range(count)}
for i in range(3):
    names = os.listdir(top)
    got = [n for n in names if not n.startswith("churn-")]
    assert len(got) == len(set(got)), "a name twice"
    assert set(got) == want, len(want - set(got))
os.close(stop_w)
assert os.waitpid(pid, 0)[1] == 0
END
must remount
check "all of it is there after a remount" listing
check "rm -r" rm -r "$M/big"
check_not "leaves nothing" test -e "$M/big"
must stop_fs
