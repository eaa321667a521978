# Upgrades of the daemons of an ensemble, one after the other and while it is
# in use: sessions, ephemerals, locks, watchers and writers live through it,
# and .zkfs/events tells the same on every host.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v inotifywait >/dev/null || skip "no inotifywait"
# Pauses are short, but the machine may be busy.
SESSION=15
must start_all
M1=$WORK/m1 M2=$WORK/m2 M3=$WORK/m3
hold_none() { spawn "$@" 7>&- 8>&-; }

mkdir "$M1/d" "$M1/locks"
mkdir -m u+s "$M1/eph"
rev=$(control 1 digest | cut -d' ' -f1)
must wait_until 10 agree 1 2 3
for i in 1 2 3; do
	hold_none cat "$WORK/m$i/.zkfs/events@$rev" >"$WORK/events$i"
done
exec 7>"$M2/eph/me"
echo mine >&7
exec 8>"$M2/locks/l"
must flock 8
must wait_until 10 test -e "$M3/locks/l"
# Who waits keeps his place, whoever is upgraded meanwhile.
are_waiting() { [ "$(grep -c waits "$M1/.zkfs/locks")" = "$1" ]; }
for i in 3 1 2 3 1 2; do
	waiters=$((${waiters-0} + 1))
	must wait_until 10 test -e "$WORK/m$i/locks/l"
	hold_none flock "$WORK/m$i/locks/l" sh -c 'echo "$0" >>"$1"' \
	    "$waiters on z$i" "$WORK/got"
	last=$!
	must wait_until 20 are_waiting "$waiters"
done
hold_none inotifywait -q -m -e create --format '%f' "$M2/d" >"$WORK/inotify" \
    2>"$WORK/inotify.err"
n=0
watching() {
	n=$((n + 1))
	mkdir "$M1/d/ready$n"
	[ -s "$WORK/inotify" ]
}
must wait_until 20 watching
cat >"$WORK/writer.py" <<'END'
import os, sys
top, name, work = sys.argv[1:]
n = 0
a = os.open(top + "/appended-" + name, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while not os.path.exists(work + "/over"):
    os.write(a, b"%d\n" % n)
    if n % 50 == 0:
        os.mkdir("%s/d/%s-%d" % (top, name, n))
    n += 1
open(work + "/writer-" + name, "w").write("%d\n" % n)
END
for i in 1 2; do
	hold_none python3 "$WORK/writer.py" "$WORK/m$i" "w$i" "$WORK" \
	    2>"$WORK/writer-w$i.err"
done
sessions=$(for i in 1 2 3; do control $i session; done | xargs)

is_upgrade() {
	[ "$(timeout 10 cat "$WORK/m$1/.zkfs/status" |
	    sed -n 's/^upgrades: //p')" = "$2" ]
}
is_connected() { [ "$(timeout 10 cat "$WORK/m$1/.zkfs/state")" = connected ]; }
# May be refused while there is no leader: then it is asked again.
upgrade() {
	is_upgrade "$1" "$2" && return 0
	"$BUILD/zkfs" -m "$WORK/m$1" upgrade >>"$WORK/upgrades" 2>&1
	is_upgrade "$1" "$2"
}
for round in 1 2 3 4 5 6 7; do
	for i in 1 2 3; do
		must wait_until 20 is_connected "$i"
		must wait_until 30 upgrade "$i" "$round"
	done
done
must wait_until 20 is_connected 2
same "all sessions are the same" "$sessions" \
    "$(for i in 1 2 3; do control $i session; done | xargs)"
same "the ephemeral is there" mine "$(cat "$M3/eph/me")"
check "its owner can write it" sh -c 'echo again >&7'
check_not "the lock is held" flock -n "$M1/locks/l" true
check_not "the waiters wait" test -e "$WORK/got"
same "all of them" 6 "$(grep -c waits "$M1/.zkfs/locks")"
kill "$last"
check "one that is ended waits no more" wait_until 20 are_waiting 5
exec 8>&-
all_got() { [ "$(wc -l <"$WORK/got")" = 5 ]; } 2>/dev/null
check "and get it" wait_until 20 all_got
same "in the order in which they came" "1 on z3
2 on z1
3 on z2
4 on z3
5 on z1" "$(cat "$WORK/got")"
: >"$WORK/over"
for i in 1 2; do
	check "the writer on z$i has met no error" \
	    wait_until 20 test -e "$WORK/writer-w$i"
	cat "$WORK/writer-w$i.err"
	count=$(cat "$WORK/writer-w$i")
	check "and none of its appends is lost or doubled" \
	    cmp <(seq 0 $((count - 1))) "$WORK/m$i/appended-w$i"
	seq -f "w$i-%.0f" 0 50 $((count - 1))
done >"$WORK/out.writers"
grep -v '^w' "$WORK/out.writers"
grep '^w' "$WORK/out.writers" | sort >"$WORK/want"
mkdir "$M3/d/end"
check "inotify goes on" wait_until 20 grep -q end "$WORK/inotify"
check "and has each name once" \
    cmp "$WORK/want" <(grep '^w' "$WORK/inotify" | sort)
for i in 1 2 3; do
	check "events on z$i go on" wait_until 20 grep -q '"/d/end"' \
	    "$WORK/events$i"
done
for i in 2 3; do
	check "the lines of z$i are those of z1" cmp "$WORK/events1" \
	    "$WORK/events$i"
done
check "with each name once" cmp "$WORK/want" <(grep '"create"' \
    "$WORK/events1" | grep -o '/d/w[^"]*' | cut -d/ -f3 | sort)
exec 7>&-
check "the ephemeral goes with its owner" wait_until 20 test ! -e "$M1/eph/me"
check "the trees agree" wait_until 20 agree 1 2 3
for f in "$WORK"/pids/*; do
	case " ${PID[*]} " in
	*" ${f##*/} "*) ;;
	*) # While it has something open the mount is busy.
		kill "${f##*/}" 2>/dev/null
		"$WAITFOR" gone 20 "${f##*/}"
		;;
	esac
done
stop_all
