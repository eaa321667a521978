#!/bin/bash
# Topics of zkfs (three replicas, synced, through mounts) beside a stream of
# NATS JetStream (three replicas, which it acknowledges before they are synced)
# and Redis Streams (one server, synced): all of them run at once, and each
# measure is taken of one after the other.  What is not installed is left out.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need zkfs "$tools/../../../mount.zkfs"
# shellcheck source=tests/bench/peers/zkfs_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/zkfs_lib.sh"
# shellcheck source=tests/bench/peers/nats_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/nats_lib.sh"
queue=$tools/queue
redis_port=$((base_port + 300))
systems=zkfs
[ -n "${QUICK:-}" ] && rounds=1 || rounds=3
secs=$((secs > 2 ? 2 : secs))
goals=0 missed=0

# --- the peers ----------------------------------------------------------------
redis() {
	redis-cli -p $redis_port "$@"
}
redis_up() {
	mkdir -p "$work/redis"
	run redis redis-server --port $redis_port --bind 127.0.0.1 \
	    --dir "$work/redis" --save '' --appendonly yes \
	    --appendfsync always --daemonize no
	until_true 20 redis PING >/dev/null 2>&1
	systems="$systems redis"
}
nats_up() {
	local i
	for i in 1 2 3; do nats_boot $i; done
	until_true 60 nats_stream s0
	for i in 1 2 3 4 5 6 7 s; do
		until_true 60 nats_stream "${i/#[0-9]/s$i}"
	done
	until_true 60 nats_leader s0
	nats_hosts=$hosts
	systems="zkfs nats ${systems#zkfs}"
}

# --- one measure of each, as "records/s p50 p99" --------------------------------
# zkfs_files COUNT: of the topic, spread over mounts; the leader's first, and
# each file once.
zkfs_files() {
	local i list=
	if [ "$1" = 1 ]; then
		for i in ${mounts//,/ }; do
			list=$list,$i/topics/bench/p0
		done
	else
		IFS=, read -ra at <<<"$mounts"
		for ((i = 0; i < 3 * $1; i++)); do
			list=$list,${at[i % 3]}/topics/bench/p$((i % $1))
		done
	fi
	echo "${list#,}"
}
# on_all FILE: it is there on every mount.
on_all() {
	local i
	for i in ${dirs//,/ }; do
		[ -e "$i/$1" ] || return 1
	done
}
gone_on_all() {
	local i
	for i in ${dirs//,/ }; do
		[ ! -e "$i/$1" ] || return 1
	done
}
# removed: a moment after its last reader has left.
removed() {
	rmdir "$one/topics/bench/groups/g" "$one/topics/bench" 2>/dev/null
	[ ! -e "$one/topics/bench" ]
}
led() {
	local p
	for p in "$one/topics/bench"/p*; do
		[ "$(getfattr --only-values -n user.zkfs.leader "$p" \
		    2>/dev/null)" != none ] || return 1
	done
}
# topic PARTITIONS: an empty one; sets mounts, those of p0's leader first.
topic() {
	local leads i
	until_true 20 removed
	until_true 20 gone_on_all topics/bench
	mkdir "$one/topics/bench"
	[ "$1" = 1 ] || echo "partitions=$1" >>"$one/topics/bench/config"
	until_true 20 on_all "topics/bench/p$(($1 - 1))"
	until_true 20 led
	leads=$(getfattr --only-values -n user.zkfs.leader \
	    "$one/topics/bench/p0" 2>/dev/null)
	mounts=$(dir "${leads#z}")
	for i in 1 2 3; do
		[ z$i = "$leads" ] || mounts=$mounts,$(dir $i)
	done
}
zkfs_append() { # PARTITIONS BYTES RECORD WRITERS
	"$queue" append "$(zkfs_files "$1")" "$2" "$3" "$4" "$secs" |
	    awk -v n=$(($2 / $3)) '{ print $1 * n, $2, $3 }'
}
# What is in one write of zkfs, a peer has in flight.
nats_append() {
	local subjects=s0.a i window=1 where=$nats_hosts
	for ((i = 1; i < $1; i++)); do
		subjects=$subjects,s$i.a
	done
	[ "$2" = "$3" ] || window=64
	[ "$4" -gt 1 ] || where=${where%%,*}
	"$nats" publish - "$where" "$subjects" "$3" "$4" $window "$secs"
}
redis_append() {
	local value pipeline=1 key=s n
	value=$(head -c "$3" /dev/zero | tr '\0' v)
	[ "$2" = "$3" ] || pipeline=64
	[ "$1" = 1 ] || key=s:__rand_int__
	set -- "$4" "$pipeline" -r "$1" XADD "$key" '*' f "$value"
	n=$(redis_rate $((100 * pipeline * $1)) "$@" | cut -d. -f1)
	redis_rate $((n * secs)) "$@"
}
redis_rate() { # COUNT CLIENTS PIPELINE COMMAND...
	local count=$1 clients=$2 pipeline=$3
	shift 3
	timeout 60 redis-benchmark -p $redis_port -c "$clients" -P "$pipeline" \
	    -n "$count" --csv "$@" 2>/dev/null | awk -F'"' \
	    'END { print $4, $10 * 1000, $14 * 1000 }'
}
forget_all() {
	local i
	case $systems in *nats*)
		for i in 0 1 2 3 4 5 6 7; do
			nats_api STREAM.PURGE.s$i '' >/dev/null
		done
		;;
	esac
	case $systems in *redis*) redis FLUSHALL >/dev/null ;; esac
}

# --- the table ------------------------------------------------------------------
head_line() {
	local system
	printf '%-38s' "$1"
	for system in zkfs nats redis; do
		printf ' %9s %6s %7s %8s' "$system/s" MB/s p50us p99us
	done
	printf '  %6s %s\n' /nats goal
}
# median SYSTEM COLUMN: of what the rounds left in $work/figures.
median() {
	awk -v s="$1" -v c="$2" '$1 == s { print $c }' "$work/figures" |
	    sort -n | awk '{ v[NR] = $1 }
	    END { print (NR ? v[int((NR + 1) / 2)] : "-") }'
}
# judge FIGURE GOAL: e.g. judge 1.2 ">=1"; prints how it went.
judge() {
	[ -n "$2" ] || return 0
	goals=$((goals + 1))
	if awk "BEGIN { exit !($1 ${2/x/}) }"; then
		verdict="$2 ok"
	else
		verdict="$2 MISS"
		missed=$((missed + 1))
	fi
}
line() { # line NAME RECORD-BYTES GOAL: x at its end is a ratio, else MB/s
	local name=$1 record=$2 goal=$3 system rate ratio=- verdict=
	printf '%-38s' "$name"
	for system in zkfs nats redis; do
		rate=$(median $system 2)
		if [ "$rate" = - ]; then
			printf ' %9s %6s %7s %8s' - - - -
			continue
		fi
		awk -v r="$rate" -v b="$record" -v m="$(median $system 3)" \
		    -v n="$(median $system 4)" 'BEGIN { printf \
		    " %9.0f %6.1f %7.0f %8.0f", r, r * b / 1e6, m, n }'
	done
	if [ "$(median nats 2)" != - ]; then
		ratio=$(awk -v a="$(median zkfs 2)" -v b="$(median nats 2)" \
		    'BEGIN { printf "%.2f", a / b }')
	fi
	case $goal in
	*x) [ "$ratio" = - ] || judge "$ratio" "$goal" ;;
	?*) judge "$(median zkfs 2) * $record / 1e6" "$goal" ;;
	esac
	printf '  %6s %s\n' "$ratio" "$verdict"
}
# append PARTITIONS BYTES RECORD WRITERS GOAL
append() {
	local round system kind="one a write"
	[ "$2" = "$3" ] || kind="64 KiB writes"
	: >"$work/figures"
	for ((round = 0; round < rounds; round++)); do
		topic "$1"
		for system in $systems; do
			echo "$system $("${system}_append" "$1" "$2" "$3" "$4")"
		done >>"$work/figures"
		forget_all
	done
	line "$3 B, $kind, $4 writers, $1 part." "$3" "$5"
}
# single NAME VALUE UNIT GOAL [NATS REDIS]
single() {
	local verdict=
	judge "$2" "$4"
	printf '%-44s %11.*f %-5s nats %9s redis %9s  %s\n' "$1" \
	    "$([ "$3" = /s ] && echo 0 || echo 1)" "$2" "$3" "${5:--}" \
	    "${6:--}" "$verdict"
}

# --- consuming --------------------------------------------------------------------
consume() {
	local begin us lines bytes next got nats_got=- redis_got=-
	topic 1
	"$queue" append "$(zkfs_files 1)" 65536 100 4 "$secs" >/dev/null
	bytes=$(stat -c %s "$one/topics/bench/p0")
	lines=$((bytes / 100))
	us=
	for _ in 1 2 3; do
		begin=${EPOCHREALTIME/./}
		cat "${mounts%%,*}/topics/bench/p0" >/dev/null
		begin=$((${EPOCHREALTIME/./} - begin))
		[ -n "$us" ] && [ "$us" -lt $begin ] || us=$begin
	done
	single "cat, lines of 100 B" $((lines * 1000000 / us)) /s '>=3000000'
	mkdir "$one/topics/bench/groups/g"
	until_true 20 on_all topics/bench/groups/g/next
	next=${mounts%%,*}/topics/bench/groups/g/next
	read -r got _ < <("$queue" consume "$next" 1048576 20)
	case $systems in *nats*)
		"$nats" publish - "${nats_hosts%%,*}" s.c 100 1 1000 "$secs" \
		    >/dev/null
		until_true 20 nats_consumer pull '"ack_policy":"explicit",
		    "deliver_policy":"all","max_ack_pending":1000000,
		    "ack_wait":60000000000'
		nats_got=$("$nats" pull - "${nats_hosts%%,*}" s pull "$secs")
		;;
	esac
	case $systems in *redis*)
		redis_rate 200000 1 200 XADD q '*' f \
		    "$(head -c 100 /dev/zero | tr '\0' v)" >/dev/null
		redis XGROUP CREATE q g 0 >/dev/null
		redis_got=$(redis_rate 1999 1 1 XREADGROUP GROUP g x COUNT 100 \
		    STREAMS q '>' | cut -d. -f1)
		redis_got=$((redis_got * 100))
		;;
	esac
	single "through next, reads of 1 MiB, lines" "$got" /s '>=300000' \
	    "$nats_got" "$redis_got"
}
deliver() {
	local median last nats_median=- nats_last=- count=$((secs * 500))
	topic 1
	mkdir "$one/topics/bench/groups/g"
	until_true 20 on_all topics/bench/groups/g/next
	read -r median last < <("$queue" deliver \
	    "${mounts%%,*}/topics/bench/p0" \
	    "${mounts##*,}/topics/bench/groups/g/next" "$count")
	case $systems in *nats*)
		until_true 20 nats_consumer new '"deliver_subject":"to.new",
		    "ack_policy":"none","deliver_policy":"new"'
		read -r nats_median nats_last < <("$nats" deliver - \
		    "$nats_hosts" s.e to.new "$count")
		;;
	esac
	single "written -> read from next, another host" "$median" us '<=500' \
	    "$nats_median"
	single "... 99th" "$last" us '' "$nats_last"
}

# cpu_ms: what the three daemons have used of the processors.
cpu_ms() {
	local i
	for i in 1 2 3; do
		cat /proc/"$(cat "$work/$i/pid")"/task/*/schedstat
	done | awk '{ ns += $1 } END { printf "%d", ns / 1e6 }'
}
# calm: for half a second none took more than a tenth of a core.
calm() {
	local before
	before=$(cpu_ms)
	"$waitfor" passed 0.5
	[ $(($(cpu_ms) - before)) -lt 150 ]
}
idle() {
	local before
	topic 1000
	until_true 30 calm # each of them sleeps
	before=$(cpu_ms)
	"$waitfor" passed 5 # which is what is measured
	single "1,000 partitions idle, of a core per host" \
	    "$(awk -v ms=$(($(cpu_ms) - before)) \
	        'BEGIN { printf "%.2f", ms / 3 / 50 }')" % '<5'
}

boot_all
until_true 30 all_up
one=${dirs%%,*}
if type -P nats-server >/dev/null; then
	nats_up
else
	echo "# without NATS: nats-server is not installed"
fi
if type -P redis-server >/dev/null && type -P redis-benchmark >/dev/null; then
	redis_up
else
	echo "# without Redis: redis-server or redis-tools is not installed"
fi
echo "# records a second, three replicas; all of it on this machine"
head_line append
for partitions in 1 8; do
	append $partitions 100 100 1 ''
	append $partitions 100 100 16 '>=1x'
	append $partitions 100 100 64 '>=1.3x'
	append $partitions 1024 1024 1 ''
	append $partitions 1024 1024 16 '>=1.2x'
	append $partitions 1024 1024 64 '>=1.2x'
	for writers in 1 16; do
		append $partitions 65536 100 $writers '>=5x'
		append $partitions 65536 1024 $writers '>=150'
	done
done
consume
deliver
idle
echo "# goals: $((goals - missed)) met, $missed missed"
