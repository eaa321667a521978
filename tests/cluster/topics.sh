# topics.sh: sourced after hosts.sh: writers and readers of the partitions of
# topics/t while hosts fail, and the verdict on what they were told.
#
#   topics_start I...  two writers and a reader of each partition on each of
#                      these hosts; $QUEUE has what they write down
#   topics_run SECONDS I...   until each writer of these hosts has had a batch
#                      acknowledged in each partition
#   topics_stop        ends them, within a bound
#   topics_verdict     the partitions are the same on all hosts, and as they
#                      were for everybody; see topicload.c
# PARTS, how many partitions (2).  RETAIN, the bytes that each keeps (all).

QUEUE=$WORK/queue
PARTS=${PARTS:-2}
QUEUE_PIDS=()
mkdir -p "$QUEUE"

topics_prepare() {
	local i p
	mkdir "$WORK/m1/topics/t" &&
	    printf 'partitions=%s\nretention.bytes=%s\n' "$PARTS" \
		"${RETAIN:-none}" >"$WORK/m1/topics/t/config" || return 1
	for i in $ALL; do
		for ((p = 0; p < PARTS; p++)); do
			wait_until 20 test -e "$WORK/m$i/topics/t/p$p" ||
			    return 1
		done
	done
}

topics_spawn() {
	"$BUILD/tests/cluster/topicload" "$@" \
	    2>>"$QUEUE/errors" </dev/null &
	QUEUE_PIDS+=($!)
	: >"$WORK/pids/$!"
}

topics_start() {
	local i p n files
	[ -e "$WORK/m1/topics/t" ] || must topics_prepare
	for i; do
		files=()
		for ((p = 0; p < PARTS; p++)); do
			files+=("$WORK/m$i/topics/t/p$p")
			topics_spawn read "$QUEUE/seen$i.p$p" "${files[p]}"
		done
		for n in a b; do
			# Whoever counts finds it, however late it begins.
			: >>"$QUEUE/w$i$n.log"
			topics_spawn write "w$i$n" "$QUEUE/w$i$n.log" \
			    "${files[@]}"
		done
	done
}

# How much of each writer on these hosts was acknowledged, by partition.
topics_progress() {
	local i p log count
	for i; do
		for log in "$QUEUE/w$i"[ab].log; do
			for ((p = 0; p < PARTS; p++)); do
				count=$(grep -c "^$p .* ok " "$log" 2>/dev/null)
				echo "${count:-0}"
			done
		done
	done
}

topics_have_progressed() {
	local n after
	mapfile -t after < <(topics_progress "$@")
	for n in "${!after[@]}"; do
		[ "${after[n]}" -gt "${QUEUE_BEFORE[n]}" ] || return 1
	done
}

topics_run() {
	local bound=$1
	shift
	mapfile -t QUEUE_BEFORE < <(topics_progress "$@")
	wait_until $((bound * WAITS)) topics_have_progressed "$@" && return
	echo "before ${QUEUE_BEFORE[*]}, $bound s later" \
	    "$(topics_progress "$@" | xargs)"
	return 1
}

# Processes of a shell do not bear the test's mark.
topics_cleanup() {
	[ "${#QUEUE_PIDS[@]}" -eq 0 ] || kill -KILL "${QUEUE_PIDS[@]}" 2>/dev/null
}
test_cleanup() {
	topics_cleanup
}

topics_stop() {
	local pid
	checks=$((checks + 1))
	kill -TERM "${QUEUE_PIDS[@]}" 2>/dev/null
	for pid in "${QUEUE_PIDS[@]}"; do
		"$WAITFOR" gone $((20 * WAITS)) "$pid" ||
		    fail "one does not end: $pid $(cat "/proc/$pid/wchan")"
	done
	QUEUE_PIDS=()
}

start_of_topic() { # PARTITION HOST
	timeout 10 getfattr --only-values -n user.zkfs.start \
	    "$WORK/m$2/topics/t/p$1" 2>/dev/null
}
# Retention may go on for a moment after the last writer; sets START.
start_stays() { # PARTITION
	START=$(start_of_topic "$1" 1)
	[ -n "$START" ] && cat "$WORK/m1/topics/t/p$1" >"$QUEUE/final.p$1" &&
	    [ "$(start_of_topic "$1" 1)" = "$START" ]
}

topics_verdict() {
	local i p
	for ((p = 0; p < PARTS; p++)); do
		for i in $(others 1); do
			check "p$p is the same on z$i" \
			    wait_until $((20 * WAITS)) cmp \
			    "$WORK/m1/topics/t/p$p" "$WORK/m$i/topics/t/p$p"
		done
		check "p$p is read whole" wait_until 20 start_stays $p
		[ -z "${RETAIN:-}" ] ||
		    check "some of p$p was removed" test "$START" -gt 0
		check "p$p is what was said of it" sh -c '"$0" "$@" >&9' \
		    "$BUILD/tests/cluster/topicload" check "$START" \
		    "$QUEUE/final.p$p" \
		    "$QUEUE"/w*.log -- "$QUEUE"/seen*.p$p 9>"$QUEUE/verdict"
		cat "$QUEUE/verdict"
	done
	same "each reader saw the start grow, and nothing before it" "" \
	    "$(cat "$QUEUE"/*.wrong 2>/dev/null | head)"
	[ ! -s "$QUEUE/errors" ] || cat "$QUEUE/errors"
}

# Who leads partition $1, as a number, in the eyes of host $2; "": nobody.
topic_leader() {
	timeout 10 getfattr --only-values -n user.zkfs.leader \
	    "$WORK/m${2:-1}/topics/t/p$1" 2>/dev/null | tr -d z-
}
topic_is_led() {
	LED=$(topic_leader "$1" "$2")
	[ -n "$LED" ] && [ "$LED" != none ]
}
# Sets LED.
topic_led() {
	wait_until $((10 * WAITS)) topic_is_led "$1" "${2:-1}"
}
