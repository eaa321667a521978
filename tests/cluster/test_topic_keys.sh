# Lines by key, some of whose partitions cannot be reached: the others have
# theirs at once, and nothing of a write that was given up comes later, behind
# what its writer has written since.  What may go to any goes to the others, and
# a listing does not wait.
. "$(dirname "$0")/lib.sh"
T=topics/t
must start_all op_timeout=6s
must zkfs 1 topic create t partitions=12 replicas=1
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/$T/p11"
done
on_one_each() {
	local p
	for ((p = 0; p < 12; p++)); do
		WHERE[p]=$(getfattr --only-values -n user.zkfs.replicas \
		    "$WORK/m1/$T/p$p" 2>/dev/null)
		case ${WHERE[p]} in
		z[123]) ;;
		*) return 1 ;;
		esac
	done
}
WHERE=()
check "each partition is on one host" wait_until 30 on_one_each

# A key for each partition.
KEY=()
for ((n = 0; n < 400; n++)); do
	printf 'key%d\tfirst\n' $n
done >"$WORK/keys"
must dd if="$WORK/keys" of="$WORK/m1/$T/by-key" bs=1M oflag=append \
    conv=notrunc status=none
for ((p = 0; p < 12; p++)); do
	KEY[p]=$(head -n 1 "$WORK/m1/$T/p$p" | cut -f 1)
	check "p$p has a key, ${KEY[p]}" test -n "${KEY[p]}"
done
# One of z3's comes before one of another host, by number.
DEAD=()
LIVE=()
for ((p = 0; p < 12; p++)); do
	if [ "${WHERE[p]}" = z3 ]; then
		DEAD+=("$p")
	elif [ "${#DEAD[@]}" -gt 0 ]; then
		LIVE+=("$p")
	fi
done
check "there are some behind z3's" test "${#LIVE[@]}" -gt 0
dead=${DEAD[0]} live=${LIVE[0]}

what_is_known() {
	local p
	for p in "${DEAD[@]}"; do
		timeout 4 stat -c '%s %b %y' "$WORK/m1/$T/p$p"
		timeout 4 getfattr --only-values -n user.zkfs.end \
		    "$WORK/m1/$T/p$p" 2>/dev/null
		timeout 4 cat "$WORK/m1/$T/groups/g/p$p"
	done
}
must mkdir "$WORK/m1/$T/groups/g"
KNOWN=$(what_is_known)

must zkfs 1 topic create u partitions=3 replicas=1
u_on_one_each() {
	[ "$(getfattr --only-values -n user.zkfs.replicas \
	    "$WORK/m1/topics/u/p"[012] 2>/dev/null | tr -d z |
	    fold -w 1 | sort | xargs)" = "1 2 3" ]
}
check "so have those of another topic" wait_until 30 u_on_one_each
for p in 0 1 2; do
	must sh -c 'echo "old $1" >>"$2"' sh $p "$WORK/m2/topics/u/p$p"
	[ "$(getfattr --only-values -n user.zkfs.replicas \
	    "$WORK/m1/topics/u/p$p" 2>/dev/null)" != z2 ] || on_z2=$p
done
must mkdir "$WORK/m1/topics/u/groups/h"

kill -STOP "${PID[3]}"
cat >"$WORK/write.py" <<'END'
import os, sys
path, dead, live = sys.argv[1:]
fd = os.open(path, os.O_WRONLY | os.O_APPEND)
try:
    os.write(fd, ("%s\tone\n%s\tone\n" % (dead, live)).encode())
    print("written")
except OSError as e:
    print(e.strerror)
os.write(fd, ("%s\ttwo\n" % live).encode())
END
spawn python3 "$WORK/write.py" "$WORK/m1/$T/by-key" "${KEY[dead]}" \
    "${KEY[live]}" >"$WORK/said"
writer=$!
has_line() { # TEXT
	grep -qx "${KEY[live]}	$1" "$WORK/m2/$T/p$live"
}
check "z3 stands still: what goes elsewhere is there at once" \
    wait_until 20 has_line one
check_not "before the writer is told of the rest" test -s "$WORK/said"
"$WAITFOR" gone 20 "$writer" || fail "the writer hangs"
same "he is told that it is not known" "Connection timed out" \
    "$(cat "$WORK/said")"

# Who does not say which partition is spared those that cannot be reached.
is_unreached() {
	grep -q '^unreached:.*z3' "$WORK/m1/.zkfs/status"
}
check "z1 knows that z3 is not there" wait_until 20 is_unreached
same "who looks at z3's partitions is told at once what was known last" \
    "$KNOWN" "$(what_is_known)"
for ((n = 0; n < 24; n++)); do
	timeout 4 sh -c 'echo "any	$1" >>"$2"' sh $n "$WORK/m1/$T/any" ||
	    fail "any waits for a partition of z3's"
done
most=0
for ((p = 0; p < 12; p++)); do
	[ "${WHERE[p]}" = z3 ] && continue
	count=$(grep -c "^any	" "$WORK/m1/$T/p$p")
	most=$((count > most ? count : most))
	total=$((${total:-0} + count))
	others=$((${others:-0} + 1))
done
same "all of that is in the others" 24 "$total"
check "none of which has many more" test "$most" -le $((24 / others + 2))
zkfs 1 consume u >"$WORK/consumed" 2>"$WORK/missed"
same "what cannot be read is a failure" 1 $?
same "what can be is printed" 2 "$(grep -c '^old' "$WORK/consumed")"
check "which it is" grep -q 'p[012]: no host that has it answers' "$WORK/missed"
spawn "$BUILD/zkfs" consume -f -m "$WORK/m1" u >"$WORK/followed" \
    2>"$WORK/missed"
follower=$!
check "who follows goes on" wait_until 20 test -s "$WORK/missed"
for p in 0 1 2; do
	[ "$p" = "$(sed 's/.*p\([012]\): .*/\1/' "$WORK/missed")" ] && continue
	must sh -c 'echo "new $1" >>"$2"' sh $p "$WORK/m2/topics/u/p$p"
done
has_followed() { # COUNT
	[ "$(wc -l <"$WORK/followed")" -eq "$1" ]
}
check "with the others" wait_until 5 has_followed 4
# Nor does a member of a group wait for z3 in between.
# shellcheck disable=SC2016 # the inner shell expands
spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$1"' bash \
    "$WORK/m1/topics/u/groups/h/next" >"$WORK/member"
member=$!
for n in 1 2 3; do
	must sh -c 'echo "$1" >>"$2"' sh "one by one $n" \
	    "$WORK/m2/topics/u/p$on_z2"
	check "a member gets what is elsewhere soon, $n" \
	    wait_until 1 grep -qx "one by one $n" "$WORK/member"
done
kill -CONT "${PID[3]}"
has_consumed() {
	[ "$(grep -c ^old "$WORK/member")" = 3 ]
}
check "z3 is back: its records come to the member" wait_until 20 has_consumed
kill "$member"
check "and with the rest when z3 is back" wait_until 20 has_followed 8
kill "$follower"
check "what he wrote next is there, too" wait_until 20 has_line two
same "each once, in order" "first one two" "$(grep "^${KEY[live]}	" \
    "$WORK/m2/$T/p$live" | cut -f 2 | xargs)"
stop_all
