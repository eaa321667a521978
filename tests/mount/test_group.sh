#!/bin/bash
# timeout: 240
# Consumer groups on one host: the loops of shells, acknowledgement by
# position, members that come, go and die.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g

produce() {
	local i
	for i in $(seq "$1" "$2"); do
		echo "m$i" >>"$T/p0" || return 1
	done
}

# consumer SHELL FILE: the loop of the manual, its output in FILE.
consumer() {
	# shellcheck disable=SC2016
	spawn "$1" -c 'while IFS= read -r m; do echo "$m"; done <"$1" >>"$2"' \
	    "$1" "$G/next" "$2"
}

has_lines() {
	[ "$(cat "$@" 2>/dev/null | wc -l)" -ge "$want" ]
}

committed() {
	cat "$G/p0"
}

end() {
	kill -KILL "$1"
	"$WAITFOR" gone 20 "$1"
	wait "$1" 2>/dev/null
	return 0
}

must start_fs
must mkdir "$T" "$G"
same "its files" "dead lag members next p0" "$(cd "$G" && echo *)"
same "it begins at the start" 0 "$(committed)"
must produce 1 20

for shell in bash dash; do
	consumer "$shell" "$WORK/$shell"
	pid=$!
	want=20
	check "a loop of $shell gets every record" \
	    wait_until 30 has_lines "$WORK/$shell"
	end "$pid"
	same "in order, and once" "$(seq -f m%g 20)" "$(cat "$WORK/$shell")"
	same "they are acknowledged" "$(stat -c %s "$T/p0")" "$(committed)"
	check "back to the start" bash -c 'echo start >"$1"' - "$G/p0"
	same "it is" 0 "$(committed)"
done

# --- acknowledgement -------------------------------------------------------------
check "a read acknowledges what lies before it" python3 - "$G" <<'END2'
import errno, os, sys
def committed():
    return int(open(sys.argv[1] + "/p0").read())
fd = os.open(sys.argv[1] + "/next", os.O_RDONLY | os.O_NONBLOCK)
data = os.read(fd, 1 << 20)
assert data.startswith(b"m1\nm2\n"), data
assert committed() == 0
assert os.pread(fd, 3, 3) == b"m2\n"
assert committed() == 3, committed()
assert os.pread(fd, 2, 4) == b"2\n"
assert committed() == 3, committed()
assert os.pread(fd, 100, 6) == data[6:106]
assert committed() == 6, committed()
for off, want in (0, errno.ENODATA), (len(data) + 1, errno.EINVAL):
    try:
        os.pread(fd, 1, off)
        raise SystemExit("read at %d" % off)
    except OSError as e:
        assert e.errno == want, e
try:
    os.pread(fd, 1, len(data))
    raise SystemExit("there is no more")
except BlockingIOError:
    pass
assert committed() == len(data), committed()
END2

check "poll(2) tells that there is more" python3 - "$T" <<'END2'
import os, select, sys
fd = os.open(sys.argv[1] + "/groups/g/next", os.O_RDONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLIN)
assert p.poll(50) == []
with open(sys.argv[1] + "/p0", "a") as f:
    f.write("polled\n")
assert p.poll(20000) == [(fd, select.POLLIN)]
assert os.read(fd, 100) == b"polled\n"
assert p.poll(50) == []
os.lseek(fd, 0, os.SEEK_SET)
assert os.read(fd, 100) == b"polled\n"
END2
check "a record that was not acknowledged comes again" \
    bash -c '[ "$(timeout 20 head -n 1 "$1")" = polled ]' - "$G/next"
echo end >"$G/p0"

spawn cat "$G/next"
pid=$!
check "a read waits at the end" wait_until 20 grep -q p0 "$G/members"
check "and ends by a signal" kill -TERM "$pid"
check "at once" "$WAITFOR" gone 20 "$pid"
wait "$pid" 2>/dev/null
same "with it, the member" "" "$(cat "$G/members")"

# --- resets ------------------------------------------------------------------------
exec 9<"$G/next"
refuses "Device or resource busy" bash -c 'echo 0 >"$1"' - "$G/p0"
refuses "Device or resource busy" rmdir "$G"
exec 9<&-
refuses "Invalid argument" bash -c 'echo middle >"$1"' - "$G/p0"
refuses "Permission denied" bash -c 'echo x >"$1"' - "$G/next"
exec 9<>"$G/p0"
must flock 9
refuses "Device or resource busy" bash -c 'echo 0 >"$1"' - "$G/p0"
check "the holder of its lock writes it" bash -c 'echo 3 >&9'
same "it has" 3 "$(committed)"
exec 9>&-
# An offset within a record, and one that is not there yet.
second=$(head -n 1 "$T/p0" | wc -c)
check "to within a record" bash -c 'echo 1 >"$1"' - "$G/p0"
same "the one after it" "$second" "$(committed)"
check "to an offset to come" bash -c 'echo 1000000 >"$1"' - "$G/p0"
same "the end" "$(stat -c %s "$T/p0")" "$(committed)"
refuses "Invalid argument" bash -c 'echo 99999999999999999999999 >"$1"' - "$G/p0"
refuses "Invalid argument" bash -c 'echo 1x >"$1"' - "$G/p0"
check "to a time" bash -c 'echo @0 >"$1"' - "$G/p0"
same "the first record" 0 "$(committed)"
check "to a time to come" bash -c \
    'echo "@$(($(date +%s) + 1000))" >"$1"' - "$G/p0"
same "the end" "$(stat -c %s "$T/p0")" "$(committed)"

# --- several members ---------------------------------------------------------------
echo partitions=4 >>"$T/config"
same "each partition has its offset" "p0 p1 p2 p3" \
    "$(cd "$G" && echo p?)"

# --- of all partitions at once -----------------------------------------------------
reset() {
	"$BUILD/zkfs" group -m "$M" reset "$@"
}
offsets() {
	cat "$G"/p? | xargs
}
end=$(stat -c %s "$T/p0")
same "the group is at the end" "$end 0 0 0" "$(offsets)"
exec 9<"$G/p2"
must flock 9
refuses "p2: held by another process" reset t g start
same "that leaves all where they are" "$end 0 0 0" "$(offsets)"
exec 9<&-
check "to the start" reset t g start
same "all are there" "0 0 0 0" "$(offsets)"
check "to within a record" reset t g 1
same "the one after it, or the end" "$second 0 0 0" "$(offsets)"
check "to an offset to come" reset "$T" g 1000000
same "the end" "$end 0 0 0" "$(offsets)"
check "to a time" reset t g @0
same "the first record" "0 0 0 0" "$(offsets)"
for to in middle 1x @x 99999999999999999999999; do
	refuses "Invalid argument" reset t g "$to"
done
refuses "no such partition" reset -p 7 t g end
check "one of them" reset -p 0 t g end
same "is at the end" "$end 0 0 0" "$(offsets)"
odd='a \b'
must mkdir "$M/topics/$odd" "$M/topics/$odd/groups/$odd"
echo record >"$WORK/record"
must sh -c 'cat "$1" >>"$2"' - "$WORK/record" "$M/topics/$odd/p0"
check "whatever its name is" reset "$odd" "$odd" end
same "and there it is" 7 "$(cat "$M/topics/$odd/groups/$odd/p0")"
ln -s "$T" "$WORK/link"
check "through a link" reset "$WORK/link" g start
same "the same one" "0 0 0 0" "$(offsets)"
check "and back" reset t g end

consumer bash "$WORK/a"
a=$!
check "the first member has all" wait_until 20 grep -q p0,p1,p2,p3 "$G/members"
consumer dash "$WORK/b"
b=$!
two_each() {
	[ "$(cut -f 3 "$G/members" | tr , '\n' | sort | tr -d '\n')" = \
	    p0p1p2p3 ] && ! grep -q '!' "$G/members" &&
	    [ "$(wc -l <"$G/members")" = 2 ]
}
check "a second one gets two of them" wait_until 20 two_each
for i in $(seq 200); do
	echo "n$i" >>"$T/any"
done
want=200
check "together they get every record" \
    wait_until 60 has_lines "$WORK/a" "$WORK/b"
same "and each of them once" "$(seq -f n%g 200 | sort)" \
    "$(cat "$WORK/a" "$WORK/b" | sort)"
end "$a"
check "what one had the other gets" \
    wait_until 20 grep -q p0,p1,p2,p3 "$G/members"
for i in $(seq 201 220); do
	echo "n$i" >>"$T/any"
done
want=$((220 - $(wc -l <"$WORK/a")))
check "and its records, too" wait_until 60 has_lines "$WORK/b"
end "$b"
same "nothing is left to do" "0 0 0 0" "$(cut -f 4 "$G/lag" | xargs)"

# --- killed at random ----------------------------------------------------------------
# Whoever is killed may have read a record and not written it down, or not
# acknowledged it: it comes again.
for i in $(seq 300); do
	echo "k$i" >>"$T/any"
done
for i in 1 2 3 4 5 6 7; do
	: >"$WORK/k$i"
done
for i in 1 2 3 4 5 6; do
	consumer "$([ $((i % 2)) = 0 ] && echo bash || echo dash)" "$WORK/k$i"
	pid=$!
	want=$((i * 40))
	wait_until 20 has_lines "$WORK"/k?
	end "$pid"
done
consumer bash "$WORK/k7"
pid=$!
all_there() {
	[ "$(cat "$WORK"/k? | sort -u | wc -l)" = 300 ]
}
check "every record was processed, though consumers were killed" \
    wait_until 60 all_there
end "$pid"
check "none but those in flight twice" \
    test "$(cat "$WORK"/k? | wc -l)" -le 324

# Only the record that was not acknowledged by the next read, however fast.
check "what was acknowledged just before a kill does not come again" \
    python3 - "$G" "$T" <<'END2'
import os, signal, sys
group, topic = sys.argv[1:]
with open(topic + "/p0", "ab", 0) as f:
    f.write(b"".join(b"f%04d\n" % i for i in range(2000)))
def consume(count):
    """The records one gets who is killed after so many, without a pause."""
    out, to = os.pipe()
    pid = os.fork()
    if pid == 0:
        fd = os.open(group + "/next", os.O_RDONLY)
        for i in range(count):
            os.write(to, os.pread(fd, 6, 6 * i))
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(to)
    os.waitpid(pid, 0)
    got = os.read(out, 60000).decode().split()
    os.close(out)
    return got
last = "f0000"
for count in [100, 2, 3, 50, 7, 20, 400, 5] * 2:
    got = consume(count)
    n = int(last[1:])
    assert got == ["f%04d" % i for i in range(n, n + count)], (last, got)
    last = got[-1]
END2

check "rmdir removes a group" rmdir "$G"
must stop_fs
