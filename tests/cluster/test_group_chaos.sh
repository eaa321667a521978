#!/bin/bash
# timeout: 240
# Members of a group come and go on three hosts of which one is killed, paused
# or cut off, and all are upgraded, one after the other; in between the group
# is reset, as a whole or in one partition, by callers of whom some are refused
# and some killed.  What came out of `next` is held against what is in the
# partitions; see groupaudit.py.
# SEED=n ROUNDS=n FULL=1
. "$(dirname "$0")/hosts.sh"
PARTS=4
. "$(dirname "$0")/groups.sh"
SEED=${SEED:-$((SRANDOM % 1000000))}
RANDOM=$SEED
echo "SEED=$SEED"
ROUNDS=${ROUNDS:-$([ "${FULL:-}" = 1 ] && echo 10 || echo 2)}
RESETS=$GROUPS_DIR/resets
FAULTS=$GROUPS_DIR/faults
declare -A ON=() # the host of a member
number=0
sick=  # the host that has a fault
fault= # that is it
: >"$FAULTS"
: >"$RESETS"

test_cleanup() {
	groups_cleanup
}
# For groupaudit.py, and for who reads it.
note() {
	echo "${EPOCHREALTIME/./} $*" >>"$FAULTS"
	echo "# $*"
}
one_of() { # Sets ONE.
	shift $((RANDOM % $#))
	ONE=$1
}
any_well() { # Sets ONE: a host without a fault.
	# shellcheck disable=SC2046 # words
	one_of $(others "${sick:-0}")
}

# --- members ----------------------------------------------------------------
join_on() {
	local name=c$((number += 1))z$1
	member "$1" "$name"
	ON[$name]=$1
	echo "# $name joins"
}
all_join() {
	local i
	for i in $ALL; do
		[ "$i" = "$sick" ] || join_on "$i"
	done
}
one_goes() { # NAME
	note end "$1"
	if [ "${ON[$1]}" = "$sick" ] && [ "$fault" = pause ]; then
		# It is gone when its host goes on, and no earlier.
		kill -KILL "${MEMBER[$1]}"
		unset "MEMBER[$1]"
	elif [ $((RANDOM % 2)) = 0 ]; then
		member_ends "$1"
	else
		member_is_killed "$1"
	fi
	unset "ON[$1]"
}
all_go() {
	local name
	for name in "${!MEMBER[@]}"; do
		one_goes "$name"
	done
}
given() {
	cat "$GROUPS_DIR"/c*.log | grep -vc ' lost '
}
were_given() {
	[ "$(given)" -ge "$1" ]
}
goes_on() {
	check "the group goes on" wait_until $((30 * WAITS)) were_given \
	    $(($(given) + 30 + RANDOM % 50))
}
is_free() {
	local text
	text=$(control "$1" "../$G/members") && [ -z "$text" ]
}

# --- hosts ------------------------------------------------------------------
sicken() { # FAULT
	local name
	any_well
	sick=$ONE
	fault=$1
	note "$fault" "$sick"
	case $fault in
	crash | kill)
		kill -KILL "${PID[$sick]}"
		for name in "${!MEMBER[@]}"; do
			[ "$fault" != kill ] || [ "${ON[$name]}" != "$sick" ] ||
			    one_goes "$name"
		done
		kill_member "$sick"
		;;
	pause) pause "$sick" ;;
	cut) cut_off "$sick" ;;
	reject) cut_off "$sick" reject ;;
	esac
}
is_connected() {
	local i
	for i in $ALL; do
		[ "$(control "$i" state)" = connected ] || return 1
	done
}
connected() {
	local since
	since=$(now_ms)
	check "all hosts are connected" wait_until $((30 * WAITS)) is_connected
	check "within 30 s" test $(($(now_ms) - since)) -lt $((30000 * WAITS))
}
recover() {
	case $fault in
	crash | kill) must start_member "$sick" op_timeout=6s ;;
	pause) resume "$sick" ;;
	cut | reject) heal ;;
	esac
	connected
	note well "$sick"
	sick=
}
is_upgraded() { # HOST: may be refused while nobody leads
	timeout 30 "$BUILD/zkfs" -m "$WORK/m$1" upgrade
}
# No sooner has one been upgraded than it is the next one's turn.
upgrade_all() {
	local i
	for _ in 1 2; do
		for i in $ALL; do
			check "z$i is upgraded" wait_until $((30 * WAITS)) \
			    is_upgraded "$i"
		done
	done
	connected
}

# --- resets -----------------------------------------------------------------
# HOW LOOK HOST KILL-MS PARTITION: to anywhere, as groupload.py has it.
reset() {
	local to size part=()
	size=$(stat -c %s "$WORK/m$2/$T/p$((RANDOM % PARTS))")
	one_of start end "$((RANDOM * 32768 % (size + 1)))" \
	    "@$((EPOCHSECONDS - RANDOM % 20)).$((RANDOM % 10))"
	to=$ONE
	[ "$5" = all ] || part=(-p "$5")
	echo "# $1: reset $5 to $to on z$3, killed after $4 ms"
	groups_load reset "$RESETS" "$WORK/m$2/$G" $PARTS "$1" "$4" "$5" "$to" \
	    "$BUILD/zkfs" group -m "$WORK/m$3" "${part[@]}" reset t g "$to"
}
any_partition() {
	echo $((RANDOM % PARTS))
}
reset_held() {
	local host
	any_well
	host=$ONE
	must reset held "$host" "$host" 0 all
	must reset held "$host" "$host" 0 "$(any_partition)"
}
# By one who may not come through, by two who do, by one who is killed; then
# the group goes on from there.
reset_free() {
	local look host
	all_go
	any_well
	look=$ONE
	check "the group is free" wait_until $(((SESSION + 20) * WAITS)) \
	    is_free "$look"
	any_well
	host=$ONE
	case $fault in
	cut | reject) must reset free "$look" "$sick" 200 all ;;
	esac
	must reset free "$look" "$host" 0 all
	must reset free "$look" "$host" 0 "$(any_partition)"
	must reset free "$look" "$host" $((1 + RANDOM % 30)) all
	all_join
}
# While members come.
reset_race() {
	local host pid
	all_go
	any_well
	host=$ONE
	check "the group is free" wait_until $(((SESSION + 20) * WAITS)) \
	    is_free "$host"
	reset race "$host" "$host" 0 all &
	pid=$!
	"$WAITFOR" passed 0.$((RANDOM % 4))
	all_join
	must wait $pid
}

# --- the test ---------------------------------------------------------------
must start_all op_timeout=6s
must groups_start
for i in $ALL; do
	feed "$i" 60
done
all_join
goes_on
for ((round = 0; round < ROUNDS; round++)); do
	if [ $((round % 5)) = 0 ]; then
		mapfile -t todo < <(printf '%s\n' crash kill pause cut reject |
		    shuf --random-source=<(yes "$SEED"))
	fi
	upgrade_all
	goes_on
	reset_held
	sicken "${todo[round % 5]}"
	one_of "${!MEMBER[@]}"
	one_goes "$ONE"
	any_well
	join_on "$ONE"
	goes_on
	reset_free
	goes_on
	recover
	join_on 1
	goes_on
	reset_race
	goes_on
done
feeders_end
audit
stop_all
