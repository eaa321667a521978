# groups.sh: sourced after lib.sh or hosts.sh: members of a group on any host,
# while records are produced, and the verdict on what they were given; see
# groupload.py.  Topic $T with PARTS partitions and its group $G.
#
#   groups_start            makes them
#   member I NAME           one that consumes on host I; MEMBER[NAME] is its
#                           process
#   member_ends NAME        it leaves
#   member_is_killed NAME
#   owns NAME N             it had something of N partitions lately
#   records I MS            produces records in each partition through host I,
#                           so many milliseconds apart, and watches how far
#                           the group is there
#   records_end             no more, and until all are delivered
#   groups_verdict          stops all; what groupload.py says
#
#   feed I MS               as records, on a host that may fail; of several
#   feeders_end             no more, and until all is acknowledged
#   audit                   stops all; what groupaudit.py says
# The test's own test_cleanup calls groups_cleanup.

T=topics/t G=topics/t/groups/g
PARTS=${PARTS:-6}
GROUPS_DIR=$WORK/groups
mkdir -p "$GROUPS_DIR"
declare -A MEMBER=()
FEEDERS=() # and who watches how far the group is
WATCHERS=()

groups_load() {
	python3 "$SRC/tests/cluster/groupload.py" "$@"
}

groups_cleanup() {
	kill -KILL "${MEMBER[@]}" "${PRODUCER:-}" "${WATCHER:-}" \
	    "${FEEDERS[@]}" "${WATCHERS[@]}" 2>/dev/null
}

groups_start() {
	local i
	mkdir "$WORK/m1/$T" || return 1
	echo "partitions=$PARTS" >>"$WORK/m1/$T/config" || return 1
	mkdir "$WORK/m1/$G" || return 1
	for i in $ALL; do
		wait_until 20 test -e "$WORK/m$i/$G/p$((PARTS - 1))" || return 1
	done
}

groups_spawn() {
	python3 "$SRC/tests/cluster/groupload.py" "$@" \
	    >>"$GROUPS_DIR/said" 2>&1 </dev/null &
	: >"$WORK/pids/$!"
}
member() {
	: >>"$GROUPS_DIR/$2.log"
	groups_spawn consume "$2" "$WORK/m$1/$G/next" "$GROUPS_DIR/$2.log"
	MEMBER[$2]=$!
}
member_ends() {
	kill -TERM "${MEMBER[$1]}"
	"$WAITFOR" gone $((20 * WAITS)) "${MEMBER[$1]}" ||
	    fail "$1 does not end"
	unset "MEMBER[$1]"
}
member_is_killed() {
	kill -KILL "${MEMBER[$1]}"
	wait "${MEMBER[$1]}" 2>/dev/null
	unset "MEMBER[$1]"
}
owns() {
	[ "$(tail -n 60 "$GROUPS_DIR/$1.log" | awk '$4 != "lost" { print $4 }' |
	    sort -u | wc -l)" -ge "$2" ]
}

records() {
	: >"$GROUPS_DIR/produced"
	groups_spawn produce "$WORK/m$1/$T" "$PARTS" "$GROUPS_DIR/produced" \
	    "$2"
	PRODUCER=$!
	groups_spawn committed "$WORK/m$1/$G" "$PARTS" "$GROUPS_DIR/committed"
	WATCHER=$!
}
all_delivered() {
	[ "$(awk '$4 != "lost" { print $4, $5 }' "$GROUPS_DIR"/*.log | sort -u |
	    wc -l)" -ge "$RECORDS" ]
}
records_end() {
	kill -TERM "$PRODUCER"
	check "the producer ends" "$WAITFOR" gone $((20 * WAITS)) "$PRODUCER"
	PRODUCER=
	RECORDS=$(wc -l <"$GROUPS_DIR/produced")
	check "there are some records" test "$RECORDS" -gt $((PARTS * 20))
	check "all is delivered" wait_until $((30 * WAITS)) all_delivered
}

groups_verdict() {
	local name
	for name in "${!MEMBER[@]}"; do
		member_ends "$name"
	done
	kill -TERM "$WATCHER"
	"$WAITFOR" gone 20 "$WATCHER"
	WATCHER=
	check "in order, by one at a time, again only what was in flight" \
	    sh -c '"$0" "$@" >&9' python3 "$SRC/tests/cluster/groupload.py" \
	    check "$PARTS" "$GROUPS_DIR/produced" "$GROUPS_DIR/committed" \
	    "$GROUPS_DIR"/*.log 9>"$GROUPS_DIR/verdict"
	cat "$GROUPS_DIR/verdict"
	[ ! -s "$GROUPS_DIR/said" ] || cat "$GROUPS_DIR/said"
}

feed() {
	groups_spawn feed "$WORK/m$1/$T" "$PARTS" "$GROUPS_DIR/fed$1" "$2"
	FEEDERS+=($!)
	groups_spawn committed "$WORK/m$1/$G" "$PARTS" "$GROUPS_DIR/committed$1"
	WATCHERS+=($!)
}
all_end() { # PID...
	local pid
	kill -TERM "$@"
	for pid; do
		check "$pid ends" "$WAITFOR" gone $((20 * WAITS)) "$pid"
	done
}
nothing_is_left() {
	awk '{ left += $4 } END { exit left != 0 || NR == 0 }' "$WORK/m1/$G/lag"
}
feeders_end() {
	all_end "${FEEDERS[@]}"
	FEEDERS=()
	check "all is delivered" wait_until $((60 * WAITS)) nothing_is_left
}
audit() {
	local p name files=()
	for name in "${!MEMBER[@]}"; do
		member_ends "$name"
	done
	all_end "${WATCHERS[@]}"
	WATCHERS=()
	for ((p = 0; p < PARTS; p++)); do
		cat "$WORK/m1/$T/p$p" >"$GROUPS_DIR/p$p"
		files+=("$GROUPS_DIR/p$p")
	done
	check "each record once, or as resets and losses had it" \
	    sh -c '"$0" "$@" >&9' python3 "$SRC/tests/cluster/groupaudit.py" \
	    $((1000 * WAITS)) "$GROUPS_DIR" "${files[@]}" 9>"$GROUPS_DIR/verdict"
	cat "$GROUPS_DIR/verdict"
	[ ! -s "$GROUPS_DIR/said" ] || cat "$GROUPS_DIR/said"
}
