# Disks that are slow, and one that hangs: a follower's costs the others
# nothing, and a leader's costs it the leadership.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
with_disks
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL

lead=$(leader)
follower=$((lead % 3 + 1))
disk "$follower" slow 200
mapfile -t rest < <(others "$follower")
check "z$follower flushes slowly, the others work" load_runs 6 "${rest[@]}"
disk "$follower"

disk "$lead" hang
mapfile -t rest < <(others "$lead")
leads_another() {
	leader_is_known "${rest[@]}" && [ "$LEADER" != "$lead" ]
}
check "z$lead hangs in a flush and is the leader no more" \
    wait_until $((6 * WAITS)) leads_another
check "the others work" load_runs 6 "${rest[@]}"
says_timed_out() {
	local started
	started=$(now_ms)
	! echo no >"$WORK/m$1/hangs" || return 1
	[ $(($(now_ms) - started)) -lt $((8000 * WAITS)) ]
}
check "who writes on z$lead is answered in time" says_timed_out "$lead"
[ "${FULL:-0}" != 1 ] || read -r -t 30 _ <>"$LOAD/never"
disk "$lead"
check "its disk goes on, and all work" load_runs 15 $ALL
for i in $ALL; do
	disk "$i" slow 30
done
check "all disks are slow: all work" load_runs 20 $ALL
for i in $ALL; do
	disk "$i"
done

# What is flushed little by little at first is flushed at once when the journal
# fills: at a second a lot it would take minutes.
for i in $ALL; do
	disk "$i" lots 1000
done
fill() { # BYTES a write, COUNT
	head -c "$1" /dev/zero >"$WORK/value"
	for _ in $(seq "$2"); do
		cat "$WORK/value" >"$WORK/m1/filled" || return 1
	done
}
check "no writer waits for lots that are slow" fill 100000 400
for i in $ALL; do
	disk "$i"
done
load_stop
load_verdict
must stop_all
