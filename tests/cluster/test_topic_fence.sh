# One host is cut off while its programs append, one with a lock: what was
# under way ends with the session, and nothing of it comes once the lock is
# another's, however long an append may take.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/topics.sh"
T=topics/t
PARTS=1
must start_all op_timeout=120s
must topics_prepare

# Appends one record after the other, until it is told that it cannot, and
# then once more.
# shellcheck disable=SC2016 # the inner shell expands
appends='
	exec 9>>"$1"
	[ "$3" = free ] || flock 9
	n=0
	while echo "$3 $4 $n" >&9; do
		n=$((n + 1))
	done 2>"$2"
	echo "$3 $4 again" 2>>"$2" >&9
'
appender() { # HOST locked|free ROUND; sets APPENDER
	spawn bash -c "$appends" sh "$WORK/m$1/$T/p0" "$WORK/$2$3" "$2" "$3"
	APPENDER=$!
	QUEUE_PIDS+=("$APPENDER")
}
# Each has some records, in the eyes of host $1.
append() {
	local who
	for who in locked free; do
		[ "$(grep -c "^$who $2 " "$WORK/m$1/$T/p0")" -ge 5 ] || return 1
	done
}
hears_of_it() { # FILE FIRST-ERROR SECOND-ERROR
	cat "$1"
	[ "$(wc -l <"$1")" = 2 ] && head -n 1 "$1" | grep -qE "$2" &&
	    tail -n 1 "$1" | grep -qE "$3"
}
# shellcheck disable=SC2016 # the inner shell expands
takes_over() { # HOST ROUND
	timeout $((60 * WAITS)) flock "$WORK/m$1/$T/p0" \
	    sh -c 'echo "new $1" >>"$0"' "$WORK/m$1/$T/p0" "$2"
}
nothing_after() { # HOST ROUND
	sed -n "/^new $2\$/,\$p" "$WORK/m$1/$T/p0" | grep -n " $2 " && return 1
	grep -qx "new $2" "$WORK/m$1/$T/p0"
}
is_connected() {
	[ "$(control "$1" state)" = connected ]
}

round=0
for victim in leads follows; do
	round=$((round + 1))
	must topic_led 0
	role=$victim
	victim=$LED
	[ $role = leads ] || victim=$(others "$LED" | tail -n 1)
	mapfile -t rest < <(others "$victim")
	appender "$victim" locked $round
	locked=$APPENDER
	appender "$victim" free $round
	free=$APPENDER
	must wait_until $((20 * WAITS)) append "${rest[0]}" $round
	cut_off "$victim"
	check "z$victim, which $role, is cut off: the lock is another's" \
	    takes_over "${rest[0]}" $round
	check "the one who had it has heard of that" \
	    "$WAITFOR" gone $((10 * WAITS)) "$locked"
	check "as it should" hears_of_it "$WORK/locked$round" \
	    'timed out' 'Stale'
	check "and the other one, too" \
	    "$WAITFOR" gone $((10 * WAITS)) "$free"
	check "as it should" hears_of_it "$WORK/free$round" \
	    'timed out' 'Read-only'
	heal
	check "z$victim is back" wait_until $((30 * WAITS)) \
	    is_connected "$victim"
	check "and appends again" timeout $((20 * WAITS)) sh -c \
	    'echo back >>"$1"' sh "$WORK/m$victim/$T/p0"
	for i in $ALL; do
		check "nothing that was under way came late, on z$i" \
		    wait_until 10 nothing_after "$i" $round
	done
done
stop_all
