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
must stop_all
