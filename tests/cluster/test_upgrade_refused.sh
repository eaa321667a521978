# An upgrade that cannot be now, because a command waits for a quorum: refused,
# and everything that was held or waited for goes on as before.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
SESSION=30
must start_all op_timeout=60s
M1=$WORK/m1 M2=$WORK/m2
refused() { [ "$(sed -n 's/^refused upgrades: //p' "$M1/.zkfs/status")" = "$1" ]; }

echo v >"$M1/f"
must wait_until 10 test -e "$M2/f"
# By a process of its own: who closes a file on a stopped host waits for it.
mkfifo "$WORK/lock.fifo"
spawn flock "$M2/l" sh -c ': >"$0.held"; read -r _ <"$0.fifo"' "$WORK/lock"
must wait_until 10 test -e "$WORK/lock.held"
must wait_until 10 test -e "$M1/l"
spawn flock "$M1/l" sh -c 'echo got >"$0"' "$WORK/got"
waits() { control 1 locks | grep -q waits; }
must wait_until 10 waits
spawn cat "$M1/.zkfs/events" >"$WORK/events"
watching() {
	touch "$M1/t" && rm "$M1/t"
	[ -s "$WORK/events" ]
}
must wait_until 10 watching
# Nobody agrees to anything now.
kill -STOP "${PID[2]}" "${PID[3]}"
spawn sh -c 'echo later >"$1/f" && : >"$0"' "$WORK/wrote" "$M1"
is_suspended() { [ "$(control 1 state)" != connected ]; }
must wait_until 20 is_suspended
refuses "refused, and all is as before" "$BUILD/zkfs" -m "$M1" upgrade
check "it is counted" refused 1
check_not "the write waits" test -e "$WORK/wrote"
check_not "the waiter waits" test -e "$WORK/got"
same "reads go on" v "$(cat "$M1/f")"
kill -CONT "${PID[2]}" "${PID[3]}"
check "the write is done when there is a quorum" \
    wait_until 30 test -e "$WORK/wrote"
same "with its value" later "$(cat "$M1/f")"
check_not "and the waiter still waits" test -e "$WORK/got"
echo >"$WORK/lock.fifo"
check "and gets the lock" wait_until 20 test -e "$WORK/got"
check "events go on" wait_until 20 grep -q '"modify","path":"/f"' "$WORK/events"
must wait_until 20 leader_of 1
upgraded() { "$BUILD/zkfs" -m "$M1" upgrade; }
check "and an upgrade works" wait_until 30 upgraded
same "once" 1 "$(sed -n 's/^upgrades: //p' "$M1/.zkfs/status")"
touch "$M1/end"
check "events go on" wait_until 20 grep -q '"/end"' "$WORK/events"
for f in "$WORK"/pids/*; do
	case " ${PID[*]} " in
	*" ${f##*/} "*) ;;
	*) kill "${f##*/}" 2>/dev/null ;;
	esac
done
stop_all
