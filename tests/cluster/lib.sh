# lib.sh: sourced first by every tests/cluster/test_*.sh (bash).  It adds to
# tests/mount/lib.sh an ensemble of daemons on this machine, z1 to z3, each
# with a data directory, a mount, a log and an address of its own: $WORK/d1,
# $WORK/m1, $WORK/z1.log ...  A test may set before: VOTERS, how many are in
# SOURCE (3), HOSTS, how many there are in all, and SESSION, in seconds (4).
# Tests that need hosts with a network between them source hosts.sh instead,
# which comes here.
#
#   start_all [OPTS]      all at once, until each is mounted
#   start_member I [OPTS] one, until it is mounted or has given up
#   launch_member I [OPTS]   one, without waiting; its process is PID[I].
#                         NAME[I]: its name, if not zI; "": none
#   kill_member I         kill -9; the dead mount is taken away
#   stop_member I         umount, until the process is gone
#   stop_all
#   leader_of I           who leads, in the eyes of member I, as a number
#   control I FILE        the text of .zkfs/FILE
#   role_of I NAME        of a member, in the eyes of member I; "": there is
#                         none of that name
#   zkfs I COMMAND...     zkfs(1) on the mount of member I
#   says I TEXT           whether the log of member I has it
#   reads FILE TEXT       whether that is what is in the file
#   ends I STATUS         member I ends by itself, and with this status
#   is_up I               whether member I is mounted
#   agree I...            whether these members have applied the same and have
#                         the same digest
#   now_ms                a clock
#   test_cleanup          a test's own function, called when the daemons are
#                         gone
#   ALL, others I...      the numbers of all in SOURCE; of all but these

. "$(dirname "${BASH_SOURCE[0]}")/../mount/lib.sh"
# What nng does under the eyes of ThreadSanitizer; see there.
TSAN_OPTIONS=$TSAN_OPTIONS:suppressions=$SRC/tests/transport/tsan.supp
PID=()
NAME=()
VOTERS=${VOTERS:-3}
HOSTS=${HOSTS:-$VOTERS}
ALL=$(seq -s " " "$VOTERS")
EVERY=$(seq -s " " "$HOSTS")
SESSION=${SESSION:-4} # seconds
AT=() # the command before that of member I; hosts.sh sets it
ADDRESS=()

port_is_free() {
	! grep -qi "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") " /proc/net/tcp
}
loopback_addresses() {
	local base=$((20000 + $$ * 16 % 10000)) i # two tests at a time
	for i in $EVERY; do
		base=$((base + 1))
		until port_is_free $base; do
			base=$((base + 1))
		done
		PORT[i]=$base
		ADDRESS[i]=127.0.0.1:$base
	done
}
[ "${IN_HOSTS:-}" = 1 ] || loopback_addresses
make_source() {
	local i
	SOURCE=
	for i in $EVERY; do
		mkdir -p "$WORK/m$i"
	done
	for i in $ALL; do
		SOURCE=$SOURCE,z$i=${ADDRESS[i]}
	done
	SOURCE=${SOURCE#,}
}
[ "${IN_HOSTS:-}" = 1 ] || make_source
KEY=$WORK/key
"$BUILD/zkfs" keygen "$KEY" || exit 1

others() {
	local i
	for i in $ALL; do
		case " $* " in
		*" $i "*) ;;
		*) echo "$i" ;;
		esac
	done
}

now_ms() {
	echo $((${EPOCHREALTIME/./} / 1000))
}

is_up() {
	mountpoint -q "$WORK/m$1" 2>/dev/null
}

is_gone() {
	"$WAITFOR" gone 0 "${PID[$1]}"
}

is_settled() {
	is_gone "$1" || is_up "$1"
}

launch_member() {
	local i=$1 name=${NAME[$1]-z$1}
	# shellcheck disable=SC2086 # a command and its arguments
	${AT[i]:-} "$BUILD/mount.zkfs" "${FROM-$SOURCE}" "$WORK/m$i" -f \
	    -o "data=$WORK/d$i\
${name:+,name=$name},config=none,key=$KEY,session_timeout=${SESSION}s${2:+,$2}" \
	    >>"$WORK/z$i.log" 2>&1 </dev/null &
	PID[i]=$!
	: >"$WORK/pids/${PID[i]}"
}

settle_member() {
	if ! wait_until 40 is_settled "$1" || is_gone "$1"; then
		fail "z$1 did not mount"
		tail -n 20 "$WORK/z$1.log" | sed 's/^/    /'
		return 1
	fi
}

start_member() {
	launch_member "$@"
	settle_member "$1"
}

start_all() {
	local i
	for i in $ALL; do
		launch_member $i "$@"
	done
	for i in $ALL; do
		settle_member $i || return 1
	done
}

kill_member() {
	kill -KILL "${PID[$1]}"
	"$WAITFOR" gone 20 "${PID[$1]}" || fail "z$1 survives SIGKILL"
	wait "${PID[$1]}" 2>/dev/null
	umount -l "$WORK/m$1"
}

stop_member() {
	local status=0
	checks=$((checks + 1))
	umount "$WORK/m$1" || fail "umount of z$1"
	"$WAITFOR" gone 20 "${PID[$1]}" || {
		fail "z$1 outlives its mount"
		kill -KILL "${PID[$1]}"
	}
	wait "${PID[$1]}" || status=$?
	[ "$status" -eq 0 ] || fail "z$1 ended with status $status"
}

stop_all() {
	local i
	for i in "${!PID[@]}"; do
		is_gone "$i" || stop_member "$i"
	done
}

control() {
	timeout 10 cat "$WORK/m$1/.zkfs/$2"
}

leader_of() {
	control "$1" leader | tr -d z-
}

role_of() {
	control "$1" members | awk -v name="$2" '$1 == name { print $3 }'
}

has_role() {
	[ "$(role_of "$1" "$2")" = "$3" ]
}

zkfs() {
	local i=$1 command=$2
	shift 2
	timeout 40 "$BUILD/zkfs" "$command" -m "$WORK/m$i" "$@"
}

says() {
	local i=$1
	shift
	checks=$((checks + 1))
	if wait_until 5 grep -qsF -- "$*" "$WORK/z$i.log"; then
		echo "ok - z$i says: $*"
	else
		fail "z$i does not say: $*"
	fi
}

reads() {
	[ "$(cat "$1" 2>/dev/null)" = "$2" ]
}

ends() {
	local status=0
	"$WAITFOR" gone 45 "${PID[$1]}" || return 1
	wait "${PID[$1]}" || status=$?
	[ "$status" -eq "$2" ] || echo "status $status"
	[ "$status" -eq "$2" ]
}

agree() {
	local i first=
	for i; do
		set -- "$(control "$i" digest)"
		[ -n "$1" ] || return 1
		[ "${first:=$1}" = "$1" ] || return 1
	done
}

cluster_cleanup() {
	local status=$? i
	for i in "${PID[@]}"; do
		grep -qzF -- "ZKFS_TEST=$WORK" "/proc/$i/environ" 2>/dev/null ||
		    continue
		[ "$failures" -eq 0 ] && [ "$status" -eq 0 ] &&
		    fail "a daemon is left: $i"
		kill -KILL "$i"
	done
	for ((i = 1; i <= HOSTS; i++)); do
		while is_mounted "$WORK/m$i"; do
			umount -l "$WORK/m$i" || break
		done
		[ "$failures" -eq 0 ] && [ "$status" -eq 0 ] && continue
		[ -s "$WORK/z$i.log" ] && echo "--- the last lines of z$i" &&
		    tail -n 15 "$WORK/z$i.log"
	done
	! declare -F test_cleanup >/dev/null || test_cleanup
	[ "${IN_HOSTS:-}" != 1 ] || hosts_down
	(exit "$status")
	cleanup
}
trap cluster_cleanup EXIT
