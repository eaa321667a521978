#!/bin/bash
# A consumer group with a member on each host, of partitions that are on one
# host each: every record comes, once, though it is elsewhere and the last for
# now; also when the daemons are upgraded one after the other.
# shellcheck disable=SC2016,SC2034 # inner shells expand; lib.sh has SESSION
. "$(dirname "$0")/lib.sh"
SESSION=15
must start_all
U=topics/u G=topics/u/groups/g
must mkdir "$WORK/m1/$U" "$WORK/m1/$G"
for line in replicas=1 partitions=6; do
	echo $line >>"$WORK/m1/$U/config"
done
members=()
for i in 1 2 3; do
	must wait_until 20 test -e "$WORK/m$i/$U/p5"
	spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$1"' bash \
	    "$WORK/m$i/$G/next" >"$WORK/group$i"
	members+=($!)
done
are_members() {
	[ "$(wc -l <"$WORK/m1/$G/members")" = 3 ]
}
must wait_until 20 are_members
count=0
produce() {
	local p
	for p in 0 1 2 3 4 5; do
		must timeout 60 sh -c 'echo "$0" >>"$1"' "r$count" \
		    "$WORK/m2/$U/p$p"
		count=$((count + 1))
	done
}
all_came() {
	[ "$(cat "$WORK"/group? | wc -l)" -ge "$count" ]
}
for round in 1 2 3 4 5 6 7 8; do
	produce
	check "each record comes, round $round" wait_until 10 all_came
done
# Bursts: what they did last is told though they only wait now.  Who asks is on
# another host than the member that has the partition, for two of three.
for p in 0 1 2 3 4 5; do
	for i in 1 2 3 4 5 6 7 8; do
		echo "r$count"
		count=$((count + 1))
	done >>"$WORK/m2/$U/p$p"
done
all_told() {
	local p
	for p in 0 1 2 3 4 5; do
		[ "$(cat "$WORK/m1/$G/p$p")" = \
		    "$(stat -c %s "$WORK/m2/$U/p$p")" ] || return 1
	done
}
check "bursts come" wait_until 10 all_came
check "and are known to be done elsewhere" wait_until 5 all_told
is_connected() {
	[ "$(control "$1" state)" = connected ]
}
upgrade() { # HOST COUNT; refused while there is no leader
	zkfs "$1" status | grep -qx "upgrades: $2" && return 0
	zkfs "$1" upgrade >>"$WORK/upgrades" 2>&1
}
for round in 1 2; do
	for i in 1 2 3; do
		must wait_until 20 is_connected "$i"
		must wait_until 30 upgrade "$i" "$round"
		must wait_until 20 is_connected "$i"
		produce
		check "and after an upgrade of z$i" wait_until 10 all_came
	done
done
same "each came once" "$(seq -f r%.0f 0 $((count - 1)) | sort | md5sum)" \
    "$(sort "$WORK"/group? | md5sum)"
check "and all are members still" are_members
# What a group lags by is the same on each host, and what is so now.
lags() { # HOST
	awk -F '\t' '{ end += $3; lag += $4 } END { print end, lag }' \
	    "$WORK/m$1/topics/v/groups/h/lag"
}
must mkdir "$WORK/m1/topics/v" "$WORK/m1/topics/v/groups/h"
for line in replicas=1 partitions=6; do
	echo $line >>"$WORK/m1/topics/v/config"
done
for round in 0 1 2; do
	for i in 1 2 3; do
		must wait_until 20 test -e "$WORK/m$i/topics/v/p5"
		same "what a group lags by on z$i" "$((round * 12)) $((round * 12))" \
		    "$(lags "$i")"
	done
	for p in 0 1 2 3 4 5; do
		echo r >>"$WORK/m2/topics/v/p$p"
	done
done
kill "${members[@]}"
wait "${members[@]}" 2>/dev/null
stop_all
