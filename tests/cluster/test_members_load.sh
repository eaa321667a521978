# Members come and go under load: voters are added, made to lead and removed,
# the leader too, one is lost meanwhile, and one dead is replaced.
HOSTS=5
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=3s
load_start 1 2
check "all work" load_runs 10 1 2
for i in 4 5; do
	check "z$i is added" zkfs 1 member add "z$i=10.77.0.$i:4180"
	must start_member $i op_timeout=3s
	check "the others work" load_runs 10 1 2
done
five_vote() {
	[ "$(control 1 members | grep -cE ' (voter|leader) ')" -eq 5 ]
}
check "five vote" wait_until 20 five_vote

kill_member 3
check "z3 is lost for good: z1 and z2 work" load_runs 8 1 2
check "it is removed" zkfs 1 member remove z3
rm -rf "$WORK/d3" "$WORK/z3.log"
check "and may come back as another" zkfs 2 member add z3=10.77.0.3:4180
must start_member 3 op_timeout=3s
check "five vote again" wait_until 20 five_vote

check "z4 is made to lead" zkfs 2 member transfer z4
check "z1 and z2 work" load_runs 10 1 2
check "the leader is removed" zkfs 2 member remove z4
check "and ends" "$WAITFOR" gone 30 "${PID[4]}"
wait "${PID[4]}"
check "z1 and z2 work without it" load_runs 10 1 2
ALL="1 2 3 5"
cut_off 5
check "z5 is cut off: z1 and z2 work" load_runs 8 1 2
heal
check "and z5 works again" wait_until 20 works 5 3
load_stop
load_verdict
umount -l "$WORK/m4" 2>/dev/null
must stop_all
