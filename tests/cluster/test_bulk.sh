# Topics beside the tree: bulk appends on all hosts cost no lease, no leader and
# no more than a bounded delay of a change of the tree; and what a lost session
# means to those who consume, and to those who append under a lock.
. "$(dirname "$0")/lib.sh"
must start_all
M1=$WORK/m1
must mkdir "$M1/topics/bulk"
must sh -c "echo partitions=3 >>'$M1/topics/bulk/config'"
must sh -c "echo retention.bytes=67108864 >>'$M1/topics/bulk/config'"
must mkdir "$M1/topics/bulk/groups/g"
for i in 1 2 3; do
	check "the topic is on z$i" wait_until 20 test -e \
	    "$WORK/m$i/topics/bulk/groups/g/p2"
	must wait_until 20 test -e "$WORK/m$i/topics/bulk/p2"
done

# latency FILE COUNT: of one write after the other: median and longest, in ms.
cat >"$WORK/latency.py" <<'END'
import os, sys, time
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
took = []
for i in range(int(sys.argv[2])):
    before = time.monotonic()
    os.pwrite(fd, b"%06d" % i, 0)
    took.append((time.monotonic() - before) * 1e3)
took.sort()
print("%.2f %.2f" % (took[len(took) // 2], took[-1]))
END
# Appends 64 KiB at a time until there is a file to stop it.
cat >"$WORK/append.py" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
block = (b"x" * 99 + b"\n") * 655
count = 0
while not os.path.exists(sys.argv[2]):
    assert os.write(fd, block) == len(block)
    count += 1
print(count)
END
term() {
	control "$1" status | awk '$1 == "term:" { print $2 }'
}
latency() {
	python3 "$WORK/latency.py" "$WORK/m$1/node$1" "$2"
}
less() {
	awk "BEGIN { exit !($1 < $2) }"
}

term_before=$(term 1)
for i in 1 2 3; do
	session[i]=$(control $i session)
done
read -r idle idle_most < <(latency 2 300)
appenders=()
for i in 1 2 3; do
	spawn python3 "$WORK/append.py" "$WORK/m$i/topics/bulk/p$((i - 1))" \
	    "$WORK/stop" >"$WORK/appended$i"
	appenders+=($!)
done
read -r busy busy_most < <(latency 2 300)
echo "# a write: $idle ms ($idle_most), beside bulk appends $busy ms" \
    "($busy_most)"
: >"$WORK/stop"
for i in "${appenders[@]}"; do
	check "appends all went well" wait "$i"
done
for i in 1 2 3; do
	check "z$i appended in bulk" test "$(cat "$WORK/appended$i")" -ge 20
	same "z$i has its session" "${session[i]}" "$(control $i session)"
	same "and is connected" connected "$(control $i state)"
done
same "nobody was elected" "$term_before" "$(term 1)"
# The lease is half of the session's timeout, and more; see SESSION.
check "no write waited for them long: $busy_most ms" less "$busy_most" 1000
check "and most of them hardly: $busy ms" less "$busy" "10 * $idle + 20"

# --- a lost session
is_in_state() {
	[ "$(control "$1" state)" = "$2" ]
}
is_told() { # is_told ERRNO read|write FD
	python3 - "$@" <<'END'
import errno, os, sys
try:
    if sys.argv[2] == "read":
        os.read(int(sys.argv[3]), 100)
    else:
        os.write(int(sys.argv[3]), b"late\n")
except OSError as e:
    sys.exit(errno.errorcode[e.errno] != sys.argv[1] and e.strerror)
sys.exit("done")
END
}
T=$M1/topics/bulk
must wait_until 20 sh -c "echo before >>'$T/p0'"
exec 5<"$T/groups/g/next" 6>>"$T/p0" 7>>"$T/p1" 8<>"$T/groups/g/p2"
must flock -n 6
check "what is locked is appended to" sh -c "echo held >&6"
# A reader that waits is told, too: here at once, for there is something.
check "a member of the group reads" head -c 10 <&5 >/dev/null
for i in 2 3; do
	kill_member $i
done
check "z1 is lost" wait_until 40 is_in_state 1 lost
check "an append is refused" is_told EROFS write 7
check "the stream of the group is dead" is_told ESTALE read 5
check "so is what was locked" is_told ESTALE write 6
for i in 2 3; do
	launch_member $i '' 5<&- 6>&- 7>&- 8>&-
done
for i in 2 3; do
	check "z$i is back" settle_member $i
done
check "z1 is connected again" wait_until 20 is_in_state 1 connected
check "the stream stays dead" is_told ESTALE read 5
check "and what was locked" is_told ESTALE write 6
check "without a lock appends go on" wait_until 20 timeout 5 sh -c "echo on >&7"
check "and a new member reads" wait_until 30 sh -c \
    "timeout 5 head -n 1 '$T/groups/g/next' | grep -q ."
exec 5<&- 6>&- 7>&- 8>&-
stop_all
