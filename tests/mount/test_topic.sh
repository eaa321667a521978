#!/bin/bash
# timeout: 180
# Topics: how they are made, set and removed, and their partitions as files.
. "$(dirname "$0")/lib.sh"
T=$M/topics

lines() {
	wc -l "$@" | awk 'END { print $1 }'
}

value() {
	getfattr --only-values -n "user.zkfs.$2" "$1" 2>/dev/null
}

must start_fs
check "there is a directory for topics" test -d "$T"
refuses "Device or resource busy" rmdir "$T"
refuses "Device or resource busy" mv "$T" "$M/other"
refuses "Operation not permitted" touch "$T/file"
must mkdir "$T/t"
same "a topic's files" "any by-key config groups p0" "$(cd "$T/t" && echo *)"
refuses "Operation not permitted" touch "$T/t/file"
refuses "Operation not permitted" mkdir "$T/t/dir"
refuses "Operation not permitted" rm "$T/t/p0"
refuses "Operation not permitted" mv "$T/t/p0" "$M/p0"
refuses "Operation not permitted" ln "$T/t/p0" "$M/p0"
refuses "Operation not permitted" mv "$T/t" "$M/t"
check "a topic can get another name" mv "$T/t" "$T/messages"
cd "$T/messages" || exit 1

# --- appending and reading -----------------------------------------------------
for shell in bash dash; do
	check "$shell appends" "$shell" -c 'echo "$1 says hello" >>p0' "$shell" \
	    "$shell"
done
same "what was appended" "bash says hello
dash says hello" "$(cat p0)"
same "the size is the end" 32 "$(stat -c %s p0)"
same "user.zkfs.end" 32 "$(value p0 end)"
same "user.zkfs.start" 0 "$(value p0 start)"
same "tail -c +N" "dash says hello" "$(tail -c +17 p0)"
same "tail -n" "dash says hello" "$(tail -n 1 p0)"
same "head -c" "bash" "$(head -c 4 p0)"
same "grep" "2:dash says hello" "$(grep -n dash p0)"
check "cp copies it" cmp p0 <(cat p0)
check "cp copies it, attributes and all" cp -a p0 "$M/copy"
check "the copy is the same" cmp p0 "$M/copy"

refuses "Operation not permitted" bash -c 'echo no >p0'
refuses "Operation not permitted" bash -c 'echo no 1<>p0 >&1'
refuses "Operation not permitted" truncate -s 0 p0
refuses "Operation not permitted" fallocate -l 100 p0
refuses "Permission denied" cat any
same "nothing of that has changed it" 32 "$(stat -c %s p0)"

check "without a newline it is a record, too" bash -c 'printf one >>p0'
same "that gets its newline" one "$(tail -n 1 p0)"
check "a line that bash cuts in pieces is one record" bash -c \
    'x=$(printf "%050000d" 7); echo "$x" >>p0; echo end >>p0'
same "it is whole" 50001 "$(tail -n 2 p0 | head -n 1 | wc -c)"
check "the last piece need not end in a newline" python3 - <<'END2'
import os
fd = os.open("p0", os.O_WRONLY | os.O_APPEND)
assert os.write(fd, b"x" * 5000) == 5000
assert os.write(fd, b"y" * 5000) == 5000
os.close(fd)
last = open("p0", "rb").read().split(b"\n")[-2]
assert last == b"x" * 5000 + b"y" * 5000, len(last)
END2
check "what waits for the rest of its line is a record after fsync" python3 - <<'END2'
import errno, os
fd = os.open("p0", os.O_WRONLY | os.O_APPEND)
end = os.fstat(fd).st_size
os.fsync(fd)
assert os.write(fd, b"x" * 5000) == 5000
assert os.fstat(fd).st_size == end
os.fsync(fd)
assert os.fstat(fd).st_size == end + 5001
os.fsync(fd)
assert os.write(fd, b"next\n") == 5
os.close(fd)
assert open("p0", "rb").read().endswith(b"x\nnext\n")
fd = os.open("by-key", os.O_WRONLY | os.O_APPEND)
assert os.write(fd, b"x" * 5000) == 5000
try:
    os.fsync(fd)
    raise SystemExit("a line without a key is said to be there")
except OSError as e:
    assert e.errno == errno.EINVAL, e
os.close(fd)
END2
check "a limit that is lowered takes away nothing that was taken" python3 - <<'END2'
import errno, os
def limit(size):
    with open("config", "a") as f:
        f.write("max.record=%d\n" % size)
fd = os.open("p0", os.O_WRONLY | os.O_APPEND)
end = os.fstat(fd).st_size
assert os.write(fd, b"x" * 5000) == 5000
limit(100)
try:
    os.write(fd, b"\n")
    raise SystemExit("too long a record was taken")
except OSError as e:
    assert e.errno == errno.EMSGSIZE, e
os.close(fd)
fd = os.open("p0", os.O_WRONLY | os.O_APPEND)
assert os.fstat(fd).st_size == end + 5001, os.fstat(fd).st_size - end
limit(1044480)
END2
for file in p0 by-key any; do
	refuses "Operation not permitted" setfattr -n user.zkfs.expect -v 7 $file
done
check "one write is one batch, up to the limit" python3 - <<'END2'
import errno, os
fd = os.open("p0", os.O_WRONLY | os.O_APPEND)
end = os.fstat(fd).st_size
batch = (b"a" * 1023 + b"\n") * 1020
assert os.write(fd, batch) == len(batch) == 1044480
assert os.fstat(fd).st_size == end + len(batch)
line = b"z" * 1044480
try:
    os.write(fd, line)
    raise SystemExit("too long a record was taken")
except OSError as e:
    assert e.errno == errno.EMSGSIZE, e
assert os.stat("p0").st_size == end + len(batch)
# What is more than one batch is taken up to the last record that fits.
longest = b"y" * 1044479 + b"\n"
assert os.write(fd, longest * 2) == len(longest)
assert os.fstat(fd).st_size == end + len(batch) + len(longest)
os.close(fd)
END2
check "reads at any offset agree" python3 - <<'END2'
import os, random
whole = open("p0", "rb").read()
fd = os.open("p0", os.O_RDONLY)
assert len(whole) == os.fstat(fd).st_size
random.seed(1)
for _ in range(200):
    off = random.randrange(len(whole) + 10)
    size = random.randrange(1, 70000)
    assert os.pread(fd, size, off) == whole[off:off + size]
assert os.lseek(fd, 5, os.SEEK_DATA) == 5
assert os.lseek(fd, 5, os.SEEK_HOLE) == len(whole)
END2

# --- settings ----------------------------------------------------------------
check "more partitions" bash -c 'echo partitions=4 >>config'
same "they are there" "p0 p1 p2 p3" "$(echo p?)"
refuses "Invalid argument" bash -c 'echo partitions=3 >>config'
refuses "Invalid argument" bash -c 'echo nonsense=1 >>config'
refuses "Invalid argument" bash -c 'echo retention.time=never >config'
check "> sets what it says alone" bash -c 'echo max.record=20 >config'
same "the others stay" "partitions=4" "$(grep partitions config)"
refuses "Message too long" bash -c 'echo 12345678901234567890 >>p1'
check "one byte less" bash -c 'echo 1234567890123456789 >>p1'
check "back to what it was" bash -c 'echo max.record=1044480 >config'
: >config
same "emptying it means nothing" 6 "$(lines config)"
check "a transaction sets them, too" bash -c \
    'echo "set /topics/messages/config replicas=2" >'"$M/.zkfs/txn"
same "it has" "replicas=2" "$(grep replicas config)"

# --- by key, and in turn ---------------------------------------------------------
before=$(lines p?)
check "lines go where their keys say" bash -c \
    'for i in 1 2 3 4 5 6 7 8; do printf "key%d\t%d\n" $i $i; done >>by-key'
same "all of them came" $((before + 8)) "$(lines p?)"
check "the same key, the same partition" bash -c \
    'for i in 1 2 3; do printf "key5\tmore\n" >>by-key; done
    [ "$(grep -l "^key5" p?)" = "$(grep -l "more" p?)" ]'
refuses "Invalid argument" bash -c 'echo "no key" >>by-key'
before=$(lines p?)
check "writes go round" bash -c 'for i in 1 2 3 4; do echo r$i >>any; done'
same "one to each" 4 "$(grep -lE '^r[1-4]$' p? | wc -l)"
must mkdir "$T/other"
check "also where another topic has writes in between" bash -c '
	for i in 5 6 7 8; do echo r$i >>any && echo r$i >>../other/any; done'
same "one to each" 4 "$(grep -lE '^r[5-8]$' p? | wc -l)"
must rmdir "$T/other"

# --- what the daemon has, it keeps -----------------------------------------------
sums=$(sha256sum p?)
cd /
must remount
cd "$T/messages" || exit 1
same "the same after a new start" "$sums" "$(sha256sum p?)"
check "and it goes on" bash -c 'echo on >>p2'
cd /
kill_fs
must start_fs
cd "$T/messages" || exit 1
same "also after a kill" on "$(tail -n 1 p2)"

# --- the end ---------------------------------------------------------------------
must mkdir groups/g
refuses "Directory not empty" rmdir "$T/messages"
must rmdir groups/g
exec 9<p0
cd /
check "rmdir removes a topic, and all that is in it" rmdir "$T/messages"
same "nothing is left" "" "$(ls "$T")"
exec 9<&-
check "the name is free again" mkdir "$T/messages"
same "and empty" "" "$(cat "$T/messages/p0")"
must stop_fs
