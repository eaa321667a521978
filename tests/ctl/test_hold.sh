# hold, elect and lock: what a command gets, and when it ends.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
cd "$M" || exit 1
mkdir -m u+s,go=rx seats
mkdir plain

# runs STATUS CMD...: CMD exits with that.
runs() {
	local want=$1 status
	shift
	"$@" >"$WORK/out" 2>"$WORK/err"
	status=$?
	[ "$status" -eq "$want" ] || sed 's/^/    /' "$WORK/err"
	same "exit status of ${*#"$BUILD/"}" "$want" "$status"
}

for dir in seats plain; do
	seat=$dir/master
	runs 0 "$ZKFS" hold $seat me -- cat $seat
	same "$dir: the value is there while CMD runs" me "$(cat "$WORK/out")"
	check "$dir: and gone when it ended" wait_until 5 test ! -e $seat
	runs 7 "$ZKFS" hold $seat me -- sh -c 'exit 7'
	runs 137 "$ZKFS" hold $seat me -- sh -c 'kill -KILL $$'
	runs 127 "$ZKFS" hold $seat me -- no-such-program
	runs 126 "$ZKFS" hold $seat me -- /
	check "$dir: gone after a failure" wait_until 5 test ! -e $seat
	runs 0 "$ZKFS" hold $seat me -- sh -c \
	    "test \$ZKFS_FENCE = \$(getfattr --only-values \
	    -n user.zkfs.czxid $seat)"

	spawn "$ZKFS" hold $seat me -- tail -f /dev/null
	holder=$!
	check "$dir: held" wait_until 10 test -s $seat
	runs 1 "$ZKFS" hold $seat you -- true
	check "$dir: and says so" grep -q "held by another process" "$WORK/err"
	refuses "Device or resource busy" sh -c "exec 9>$seat"
	kill -TERM $holder
	wait $holder
	same "$dir: SIGTERM reaches CMD" 143 $?
	check "$dir: gone" wait_until 5 test ! -e $seat

	# Nothing that CMD leaves behind keeps the file.
	"$ZKFS" hold $seat me -- sh -c \
	    "tail -f /dev/null >/dev/null 2>&1 & echo \$! >$WORK/left"
	check "$dir: gone, though a child of CMD lives" \
	    wait_until 5 test ! -e $seat
	check "$dir: it lives" kill -0 "$(cat "$WORK/left")"
	kill "$(cat "$WORK/left")"

	# kill -9 of the holder ends CMD too.
	spawn "$ZKFS" hold $seat me -- sh -c \
	    "echo \$\$ >$WORK/cmd; exec tail -f /dev/null"
	holder=$!
	check "$dir: CMD runs" wait_until 10 test -s "$WORK/cmd"
	kill -KILL $holder
	wait $holder 2>/dev/null
	check "$dir: kill -9 removes the file" wait_until 5 test ! -e $seat
	check "$dir: and ends CMD" "$WAITFOR" gone 10 "$(cat "$WORK/cmd")"
	rm "$WORK/cmd"

	# Another removes the file: CMD ends, and with it all it started.
	spawn "$ZKFS" hold --grace 0.3 $seat me -- sh -c \
	    "setsid sh -c 'trap : TERM; echo \$\$ >$WORK/deaf.new
	     mv $WORK/deaf.new $WORK/deaf
	     while :; do tail -f /dev/null; done' & wait"
	holder=$!
	check "$dir: a deaf child of CMD runs" \
	    wait_until 10 test -s "$WORK/deaf"
	rm $seat
	wait $holder
	same "$dir: the loss is told" 124 $?
	check_not "$dir: the deaf child has ended" \
	    kill -0 "$(cat "$WORK/deaf")"
	rm "$WORK/deaf"

	# Waiting.
	spawn "$ZKFS" hold $seat first -- tail -f /dev/null
	holder=$!
	check "$dir: held again" wait_until 10 test -s $seat
	"$ZKFS" elect $seat second -- cat $seat >"$WORK/second" &
	waiter=$!
	: >"$WORK/pids/$waiter"
	kill -TERM $holder
	wait $holder
	wait $waiter
	same "$dir: the one that waited is elected" 0 $?
	same "$dir: and has its own value" second "$(cat "$WORK/second")"
done

# --- exactly one at a time: each looks for another inside
race() {
	local i
	for i in 1 2 3 4; do
		"$ZKFS" elect seats/race "$1" -- sh -c "
			mkdir $WORK/inside || echo clash >>$WORK/clashes
			echo \$ZKFS_FENCE >>$WORK/fences
			rmdir $WORK/inside"
	done
}
for i in 1 2 3 4; do
	race "$i" &
	racers="${racers:-} $!"
done
# shellcheck disable=SC2086
wait $racers
check_not "two were never master at once" test -e "$WORK/clashes"
same "all had their turn" 16 "$(wc -l <"$WORK/fences")"
check "fences only grew" sort -n -c -u "$WORK/fences"

# --- lock
runs 0 "$ZKFS" lock file.lock -- sh -c 'test "$ZKFS_FENCE" -gt 0'
check "the file stays" test -f file.lock
runs 9 "$ZKFS" lock file.lock -- sh -c 'exit 9'
runs 125 "$ZKFS" lock plain -- true
check "a directory is refused" grep -q "Is a directory" "$WORK/err"
spawn "$ZKFS" lock file.lock -- tail -f /dev/null
holder=$!
locked() {
	! flock -n file.lock true
}
check "locked for flock(1), too" wait_until 10 locked
runs 1 "$ZKFS" lock -n file.lock -- true
check "and says so" grep -q "locked by another process" "$WORK/err"
runs 1 "$ZKFS" lock -w 0.2 file.lock -- true
runs 1 "$ZKFS" lock -s -n file.lock -- true
"$ZKFS" lock -w 20 file.lock -- echo mine >"$WORK/mine" &
waiter=$!
: >"$WORK/pids/$waiter"
kill -TERM $holder
wait $holder
wait $waiter
same "the one that waited gets it" 0 $?
same "and runs" mine "$(cat "$WORK/mine")"
spawn "$ZKFS" lock -s file.lock -- tail -f /dev/null
shared=$!
check "locked" wait_until 10 locked
runs 0 "$ZKFS" lock -s -n file.lock -- true
kill -TERM $shared
wait $shared
spawn "$ZKFS" lock file.lock -- tail -f /dev/null
holder=$!
check "locked" wait_until 10 locked
rm file.lock
wait $holder
same "a lock file that is removed is a lock that is lost" 124 $?
for i in 1 2 3 4 5; do
	"$ZKFS" lock file.lock -- sh -c 'echo $ZKFS_FENCE' >>"$WORK/lock-fences"
done
check "fences only grow" sort -n -c -u "$WORK/lock-fences"

# --- a daemon that dies or hangs
spawn "$ZKFS" hold seats/a me -- sh -c \
    "echo \$\$ >$WORK/cmd; exec tail -f /dev/null"
holder=$!
spawn "$ZKFS" lock file.lock -- tail -f /dev/null
locker=$!
check "held" wait_until 10 test -s seats/a
check "locked" wait_until 10 locked
cd / || exit 1
kill_fs
wait $holder
same "without a daemon nothing is held" 124 $?
wait $locker
same "or locked" 124 $?
check "CMD has ended" "$WAITFOR" gone 10 "$(cat "$WORK/cmd")"
umount -l "$M"
must start_fs session_timeout=2s
spawn "$ZKFS" hold "$M/seats/a" me -- sh -c \
    "echo \$\$ >$WORK/cmd2; exec tail -f /dev/null"
holder=$!
check "held" wait_until 10 test -s "$WORK/cmd2"
kill -STOP "$FS_PID"
check "a daemon that hangs is a loss before the session's time" \
    "$WAITFOR" gone 10 "$(cat "$WORK/cmd2")"
kill -CONT "$FS_PID"
wait $holder
same "and is told" 124 $?
