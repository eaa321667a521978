#!/bin/bash
# Whatever three hosts do to the same few names at once, and whatever happens
# to helpers, daemons and the network meanwhile: a model of the directories that
# is made of one host's events agrees with the tree in the end, and no event
# is raised twice.  FULL=1: 150,000 changes.
# shellcheck disable=SC2154 # churn and text come from watch.sh
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/watch.sh"
COUNT=400 FAULTS=1000000 TURNS=18 ROUNDS=1
if [ "${FULL:-0}" = 1 ]; then
	COUNT=20000 FAULTS=25000 TURNS=0 ROUNDS=5
fi
must start_all op_timeout=20s
must make_place
start_all_churn() { # PART COUNT
	for i in 1 2 3; do must start_model $i; done
	for i in 1 2 3; do start_churn $i "$1" "$2"; done
}
number_after() { # WORD
	sed "s/.*$1 \\([0-9]*\\).*/\\1/" <<<"$text"
}

# --- nothing but the race
start_all_churn 0 $COUNT
made=()
for i in 1 2 3; do
	end_churn $i
	made[i]=$(number_after made)
done
for i in 1 2 3; do
	end_model $i
	for j in 1 2 3; do
		# Of others not, where they came too fast for a while.
		[ $i = $j ] || [[ $text = *" 0 overflows"* &&
			$(control $i metrics) = \
				*"zkfs_watch_merged_total 0"* ]] || continue
		same "z$i: each event of what z$j did came once" \
		    "${made[j]}" "$(number_after "of $j")"
	done
done

# --- helpers are killed, helpers and daemons stop for a while, hosts are cut
# off for less than their session and for more
start_all_churn 1 $FAULTS
turns=0
stop_for() { # SECONDS PID
	[ -n "$2" ] || return
	kill -STOP "$2"
	rest "$1"
	kill -CONT "$2"
}
while is_churning; do
	if [ $TURNS -gt 0 ] && [ $turns -eq $TURNS ]; then
		kill "${churn[@]:1:3}"
		break
	fi
	host=$((turns % 3 + 1))
	case $((turns % 5)) in
	0) kill -KILL "$(helper_of $host)" 2>/dev/null ;;
	1) stop_for 0.7 "$(helper_of $host)" ;;
	2) stop_for 0.5 "${PID[$host]}" ;;
	3)
		cut_off $host
		rest 1
		heal
		;;
	4)
		if [ $((turns % 20)) = 14 ]; then
			cut_off $host reject
			rest 6
			heal
		fi
		;;
	esac
	rest 0.3
	turns=$((turns + 1))
done
check "there were faults ($turns)" test $turns -gt 14
for i in 1 2 3; do end_churn $i; done
all_connected() {
	local i
	for i in 1 2 3; do
		[ "$(control $i state)" = connected ] || return 1
	done
}
check "all are connected" wait_until 20 all_connected
for i in 1 2 3; do end_model $i; done
for i in 1 2 3; do
	check "z$i: nothing was given up" grep -q \
	    "^zkfs_watch_lost_total 0" <(control $i metrics)
	control $i metrics | grep "^zkfs_watch"
done

# --- daemons are killed; who watches again afterwards is told
start_all_churn 2 1000000
part=3
for _ in $(seq $ROUNDS); do
	for host in 1 2 3; do
		kill_member $host
		end_churn $host 3
		drop_model $host
		must start_member $host op_timeout=20s
		check "z$host is connected again" wait_until 20 all_connected
		must start_model $host
		start_churn $host $part 1000000
		part=$((part + 1))
		rest 0.5
	done
done
kill "${churn[@]:1:3}"
for i in 1 2 3; do end_churn $i; done
for i in 1 2 3; do end_model $i; done
check "and the digests agree" wait_until 20 agree 1 2 3
exec 9>&-
stop_all
