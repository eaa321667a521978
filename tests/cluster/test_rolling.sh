# One host after the other is unmounted and mounted again, as for an upgrade;
# and then all at once.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL
for ((round = 0; round < ${ROUNDS:-1}; round++)); do
	for i in $ALL; do
		kill -TERM "${PID[i]}"
		check "z$i ends" "$WAITFOR" gone $((10 * WAITS)) "${PID[i]}"
		check "well" wait "${PID[i]}"
		while is_mounted "$WORK/m$i"; do
			umount -l "$WORK/m$i"
		done
		mapfile -t rest < <(others "$i")
		check "the others work" load_runs 6 "${rest[@]}"
		must start_member "$i" op_timeout=3s
		check "z$i is back, all work" load_runs 15 $ALL
	done
done
load_stop
load_verdict
must stop_all
must start_all op_timeout=3s
for i in $ALL; do
	check "z$i works after all were away" works "$i" 10
done
check "all agree" wait_until 20 agree $ALL
must stop_all
