#!/bin/bash
# The end of a mount: umount, SIGTERM and kill -9, with and without those who
# hold something on it; nobody is left that cannot be ended.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"

# Children of this test that sleep where no signal reaches them.
stuck() {
	local pid stat
	for pid in "$WORK"/pids/*; do
		pid=${pid##*/}
		[ "$pid" != "$FS_PID" ] || continue
		read -r stat <"/proc/$pid/stat" 2>/dev/null || continue
		case ${stat##*) } in
		D*) echo "$pid" ;;
		esac
	done
}
# shellcheck disable=SC2317
none_stuck() {
	[ -z "$(stuck)" ]
}
# One process for each way to be in the middle of something.
occupy() {
	mkdir -p "$M/e" "$M/dir" && chmod u+s "$M/e"
	rm -f "$WORK/up"
	mkfifo "$WORK/up"
	exec 8<>"$WORK/up"
	spawn bash -c 'exec 9>"$1/e/held" && echo up >&8; read -r _ <"$2/never"
		' sh "$M" "$WORK" 2>/dev/null
	spawn bash -c 'exec 9>"$1/lock"; flock 9 && echo up >&8
		read -r _ <"$2/never"' sh "$M" "$WORK" 2>/dev/null
	read -r _ <&8 && read -r _ <&8
	spawn bash -c 'echo up >&8; exec flock "$1/lock" true' sh "$M"
	spawn bash -c 'cd "$1/dir" && echo up >&8; read -r _ <"$2/never"' \
	    sh "$M" "$WORK" 2>/dev/null
	spawn bash -c 'echo up >&8; while echo v >"$1/busy"; do :; done' \
	    sh "$M" 2>/dev/null
	spawn bash -c 'echo up >&8; while cat "$1/busy"; do :; done' \
	    sh "$M" >/dev/null 2>&1
	for _ in 1 2 3 4; do
		read -r _ <&8
	done
}
end_all() {
	local pid status=0
	for pid in "$WORK"/pids/*; do
		pid=${pid##*/}
		[ "$pid" != "$FS_PID" ] || continue
		kill -KILL "$pid" 2>/dev/null
		"$WAITFOR" gone 10 "$pid" || {
			echo "process $pid cannot be ended"
			status=1
		}
		wait "$pid" 2>/dev/null
		rm -f "$WORK/pids/$pid"
	done
	exec 8>&-
	return "$status"
}
mkfifo "$WORK/never"

must start_fs
echo kept >"$M/f"
occupy
refuses "busy" umount "$M"
same "a refused umount changes nothing" kept "$(cat "$M/f")"
check "all of them can be ended" end_all
must stop_fs

must start_fs
occupy
exec 7<"$M/f" 6>>"$M/f"
kill -TERM "$FS_PID"
check "SIGTERM ends the daemon in spite of holders" \
    "$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID"
same "with exit status" 0 $?
FS_PID=
check_not "nothing is mounted any more" is_mounted
refuses "Transport endpoint is not connected" cat <&7
refuses "Transport endpoint is not connected" python3 -c \
    'import os; os.write(6, b"x")'
refuses "Transport endpoint is not connected" python3 -c \
    'import os; os.fsync(6)'
exec 7<&- 6>&-
check "nobody is stuck" wait_until 10 none_stuck
check "all of them can be ended" end_all

must start_fs
same "what was there is there" kept "$(cat "$M/f")"
check_not "what was held is not" test -e "$M/e/held"
check "nor the lock" flock -n "$M/lock" true
occupy
exec 7<"$M/f"
must kill_fs
refuses "Transport endpoint is not connected" cat <&7
exec 7<&-
check "kill -9 of the daemon: nobody is stuck" wait_until 10 none_stuck
check "all of them can be ended" end_all
must start_fs
same "what was there is there" kept "$(cat "$M/f")"
check_not "what was held is not" test -e "$M/e/held"
check "nor the lock" flock -n "$M/lock" true

# A daemon that is stopped holds its callers up; killed, it lets them go.
mkfifo "$WORK/go"
spawn bash -c 'read -r _ <"$1/go"; cat "$2/new" "$2/f"' sh "$WORK" "$M"
kill -STOP "$FS_PID"
echo >"$WORK/go"
must kill_fs
check "a stopped daemon, killed: its callers are not stuck" \
    wait_until 10 none_stuck
exec 8>&1
check "and can be ended" end_all

must start_fs
check "umount -l with a reader inside" bash -c '
	exec 5<"$1/f" && umount -l "$1" && [ "$(cat <&5)" = kept ]' sh "$M"
check "ends the daemon when the last file is closed" \
    "$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID"
FS_PID=
must start_fs
must stop_fs
