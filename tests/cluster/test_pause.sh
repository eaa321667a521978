# Daemons stand still (SIGSTOP) for a moment or longer than their session
# lives, and go on: the leader too, which must not go on as if nothing had been.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL
pauses=${PAUSES:-"0.1 0.6 2 6"}
[ "${FULL:-0}" != 1 ] || pauses="0.1 0.2 0.5 1 2 4 6 10 30 60"

# A child of this shell waits; nothing else happens.
stand_still() {
	read -r -t "$1" _ <>"$LOAD/never"
}
turn=0
for seconds in $pauses; do
	turn=$((turn + 1))
	victim=$(leader)
	[ $((turn % 3)) -ne 2 ] || victim=$((victim % 3 + 1))
	mapfile -t rest < <(others "$victim")
	pause "$victim"
	if [ "${seconds%.*}" -ge 2 ]; then
		check "z$victim stands still, the others work" \
		    load_runs 5 "${rest[@]}"
	fi
	stand_still "$seconds"
	resume "$victim"
	check "z$victim goes on after $seconds s, all work" load_runs 15 $ALL
done
load_stop
load_verdict
must stop_all
