#!/bin/bash
# timeout: 1200
# The daemon is killed with SIGKILL at random moments under a random mix of
# operations: what was acknowledged is there, whole, and of what was not,
# nothing in part.  ROUNDS is the number of kills; SEED repeats a run's choice
# of operations and moments.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 200 || echo 20)}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
worker=$SRC/tests/mount/worker_crash.py
export PYTHONDONTWRITEBYTECODE=1
echo "seed $seed"
mkfifo "$WORK/reply"
exec 7<>"$WORK/reply"
total=0
must start_fs
for ((round = 1; round <= rounds; round++)); do
	spawn python3 "$worker" run "$M" "$WORK/state" $((seed + round)) \
	    >&7 2>"$WORK/worker.err"
	crowd=$!
	word=
	read -r -t 90 word <&7
	[ "$word" = now ] || fail "round $round: the workers did not work"
	kill_fs 2>/dev/null
	wait "$crowd" || {
		fail "round $round: a worker met another error than the end"
		cat "$WORK/worker.err"
	}
	must start_fs
	checks=$((checks + 1))
	if python3 "$worker" verify "$M" "$WORK/state" >"$WORK/verdict"; then
		read -r count _ <"$WORK/verdict"
		total=$((total + count))
	else
		fail "round $round, seed $((seed + round))"
		cat "$WORK/verdict"
		break
	fi
done
echo "$rounds kills, $total operations acknowledged"
check "there were operations to lose" test "$total" -ge $((rounds * 3))
must stop_fs
