#!/bin/bash
# What becomes of a group while a host is far behind, so that it gets a snapshot
# instead of the changes: its members learn of it all the same.  They deliver
# what they were given meanwhile, and give up what others are to have.
# shellcheck disable=SC2034 # lib.sh reads it
SESSION=30
. "$(dirname "$0")/lib.sh"
T=topics/t
G=$T/groups/g
must start_all
metric() { # HOST NAME
	control "$1" metrics | awk -v name="zkfs_$2" '$1 == name { print $2 }'
}
must mkdir "$WORK/m1/$T" "$WORK/m1/$G"
echo partitions=4 >>"$WORK/m1/$T/config"
all_are_there() {
	local i
	for i in $ALL; do
		[ -e "$WORK/m$i/$G/p3" ] || return 1
	done
}
must wait_until 20 all_are_there

# A member's name, of a reader that notes what it gets; it lives until killed.
join() { # HOST NAME
	spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$0" >>"$1"' \
	    "$WORK/m$1/$G/next" "$WORK/$2.got"
	MEMBER=$!
}
members() { # COUNT
	[ "$(wc -l <"$WORK/m1/$G/members")" = "$1" ]
}
behind() {
	local i
	kill -STOP "${PID[3]}"
	"$@"
	for i in $(seq 40); do
		head -c 1000000 /dev/zero >"$WORK/m1/large$((i % 3))" ||
		    fail "large$((i % 3))"
	done
	kill -CONT "${PID[3]}"
	check "all is there again" wait_until 40 agree 1 2 3
}
records() { # TEXT
	local p
	for p in 0 1 2 3; do
		echo "$1 $p" >>"$WORK/m1/$T/p$p" || fail "append to p$p"
	done
}
delivered() { # TEXT FILE...
	local text=$1
	shift
	[ "$(cat "$@" 2>/dev/null | grep -c "^$text ")" = 4 ]
}

join 3 c
C=$MEMBER
must wait_until 20 members 1
join 1 a
A=$MEMBER
must wait_until 20 members 2
records first
check "both have their part" \
    wait_until 20 delivered first "$WORK/a.got" "$WORK/c.got"
same "of four partitions two each" 2 "$(grep -c first "$WORK/c.got")"

leave() {
	kill -KILL "$A"
	must wait_until 20 members 1
}
session=$(control 3 session)
behind leave
check "by way of a snapshot" \
    test "$(metric 3 snapshots_installed_total)" -gt 0
same "in the same session" "$session" "$(control 3 session)"
records second
check "who is left has what the other had" \
    wait_until 20 delivered second "$WORK/c.got"

arrive() {
	join 1 b
	must wait_until 20 members 2
}
behind arrive
same "in the same session" "$session" "$(control 3 session)"
given() {
	! grep -q '!' "$WORK/m1/$G/members"
}
check "who comes gets his part" wait_until 20 given
records third
check "and all is delivered" \
    wait_until 20 delivered third "$WORK/b.got" "$WORK/c.got"
same "of four partitions two each" 2 "$(grep -c third "$WORK/b.got")"
kill -KILL "$MEMBER" "$C"
must wait_until 20 members 0
stop_all
