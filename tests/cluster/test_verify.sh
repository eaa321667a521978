# zkfs verify and top on an ensemble: every member's digest is compared with
# the leader's as of an index of its own, and who cannot be compared is named.
. "$(dirname "$0")/lib.sh"
must start_all

for i in 1 2 3; do
	echo "from-$i" >"$WORK/m$i/file-$i"
	check "verify on z$i" "$BUILD/zkfs" -m "$WORK/m$i" verify
done
"$BUILD/zkfs" -m "$WORK/m1" verify >"$WORK/out"
same "three are compared" "1 leader 2 same" \
    "$(awk '/^z/ { print $3 }' "$WORK/out" | sort | uniq -c | xargs)"
check "it says so" grep -q 'trees of 3 members are equal' "$WORK/out"
same "top: a line for each" 3 \
    "$("$BUILD/zkfs" -m "$WORK/m2" top -d 0.2 </dev/null | grep -c '^z')"

kill_member 3
echo more >"$WORK/m1/file-1"
check_not "not without the third" "$BUILD/zkfs" -m "$WORK/m1" verify -w 1
"$BUILD/zkfs" -m "$WORK/m1" verify -w 0.1 >"$WORK/out" 2>&1
check "which it names" grep -q 'not compared in time: z3' "$WORK/out"

must start_member 3
check "it is back, and equal" "$BUILD/zkfs" -m "$WORK/m3" verify

# --- partitions
T=$WORK/m1/topics/t
must mkdir "$T"
echo partitions=2 >>"$T/config"
must wait_until 20 test -e "$T/p1"
must python3 - "$T" <<'END'
import os, sys
for part in "p0", "p1":
    fd = os.open(sys.argv[1] + "/" + part, os.O_WRONLY | os.O_APPEND)
    for i in range(30):
        os.write(fd, b"%s-%05d\n" % (part.encode(), i) * (1 + 977 * i))
    os.close(fd)
END
bytes=$(($(stat -c %s "$T/p0") + $(stat -c %s "$T/p1")))
for i in 1 2 3; do
	check "the partitions are equal, says z$i" bash -c '"$@" | grep -qF \
	    "of 2 partitions are equal ($0 bytes)"' $bytes \
	    "$BUILD/zkfs" -m "$WORK/m$i" verify
done
check "or it does not look" bash -c '! "$@" | grep -q partitions' - \
    "$BUILD/zkfs" -m "$WORK/m1" verify -t
# One byte of one record, wherever the file has it.
stop_member 2
must python3 - "$WORK/d2/topics.mdb" <<'END'
import re, sys
with open(sys.argv[1], "r+b") as f:
    data = f.read()
    found = [m.start() for m in re.finditer(b"p1-00007\n", data)]
    assert found
    for at in found[1::500]:
        f.seek(at)
        f.write(b"q")
END
must start_member 2
said() {
	"$BUILD/zkfs" -m "$WORK/m$1" verify >"$WORK/out" 2>&1
	local status=$?
	cat "$WORK/out"
	[ $status -eq 1 ] && grep -q "topics/t/p1: z2 is damaged near offset" \
	    "$WORK/out" && ! grep -q "p0\|z1 \(is\|differs\)\|z3 " <(
		grep topics/ "$WORK/out"
	)
}
for i in 1 2 3; do
	check "a record of z2 is damaged, says z$i" said $i
done
check "nobody minds who does not read it there" bash -c \
    'cmp "$0/p0" "$1/p0" && cat "$1/p1" >"$2"' "$T" \
    "$WORK/m3/topics/t" "$WORK/text"
check "its daemon goes on" bash -c 'echo more >>"$0"' "$WORK/m2/topics/t/p1"

# One that has other bytes, and the right checksum of them, says nothing.
node=$(sed -n 's/.*UP member=z3 node=\([0-9a-f]*\).*/\1/p' "$WORK/z1.log" |
    tail -n 1)
must stop_member 3
must "$BUILD/tests/cluster/alter" "$WORK/d3" "$node" p0-00005 q0-00005
must start_member 3
check "it is read there" wait_until 20 \
    grep -qx q0-00005 "$WORK/m3/topics/t/p0"
differs() {
	"$BUILD/zkfs" -m "$WORK/m$1" verify >"$WORK/out" 2>&1
	local status=$?
	cat "$WORK/out"
	[ $status -eq 1 ] && grep -qE "topics/t/p0: z3 differs from z[12] \
between offsets 0 and [0-9]+\$" "$WORK/out" &&
	    [ "$(grep -c "p0: " "$WORK/out")" = 1 ]
}
for i in 1 2 3; do
	check "z3 differs, says z$i" differs $i
done
must stop_all
