# Hosts are killed, paused and cut off under writers and readers of partitions:
# an offset has one value for everybody and for ever, a value one offset,
# writers their order, and the majority goes on.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/topics.sh"
must start_all op_timeout=3s
topics_start $ALL
check "all append" topics_run 10 $ALL

# Who reads slowly, or not any more, is nobody's business but its own.  Not
# this shell: closing a file of a host that stands still waits for it.
slow=()
# shellcheck disable=SC2016 # the inner shell expands
sh -c 'exec <"$1" >/dev/null; head -c 1; echo >"$2"; kill -STOP $$' sh \
    "$WORK/m1/topics/t/p0" "$WORK/head" &
slow+=($!)
tail -n +1 -f "$WORK/m2/topics/t/p0" >"$WORK/tail" 2>/dev/null &
slow+=($!)
QUEUE_PIDS+=("${slow[@]}")
must wait_until 10 test -s "$WORK/tail" -a -s "$WORK/head"
kill -STOP "${slow[1]}"

# Partitions that one host has alone: when it is gone, they wait for it.
must mkdir "$WORK/m1/topics/one"
must wait_until 10 test -e "$WORK/m3/topics/one/config"
must sh -c 'printf "replicas=1\npartitions=3\n" >"$1"' sh \
    "$WORK/m1/topics/one/config"
only_on() {
	local p
	for p in 0 1 2; do
		[ "$(timeout 10 getfattr --only-values -n user.zkfs.replicas \
		    "$WORK/m$2/topics/one/p$p" 2>/dev/null)" != "z$1" ] || {
			ONLY=topics/one/p$p
			return
		}
	done
	return 1
}
# dash would tell nothing but "I/O error" of a write(2) that fails.
times_out() {
	! timeout $((10 * WAITS)) bash -c 'echo lost >>"$1"' sh "$1" \
	    2>"$WORK/said" && grep -q "timed out" "$WORK/said"
}

# --- killed
must topic_led 0
victim=$LED
mapfile -t rest < <(others "$victim")
check "z$victim has a partition alone" wait_until 30 \
    only_on "$victim" "${rest[0]}"
check "who is appended to from elsewhere" wait_until 10 \
    sh -c 'echo kept >>"$1"' sh "$WORK/m${rest[0]}/$ONLY"
kill_member "$victim"
check "z$victim, who led p0, is killed: the others append" \
    topics_run 5 "${rest[@]}"
check "what it had alone waits, and that is told" \
    times_out "$WORK/m${rest[0]}/$ONLY"
check "nothing else does: the others append" topics_run 5 "${rest[@]}"
check "and the tree is written" works "${rest[1]}" 3
must start_member "$victim" op_timeout=3s
check "it is back, all append" topics_run 20 $ALL
check "and what it had alone is there" wait_until 20 \
    sh -c 'echo again >>"$1" && grep -qx kept "$1"' sh \
    "$WORK/m${rest[0]}/$ONLY"

# --- paused, for less and for more than its session
for seconds in 1 6; do
	must topic_led 1
	victim=$LED
	mapfile -t rest < <(others "$victim")
	pause "$victim"
	check "z$victim, who led p1, stands still: the others append" \
	    topics_run 8 "${rest[@]}"
	"$WAITFOR" passed "$seconds"
	resume "$victim"
	check "it goes on, all append" topics_run 20 $ALL
done

# --- cut off
refused_in_time() {
	local started
	started=$(now_ms)
	if echo "never $1 0 1" >>"$WORK/m$1/topics/t/p0"; then
		echo "acknowledged"
		return 1
	fi 2>"$WORK/refusal"
	echo "$(cat "$WORK/refusal") after $(($(now_ms) - started)) ms"
	[ $(($(now_ms) - started)) -lt $((6000 * WAITS)) ] &&
	    grep -qE 'timed out|Read-only' "$WORK/refusal"
}
must topic_led 0
victim=$LED
mapfile -t rest < <(others "$victim")
cut_off "$victim"
check "z$victim, who led p0, is cut off: the others append" \
    topics_run 8 "${rest[@]}"
check "its own writers hear of it in time" refused_in_time "$victim"
check "and read what it has" timeout 10 sh -c \
    'head -c 100000 "$1" >/dev/null' sh "$WORK/m$victim/topics/t/p0"
check "the tree is read there, too" timeout 10 cat \
    "$WORK/m$victim/topics/t/config"
heal
check "it is one of them again, all append" topics_run 20 $ALL
kill -CONT "${slow[@]}"
kill "${slow[@]}" 2>/dev/null
printf '0 %s 1 0 9 ? 0\n' "$victim" >"$QUEUE/never.log"
topics_stop
topics_verdict
must stop_all
