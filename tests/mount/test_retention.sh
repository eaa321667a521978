#!/bin/bash
# timeout: 180
# Retention as a user sees it: what is gone, what is told of it, that writers
# do not wait for it, and that its room is used again.
. "$(dirname "$0")/lib.sh"
T=$M/topics/r
P=$T/p0

value() {
	getfattr --only-values -n "user.zkfs.$2" "$1" 2>/dev/null
}
start_of() { value "$P" start; }
starts_later_than() { [ "$(start_of)" -gt "$1" ]; }
is_empty() { [ "$(start_of)" = "$(value "$P" end)" ]; }

cat >"$WORK/writer.py" <<'END'
# writer.py FILE FIRST COUNT BATCH: numbered records of 100 bytes, BATCH in one
# write; prints the longest and the median time of a write, in milliseconds.
import os, sys, time
path, first, count, batch = sys.argv[1], *map(int, sys.argv[2:])
fd = os.open(path, os.O_WRONLY | os.O_APPEND)
took = []
for at in range(first, first + count, batch):
    lines = b"".join(b"%011d %s\n" % (n, b"x" * 87)
                     for n in range(at, min(at + batch, first + count)))
    began = time.monotonic()
    assert os.write(fd, lines) == len(lines)
    took.append(time.monotonic() - began)
took.sort()
print(round(took[-1] * 1000), round(took[len(took) // 2] * 1000, 1))
END
# Whole records, each the one after the last, up to record $2 of them; the
# first is at the offset $1.
cat >"$WORK/reader.py" <<'END'
import sys
start, last = map(int, sys.argv[1:])
data = sys.stdin.buffer.read()
assert len(data) % 100 == 0, len(data)
assert start % 100 == 0, start
numbers = [int(data[at:at + 11]) for at in range(0, len(data), 100)]
assert all(data[at + 11:at + 100] == b" " + b"x" * 87 + b"\n"
           for at in range(0, len(data), 100))
assert numbers == list(range(start // 100, last)), (numbers[:2], start, last)
END

must start_fs
must mkdir "$T"

# --- by size -----------------------------------------------------------------
check "the size is bounded" bash -c 'echo retention.bytes=1M >"$0/config"' "$T"
# Readers at the front while it moves; who is overtaken is told.
cat >"$WORK/front.py" <<'END'
import errno, os, sys
path, over = sys.argv[1:]
looks = late = 0
done = False
while not done:
    done = os.path.exists(over)
    fd = os.open(path, os.O_RDONLY)
    last, rest = None, b""
    try:
        while True:
            data = os.read(fd, 131072)
            if not data:
                break
            rest += data
            while len(rest) >= 100:
                record, rest = rest[:100], rest[100:]
                number = int(record[:11])
                assert record[99:] == b"\n" and record[11:12] == b" "
                assert last is None or number == last + 1, (last, number)
                last = number
        assert not rest
        looks += 1
    except OSError as e:
        assert e.errno == errno.ENODATA, e
        late += 1
    os.close(fd)
print(looks, "whole,", late, "overtaken")
assert looks > 0
END
spawn python3 "$WORK/front.py" "$P" "$WORK/over" >"$WORK/front" 2>&1
front=$!
python3 "$WORK/writer.py" "$P" 0 20000 10 >"$WORK/took" || fail "the writer"
read -r longest median <"$WORK/took"
echo "2000 writes of 1 kB: the longest $longest ms, the median $median ms"
check "no write waited for retention" test "$longest" -le 3000
must wait_until 10 starts_later_than 800000
: >"$WORK/over"
wait "$front"
same "readers from the front see whole records in order" 0 $?
cat "$WORK/front"

start=$(start_of)
end=$(stat -c %s "$P")
same "the size is the end" 2000000 "$end"
same "user.zkfs.end" 2000000 "$(value "$P" end)"
check "what is kept is what was asked for, and not much more" \
    test $((end - start)) -gt $((1048576 - 1000)) -a \
    $((end - start)) -le $((1048576 * 9 / 8))
same "the blocks are what is kept" $(((end - start + 511) / 512)) \
    "$(stat -c %b "$P")"
check "cat prints all that is kept" bash -c 'cat "$1" | python3 "$2" "$3" 20000' \
    - "$P" "$WORK/reader.py" "$start"
check "a copy has it at the same offsets, after a hole" bash -c \
    'cp "$1" "$2" && cmp <(cat "$1") <(tail -c +$(($3 + 1)) "$2") &&
    [ "$(stat -c %s "$2")" = 2000000 ]' - "$P" "$WORK/copied" "$start"
same "tail -n 1" 19999 "$(tail -n 1 "$P" | cut -c 7-11)"

# --- zkfs consume begins with a whole record, and says what is gone
consumed() { # FROM...: numbers of records
	"$BUILD/zkfs" consume -m "$M" "$@" r 2>"$WORK/said" | cut -c 7-11
}
for at in $((end - 250)) $((end - 201)) $((end - 200)); do
	same "consume from $at" "19998 19999" "$(consumed -F $at | xargs)"
done
same "from within the last record, and behind it" "" \
    "$(consumed -F $((end - 1)))$(consumed -F "$end")$(consumed -F 99999999)"
check "nothing was said" test ! -s "$WORK/said"
same "from the start" "$(printf %05d $((start / 100)))" "$(consumed -n 1)"
check "nothing was said" test ! -s "$WORK/said"
same "from what is gone" "$(printf %05d $((start / 100)))" \
    "$(consumed -n 1 -F 150)"
check "that is said" grep -q "p0: gone: .* 150 to $start$" "$WORK/said"
same "tail -c +N" "$(cat "$P" | sha256sum)" \
    "$(tail -c +$((start + 1)) "$P" | sha256sum)"
same "wc -l" $(((end - start) / 100)) "$(wc -l <"$P")"
# Offsets of such a reader are those of other records, too.
check "a shell's loop gets all, one by one" bash -c \
    'while IFS= read -r line; do echo "$line"; done <"$1" |
    cmp - <(cat "$1")' - "$P"
same "who reads two lines and seeks back reads on from there" \
    "$(head -n 5 "$P" | sha256sum)" "$( (
	head -n 2
	IFS= read -r -n 5 piece
	printf %s "$piece"
	head -n 3
    ) <"$P" | sha256sum)"
same "grep" 1 "$(grep -c '^00000019998 ' "$P")"
check "before the start there is nothing, and that is said" python3 - "$P" "$start" <<'END'
import errno, os, sys
path, start = sys.argv[1], int(sys.argv[2])
fd = os.open(path, os.O_RDONLY)
end = os.fstat(fd).st_size
for off in (1, 100, start // 2, start - 1):
    try:
        os.pread(fd, 100, off)
        raise SystemExit("read at %d, which is before %d" % (off, start))
    except OSError as e:
        assert e.errno == errno.ENODATA, (off, e)
assert os.pread(fd, 12, start) == b"%011d " % (start // 100)
assert os.pread(fd, 12, 0) == b"%011d " % (start // 100)
assert os.pread(fd, 100, end) == b""
for off in (0, 1, start - 1, start):
    assert os.lseek(fd, off, os.SEEK_DATA) == start
assert os.lseek(fd, start + 1, os.SEEK_DATA) == start + 1
assert os.lseek(fd, start, os.SEEK_HOLE) == end
assert os.lseek(fd, 0, os.SEEK_END) == end
END
must mkdir "$T/groups/g"
same "a new group is at the start of what is retained" "$(start_of)" \
    "$(cat "$T/groups/g/p0")"
same "byte by byte, too" "$(start_of)" \
    "$(dd bs=1 if="$T/groups/g/p0" 2>/dev/null)"
same "a group is behind by what is kept" \
    "$(printf 'p0\t%s\t%s\t%s' "$start" "$end" $((end - start)))" \
    "$(cat "$T/groups/g/lag")"
same "and begins with it" "$(head -n 1 "$P")" "$(head -n 1 "$T/groups/g/next")"

sum=$(sha256sum <"$P")
must remount
same "the same after a new start" "$start $sum" "$(start_of) $(sha256sum <"$P")"
kill_fs
must start_fs
same "and after a kill" "$start $sum" "$(start_of) $(sha256sum <"$P")"

# --- the room is used again ---------------------------------------------------
# A hundred times what is kept; writes of all lengths.
used() { stat -c %s "$D/topics.mdb"; }
first=20000
for batch in 10000 1000 3000 7000; do
	python3 "$WORK/writer.py" "$P" "$first" 100000 "$batch" \
	    >"$WORK/took" || fail "the writer of $batch"
	first=$((first + 100000))
	read -r longest median <"$WORK/took"
	echo "writes of ${batch}00 bytes: $longest ms, $median ms;" \
	    "the file has $(($(used) >> 20)) MiB"
	check "no write waited" test "$longest" -le 3000
	sizes=${sizes:-}$(used)" "
done
# What is kept, what is on its way, and 16 MiB in reserve.
check "the file stays small" test "$(used)" -le $((32 << 20))
# shellcheck disable=SC2086
set -- $sizes
same "the last three rounds did not make it longer" "$2" "$4"
start=$(start_of)
check "no more was kept meanwhile than the bound allows" \
    test $((first * 100 - start)) -le $((1048576 * 9 / 8 + 700000))
end=$((first * 100))
same "the end goes on" "$end" "$(stat -c %s "$P")"
check "cat prints what is kept" bash -c \
    'cat "$1" | python3 "$2" "$(getfattr --only-values \
    -n user.zkfs.start "$1" 2>/dev/null)" "$3"' - "$P" "$WORK/reader.py" "$first"

# --- by time -------------------------------------------------------------------
check "by time, too" bash -c \
    'printf "retention.bytes=none\nretention.time=300ms\n" >"$0/config"' "$T"
wait_until 10 is_empty || fail "nothing is kept for longer than that"
same "all is gone" "" "$(cat "$P")"
same "the end stays" "$end" "$(stat -c %s "$P")"
same "there are no blocks" 0 "$(stat -c %b "$P")"
same "and no data" "No such device or address" "$(python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
try:
    os.lseek(fd, 0, os.SEEK_DATA)
except OSError as e:
    print(e.strerror)' "$P")"
check "nothing is kept for ever again" bash -c 'echo retention.time=none >"$0/config"' "$T"
check "what comes now has the next offset" bash -c 'echo next >>"$0"' "$P"
same "it is what is there" next "$(cat "$P")"
same "at the old end" "$end" "$(start_of)"
exec 9<"$P"
check "who has it open reads on" bash -c 'read -r x <&9; [ "$x" = next ]'
check "another record" bash -c 'echo more >>"$0"' "$P"
same "is read next" more "$(cat <&9)"
exec 9<&-
must stop_fs
