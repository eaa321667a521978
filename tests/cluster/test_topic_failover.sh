# The host that leads a partition is killed -9: appends from elsewhere go on
# within a second, as a rule.  Leadership is spread over the hosts, also
# afterwards and when the host is back.  ROUNDS=n
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/topics.sh"
T=topics/t
PARTS=9
must start_all
must topics_prepare

# How many partitions each of these hosts leads, in the eyes of the first.
leaders() {
	local i p counts=()
	for i; do
		counts[i]=0
	done
	for ((p = 0; p < PARTS; p++)); do
		topic_is_led $p "$1" || return 1
		counts[LED]=$((${counts[LED]:-0} + 1))
	done
	echo "${counts[@]}"
}
# They differ by no more than $1, and nobody else leads.
is_spread() {
	local most=$1 counts
	shift
	read -r -a counts < <(leaders "$@") && [ "${#counts[@]}" -eq $# ] ||
	    return 1
	mapfile -t counts < <(printf '%s\n' "${counts[@]}" | sort -n)
	echo "${counts[@]}"
	[ $((counts[-1] - counts[0])) -le "$most" ]
}
# shellcheck disable=SC2086 # a list
check "leaders are spread" wait_until $((30 * WAITS)) is_spread 1 $ALL
# shellcheck disable=SC2086 # a list
echo "leaders: $(leaders $ALL)"

# Appends to all partitions of host $1, each by a thread of its own, until it is
# told to end; then it tells for each the longest time from one append's end to
# the next one's, and when that began.  Nothing may fail.
cat >"$WORK/append.py" <<'END'
import os, signal, sys, threading, time
topic, parts, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
over, found = threading.Event(), {}
signal.signal(signal.SIGTERM, lambda *_: over.set())
def append(p):
    fd = os.open("%s/p%d" % (topic, p), os.O_WRONLY | os.O_APPEND)
    last, longest, began = time.monotonic(), 0, 0
    while not over.is_set():
        os.write(fd, b"%d\n" % p)
        now = time.monotonic()
        if now - last > longest:
            longest, began = now - last, last
        last = now
    found[p] = longest
threads = [threading.Thread(target=append, args=(p,)) for p in range(parts)]
for t in threads: t.start()
for t in threads:
    while t.is_alive(): t.join(0.1)
with open(out, "w") as f:
    for p in range(parts):
        print(p, int(found[p] * 1000) if p in found else "failed", file=f)
END

round_of() { # VICTIM HOST
	local pid p led='' before
	for ((p = 0; p < PARTS; p++)); do
		must topic_led $p "$2"
		[ "$LED" != "$1" ] || led+=" $p"
	done
	spawn python3 "$WORK/append.py" "$WORK/m$2/$T" $PARTS "$WORK/gaps" \
	    2>>"$WORK/said"
	pid=$!
	before=$(stat -c %s "$WORK/m$2/$T/p0")
	must wait_until 20 has_grown "$2" "$before"
	kill_member "$1"
	# All go on, for a while.
	for ((p = 0; p < PARTS; p++)); do
		SIZES[p]=$(stat -c %s "$WORK/m$2/$T/p$p")
	done
	check "all partitions are appended to without z$1" \
	    wait_until $((20 * WAITS)) all_have_grown "$2"
	"$WAITFOR" passed 1
	kill -TERM "$pid"
	"$WAITFOR" gone $((20 * WAITS)) "$pid" || fail "the appender hangs"
	check_not "none failed" grep failed "$WORK/gaps"
	for p in $led; do
		awk -v p="$p" '$1 == p { print $2 }' "$WORK/gaps"
	done >>"$WORK/led"
	echo "z$1 led$led: gaps $(awk '{ print $2 }' "$WORK/gaps" | xargs) ms"
}
has_grown() {
	[ "$(stat -c %s "$WORK/m$1/$T/p0")" -gt "$2" ]
}
SIZES=()
all_have_grown() {
	local p
	for ((p = 0; p < PARTS; p++)); do
		[ "$(stat -c %s "$WORK/m$1/$T/p$p")" -gt $((SIZES[p] + 10)) ] ||
		    return 1
	done
}

: >"$WORK/led"
for ((round = 0; round < ${ROUNDS:-6}; round++)); do
	victim=$((1 + round % 3))
	mapfile -t rest < <(others $victim)
	round_of $victim "${rest[round % 2]}"
	check "the others lead all" \
	    wait_until $((30 * WAITS)) is_spread $PARTS "${rest[@]}"
	must start_member $victim
	# shellcheck disable=SC2086 # a list
	check "z$victim is back and leads its part" \
	    wait_until $((60 * WAITS)) is_spread 2 $ALL
	# shellcheck disable=SC2086 # a list
	echo "leaders: $(leaders $ALL)"
done
[ ! -s "$WORK/said" ] || cat "$WORK/said"
sort -n "$WORK/led" >"$WORK/sorted"
count=$(wc -l <"$WORK/sorted")
median=$(sed -n "$((count / 2 + 1))p" "$WORK/sorted")
echo "$count leaders killed: appends went on after $median ms (median)," \
    "$(tail -n 1 "$WORK/sorted") ms at most"
check "there were some" test "$count" -ge $((${ROUNDS:-6} * 2))
check "within a second" test "$median" -lt $((1000 * WAITS))
check "and never much later" test "$(tail -n 1 "$WORK/sorted")" -lt \
    $((4000 * WAITS))
stop_all
