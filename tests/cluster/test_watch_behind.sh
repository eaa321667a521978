#!/bin/bash
# A host whose events lag behind what is there: a tree of which the kernel knows
# already that it is gone or elsewhere; changes of one name that become one; and
# a host that missed so much that it gets a snapshot instead: in the end
# the events agree with the tree, and what the kernel had cached is right.
# shellcheck disable=SC2154 # churn comes from watch.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/watch.sh"
must start_all op_timeout=20s
must make_place
metric() { # HOST NAME
	control "$1" metrics | awk -v name="zkfs_$2" '$1 == name { print $2 }'
}

# --- trees that are gone, or elsewhere, before what was done in them is raised
mkdir -p "$WORK/m1/t/gone/sub" "$WORK/m1/t/moved/sub"
echo v >"$WORK/m1/t/gone/f"
echo v >"$WORK/m1/t/gone/sub/f"
echo v >"$WORK/m1/t/moved/sub/f"
is_there() {
	[ -s "$WORK/m2/t/moved/sub/f" ]
}
must wait_until 10 is_there
mkfifo "$WORK/events"
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'exec "$0" t="$1" gone="$1/gone" gonesub="$1/gone/sub" \
    moved="$1/moved" movedsub="$1/moved/sub" >"$2"' \
    "$BUILD/tests/mount/watcher" "$WORK/m2/t" "$WORK/events"
exec 7<"$WORK/events"
read -r -t 40 line <&7
same "the trees are watched" ready "$line"
helper=$(helper_of 2)
kill -STOP "$helper"
rm "$WORK/m1/t/gone/f" "$WORK/m1/t/gone/sub/f"
rmdir "$WORK/m1/t/gone/sub" "$WORK/m1/t/gone"
echo w >"$WORK/m1/t/moved/sub/f"
mkdir "$WORK/m1/t/moved/sub/d"
mv "$WORK/m1/t/moved" "$WORK/m1/t/else"
echo w >>"$WORK/m1/t/else/sub/f"
mkdir "$WORK/m1/t/mark"
is_done() {
	[ -d "$WORK/m2/t/mark" ] && [ ! -e "$WORK/m2/t/gone" ]
}
must wait_until 10 is_done
kill -CONT "$helper"
got=
while read -r -t 40 line <&7 && [ "$line" != "CREATE,ISDIR t/mark" ]; do
	got+="${line%% #*}; "
done
exec 7<&-
written="OPEN movedsub/f; MODIFY movedsub/f; CLOSE_WRITE movedsub/f;"
same "all that was done in them is told, in order, and nothing else" \
    "DELETE gone/f; DELETE gonesub/f; DELETE_SELF gonesub; IGNORED gonesub; \
DELETE,ISDIR gone/sub; DELETE_SELF gone; IGNORED gone; DELETE,ISDIR t/gone; \
$written CREATE,ISDIR movedsub/d; MOVED_FROM,ISDIR t/moved; \
MOVED_TO,ISDIR t/else; MOVE_SELF moved; $written " "$got"

# --- behind
must start_model 2
helper=$(helper_of 2)
kill -STOP "$helper"
# Each name is made, set and removed again and again; some stay.
for round in $(seq 20); do
	for n in 0 1 2 3 4 5; do
		for i in $(seq 25); do
			printf 'create /c/d%d/n%d a\nset /c/d%d/n%d %d\n' \
			    $((i % 2)) "$n" $((i % 2)) "$n" "$i$round"
			printf 'set /c/d%d/n%d %d\ndelete /c/d%d/n%d\n' \
			    $((i % 2)) "$n" "$round$i" $((i % 2)) "$n"
		done
	done >"$WORK/lines"
	cat "$WORK/lines" >"$WORK/m1/.zkfs/txn" || fail "transaction $round"
done
printf 'create /c/d0/n1 x\ncreate /c/d1/n2 y\nmkdir /c/d1/n3\n' \
    >"$WORK/m1/.zkfs/txn"
all_here() {
	agree 1 2
}
must wait_until 20 all_here
kill -CONT "$helper"
end_model 2
check "changes were merged" test "$(metric 2 watch_merged_total)" -gt 1000
same "none was lost" 0 "$(metric 2 watch_lost_total)"
same "none was given up" 0 "$(metric 2 watch_failed_total)"

# --- many names, each once: however long the queue, each has its own event
mkdir "$WORK/m1/many"
is_there() {
	[ -d "$WORK/m2/many" ]
}
must wait_until 10 is_there
merged=$(metric 2 watch_merged_total)
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'exec "$0" many="$1" >"$2"' "$BUILD/tests/mount/watcher" \
    "$WORK/m2/many" "$WORK/events"
exec 7<"$WORK/events"
read -r -t 40 line <&7
same "the directory is watched" ready "$line"
kill -STOP "$helper"
for k in $(seq 10); do
	seq $((k * 1000)) $((k * 1000 + 999)) |
		sed 's,.*,mkdir /many/n&,' >"$WORK/lines"
	cat "$WORK/lines" >"$WORK/m1/.zkfs/txn" || fail "transaction $k"
done
mkdir "$WORK/m1/many/mark"
all_wait() {
	[ "$(metric 2 watch_waiting)" -gt 10000 ]
}
must wait_until 20 all_wait
kill -CONT "$helper"
while read -r -t 40 line <&7 && [ "$line" != "CREATE,ISDIR many/mark" ]; do
	echo "${line%% #*}"
done >"$WORK/lines"
exec 7<&-
seq 1000 10999 | sed 's,.*,CREATE\,ISDIR many/n&,' >"$WORK/wanted"
check "each is told once, in order" cmp "$WORK/wanted" "$WORK/lines"
same "and none became one" "$merged" "$(metric 2 watch_merged_total)"

# --- a snapshot
# z3 lacks what nobody's log has any more: not what was sent to it already and
# waits in its connections, 20 MB at most, but what comes after that.
outgrow() {
	local n=0 upto=
	while [ $n -lt 20 ] || [ "$(metric 1 log_first_index)" -le "$upto" ] ||
		[ "$(metric 2 log_first_index)" -le "$upto" ]; do
		head -c 1000000 /dev/zero >"$WORK/m1/large$((n % 3))"
		[ $((n += 1)) -ne 20 ] || upto=$(metric 1 applied_index)
		[ $n -lt 400 ] || return 1
	done
}
must start_model 3
cat "$WORK/m3/c/d0/n1" >/dev/null
ls -l "$WORK/m3/c/d1" >/dev/null
kill -STOP "${PID[3]}"
start_churn 1 0 300
end_churn 1
must outgrow
kill -CONT "${PID[3]}"
check "all is there again" wait_until 40 agree 1 2 3
check "by way of a snapshot" \
    test "$(metric 3 snapshots_installed_total)" -gt 0
end_model 3
same "what was cached" "$(cd "$WORK/m1/c" && ls -lR)" \
    "$(cd "$WORK/m3/c" && ls -lR)"

# --- a snapshot, for a program that has just taken the mount over
must start_model 3
kill -STOP "${PID[3]}"
start_churn 1 0 300
end_churn 1
must outgrow
was_upgraded() {
	[[ $(control "$1" status) = *"upgrades: 1"* ]]
}
kill -USR2 "${PID[3]}"
kill -CONT "${PID[3]}"
check "it is another program" wait_until 20 was_upgraded 3
check "all is there again" wait_until 40 agree 1 2 3
check "by way of a snapshot" \
    test "$(metric 3 snapshots_installed_total)" -gt 0
end_model 3
exec 9>&-
stop_all
