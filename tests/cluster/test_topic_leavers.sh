# Members that are removed while they are there hand over first what they keep
# of topics, also what nobody else has; one that is not there is not waited for.
VOTERS=5
. "$(dirname "$0")/lib.sh"
T=topics/t U=topics/u
must start_all
must zkfs 1 topic create t partitions=10 replicas=1
must zkfs 1 topic create u partitions=10 replicas=2
for p in 0 1 2 3 4 5 6 7 8 9; do
	must wait_until 10 test -e "$WORK/m2/$U/p$p"
	seq 1000 >>"$WORK/m2/$T/p$p"
	seq 1000 >>"$WORK/m2/$U/p$p"
done
seq 1000 >"$WORK/records"

# Writers of both, on a host that stays, until they are told to end.
writer() { # TOPIC
	local n=0
	until [ -e "$WORK/over" ]; do
		n=$((n + 1))
		timeout 30 sh -c 'echo "$1" >>"$2"' sh "w$n" \
		    "$WORK/m$STAYS/$1/p$((n % 10))" || echo "no $n"
	done
	echo "$n" >"$WORK/written.${1##*/}"
}
has_all() { # TOPIC
	local p
	for p in 0 1 2 3 4 5 6 7 8 9; do
		grep -v w "$WORK/m$STAYS/$1/p$p" | cmp - "$WORK/records" ||
		    return 1
	done
}
has_written() { # TOPIC
	local n
	n=$(cat "$WORK/written.${1##*/}")
	diff <(seq -f w%.0f "$n" | sort) \
	    <(cat "$WORK/m$STAYS/$1"/p? | grep w | sort)
}
first=$(leader_of 1)
mapfile -t rest < <(others "$first")
STAYS=${rest[0]}
writer $T >"$WORK/writer.t" 2>&1 &
writers=$!
writer $U >"$WORK/writer.u" 2>&1 &
writers="$writers $!"

check "the leader is removed" zkfs "$STAYS" member remove "z$first"
check "and ends" "$WAITFOR" gone 30 "${PID[first]}"
check "no record went with it" has_all $T
check "nor of those with two replicas" has_all $U
second=${rest[3]}
check "another is removed" zkfs "$STAYS" member remove "z$second"
check "and ends" "$WAITFOR" gone 30 "${PID[second]}"
check "no record went with it" has_all $T
check "nor of those with two replicas" has_all $U
: >"$WORK/over"
# shellcheck disable=SC2086 # two
wait $writers
for t in t u; do
	same "appends to $t went on" "" "$(cat "$WORK/writer.$t")"
	check "all of them are there, once" has_written topics/$t
done

# What one that is lost alone kept is lost with it; it goes all the same.
lost=${rest[2]}
kill_member "$lost"
# A leader who is new refuses it until it has heard of the other voter.
check "one that is not there is removed" \
    wait_until 20 zkfs "$STAYS" member remove "z$lost"
wait "${PID[first]}" "${PID[second]}" 2>/dev/null
umount -l "$WORK/m$first" "$WORK/m$second" 2>/dev/null
for i in "$STAYS" "${rest[1]}"; do
	stop_member "$i"
done
