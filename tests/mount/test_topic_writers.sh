#!/bin/bash
# timeout: 300
# Many writers of a partition: no record is lost, torn or doubled, and those
# of one writer stay in order.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 2000 || echo 200)}
T=$M/topics/t

# Writer $1 appends $3 records of many sizes to $2.
cat >"$WORK/writer.py" <<'END2'
import os, random, sys, zlib
name, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
random.seed(name)
fd = os.open(path, os.O_WRONLY | os.O_APPEND)
i = 0
while i < count:
    batch = b""
    for _ in range(min(random.choice([1, 1, 1, 5]), count - i)):
        size = random.choice([0, 1, 10, 100, 1000, 20000])
        body = b"%s %d %s" % (name.encode(), i, b"x" * size)
        batch += b"%08x %s\n" % (zlib.crc32(body), body)
        i += 1
    assert os.write(fd, batch) == len(batch)
END2
cat >"$WORK/check.py" <<'END2'
import sys, zlib
writers, count = int(sys.argv[1]), int(sys.argv[2])
next_of = {}
for line in sys.stdin.buffer:
    crc, body = line[:-1].split(b" ", 1)
    assert int(crc, 16) == zlib.crc32(body), line[:80]
    name, number, _ = body.split(b" ", 2)
    assert int(number) == next_of.get(name, 0), (name, number)
    next_of[name] = int(number) + 1
assert len(next_of) == writers, next_of
assert set(next_of.values()) == {count}, next_of
END2

write_all() {
	local i pids=() status=0
	for ((i = 0; i < $2; i++)); do
		spawn python3 "$WORK/writer.py" "w$i" "$1" "$3"
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || status=1
	done
	return "$status"
}

must start_fs
must mkdir "$T"
check "8 writers of one partition" write_all "$T/p0" 8 "$rounds"
check "nothing is lost, torn, doubled or out of order" \
    bash -c 'python3 "$1/check.py" 8 "$2" <"$3"' - "$WORK" "$rounds" "$T/p0"

must mkdir "$T/groups/g"
check "a consumer of all of it gets the same" bash -c '
	timeout 60 head -c "$(stat -c %s "$3")" <"${3%/p0}/groups/g/next" |
	    python3 "$1/check.py" 8 "$2"' - "$WORK" "$rounds" "$T/p0"
must stop_fs
