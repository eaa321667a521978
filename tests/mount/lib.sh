# shellcheck shell=bash
# lib.sh: sourced first by every tests/mount/test_*.sh (bash).  run.sh sets
# WORK (an empty directory of the test's own), BUILD and SRC.
#
#   start_fs [OPTS]       mount $M with the data directory $D; OPTS are more
#                         -o options, separated by commas.  The daemon stays
#                         in front of its own log, $WORK/daemon.log, so that
#                         an assertion is seen.  FS_PID is its process.
#   start_fs_background [OPTS]   the same the way mount(8) does it: mount.zkfs
#                         puts itself in the background, its pid is in $D/pid
#   stop_fs               umount; fails if the daemon or a child of it stays
#   kill_fs               kill -9 of the daemon
#   remount [OPTS]        stop_fs, start_fs
#   wait_until SECONDS CMD...    until CMD succeeds; CMD may be a function.  On
#                         a busy machine four times as long: a bound is to end
#                         a test that fails, not to measure one that passes
#   check TEXT CMD...     CMD must succeed
#   check_not TEXT CMD... CMD must fail
#   refuses ERRNO-TEXT CMD...    CMD must fail and say so on stderr
#   same TEXT WANT GOT    two strings must be equal
#   must CMD...           CMD must succeed, else the test ends here
#   spawn CMD...          CMD in the background; $! is ended at the end
#   as_user UID CMD...    CMD with that uid and gid, no other group
#   skip REASON           the test cannot run here
#
# A failed check is printed and counted and the test goes on; a test without
# a single check fails.  Everything is cleaned up at exit, however that comes.

set -u
: "${WORK:?run me with tests/mount/run.sh}" "${BUILD:?}"
M=$WORK/m
D=$WORK/d
WAITFOR=$BUILD/tests/mount/waitfor
FS_PID=
checks=0
failures=0
export LC_ALL=C TZ=UTC ZKFS_TEST=$WORK
mkdir -p "$M" "$WORK/pids" "$WORK/san"

san=log_path=$WORK/san/report:abort_on_error=1
export ASAN_OPTIONS=$san:detect_leaks=1
export UBSAN_OPTIONS=$san:print_stacktrace=1
export TSAN_OPTIONS=$san:second_deadlock_stack=1

fail() {
	failures=$((failures + 1))
	echo "not ok - $*"
}

skip() {
	echo "$*"
	exit 77
}

must() {
	"$@" && return 0
	echo "cannot go on after: $*"
	exit 1
}

check() {
	local text=$1 out
	shift
	checks=$((checks + 1))
	out=$WORK/out.$BASHPID
	if "$@" >"$out" 2>&1; then
		echo "ok - $text"
	else
		fail "$text (status $?: $*)"
		tail -n 20 "$out" | sed 's/^/    /'
	fi
	rm -f "$out"
}

check_not() {
	local text=$1
	shift
	checks=$((checks + 1))
	if "$@" >"$WORK/out" 2>&1; then
		fail "$text (succeeded: $*)"
		tail -n 20 "$WORK/out" | sed 's/^/    /'
	else
		echo "ok - $text"
	fi
}

refuses() {
	local text=$1 status
	shift
	checks=$((checks + 1))
	"$@" >"$WORK/out" 2>&1
	status=$?
	if [ "$status" -ne 0 ] && grep -qF -- "$text" "$WORK/out"; then
		echo "ok - refused ($text): $*"
	else
		fail "not refused with '$text' (status $status): $*"
		tail -n 20 "$WORK/out" | sed 's/^/    /'
	fi
}

same() {
	checks=$((checks + 1))
	if [ "$2" = "$3" ]; then
		echo "ok - $1"
	else
		fail "$1"
		printf '    want: %q\n    got:  %q\n' "$2" "$3"
	fi
}

# The helper gives a turn every few milliseconds until the time is over; a
# turn that nobody took yet is not given twice.
wait_until() {
	local bound=$(($1 * 4)) turns
	shift
	"$@" && return 0
	exec {turns}< <(exec "$WAITFOR" turns "$bound")
	while read -r _ <&"$turns"; do
		if "$@"; then
			exec {turns}<&-
			return 0
		fi
	done
	exec {turns}<&-
	"$@"
}

spawn() {
	"$@" &
	: >"$WORK/pids/$!"
}

as_user() {
	local uid=$1
	shift
	setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"
}

is_mounted() {
	awk -v dir="${1:-$M}" '$5 == dir { found = 1 } END { exit !found }' \
	    /proc/self/mountinfo
}

fs_options() {
	printf 'data=%s,config=none%s' "$D" "${1:+,$1}"
}

# The daemon's process and its children, for those who must see them gone.
fs_family() {
	local pid=$1
	echo "$pid"
	cat "/proc/$pid/task/"*/children 2>/dev/null
}

# A mount that answers: not the bare directory, nor what a dead daemon left,
# whose attributes the kernel may still know.  statfs(2) asks the daemon.
fs_answers() {
	[ "$(stat -f -c %t "$M" 2>/dev/null)" = 65735546 ]
}

fs_gone() {
	"$WAITFOR" gone 0 "$FS_PID"
}

fs_settled() {
	fs_gone || fs_answers
}

start_fs() {
	"$BUILD/mount.zkfs" "$M" -f -o "$(fs_options "${1:-}")" \
	    >>"$WORK/daemon.log" 2>&1 </dev/null &
	FS_PID=$!
	: >"$WORK/pids/$FS_PID"
	if ! wait_until 40 fs_settled || fs_gone; then
		fail "mount.zkfs did not mount"
		tail -n 20 "$WORK/daemon.log" | sed 's/^/    /'
		return 1
	fi
}

start_fs_background() {
	"$BUILD/mount.zkfs" "$M" -o "$(fs_options "${1:-}")" \
	    >>"$WORK/daemon.log" 2>&1 </dev/null || {
		fail "mount.zkfs: exit status $?"
		tail -n 20 "$WORK/daemon.log" | sed 's/^/    /'
		return 1
	}
	read -r FS_PID <"$D/pid" || {
		fail "no pid in $D/pid"
		return 1
	}
	: >"$WORK/pids/$FS_PID"
}

# Status of the daemon where it is our child, else 0.
family_gone() {
	local pid status=0
	for pid; do
		"$WAITFOR" gone 20 "$pid" && continue
		fail "process $pid outlived the mount"
		kill -KILL "$pid"
	done
	if jobs -p | grep -qx "$FS_PID"; then
		wait "$FS_PID" 2>/dev/null
		status=$?
	fi
	FS_PID=
	return "$status"
}

stop_fs() {
	local family
	family=$(fs_family "$FS_PID")
	checks=$((checks + 1))
	! fs_gone || fail "the daemon was gone before umount"
	umount "$M" || {
		fail "umount $M"
		return 1
	}
	# shellcheck disable=SC2086
	family_gone $family || fail "the daemon ended with status $?"
}

kill_fs() {
	local family
	family=$(fs_family "$FS_PID")
	kill -KILL "$FS_PID"
	# shellcheck disable=SC2086
	family_gone $family
	return 0
}

remount() {
	stop_fs && start_fs "$@"
}

# Only processes that were noted, and only while they are still ours.
end_processes() {
	local file pid
	for file in "$WORK/pids"/*; do
		[ -e "$file" ] || continue
		pid=${file##*/}
		grep -qzF -- "ZKFS_TEST=$WORK" "/proc/$pid/environ" \
		    2>/dev/null || continue
		kill -TERM "$pid" 2>/dev/null
		"$WAITFOR" gone 5 "$pid" || kill -KILL "$pid" 2>/dev/null
	done
	wait
}

cleanup() {
	local status=$?
	trap - EXIT
	cd /
	if [ -n "$FS_PID" ] && is_mounted; then
		umount "$M" 2>/dev/null || umount -l "$M"
		"$WAITFOR" gone 20 "$FS_PID" || fail "the daemon did not end"
	fi
	end_processes
	while is_mounted; do
		umount -l "$M" || break
	done
	cat "$WORK/san"/* >"$WORK/reports" 2>/dev/null
	grep -h 'assertion failed' "$WORK"/*.log >>"$WORK/reports" 2>/dev/null
	if [ "$failures" -gt 0 ] && [ -s "$WORK/daemon.log" ]; then
		echo "--- the daemon's last lines"
		tail -n 15 "$WORK/daemon.log"
	fi
	find "$WORK" -xdev -mindepth 1 -maxdepth 1 ! -name output \
	    ! -name reports ! -name "${KEEP:+*}" -exec rm -rf {} +
	[ "$status" -eq 0 ] || exit "$status"
	if [ "$checks" -eq 0 ]; then
		echo "not ok - the test checked nothing"
		exit 1
	fi
	echo "$checks checks, $failures failures"
	[ "$failures" -eq 0 ] || exit 1
	exit 0
}
trap cleanup EXIT
trap 'exit 124' TERM
trap 'exit 130' INT HUP

[ "$(id -u)" = 0 ] || skip "needs root, to mount"
[ -c /dev/fuse ] || skip "needs /dev/fuse"
