#!/bin/bash
# Another program in the place of the daemon while a record of a group is being
# processed: when that ends its consumer, that is not forgotten.
. "$(dirname "$0")/lib.sh"
must start_fs
T=$M/topics/t G=$M/topics/t/groups/g
must mkdir "$T" "$G"
for m in m1 m2 m3; do
	echo $m >>"$T/p0"
done
# At m2, which it has begun with; m1 is acknowledged.
cat >"$WORK/reader.py" <<'END'
import fcntl, os, signal, struct, sys
ZK_NEXT_TRY = 3 << 30 | 4 << 16 | ord("z") << 8 | 1
fd = os.open(sys.argv[1] + "/next", os.O_RDONLY)
at = int(sys.argv[2])
for n in range(0, at + 1, 3):
    got = os.pread(fd, 3, n)
assert got == b"m2\n", got
assert open(sys.argv[1] + "/p0").read() == "3\n"
def begin(begun):
    got = fcntl.ioctl(fd, ZK_NEXT_TRY, struct.pack("I", begun))
    return struct.unpack("I", got)[0]
print("begun", begin(0), flush=True)
for line in sys.stdin:
    print("again", begin(0), flush=True)
END
# reader FILE POSITION
mkfifo "$WORK/go"
reader() {
	spawn sh -c 'exec python3 "$0" "$1" "$2" <"$3"' "$WORK/reader.py" "$G" \
	    "$2" "$WORK/go" >"$1" 2>&1
	reader=$!
	exec 9>"$WORK/go"
}
nobody() { [ -z "$(cat "$G/members")" ]; }
is_upgrade() {
	[ "$(timeout 10 cat "$M/.zkfs/status" |
	    sed -n 's/^upgrades: //p')" = "$1" ]
}
reader "$WORK/first" 3
check "a record is begun with" "$WAITFOR" text 20 "$WORK/first" "begun 1"
kill -USR2 "$FS_PID"
must wait_until 20 is_upgrade 1
kill -KILL "$reader"
"$WAITFOR" gone 20 "$reader"
exec 9>&-
check "its consumer is gone" wait_until 20 nobody
reader "$WORK/second" 0
check "the next one begins with it for the second time" \
    "$WAITFOR" text 20 "$WORK/second" "begun 2"
kill -USR2 "$FS_PID"
must wait_until 20 is_upgrade 2
echo >&9
check "and not for a third time when it asks again" \
    "$WAITFOR" text 20 "$WORK/second" "again 2"
kill -KILL "$reader"
"$WAITFOR" gone 20 "$reader"
exec 9>&-
cat "$WORK/first" "$WORK/second"
stop_fs
