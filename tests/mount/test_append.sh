#!/bin/bash
# timeout: 300
# Appends by many processes: none is lost, split or interleaved, and all land
# at the true end.  ROUNDS is the number of lines of each writer.
. "$(dirname "$0")/lib.sh"
worker=$BUILD/tests/mount/worker_append
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 1000 || echo 100)}

# $2 writers append $3 lines of up to $4 bytes to $1.
append_all() {
	local file=$1 writers=$2 count=$3 bytes=$4 i pids=() status=0
	for ((i = 0; i < writers; i++)); do
		spawn "$worker" append "$file" "$i" "$count" "$bytes"
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=1
	done
	[ "$status" = 0 ] && "$worker" check "$file" "$writers" "$count"
}

# shellcheck disable=SC2016
loop='i=0; while [ $i -lt $3 ]; do
	echo "$2 $i all of one line, from the first word to the last" >>$1 || exit 1
	i=$((i + 1)); done'

append_from_shells() {
	local file=$1 count=$2 shell i pids=() status=0
	for shell in bash dash; do
		for i in 1 2 3 4; do
			spawn "$shell" -c "$loop" "$shell" "$file" \
			    "$shell$i" "$count"
			pids+=($!)
		done
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=1
	done
	return "$status"
}

# Each writer's numbers are there once, and in the order it wrote them.
shells_in_order() {
	awk -v count="$2" '
	    !/^[a-z]+[1-4] [0-9]+ all of one line, from the first word to the last$/ {
		print "mixed: " $0; bad = 1; exit }
	    $2 != next_of[$1]++ { print "lost or out of order: " $0; bad = 1; exit }
	    END {
		for (w in next_of) { writers++; if (next_of[w] != count) bad = 1 }
		exit bad || writers != 8 }' "$1"
}

must start_fs max_file=256M
check "8 writers, $rounds lines of up to 300 bytes each" \
    append_all "$M/short" 8 "$rounds" 300
check "4 writers, $((rounds / 5)) lines of up to 100,000 bytes each" \
    append_all "$M/long" 4 $((rounds / 5)) 100000
check ">> in bash and dash" \
    append_from_shells "$M/shells" $((rounds / 2))
check "all lines of the shells are there, in order" \
    shells_in_order "$M/shells" $((rounds / 2))

check "the offset of the descriptor and what others do are of no account" \
    python3 - "$M/f" <<'END'
import os, sys
path = sys.argv[1]
a = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
b = os.open(path, os.O_WRONLY | os.O_APPEND)
for i in range(20):
    os.lseek(a, 0, os.SEEK_SET)
    assert os.write(a, b"a%02d\n" % i) == 4
    assert os.write(b, b"b%02d\n" % i) == 4
want = b"".join(b"a%02d\nb%02d\n" % (i, i) for i in range(20))
got = open(path, "rb").read()
assert got == want, got
os.truncate(path, 4)
os.write(b, b"after\n")
assert open(path, "rb").read() == b"a00\nafter\n"
assert os.stat(path).st_size == 10
END

check "a writev(2) is one append" python3 - "$M/v" <<'END'
import os, sys
path = sys.argv[1]
pids = []
for worker in b"abcd":
    pid = os.fork()
    if pid == 0:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        parts = [bytes([worker]) * (500 + i) for i in range(20)] + [b"\n"]
        size = sum(map(len, parts))
        for i in range(10):
            assert os.writev(fd, parts) == size
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
lines = open(path, "rb").read().split(b"\n")
assert lines.pop() == b""
assert len(lines) == 40, len(lines)
for line in lines:
    assert len(set(line)) == 1 and len(line) == 10190, (len(line), set(line))
END

check "appends and replacements of one file never mix" python3 - "$M/m" <<'END'
import os, sys
path = sys.argv[1]
open(path, "w").write("start\n")
def append(worker):
    for i in range(50):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, b"append %d %d\n" % (worker, i))
        os.close(fd)
def replace():
    for i in range(20):
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.write(fd, b"replaced %d\n" % i)
        os.close(fd)
pids = []
for job in (lambda: append(1)), (lambda: append(2)), replace:
    pid = os.fork()
    if pid == 0:
        job()
        os._exit(0)
    pids.append(pid)
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
lines = open(path).read().split("\n")
assert lines.pop() == ""
assert lines[0].startswith("replaced 19"), lines[0]
for line in lines[1:]:
    words = line.split()
    assert len(words) == 3 and words[0] == "append", line
END
must stop_fs
