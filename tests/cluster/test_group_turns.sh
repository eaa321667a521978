#!/bin/bash
# A member of a group, with partitions that are on other hosts, one of which is
# gone: what is on the others comes all the same.
# shellcheck disable=SC2016 # the inner shell expands
. "$(dirname "$0")/lib.sh"
T=topics/t
G=$T/groups/g
must start_all op_timeout=1s
must mkdir "$WORK/m1/$T"
echo replicas=1 >>"$WORK/m1/$T/config"
echo partitions=12 >>"$WORK/m1/$T/config"
must mkdir "$WORK/m1/$G"
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/$G/p11"
done
replicas() {
	getfattr --absolute-names --only-values -n user.zkfs.replicas \
	    "$WORK/m1/$T/$1"
}
has_moved() {
	[[ $(replicas p0) != *,* ]]
}
must wait_until 20 has_moved
here=()
for ((p = 0; p < 12; p++)); do
	if [ "$(replicas p$p)" = z3 ]; then
		echo gone >>"$WORK/m1/$T/p$p"
	else
		here+=("p$p")
	fi
done
check "some are on hosts that are there, some are not" \
    test ${#here[@]} -gt 3 -a ${#here[@]} -lt 12
# Which are to come.
records() { # TEXT
	local p
	for p in "${here[@]}"; do
		must sh -c 'echo "$0" >>"$1"' "$1 $p" "$WORK/m1/$T/$p"
		echo "$1 $p" >>"$WORK/want"
	done
}
all_came() {
	[ "$(sort -u "$WORK/got")" = "$(sort -u "$WORK/want")" ]
}
records first
kill_member 3
spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$0" >"$1"' \
    "$WORK/m1/$G/next" "$WORK/got"
reader=$!
check "what is there comes" wait_until 40 all_came
records second
check "also what comes later" wait_until 40 all_came
kill -KILL "$reader"
is_free() {
	[ -z "$(cat "$WORK/m1/$G/members")" ]
}
offsets() {
	cat "$WORK/m1/$G"/p* | xargs
}
must wait_until 20 is_free
before=$(offsets)
for to in start end; do
	refuses "no quorum in time" zkfs 1 group reset t g $to
	same "no partition has moved" "$before" "$(offsets)"
done
check "one that is there moves" zkfs 1 group -p "${here[0]#p}" reset t g start
stop_member 1
stop_member 2
