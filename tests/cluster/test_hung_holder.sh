# The host of the master has a disk that hangs, longer than its session lives:
# before another can be the master, the old one has been told to stop.
. "$(dirname "$0")/hosts.sh"
with_disks
must start_all op_timeout=3s
mkdir "$WORK/m1/e" && chmod u+s "$WORK/m1/e"
for i in $ALL; do
	must wait_until 10 test -u "$WORK/m$i/e"
done
lead=$(leader)
other=$((lead % 3 + 1))
mkfifo "$WORK/never"
spawn "$BUILD/zkfs" hold "$WORK/m$lead/e/master" "host$lead" -- sh -c \
    'echo $$ >"$0/work.new"; mv "$0/work.new" "$0/work"; read -r _ <"$0/never"' \
    "$WORK"
hold=$!
must wait_until 10 test -e "$WORK/work"
: >"$WORK/pids/$(cat "$WORK/work")"
must wait_until 10 test -e "$WORK/m$other/e/master"
in_state() {
	[ "$(control "$1" state)" = "$2" ]
}
becomes_master() {
	: 2>/dev/null 9>"$WORK/m$other/e/master"
}
disk "$lead" hang
# Nobody notices before something is written.
check "the others work" works "$other" 8
started=$(now_ms)
check "another becomes the master in time" \
    wait_until $(((SESSION + 6) * WAITS)) becomes_master
took=$(($(now_ms) - started))
check "the old one was told to stop before: $took ms" \
    "$WAITFOR" gone 0 "$(cat "$WORK/work")"
check "and the command that held for it ends" "$WAITFOR" gone 5 $hold
check "its host knows that its session is over" in_state "$lead" lost
check "the others work" works "$other" 5
disk "$lead"
check "its disk goes on, it works" wait_until $((15 * WAITS)) works "$lead" 3
check "all agree" wait_until 20 agree $ALL
must stop_all
