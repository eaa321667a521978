# Two voters of five are removed at the same moment, the leader among them.
VOTERS=5
. "$(dirname "$0")/lib.sh"
must start_all
lead=$(leader_of 1)
remover=()
mapfile -t rest < <(others "$lead")
stays=${rest[0]}
echo kept >"$WORK/m$stays/kept"
for i in "$lead" "${rest[1]}"; do
	spawn zkfs "$stays" member remove "z$i"
	remover[i]=$!
done
for i in "$lead" "${rest[1]}"; do
	check "z$i is removed" wait "${remover[i]}"
	check "and ends" ends "$i" 32
done
three_vote() {
	[ "$(control "$stays" members | grep -cE ' (voter|leader) ')" -eq 3 ]
}
check "three are left" wait_until 10 three_vote
check "and go on" sh -c "echo more >>'$WORK/m$stays/kept'"
for i in "${rest[@]:2}"; do
	check "z$i has it" wait_until 10 grep -q more "$WORK/m$i/kept"
done
must stop_all
