# `zkfs group reset` of a group with members on each host: refused while they
# have the partitions, and then all go on from there, wherever they are.
. "$(dirname "$0")/lib.sh"
WAITS=${WAITS:-1}
PARTS=4
. "$(dirname "$0")/groups.sh"
test_cleanup() {
	groups_cleanup
}
must start_all
must groups_start
produce() { # NAME COUNT: in each partition, through one host after the other
	local p i
	for ((i = 0; i < $2; i++)); do
		for ((p = 0; p < PARTS; p++)); do
			echo "p$p $1 $i" >>"$WORK/m$((1 + (p + i) % 3))/$T/p$p" ||
			    return 1
		done
	done
}
members() {
	local i
	rm -f "$GROUPS_DIR"/*.log
	for i in $ALL; do
		member "$i" "a$i"
	done
}
members_end() {
	local i
	for i in $ALL; do
		member_ends "a$i"
	done
}
delivered() {
	awk '$4 != "lost" { print $4, $5, $6 }' "$GROUPS_DIR"/*.log | sort
}
# All up to these, for records come in order.
has_delivered() { # NAME NUMBER
	[ "$(delivered | grep -c " $1 $2\$")" -ge $PARTS ]
}
# Consumers on all hosts get what is on stdin and no others, each once.
come_again() { # TEXT
	local want
	want=$(sort)
	members
	must produce "after$((after += 1))" 1
	check "$1 come" wait_until $((20 * WAITS)) has_delivered "after$after" 0
	members_end
	same "and no others, each once" "$want" "$(delivered | grep -v after)"
}
after=0
offsets() {
	cat "$WORK/m$1/$G"/p[0-9] | xargs
}
ends() {
	stat -c %s "$WORK/m$1/$T"/p[0-9] | xargs
}
reset() { # HOST ARGUMENT...
	local i=$1
	shift
	zkfs "$i" group "$@"
}

must produce old 5
records() { # NAME COUNT PARTITION...
	local name=$1 count=$2 p
	shift 2
	for p; do
		seq -f "p$p $name %g" 0 $((count - 1))
	done
}
"$WAITFOR" passed 1.1
now=$(date +%s)
stamp=$(date -u -d "@$now" +%Y-%m-%dT%H:%M:%SZ)
must produce new 7
for at in "@$now" "@$stamp"; do
	for i in $ALL; do
		same "consume --from $at on z$i" "$(records new 7 0 1 2 3 | sort)" \
		    "$(zkfs "$i" consume --from "$at" t | sort)"
	done
done
check_not "from no time" zkfs 1 consume --from @noon t
members
check "all is delivered" wait_until $((20 * WAITS)) has_delivered new 6
for i in $ALL; do
	refuses "held by another process" reset "$i" reset t g "@$now"
	refuses "held by another process" reset "$i" -p 2 reset t g start
done
members_end
same "nothing was changed by that" "$(ends 1)" "$(offsets 1)"
for i in $ALL; do
	check "reset to a time, on z$i" reset "$i" reset t g \
	    "$([ "$i" = 2 ] && echo "@$stamp" || echo "@$now")"
	came=$(offsets "$i")
	for k in $ALL; do
		same "z$k knows" "$came" "$(offsets "$k")"
	done
	come_again "the records since then" < <(records new 7 0 1 2 3)
done
check "one partition to its start" reset 2 -p 1 reset t g start
come_again "its records" < <(records old 5 1 && records new 7 1)
before=$(offsets 3)
check "to a time to come" reset 3 reset t g "@$((now + 100000))"
same "the end" "$before" "$(offsets 3)"
for text in @ @x "@2026-13-01T00:00:00Z" -1 middle 1x; do
	refuses "nvalid" reset 1 reset t g "$text"
done
refuses "nowhere" reset 1 reset t g ""
refuses "no such partition" reset 1 -p 4 reset t g start
refuses "No such" reset 1 reset t other start
same "nothing was changed by that" "$before" "$(offsets 1)"
stop_all
