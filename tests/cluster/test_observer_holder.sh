# What an observer's mount holds and sees while its peers fail: a mastership
# and a lock outlive the leader, go in time when the observer is cut off, its own
# side first, and its watches miss nothing.
# shellcheck disable=SC2154 # churn comes from watch.sh
HOSTS=4
SESSION=6
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/watch.sh"
NAME[4]=o4
must start_all op_timeout=15s
must start_member 4 op_timeout=15s
same "o4 is an observer" observer "$(role_of 4 o4)"
must make_place
mkdir "$WORK/m1/e" && chmod u+s "$WORK/m1/e"
: >"$WORK/m1/lock"
for i in $EVERY; do
	must wait_until 10 test -u "$WORK/m$i/e"
	must wait_until 10 test -e "$WORK/m$i/lock"
done
must wait_until 10 test -d "$WORK/m4/c/d1"

# --- it is the master, and holds a lock
mkfifo "$WORK/hold"
spawn "$BUILD/zkfs" hold "$WORK/m4/e/master" o4 -- sh -c \
    'echo $$ >"$0/work.new"; mv "$0/work.new" "$0/work"; read -r _ <"$0/hold"' \
    "$WORK"
hold=$!
must wait_until 10 test -e "$WORK/work"
work=$(cat "$WORK/work")
: >"$WORK/pids/$work"
exec 8<>"$WORK/m4/lock"
check "o4 locks" flock -n 8
must wait_until 10 test -e "$WORK/m1/e/master"

# --- the leader is killed, others change the tree, the next one is cut from it
must start_model 4
lead=$(leader)
mapfile -t rest < <(others "$lead")
a=${rest[0]} b=${rest[1]}
start_churn "$a" 0 200
start_churn "$b" 0 200
kill_member "$lead"
end_churn "$a"
end_churn "$b"
check "the leader is dead: o4 is the master still" test -e "$WORK/m$a/e/master"
check "and works" "$WAITFOR" text 1 "$WORK/m4/.zkfs/state" connected
check_not "its lock is not free" flock -n "$WORK/m$b/lock" true
refuses "Device or resource busy" bash -c ": 9>'$WORK/m$a/e/master'"
must start_member "$lead" op_timeout=15s
next=$(leader)
part 4 "$next"
start_churn "$next" 1 100
rest 1
heal
end_churn "$next"
end_model 4
is_connected() {
	[ "$(control 4 state)" = connected ]
}
check "healed, it is connected" wait_until 10 is_connected
check "cut from the leader for a while, it is the master" \
    test -e "$WORK/m$a/e/master"
check_not "and has its lock" flock -n "$WORK/m$b/lock" true

# --- cut off from all, for longer than its session
is_lost() {
	[ "$(control 4 state)" = lost ]
}
becomes_master() {
	: 2>/dev/null 9>"$WORK/m$a/e/master"
}
for i in $ALL; do
	part 4 "$i"
done
started=$(now_ms)
check "another becomes the master in time" \
    wait_until $(((SESSION + 2) * WAITS)) becomes_master
took=$(($(now_ms) - started))
check "the old one was told to stop before: $took ms" \
    "$WAITFOR" gone 0 "$work"
check "what held for it ends" "$WAITFOR" gone 5 $hold
check "it knows that its session is over" is_lost
check "its lock is another's" wait_until 5 flock -n "$WORK/m$b/lock" true
refuses "Stale file handle" bash -c "echo late >&8"
exec 8<&-
check "it reads what it had" test -e "$WORK/m4/lock"
refuses "Read-only file system" bash -c ": 9>'$WORK/m4/e/mine'"

# --- back
heal
is_master() {
	: 2>/dev/null 9>"$WORK/m4/e/master"
}
check "healed, it can be the master again" wait_until $((15 * WAITS)) is_master
check "and lock" wait_until 10 flock -n "$WORK/m4/lock" true
check "all agree" wait_until 20 agree $EVERY
must stop_all
