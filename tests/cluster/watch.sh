# shellcheck shell=bash
# watch.sh: sourced after lib.sh by the tests of watches that race.
#
#   make_place            the directories, until they are there on every host
#   start_model HOST      a model of them, made of the events on that host
#   end_model HOST        it has to agree with the tree; text is what it says
#   drop_model HOST       its mount is gone, and so is what it knows
#   start_churn HOST PART COUNT [SLOT]   random changes, until SIGTERM
#   end_churn SLOT [STATUS]   text is what it says
#   is_churning           whether one of hosts 1 to 3 is at it
#   helper_of HOST        the process that raises its events
#   rest SECONDS

WORKER=$BUILD/tests/mount/worker_watch
SEED=${SEED:-$RANDOM}
echo "seed $SEED"
model=() churn=()
mkfifo "$WORK/never"
exec 9<>"$WORK/never"

make_place() {
	mkdir "$WORK/m1/c" "$WORK/m1/c/d0" "$WORK/m1/c/d1"
	wait_until 10 is_placed
}
is_placed() {
	[ -d "$WORK/m2/c/d1" ] && [ -d "$WORK/m3/c/d1" ]
}
rest() {
	timeout "$1" cat <"$WORK/never" >/dev/null
}
start_model() { # HOST
	mkfifo "$WORK/go$1" "$WORK/said$1"
	"$WORKER" model "$WORK/m$1/c" 60 <"$WORK/go$1" \
	    >"$WORK/said$1" 2>&1 &
	model[$1]=$!
	: >"$WORK/pids/$!"
	eval "exec 1$1>\"\$WORK/go$1\" 2$1<\"\$WORK/said$1\""
	read -r -t 40 line <&"2$1" && [ "$line" = ready ]
}
forget_model() {
	eval "exec 1$1>&- 2$1<&-"
	rm "$WORK/go$1" "$WORK/said$1"
}
end_model() {
	echo >&"1$1"
	text=$(timeout 120 cat <&"2$1")
	wait "${model[$1]}"
	same "z$1: the events agree with the tree ($text)" 0 $?
	forget_model "$1"
}
drop_model() {
	kill -KILL "${model[$1]}"
	wait "${model[$1]}" 2>/dev/null
	forget_model "$1"
}
start_churn() { # HOST PART COUNT [SLOT]
	local slot=${4-$1}
	"$WORKER" churn "$WORK/m$1/c" $((SEED * 10 + $1 + $2 * 100)) "$3" \
	    >"$WORK/churn$slot" 2>&1 &
	churn[slot]=$!
	: >"$WORK/pids/$!"
}
end_churn() {
	wait "${churn[$1]}"
	local status=$?
	text=$(xargs <"$WORK/churn$1")
	same "churn $1: $text" "${2:-0}" "$status"
}
is_churning() {
	local i
	for i in 1 2 3; do
		"$WAITFOR" gone 0 "${churn[$i]}" || return 0
	done
	return 1
}
helper_of() {
	cat /proc/"${PID[$1]}"/task/*/children 2>/dev/null | tr ' ' '\n' |
		while read -r pid; do
			[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = \
			    zkfs-replay ] && echo "$pid"
		done | head -n 1
}
