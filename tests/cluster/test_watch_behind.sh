#!/bin/bash
# A host whose events lag so far behind that changes of one name become one,
# and a host that missed so much that it gets a snapshot instead: in the end
# the events agree with the tree, and what the kernel had cached is right.
# shellcheck disable=SC2154 # churn comes from watch.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/watch.sh"
must start_all op_timeout=20s
must make_place
metric() { # HOST NAME
	control "$1" metrics | awk -v name="zkfs_$2" '$1 == name { print $2 }'
}

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

# --- a snapshot
must start_model 3
cat "$WORK/m3/c/d0/n1" >/dev/null
ls -l "$WORK/m3/c/d1" >/dev/null
kill -STOP "${PID[3]}"
start_churn 1 0 300
end_churn 1
for i in $(seq 40); do
	head -c 1000000 /dev/zero >"$WORK/m1/large$((i % 3))"
done
kill -CONT "${PID[3]}"
check "all is there again" wait_until 40 agree 1 2 3
check "by way of a snapshot" \
    test "$(metric 3 snapshots_installed_total)" -gt 0
end_model 3
same "what was cached" "$(cd "$WORK/m1/c" && ls -lR)" \
    "$(cd "$WORK/m3/c" && ls -lR)"
exec 9>&-
stop_all
