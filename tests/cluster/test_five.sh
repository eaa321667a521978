# Five hosts: two of them are lost, and come back; a majority on one side of a
# split; and a bridge, one host that hears two halves which do not hear each
# other.
VOTERS=5
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=2s
load_start 1 3 5
check "all work" load_runs 10 1 3 5

part_all() {
	local i j
	for i in $1; do
		for j in $2; do
			part "$i" "$j"
		done
	done
}
lead=$(leader)
next=$((lead % 5 + 1))
part_all "$lead $next" "$(others "$lead" "$next" | xargs)"
mapfile -t rest < <(others "$lead" "$next")
for i in "${rest[@]}"; do
	check "two of five, the leader too, are apart: z$i works" works "$i" 10
done
check_not "z$lead does not" works "$lead" 1
heal
check "healed, all work" load_runs 15 1 3 5

lead=$(leader)
mapfile -t rest < <(others "$lead")
part_all "${rest[0]} ${rest[1]}" "${rest[2]} ${rest[3]}"
check "z$lead is the bridge between two halves, and works" works "$lead" 10
heal
check "healed, all work" load_runs 15 1 3 5

lead=$(leader)
next=$((lead % 5 + 1))
kill_member "$lead"
kill_member "$next"
for i in $(others "$lead" "$next"); do
	check "two of five are dead, z$i works" works "$i" 10
done
must start_member "$lead" op_timeout=2s
must start_member "$next" op_timeout=2s
check "they are back, all work" load_runs 15 1 3 5
load_stop
load_verdict
must stop_all
