#!/bin/bash
# inotify of partitions: what another host appends is told to who watches the
# partition and to who watches the topic, in the end always; what was appended
# here is told once; and what came by way of another file is told, too.
. "$(dirname "$0")/lib.sh"
must start_all
writers=()
T=topics/t
mkdir "$WORK/m1/$T"
has_leader() { # HOST
	[ -n "$(getfattr --only-values -n user.zkfs.leader \
	    "$WORK/m$1/$T/p0" 2>/dev/null)" ]
}
watch() { # HOST
	mkfifo "$WORK/events$1"
	# shellcheck disable=SC2016 # the inner shell expands
	spawn sh -c 'exec "$0" t="$1" p="$1/p0" >"$2"' \
	    "$BUILD/tests/mount/watcher" "$WORK/m$1/$T" "$WORK/events$1"
	eval "exec 1$1<\"\$WORK/events$1\""
	read -r -t 40 line <&"1$1"
	same "z$1 is watched" ready "$line"
}
for i in 1 2 3; do
	must wait_until 20 has_leader $i
	watch $i
done
# hears HOST LINE: reads up to that one; what came is added to heard.
hears() {
	while read -r -t 20 line <&"1$1"; do
		heard+="${line%% #*}; "
		[ "${line%% #*}" != "$2" ] || return 0
	done
	return 1
}
own="OPEN t/p0; OPEN p; MODIFY t/p0; MODIFY p; CLOSE_WRITE t/p0; CLOSE_WRITE p; "
told="MODIFY t/p0; MODIFY p; "
# One append, that all others are told of, and then one of another host: what
# comes in between would be told twice.
for n in 1 2 3 1; do
	next=$((n % 3 + 1)) last=$(((n + 1) % 3 + 1))
	echo "$n" >>"$WORK/m$n/$T/p0"
	for i in $next $last; do
		heard=
		check "z$i is told" hears $i "MODIFY p"
		same "z$i: of an append on z$n" "$told" "$heard"
	done
	echo "$next" >>"$WORK/m$next/$T/p0"
	heard=
	check "z$n hears of its own, and is told" hears "$n" "CLOSE_WRITE p"
	check "z$n hears of its own, and is told" hears "$n" "MODIFY p"
	same "z$n: its own once, and then that of z$next" "$own$told" "$heard"
	heard=
	check "z$last is told" hears "$last" "MODIFY p"
	check "z$next hears of its own" hears "$next" "CLOSE_WRITE p"
done
# What came by way of another file nobody was told of by a system call.
printf 'k\tv\n' >>"$WORK/m1/$T/by-key"
for i in 1 2 3; do
	heard=
	check "z$i is told of what went by key" hears $i "MODIFY p"
done
# The settings, and how far a group is: what is written is told once, too.
mkdir "$WORK/m1/$T/groups/g"
is_there() {
	[ -e "$WORK/m$1/$T/groups/g/p0" ]
}
for i in 1 2 3; do
	must wait_until 10 is_there $i
done
for n in 1 2; do
	echo retention.time=$((n + 1))d >>"$WORK/m$n/$T/config"
	for i in 1 2 3; do
		heard=
		check "z$i is told of the settings" \
		    hears $i "CLOSE_WRITE t/config"
		same "z$i: once" "OPEN t/config; MODIFY t/config; \
CLOSE_WRITE t/config; " "$heard"
	done
done
for i in 1 2 3; do
	same "z$i has them" retention.time=3d \
	    "$(grep retention.time "$WORK/m$i/$T/config")"
done
# Many from all sides: in the end each has been told.
for n in 1 2 3; do
	spawn sh -c 'i=0; while [ $((i += 1)) -le 100 ]; do echo $i; done >>"$0"' \
	    "$WORK/m$n/$T/p0"
	writers[n]=$!
done
wait "${writers[@]}"
is_all() { # HOST
	[ "$(grep -c '^100$' "$WORK/m$1/$T/p0")" = 3 ]
}
for i in 1 2 3; do
	check "z$i has all" wait_until 10 is_all $i
done
echo over >>"$WORK/m2/$T/p0"
is_told_all() { # HOST: at an event of it the last line is there
	hears "$1" "MODIFY p" &&
	    [ "$(tail -n 1 "$WORK/m$1/$T/p0")" = over ]
}
for i in 1 3; do
	heard=
	check "z$i is told of the last" wait_until 20 is_told_all $i
done
stop_all
