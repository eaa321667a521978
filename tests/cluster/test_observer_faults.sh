# An observer is cut off, stands still and is killed: the voters do not care,
# it acknowledges nothing that is not agreed, and it is one of them again.
HOSTS=4
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=2s
NAME[4]=o4
must start_member 4 op_timeout=2s
load_start 1 2
must wait_until 10 test -e "$WORK/m4/sh/lock"
load_start 4
check "all work, the observer too" load_runs 15 1 2 4

for i in $ALL; do
	part 4 "$i"
done
check "the observer is cut off, the others work" load_runs 6 1 2
check_not "it acknowledges nothing" works 4 1
heal
check "it is one of them again" load_runs 20 1 2 4
pause 4
check "it stands still, the others work" load_runs 6 1 2
resume 4
check "it goes on" load_runs 20 1 2 4
lead=$(leader)
pause "$lead"
mapfile -t rest < <(others 3 "$lead")
check "the leader stands still: the observer works" load_runs 8 4 "${rest[@]}"
resume "$lead"
check "all work" load_runs 20 1 2 4
kill_member 4
check "it is killed, the others work" load_runs 6 1 2
must start_member 4 op_timeout=2s
check "it is back" load_runs 20 1 2 4
load_stop
ALL="1 2 3 4"
load_verdict
must stop_all
