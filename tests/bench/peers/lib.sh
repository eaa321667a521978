# shellcheck shell=bash
# shellcheck disable=SC2034 # what is set here is used by the scripts
# Sourced by the scripts beside it: a work directory on a real disk, servers
# that end with the script, and lines of the table.
set -u
export LC_ALL=C
# Debian keeps servers out of a user's path.
PATH=$PATH:/usr/sbin:/sbin
tools=$(realpath "${BUILD:-build}")/tests/bench/peers
if [ -n "${QUICK:-}" ]; then
	secs=1 trials=3 nodes=10000 owners=3
else
	secs=4 trials=5 nodes=100000 owners=7
fi
base_port=${PEERS_PORT:-27100} # 400 ports from here on, on 127.0.0.1
declare -A pid                 # server number -> process

work=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-peer.XXXXXX") || exit 1
cleanup() {
	trap - EXIT INT TERM
	stop_all KILL
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
case $(stat -f -c %T "$work") in
tmpfs | ramfs)
	echo "peers: $work is in memory: set TMPDIR to a real disk" >&2
	exit 1
	;;
esac

# need PACKAGE COMMAND: ends this peer's part, with a line that says why.
need() {
	type -P "$2" >/dev/null && return 0
	echo "# skipped: package $1 is not installed"
	exit 0
}
# built TOOL PACKAGE: its generator is built when its library is there.
built() {
	[ -x "$tools/$1" ] && return 0
	echo "# skipped: package $2 is not installed"
	exit 0
}

# run NUMBER COMMAND...: a server in the background.
run() {
	local number=$1
	shift
	"$@" >>"$work/log.$number" 2>&1 </dev/null &
	pid[$number]=$!
}
# reap NUMBER: after a kill by someone else.
reap() {
	wait "${pid[$1]}" 2>/dev/null
	unset "pid[$1]"
}
stop_all() {
	local number
	for number in "${!pid[@]}"; do
		kill -"${1:-TERM}" "${pid[$number]}" 2>/dev/null
	done
	for number in "${!pid[@]}"; do
		reap "$number"
	done
}

waitfor=$tools/../../mount/waitfor
# until_true SECONDS COMMAND...: tries until it succeeds.
until_true() {
	local end=$(($(now_ms) + $1 * 1000))
	shift
	until "$@"; do
		if [ "$(now_ms)" -ge "$end" ]; then
			echo "peers: gave up on: $*" >&2
			tail -n 5 "$work"/log.* >&2
			exit 1
		fi
		"$waitfor" passed 0.02
	done
}
now_ms() {
	echo "${EPOCHREALTIME%???}" | tr -d .
}
row() { # row NAME VALUE UNIT [SPREAD]
	printf '%-44s %11s %-7s %-22s %8s %7s %-15s\n' "$1" "$2" "$3" '' '' \
	    '' "${4:-}"
}
# row_of NAME UNIT FIGURE...: the median, with the range as spread.
row_of() {
	local name=$1 unit=$2
	shift 2
	mapfile -t sorted < <(printf '%s\n' "$@" | sort -n)
	row "$name" "${sorted[$#/2]}" "$unit" "${sorted[0]}..${sorted[$#-1]}"
}
# memory NAME: of every server running, in MiB.
memory() {
	local number all=()
	for number in "${!pid[@]}"; do
		all+=("$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' \
		    "/proc/${pid[$number]}/status")")
	done
	row_of "$1" MiB "${all[@]}"
}
