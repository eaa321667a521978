#!/bin/bash
# Another program in the place of the daemon (SIGUSR2) while members of a
# consumer group read: they stay members, nothing is delivered twice, and what
# was delivered can be read again until it is acknowledged.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
T=$M/topics/t G=$M/topics/t/groups/g
is_upgrade() {
	[ "$(timeout 10 cat "$M/.zkfs/status" |
	    sed -n 's/^upgrades: //p')" = "$1" ]
}
upgrades=0
upgrade() {
	upgrades=$((upgrades + 1))
	kill -USR2 "$FS_PID"
	must wait_until 20 is_upgrade $upgrades
}

# --- one who reads and has not acknowledged ---------------------------------------
must mkdir "$T" "$G"
for i in 1 2 3 4 5 6; do
	echo "m$i" >>"$T/p0"
done
cat >"$WORK/reader.py" <<'END2'
import os, sys
fd = os.open(sys.argv[1] + "/next", os.O_RDONLY)
# A read acknowledges what lies before it, so this is all in one.
got = os.read(fd, 100)
assert got == b"m1\nm2\nm3\nm4\nm5\nm6\n", got
assert os.pread(fd, 5, 6) == b"m3\nm4"  # m1 and m2 are done
print("read", flush=True)
sys.stdin.readline()
assert os.pread(fd, 6, 6) == b"m3\nm4\n"    # again
try:
    os.pread(fd, 3, 0)
    raise SystemExit("what was acknowledged came again")
except OSError:
    pass
assert os.pread(fd, 3, 15) == b"m6\n"   # and so m5 is done
print("seen", flush=True)
sys.stdin.readline()
END2
mkfifo "$WORK/go"
spawn sh -c 'exec python3 "$0" "$1" <"$2"' "$WORK/reader.py" "$G" "$WORK/go" \
    >"$WORK/reader" 2>"$WORK/reader.err"
reader=$!
exec 9>"$WORK/go"
must "$WAITFOR" text 20 "$WORK/reader" read
upgrade
upgrade
same "two are acknowledged" 6 "$(cat "$G/p0")"
echo >&9
check "what was not acknowledged is read again" \
    "$WAITFOR" text 20 "$WORK/reader" seen
cat "$WORK/reader.err"
is_at() { [ "$(cat "$G/p0")" = "$1" ]; }
check "and acknowledged afterwards" wait_until 10 is_at 15
upgrade
echo >&9
exec 9>&-
"$WAITFOR" gone 20 "$reader"
wait "$reader"
same "the reader met no error" 0 $?
spawn timeout 60 head -n 1 "$G/next" >"$WORK/rest"
check "what it left is delivered to the next" \
    wait_until 20 grep -q m6 "$WORK/rest"

# --- members that read all the time -----------------------------------------------
must mkdir "$M/topics/u" "$M/topics/u/groups/g"
U=$M/topics/u G=$M/topics/u/groups/g
echo partitions=4 >>"$U/config"
must wait_until 10 test -e "$U/p3"
for i in 1 2; do
	spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$1"' bash \
	    "$G/next" >"$WORK/bash$i"
done
spawn python3 -u -c '
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLIN)
while True:
    p.poll()
    try:
        sys.stdout.write(os.read(fd, 4096).decode())
    except BlockingIOError:
        pass
' "$G/next" >"$WORK/poll" 2>"$WORK/poll.err"
members() { [ "$(wc -l <"$G/members")" = "$1" ]; }
must wait_until 20 members 3
cat >"$WORK/writer.py" <<'END2'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
fds = [os.open("%s/p%d" % (top, p), os.O_WRONLY | os.O_APPEND)
       for p in range(4)]
for n in range(count):
    os.write(fds[n % 4], b"p%d %d\n" % (n % 4, n))
    if n % 100 == 0:
        print(n, flush=True)
END2
spawn python3 "$WORK/writer.py" "$U" 4000 >"$WORK/writer" 2>&1
writer=$!
for at in 300 800 1500 2000 2600 3300; do
	must "$WAITFOR" text 60 "$WORK/writer" $at
	upgrade
done
"$WAITFOR" gone 60 "$writer"
wait "$writer"
same "the writer met no error" 0 $?
all_lines() { [ "$(cat "$WORK"/bash? "$WORK/poll" | wc -l)" -ge 4000 ]; }
check "all records are delivered" wait_until 40 all_lines
upgrade
cat "$WORK/poll.err"
for p in 0 1 2 3; do
	seq -f "p$p %g" $p 4 3999
done >"$WORK/want"
same "each once" "$(sort "$WORK/want" | md5sum)" \
    "$(cat "$WORK"/bash? "$WORK/poll" | sort | md5sum)"
in_order() { # FILE: those of each partition
	for p in 0 1 2 3; do
		grep "^p$p " "$1" | sort -c -n -k2 || return 1
	done
}
for name in bash1 bash2 poll; do
	check "$name: in order" in_order "$WORK/$name"
	check "$name had some" test -s "$WORK/$name"
done
check "they are members" members 3
same "no upgrade was refused" 0 \
    "$(sed -n 's/^refused upgrades: //p' "$M/.zkfs/status")"
# Who watches the end of the group's log still leaves by dying.
for f in "$WORK"/pids/*; do
	[ "${f##*/}" = "$FS_PID" ] || kill "${f##*/}" 2>/dev/null
done
check "and leave when they end" wait_until 20 members 0
stopped() { umount "$M" 2>/dev/null; }
check "umount ends it" wait_until 20 stopped
check "with all of its processes" wait_until 20 fs_gone
