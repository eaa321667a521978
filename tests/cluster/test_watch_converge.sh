#!/bin/bash
# Whatever three hosts do to the same few names at once, and whatever happens
# to the helper and the daemons meanwhile: a model of the directories that is
# made of one host's events agrees with the tree in the end.
# FULL=1: 100,000 changes.
. "$(dirname "$0")/lib.sh"
WORKER=$BUILD/tests/mount/worker_watch
SEED=${SEED:-$RANDOM}
COUNT=${COUNT:-400}
[ "${FULL:-0}" = 1 ] && COUNT=17000
echo "seed $SEED"
must start_all op_timeout=20s
mkdir "$WORK/m1/c" "$WORK/m1/c/d0" "$WORK/m1/c/d1"
is_there() {
	[ -d "$WORK/m2/c/d1" ] && [ -d "$WORK/m3/c/d1" ]
}
must wait_until 10 is_there

start_model() { # HOST
	mkfifo "$WORK/go$1" "$WORK/said$1"
	"$WORKER" model "$WORK/m$1/c" 60 <"$WORK/go$1" \
	    >"$WORK/said$1" 2>&1 &
	model[$1]=$!
	: >"$WORK/pids/$!"
	eval "exec 1$1>\"\$WORK/go$1\" 2$1<\"\$WORK/said$1\""
	read -r -t 40 line <&"2$1" && [ "$line" = ready ]
}
end_model() {
	local text
	echo >&"1$1"
	text=$(timeout 120 cat <&"2$1")
	wait "${model[$1]}"
	same "z$1: the events agree with the tree ($text)" 0 $?
	eval "exec 1$1>&- 2$1<&-"
	rm "$WORK/go$1" "$WORK/said$1"
}
start_churn() { # HOST PART
	"$WORKER" churn "$WORK/m$1/c" $((SEED * 10 + $1 + $2 * 100)) \
	    "$COUNT" >"$WORK/churn$1" 2>&1 &
	churn[$1]=$!
	: >"$WORK/pids/$!"
}
end_churn() {
	wait "${churn[$1]}"
	same "z$1: $(xargs <"$WORK/churn$1")" 0 $?
}
helper_of() {
	cat /proc/"${PID[$1]}"/task/*/children 2>/dev/null | tr ' ' '\n' |
		while read -r pid; do
			[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = \
			    zkfs-replay ] && echo "$pid"
		done | head -n 1
}
model=() churn=()

# --- nothing but the race
for i in 1 2 3; do must start_model $i; done
for i in 1 2 3; do start_churn $i 0; done
for i in 1 2 3; do end_churn $i; done
for i in 1 2 3; do end_model $i; done

# --- helpers are killed, helpers and daemons stop for a while
for i in 1 2 3; do must start_model $i; done
for i in 1 2 3; do start_churn $i 1; done
turns=0
is_churning() {
	local i
	for i in 1 2 3; do
		"$WAITFOR" gone 0 "${churn[$i]}" || return 0
	done
	return 1
}
pause() { # ticks of the helper of the tests
	timeout "$1" cat <"$WORK/never" >/dev/null
}
mkfifo "$WORK/never"
exec 30<>"$WORK/never"
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
exec 30>&-
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
