# A flush fails once, of a follower and of the leader, and what is written out
# before one: that member ends, says why, and acknowledges nothing any more; the
# others go on, and it comes back.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
with_disks
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL
for fault in "follower sync" "leader sync" "leader lot"; do
	who=${fault% *}
	victim=$(leader)
	[ "$who" = leader ] || victim=$((victim % 3 + 1))
	mapfile -t rest < <(others "$victim")
	disk "$victim" "${fault#* }" 5
	check "the $who z$victim ends" "$WAITFOR" gone $((20 * WAITS)) \
	    "${PID[victim]}"
	check "and says why" grep -q "FATAL.*reason=Input/output error" \
	    "$WORK/z$victim.log"
	check "the others work" load_runs 6 "${rest[@]}"
	wait "${PID[victim]}"
	while is_mounted "$WORK/m$victim"; do
		umount -l "$WORK/m$victim"
	done
	must start_member "$victim" op_timeout=3s
	check "it is back, all work" load_runs 15 $ALL
done
load_stop
load_verdict
must stop_all
