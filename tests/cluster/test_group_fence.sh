# A host with members of a group stands still, or is cut off, for longer than
# its session: others take over what they had, and no record comes to two who
# live; when it goes on, its members lose their streams and join again.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/groups.sh"
test_cleanup() {
	groups_cleanup
}
both_have() {
	owns "a$1" 1 && owns "b$1" 1
}
must start_all op_timeout=6s
must groups_start
for i in $ALL; do
	member "$i" "a$i"
	member "$i" "b$i"
done
records 1 4
for i in $ALL; do
	check "members on z$i have their part" wait_until 20 both_have "$i"
done

# What was delivered of each partition since $1 (ns).
since() {
	awk -v from="$1" '$1 > from && $4 != "lost" { n[$4]++ }
	    END { for (p in n) print p, n[p] }' "$GROUPS_DIR"/*.log
}
all_go_on() { # SINCE
	[ "$(since "$1" | awk '$2 > 20' | wc -l)" -eq "$PARTS" ]
}
clock_ns() {
	python3 -c 'import time; print(time.monotonic_ns())'
}
is_lost() {
	[ "$(grep -c ' lost ' "$GROUPS_DIR/$1.log")" -ge "$2" ]
}
is_back() { # NAME SINCE
	awk -v from="$2" '$1 > from && $4 != "lost" { found = 1 }
	    END { exit !found }' "$GROUPS_DIR/$1.log"
}

lost=0
for fault in pause cut_off pause cut_off; do
	lost=$((lost + 1))
	victim=$((2 + lost % 2))
	at=$(clock_ns)
	$fault $victim
	check "$fault z$victim: others take over" \
	    wait_until $(((SESSION + 10) * WAITS)) all_go_on "$at"
	"$WAITFOR" passed 1
	at=$(clock_ns)
	case $fault in
	pause) resume $victim ;;
	*) heal ;;
	esac
	for name in a$victim b$victim; do
		check "$name has lost its stream" \
		    wait_until $((20 * WAITS)) is_lost $name $(((lost + 1) / 2))
		check "and is back" wait_until $((20 * WAITS)) is_back $name "$at"
	done
done
grep -h ' lost ' "$GROUPS_DIR"/*.log | awk '{ print $2, $5 }' | sort | uniq -c
records_end
groups_verdict
stop_all
