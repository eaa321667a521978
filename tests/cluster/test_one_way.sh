# The network carries one direction only: a host hears the others and is not
# heard, or the other way round.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=2s
load_start $ALL
check "all work" load_runs 10 $ALL
for direction in from to; do
	for who in leader follower; do
		victim=$(leader)
		[ $who = leader ] || victim=$((victim % 3 + 1))
		mapfile -t rest < <(others "$victim")
		for i in "${rest[@]}"; do
			case $direction in
			from) cut "$victim" "$i" ;;
			to) cut "$i" "$victim" ;;
			esac
		done
		check "nothing arrives $direction the $who, z$victim: the \
others work" load_runs 8 "${rest[@]}"
		heal
		check "healed, all work" load_runs 15 $ALL
	done
done
load_stop
load_verdict
must stop_all
