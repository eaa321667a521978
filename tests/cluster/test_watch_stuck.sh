#!/bin/bash
# Creates, renames and unlinks on all hosts in the same directories while a
# helper is stopped, the quorum is lost and comes back: nothing is stuck for
# longer than op_timeout, SIGKILL works on everything, and the events agree
# with the tree in the end.
# shellcheck disable=SC2154 # churn comes from watch.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/watch.sh"
must start_all op_timeout=4s
must make_place
for i in 1 2 3; do must start_model $i; done

# All that this test has started, and what it has started, threads and all.
is_stuck() {
	local file
	for file in "$WORK"/pids/*; do
		grep -qs "^State:.D" /proc/"${file##*/}"/task/*/status &&
		    return 0
	done
	for i in 1 2 3; do
		grep -qs "^State:.D" /proc/"$(helper_of $i)"/status && return 0
	done
	return 1
}
nobody_is_stuck() {
	! is_stuck
}

kill -STOP "$(helper_of 1)"
# shellcheck disable=SC2016 # the inner shell expands
spawn sh -c 'while :; do ls -l "$1/c/d0" "$1/c/d1"; done >/dev/null 2>&1' sh \
    "$WORK/m1"
lister=$!
for i in 1 2 3; do start_churn $i 0 1000000; done
start_churn 1 1 1000000 4
rest 2
# A name may have gone when it is looked at; but not the time.
is_listed() {
	timeout 20 ls -l "$WORK/m1/c/d0"
	[ $? -lt 124 ]
}
check "a directory in which all that happens is listed" is_listed

# --- no quorum: z1 is alone
kill -STOP "${PID[2]}" "${PID[3]}"
rest 6
check "it is listed without a quorum" is_listed
check "and a file of it is looked for" timeout 20 sh -c \
    'ls "$1" || true' sh "$WORK/m1/c/d1/n1"
kill -KILL "${churn[1]}"
check "SIGKILL of who changes something" "$WAITFOR" gone 20 "${churn[1]}"
wait "${churn[1]}" 2>/dev/null
kill -KILL "$lister"
check "of who lists all the time" "$WAITFOR" gone 20 "$lister"
wait "$lister" 2>/dev/null
old=$(helper_of 1)
kill -KILL "$old"
check "of the helper" "$WAITFOR" gone 20 "$old"

# --- the quorum is back
kill -CONT "${PID[2]}" "${PID[3]}"
back() {
	[ "$(control 1 state)" = connected ]
}
check "connected again" wait_until 20 back
check "changes work again" wait_until 20 mkdir "$WORK/m1/again"
kill "${churn[4]}"
end_churn 4
longest=$(sed 's/.*longest_ms //' "$WORK/churn4")
check "none waited much longer than op_timeout ($longest ms)" \
    test "$longest" -lt 14000
for i in 2 3; do
	kill -KILL "${churn[$i]}"
	check "SIGKILL of who changes something on z$i" "$WAITFOR" gone 20 \
	    "${churn[$i]}"
	wait "${churn[$i]}" 2>/dev/null
done
for i in 1 2 3; do end_model $i; done
check "nobody is in state D" wait_until 20 nobody_is_stuck

# --- SIGKILL of a daemon whose helper is at work, and of the helper
start_churn 2 3 1000000
start_churn 3 3 1000000
rest 1
old=$(helper_of 1)
kill_member 1
check "the helper ends with its daemon" "$WAITFOR" gone 20 "$old"
for i in 2 3; do
	kill -KILL "${churn[$i]}"
	wait "${churn[$i]}" 2>/dev/null
done
must start_member 1 op_timeout=4s

# --- SIGKILL of a daemon whose helper is stopped, without a quorum, in the
# middle of everything
must wait_until 20 back
start_churn 1 4 1000000
start_churn 2 4 1000000
helper=$(helper_of 1)
kill -STOP "$helper"
rest 0.5
kill -STOP "${PID[2]}" "${PID[3]}"
rest 0.5
kill_member 1
check "the helper ends, although it is stopped" "$WAITFOR" gone 20 "$helper"
end_churn 1 3
kill -CONT "${PID[2]}" "${PID[3]}"
kill -KILL "${churn[2]}"
check "SIGKILL of who changes something" "$WAITFOR" gone 20 "${churn[2]}"
wait "${churn[2]}" 2>/dev/null
must start_member 1 op_timeout=4s
check "and the digests agree" wait_until 20 agree 1 2 3
check "nobody is in state D" wait_until 20 nobody_is_stuck
exec 9>&-
stop_all
