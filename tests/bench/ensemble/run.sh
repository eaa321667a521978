#!/bin/bash
# run.sh [PART...]: figures of an ensemble of three on this machine, with their
# goals: start, idle, failover, dead, behind, files; all without PART.
#   start     three daemons started together, until the first write is done
#   idle      memory, processor time and disk writes with nothing to do
#   failover  the leader killed, or silent, until a write is done elsewhere
#   dead      a host dies: until its ephemeral file is gone
#   behind    a member that was away catches up: by the log, and by a snapshot
#   files     memory with many files, and a snapshot of them
# BUILD and TMPDIR as for ../run.sh; QUICK=1 is shorter.
# shellcheck disable=SC2016,SC2086,SC2034 # $1 of awk; numbers; of lib.sh
SRC=$(cd "$(dirname "$0")/../../.." && pwd)
BUILD=$(cd "${BUILD:-$SRC/build}" && pwd) || exit 2
export SRC BUILD
# What is in it the inner one ends; the directory is the outer one's.
if [ -z "${WORK:-}" ]; then
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-bench.XXXXXX") || exit 1
	WORK=$work bash "$0" "$@"
	status=$?
	rm -rf --one-file-system "$work"
	exit $status
fi
SESSION=4
. "$SRC/tests/cluster/lib.sh"
STEADY=$BUILD/tests/bench/ensemble/steady
FILL=$BUILD/tests/bench/peers/zkfs
trials=7 missed=100000 files=100000 idle_s=10
[ -n "${QUICK:-}" ] && trials=3 missed=20000 files=10000 idle_s=4
goals=0 misses=0

# figure NAME UNIT GOAL VALUE...: the median, and whether it is at most GOAL.
figure() {
	local name=$1 unit=$2 goal=$3 verdict=ok sorted
	shift 3
	mapfile -t sorted < <(printf '%s\n' "$@" | sort -n)
	goals=$((goals + 1))
	if awk "BEGIN { exit !(${sorted[$#/2]} > $goal) }"; then
		verdict=MISS misses=$((misses + 1))
	fi
	printf '%-52s %9s %-4s %-17s <= %-6s %s\n' "$name" \
	    "${sorted[$#/2]}" "$unit" "${sorted[0]}..${sorted[$#-1]}" \
	    "$goal" "$verdict"
}
# told NAME UNIT VALUE: a figure without a goal.
told() {
	printf '%-52s %9s %-4s\n' "$1" "$3" "$2"
}
fresh() {
	rm -rf "$WORK"/d? "$WORK"/z?.log
}
has_first() {
	echo v 2>/dev/null >"$WORK/m1/first" && is_up 1
}
know_leader() {
	leader=$(leader_of 1) && [ -n "$leader" ] &&
	    [ "$(leader_of 2)$(leader_of 3)" = "$leader$leader" ]
}
survivors() {
	mapfile -t rest < <(others "$leader")
}
# usage I: memory of its own and that it shares, in MiB.
usage() {
	awk '/^Rss(Anon|Shmem):/ { kib += $2 }
	    END { printf "%.1f\n", kib / 1024 }' "/proc/${PID[$1]}/status"
}
memory() {
	figure "$1" MiB "$2" "$(usage 1)" "$(usage 2)" "$(usage 3)"
}

part_start() {
	local n start took=()
	for ((n = 0; n < trials; n++)); do
		fresh
		start=$(now_ms)
		for i in $ALL; do
			launch_member $i
		done
		until has_first; do :; done
		took+=($(($(now_ms) - start)))
		for i in $ALL; do
			must settle_member $i
		done
		must stop_all
	done
	figure "three start -> first write" ms 500 "${took[@]}"
}

# cpu_us I, written I: of the daemon and the processes it has forked.
cpu_us() {
	local pid
	for pid in ${PID[$1]} $(cat "/proc/${PID[$1]}/task/${PID[$1]}/children"); do
		cat /proc/$pid/task/*/schedstat
	done | awk '{ ns += $1 } END { printf "%.0f\n", ns / 1000 }'
}
written() {
	awk '/^write_bytes:/ { print $2 }' "/proc/${PID[$1]}/io"
}
rest_seconds() {
	read -r -t "$1" _ <>"$WORK/never"
}
part_idle() {
	local i before=() bytes=() cpu=() wrote=()
	must wait_until 10 know_leader
	rest_seconds 2
	memory "memory of a member, idle" 20
	for i in $ALL; do
		before[i]=$(cpu_us $i) bytes[i]=$(written $i)
	done
	rest_seconds $idle_s
	for i in $ALL; do
		cpu+=("$(awk "BEGIN { printf \"%.2f\", \
($(cpu_us $i) - ${before[i]}) / 1e4 / $idle_s }")")
		wrote+=($(($(written $i) - bytes[i])))
	done
	figure "idle: of a core" % 0.5 "${cpu[@]}"
	figure "idle: written to the disk in $idle_s s" B 0 "${wrote[@]}"
}

# end_hard I: kill -9, of which the shell is to say nothing.
end_hard() {
	disown "${PID[$1]}"
	kill -KILL "${PID[$1]}"
}
start_again() {
	"$WAITFOR" gone 10 "${PID[$1]}"
	umount -l "$WORK/m$1"
	must start_member $1
}
# until_written I: milliseconds until a write is done there.
until_written() {
	local start
	start=$(now_ms)
	until echo v 2>/dev/null >"$WORK/m$1/failover"; do :; done
	echo $(($(now_ms) - start))
}
part_failover() {
	local n killed=() silent=()
	for ((n = 0; n < trials; n++)); do
		must wait_until 10 know_leader
		survivors
		end_hard $leader
		killed+=("$(until_written ${rest[0]})")
		start_again $leader
	done
	figure "leader killed -> a write elsewhere" ms 300 "${killed[@]}"
	for ((n = 0; n < trials; n++)); do
		must wait_until 10 know_leader
		survivors
		kill -STOP "${PID[leader]}"
		silent+=("$(until_written ${rest[0]})")
		kill -CONT "${PID[leader]}"
	done
	figure "leader silent -> a write elsewhere" ms 1500 "${silent[@]}"
}

part_dead() {
	local n took=() start i
	must wait_until 10 know_leader
	mkdir -p "$WORK/m1/e" && chmod u+s "$WORK/m1/e"
	for ((n = 0; n < 3; n++)); do
		i=$((n % 3 + 1))
		must wait_until 10 test -u "$WORK/m$i/e"
		exec 9>"$WORK/m$i/e/held" || return
		must wait_until 10 test -e "$WORK/m$((i % 3 + 1))/e/held"
		start=$(now_ms)
		end_hard $i
		while [ -e "$WORK/m$((i % 3 + 1))/e/held" ]; do
			rest_seconds 0.01
		done
		took+=($(($(now_ms) - start)))
		exec 9>&-
		start_again $i
		must wait_until 10 know_leader
	done
	figure "a host dies -> its ephemeral is gone (session $SESSION s)" ms \
	    $((SESSION * 1000 + 1000)) "${took[@]}"
}

# catch_up NAME COMMAND...: member z$late is away while COMMAND is done.
catch_up() {
	local name=$1 start took before during late
	shift
	must wait_until 10 know_leader
	late=$((leader % 3 + 1))
	writer=$WORK/m$leader
	stop_member $late
	must "$@"
	coproc steady { exec "$STEADY" watch "$writer/steady"; }
	rest_seconds 2
	echo mark >&${steady[1]} && read -r _ <&${steady[0]}
	rest_seconds 3
	echo mark >&${steady[1]} && read -r before _ <&${steady[0]}
	start=$(now_ms)
	must start_member $late
	took=$(($(now_ms) - start))
	echo mark >&${steady[1]} && read -r during _ <&${steady[0]}
	eval "exec ${steady[1]}>&-"
	wait $!
	told "$name" ms $took
	told "  a write of the others before, median" us $before
	told "  a write of the others meanwhile, median" us "$during"
	figure "  the same, times that before" x 2 \
	    "$(awk "BEGIN { printf \"%.2f\", $during / $before }")"
}
part_behind() {
	mkdir -p "$WORK/m1/w" && must wait_until 10 test -d "$WORK/m3/w" &&
	    must wait_until 10 test -d "$WORK/m2/w"
	catch_up "away for 7,500 changes, back by the log" \
	    eval '"$STEADY" write "$writer/w" 64 7500'
	catch_up "away for $missed changes, back by a snapshot" \
	    eval '"$STEADY" write "$writer/w" 64 $missed'
}
fill() {
	"$FILL" fill "create and write, 16 in flight" "$WORK/m$leader" $files
}
part_files() {
	catch_up "away for $files new files, back by a snapshot" fill
	memory "memory of a member, $files files" 120
}

mkfifo "$WORK/never"
printf '# %s, %s processors, load %s, %s\n' "$(uname -sr)" "$(nproc)" \
    "$(cut -d' ' -f1-3 /proc/loadavg)" "$(date -u +%FT%TZ)"
printf '%-52s %9s %-4s %-17s %s\n' measure value unit range goal
[ $# -gt 0 ] || set -- start idle failover dead behind files
for part; do
	case $part in
	start) part_start ;;
	idle | failover | dead | behind | files)
		if [ -z "${PID[1]:-}" ] || is_gone 1; then
			fresh
			must start_all
		fi
		"part_$part"
		;;
	*) echo "no such part: $part" >&2 && exit 2 ;;
	esac
done
echo "# goals: $((goals - misses)) met, $misses missed"
checks=$goals
stop_all
