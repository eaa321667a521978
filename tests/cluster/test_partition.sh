# One host is cut off from the others, in both directions: silently, with
# resets, and by its cable.  The others go on; it acknowledges nothing, says so
# in time, and is one of them again when the network is.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=2s
load_start $ALL
check "all work" load_runs 10 $ALL
refused_in_time() {
	local started errors
	started=$(now_ms)
	if echo never >>"$WORK/m$1/sh/log"; then
		echo "acknowledged"
		return 1
	fi 2>"$WORK/refusal"
	errors=$(cat "$WORK/refusal")
	echo "$errors after $(($(now_ms) - started)) ms"
	[ $(($(now_ms) - started)) -lt $((6000 * WAITS)) ] &&
	    grep -qE 'timed out|Read-only' "$WORK/refusal"
}
in_state() {
	[ "$(control "$1" state)" = "$2" ]
}
for how in cut reject unplug; do
	victim=$(leader)
	[ $how != reject ] || victim=$((victim % 3 + 1))
	mapfile -t rest < <(others "$victim")
	case $how in
	unplug) unplug "$victim" ;;
	*) cut_off "$victim" $how ;;
	esac
	check "$how of z$victim, the others work" load_runs 6 "${rest[@]}"
	check "z$victim acknowledges nothing, and says so" \
	    refused_in_time "$victim"
	check "its session is over in time" \
	    wait_until $(((SESSION + 2) * WAITS)) in_state "$victim" lost
	check "reads go on there" cat "$WORK/m$victim/r/r0"
	heal
	plug "$victim"
	check "it is one of them again, all work" load_runs 15 $ALL
done
load_stop
echo never >>"$LOAD/sh1.asked"
load_verdict
must stop_all
