# Daemons are killed, the leader's among them, and started again.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL
for ((round = 0; round < ${ROUNDS:-2}; round++)); do
	victim=$(leader)
	[ $((round % 2)) -eq 0 ] || victim=$((victim % 3 + 1))
	mapfile -t rest < <(others $victim)
	kill_member $victim
	check "z$victim is killed, the others work" load_runs 5 "${rest[@]}"
	must start_member $victim op_timeout=3s
	check "it is back, all work" load_runs 10 $ALL
done
load_stop
load_verdict
must stop_all
