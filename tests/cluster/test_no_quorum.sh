# Without the others nothing waits for ever: writes, locks and reads past the
# copy are answered in time, whoever is killed dies, and a daemon ends, by
# umount, by SIGTERM and by kill -9, also while files are held open.
. "$(dirname "$0")/hosts.sh"
SESSION=6
mkfifo "$WORK/never"
alone() {
	must start_all op_timeout=2s
	mkdir "$WORK/m1/e" && chmod u+s "$WORK/m1/e"
	echo 1 >"$WORK/m1/value"
	: >"$WORK/m1/lock"
	for i in $ALL; do
		must wait_until 10 test -e "$WORK/m$i/lock"
	done
	exec 8>"$WORK/m1/e/owner" 9<"$WORK/m1/lock"
	must flock -n 9
	kill_member 2
	kill_member 3
}
back() {
	exec 8>&- 9>&-
	for i in $ALL; do
		is_gone "$i" && [ ! -e "$WORK/d$i/pid" ] || kill_member "$i" \
		    2>/dev/null
	done
	rm -rf "$WORK"/d?
}
timed() {
	local started
	started=$(now_ms)
	"${@:2}"
	echo "$(($(now_ms) - started)) ms"
	[ $(($(now_ms) - started)) -lt $(($1 * WAITS)) ]
}
fails_in_time() {
	timed 5000 check_not "$*" bash -c "$*"
}
in_state() {
	[ "$(control 1 state)" = "$1" ]
}

# --- everything is answered
alone
check "a write" fails_in_time "echo 2 >$WORK/m1/value"
check "an append" fails_in_time "echo 2 >>$WORK/m1/value"
check "a new file" fails_in_time ": >$WORK/m1/new"
check "a rename" fails_in_time "mv $WORK/m1/value $WORK/m1/other"
check "sync of a file" fails_in_time "sync $WORK/m1/value"
same "a read" 1 "$(timeout 5 cat "$WORK/m1/value")"
check "the session is over in time" wait_until $((8 * WAITS)) in_state lost
check "a lock, when the session is over" \
    fails_in_time "flock $WORK/m1/lock true"
check "who owned a file is told" fails_in_time "echo 3 >&8"
kill -TERM "${PID[1]}"
check "SIGTERM ends the daemon, though files are held" \
    "$WAITFOR" gone $((8 * WAITS)) "${PID[1]}"
wait "${PID[1]}"
umount -l "$WORK/m1" 2>/dev/null
back

# --- who waits can be killed, and then the mount is free
alone
spawn bash -c "echo 2 >$WORK/m1/value"
writer=$!
spawn bash -c "exec 7<$WORK/m1/lock; flock 7"
locker=$!
read -r -t 0.3 _ <>"$WORK/never"
kill -KILL $writer $locker
check "who writes dies when killed" "$WAITFOR" gone $((4 * WAITS)) $writer
check "who waits for a lock dies when killed" \
    "$WAITFOR" gone $(((SESSION + 3) * WAITS)) $locker
exec 8>&- 9>&-
check "umount" timeout 5 umount "$WORK/m1"
check "ends the daemon" "$WAITFOR" gone $((8 * WAITS)) "${PID[1]}"
wait "${PID[1]}"
back

# --- kill -9 while files are held and requests wait
alone
for i in 1 2 3 4; do
	spawn bash -c ": >$WORK/m1/new$i"
	waiters[i]=$!
done
read -r -t 0.3 _ <>"$WORK/never"
kill_member 1
for i in 1 2 3 4; do
	check "who waited is told" "$WAITFOR" gone $((5 * WAITS)) "${waiters[i]}"
done
exec 8>&- 9>&-
must start_all op_timeout=2s
check "and all of it starts again" works 1 10
must stop_all
