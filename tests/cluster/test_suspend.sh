# A host that was suspended, to memory or to disk, wakes up: its session was not
# renewed meanwhile, and it knows that at once, by a clock that went on, before
# it hears of anybody.  Then all hosts, as those of a laptop that was shut.
# shellcheck disable=SC2016,SC2034 # inner shells expand; lib.sh has AT
WAITS=${WAITS:-1} # bounds are this many times as long
. "$(dirname "$0")/lib.sh"
CLOCK=$BUILD/tests/cluster/clock.so
if [ ! -s "$CLOCK" ] || ldd "$BUILD/mount.zkfs" | grep -q 'lib[at]san'; then
	skip "needs a clock of its own"
fi
for i in $ALL; do
	echo 0 >"$WORK/slept.$i"
	AT[i]="env LD_PRELOAD=$CLOCK ZKFS_SLEPT=$WORK/slept.$i"
done
# sleeps SECONDS HOST...: as if they had, all in all.
sleeps() {
	local seconds=$1
	shift
	for i; do
		echo "$seconds" >"$WORK/new"
		mv "$WORK/new" "$WORK/slept.$i"
	done
}
must start_all
mkdir "$WORK/m1/e" && chmod u+s "$WORK/m1/e"
lead=$(leader_of 1)
lead=${lead#z}
away=$((lead % 3 + 1))
must wait_until 10 test -u "$WORK/m$away/e"
mkfifo "$WORK/never"
# holds HOST: a process that is to be told that it does not any more.
holds() {
	rm -f "$WORK/work.$1"
	spawn "$BUILD/zkfs" hold "$WORK/m$1/e/on$1" held -- sh -c \
	    'echo $$ >"$0/new.$1"; mv "$0/new.$1" "$0/work.$1"
	    read -r _ <"$0/never"' "$WORK" "$1"
	must wait_until 10 test -e "$WORK/work.$1"
	: >"$WORK/pids/$(cat "$WORK/work.$1")"
}
told() {
	"$WAITFOR" gone $((2 * WAITS)) "$(cat "$WORK/work.$1")"
}
# has_new HOST SESSION
has_new() {
	[ "$(control "$1" state)" = connected ] &&
	    [ "$(control "$1" session)" != "$2" ]
}
is_free() {
	[ ! -e "$1" ]
}

holds "$away"
holds "$lead"
session=$(control "$away" session)
kept=$(control "$lead" session)
sleeps $((SESSION - 2)) "$away"
check "less than its session lasts, and it goes on" \
    sh -c "echo on >'$WORK/m$away/file'"
same "in its session" "$session" "$(control "$away" session)"
sleeps $((2 * SESSION)) "$away"
check "longer, and who held something is told at once" told "$away"
check "the host has another session" wait_until 20 has_new "$away" "$session"
check "what it held is free" wait_until $(((SESSION + 5) * WAITS)) is_free \
    "$WORK/m$lead/e/on$away"
same "the others have noticed nothing" "$kept" "$(control "$lead" session)"
check "nor who holds something there" test -e "$WORK/m$away/e/on$lead"

holds "$away"
declare -A before
for i in $ALL; do
	before[$i]=$(control "$i" session)
done
sleeps $((20 * SESSION)) $ALL
check "all slept: who held something is told" told "$away"
check "everywhere" told "$lead"
for i in $ALL; do
	check "z$i has another session" wait_until 30 has_new "$i" \
	    "${before[$i]}"
	check "and writes" wait_until 10 sh -c "echo $i >'$WORK/m$i/file'"
done
check "all agree" wait_until 20 agree $ALL
must stop_all
