#!/bin/bash
# Whatever three hosts do to the same few names at once, and whatever happens
# to the helper and the daemons meanwhile: a model of the directories that is
# made of one host's events agrees with the tree in the end.
# FULL=1: 100,000 changes.
# shellcheck disable=SC2154 # churn comes from watch.sh
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/watch.sh"
COUNT=${COUNT:-400}
[ "${FULL:-0}" = 1 ] && COUNT=17000
must start_all op_timeout=20s
must make_place

# --- nothing but the race
for i in 1 2 3; do must start_model $i; done
for i in 1 2 3; do start_churn $i 0 $COUNT; done
for i in 1 2 3; do end_churn $i; done
for i in 1 2 3; do end_model $i; done

# --- helpers are killed, helpers and daemons stop for a while
for i in 1 2 3; do must start_model $i; done
for i in 1 2 3; do start_churn $i 1 $COUNT; done
turns=0
is_churning() {
	local i
	for i in 1 2 3; do
		"$WAITFOR" gone 0 "${churn[$i]}" || return 0
	done
	return 1
}
while is_churning; do
	host=$((turns % 3 + 1))
	helper=$(helper_of $host)
	case $((turns % 4)) in
	0) [ -n "$helper" ] && kill -KILL "$helper" ;;
	1)
		[ -n "$helper" ] && kill -STOP "$helper"
		pause 0.7
		[ -n "$helper" ] && kill -CONT "$helper"
		;;
	2)
		kill -STOP "${PID[$host]}"
		pause 0.5
		kill -CONT "${PID[$host]}"
		;;
	esac
	pause 0.3
	turns=$((turns + 1))
done
check "helpers were killed and stopped ($turns times)" test $turns -gt 0
for i in 1 2 3; do end_churn $i; done
for i in 1 2 3; do end_model $i; done
for i in 1 2 3; do
	check "z$i: nothing was given up" grep -q \
	    "^zkfs_watch_lost_total 0" <(control $i metrics)
	control $i metrics | grep "^zkfs_watch"
done
check "and the digests agree" wait_until 20 agree 1 2 3
stop_all
