#!/bin/bash
# inotify of partitions on hosts that have no replica of them: what is appended
# elsewhere is told to who watches the partition or its topic, once; what was
# appended here is told once; also when the kernel has forgotten what is in a
# topic that is watched, after an upgrade, and when the replica's host is lost.
# What nobody here knows costs this host nothing.
HOSTS=4
NAME[4]=o4
. "$(dirname "$0")/lib.sh"
must start_all
must start_member 4
WATCHERS=() FD=() writers=()
new_topic() { # TOPIC REPLICAS
	mkdir "$WORK/m1/topics/$1" || return 1
	# While it is empty it goes where it is to be.
	echo "replicas=$2" >>"$WORK/m1/topics/$1/config"
}
value() { # HOST TOPIC ATTRIBUTE
	getfattr --only-values -n "user.zkfs.$3" "$WORK/m$1/topics/$2/p0" \
	    2>/dev/null
}
has_replicas() { # TOPIC COUNT: everybody says so, and who leads
	local i names
	for i in $EVERY; do
		names=$(value "$i" "$1" replicas)
		[ "$(echo "$names" | tr , '\n' | grep -c .)" = "$2" ] || return
		[ -n "$(value "$i" "$1" leader)" ] || return
		[ "$(value "$i" "$1" leader)" != none ] || return
	done
}
watch() { # HOST NAME LABEL=PATH...
	local pipe=$WORK/$2.$1
	mkfifo "$pipe"
	# shellcheck disable=SC2016 # the inner shell expands
	spawn sh -c 'pipe=$1; shift; exec "$0" "$@" >"$pipe"' \
	    "$BUILD/tests/mount/watcher" "$pipe" "${@:3}"
	WATCHERS+=($!)
	exec {fd}<"$pipe"
	FD[$1]=$fd
	read -r -t 40 line <&"${FD[$1]}"
	same "z$1 is watched" ready "$line"
}
hears() { # HOST LINE: reads up to that one; what came is added to heard
	while read -r -t 20 line <&"${FD[$1]}"; do
		heard+="${line%% #*}; "
		[ "${line%% #*}" != "$2" ] || return 0
	done
	return 1
}
own="OPEN t/p0; OPEN p; MODIFY t/p0; MODIFY p; CLOSE_WRITE t/p0; CLOSE_WRITE p; "
told="MODIFY t/p0; MODIFY p; "
# round HOST: one append there, that all others are told of once; then it hears
# of one of another.
round() {
	local n=$1 i other=$(($1 % 4 + 1))
	echo "$n" >>"$WORK/m$n/topics/$TOPIC/p0"
	for i in $EVERY; do
		[ "$i" != "$n" ] || continue
		heard=
		check "z$i is told" hears "$i" "MODIFY p"
		same "z$i: once, of an append on z$n" "$told" "$heard"
	done
	echo "$other" >>"$WORK/m$other/topics/$TOPIC/p0"
	heard=
	check "z$n hears of its own" hears "$n" "CLOSE_WRITE p"
	check "z$n is told" hears "$n" "MODIFY p"
	same "z$n: its own once, and then that of z$other" "$own$told" "$heard"
	for i in $EVERY; do
		[ "$i" != "$n" ] || continue
		[ "$i" = "$other" ] && last="CLOSE_WRITE p" || last="MODIFY p"
		heard=
		check "z$i hears of it" hears "$i" "$last"
	done
}

# --- one replica
TOPIC=one
must new_topic one 1
must wait_until 30 has_replicas one 1
far=$(value 1 one replicas)
echo "the replica is on $far"
for i in $EVERY; do
	watch "$i" one "t=$WORK/m$i/topics/one" "p=$WORK/m$i/topics/one/p0"
done
for n in $EVERY; do
	round "$n"
done

# --- after upgrades of all, nothing old is told again
is_connected() { [ "$(control "$1" state)" = connected ]; }
upgrade() { # HOST; refused while there is no leader
	control "$1" status | grep -qx "upgrades: 1" && return 0
	zkfs "$1" upgrade >>"$WORK/upgrades" 2>&1
	control "$1" status | grep -qx "upgrades: 1"
}
for i in $EVERY; do
	must wait_until 20 is_connected "$i"
	must wait_until 30 upgrade "$i"
	must wait_until 20 is_connected "$i"
done
must wait_until 30 has_replicas one 1
for n in 2 4 1; do
	round "$n"
done

# --- many from all sides: in the end each has been told
for i in $EVERY; do
	spawn sh -c 'i=0; while [ $((i += 1)) -le 100 ]; do echo $i; done >>"$0"' \
	    "$WORK/m$i/topics/one/p0"
	writers[i]=$!
done
wait "${writers[@]}"
echo over >>"$WORK/m2/topics/one/p0"
is_told_all() { # HOST: at an event of it the last line is there
	hears "$1" "MODIFY p" &&
	    [ "$(tail -n 1 "$WORK/m$1/topics/one/p0")" = over ]
}
for i in 1 3 4; do
	heard=
	check "z$i is told of the last" wait_until 20 is_told_all "$i"
done

# --- the kernel knows the topic only
must new_topic dir 1
must wait_until 30 has_replicas dir 1
for i in $EVERY; do
	watch "$i" dir "t=$WORK/m$i/topics/dir"
done
echo 2 >/proc/sys/vm/drop_caches
for n in $EVERY; do
	echo "$n" >>"$WORK/m$n/topics/dir/p0"
	for i in $EVERY; do
		heard=
		last="MODIFY t/p0"
		[ "$i" != "$n" ] || last="CLOSE_WRITE t/p0"
		check "z$i hears of an append on z$n in the topic" \
		    hears "$i" "$last"
		same "z$i: once" "${last/CLOSE_WRITE/OPEN t/p0; MODIFY t/p0; CLOSE_WRITE}; " \
		    "$heard"
	done
done
# A partition that it gets later.
echo partitions=2 >>"$WORK/m1/topics/dir/config"
for i in $EVERY; do
	must wait_until 20 test -e "$WORK/m$i/topics/dir/p1"
done
echo first >>"$WORK/m2/topics/dir/p1"
for i in 1 3 4; do
	heard=
	check "z$i hears of a later partition" hears "$i" "MODIFY t/p1"
done

# --- what nobody knows costs nothing
kill "${WATCHERS[@]}"
for pid in "${WATCHERS[@]}"; do
	"$WAITFOR" gone 20 "$pid"
done
# Neither is there a replica on that host, nor does it append.
idle=1
[ "$(value 1 one replicas)" != z1 ] || idle=2
tasks() {
	control $idle metrics | awk '$1 == "zkfs_watch_tasks_total" { print $2 }'
}
is_forgotten() { # appends are not even looked at
	local before
	echo 2 >/proc/sys/vm/drop_caches
	before=$(tasks)
	for i in $EVERY; do
		[ "$i" = $idle ] || echo x >>"$WORK/m$i/topics/one/p0"
	done
	"$WAITFOR" passed 1
	[ "$(tasks)" = "$before" ]
}
check "what nobody knows costs nothing" wait_until 20 is_forgotten
# Who begins to watch there is not told what was appended before.
watch $idle again "t=$WORK/m$idle/topics/one" "p=$WORK/m$idle/topics/one/p0"
"$WAITFOR" passed 1
echo again >>"$WORK/m4/topics/one/p0"
heard=
check "z$idle is told of what comes then" hears $idle "MODIFY p"
same "and only of that" "$told" "$heard"
check "which it reads" test again = "$(tail -n 1 "$WORK/m$idle/topics/one/p0")"

# --- the host of the leader is lost, and so is who told
TOPIC=three
must new_topic three 3
must wait_until 30 has_replicas three 3
for i in $EVERY; do
	watch "$i" three "t=$WORK/m$i/topics/three" "p=$WORK/m$i/topics/three/p0"
done
for n in 1 4; do
	round "$n"
done
lost=$(value 4 three leader)
lost=${lost#z}
if [ "$lost" -gt 3 ] 2>/dev/null || [ "$lost" = o4 ]; then
	lost=3
fi
echo "z$lost is lost"
kill_member "$lost"
appends() {
	timeout 20 sh -c 'echo x >>"$0"' "$WORK/m$((lost % 3 + 1))/topics/three/p0"
}
must wait_until 40 appends
heard=
check "z4 is told by another" hears 4 "MODIFY p"
must appends
check "and of the next" hears 4 "MODIFY p"

stop_all
