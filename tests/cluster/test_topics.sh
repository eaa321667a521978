# Topics on three hosts: appended to and read on each, also where a partition
# is not; consumed by one at a time; nothing acknowledged is lost with a host.
. "$(dirname "$0")/lib.sh"
SESSION=2
must start_all
M1=$WORK/m1 M2=$WORK/m2 M3=$WORK/m3

must mkdir "$M1/topics/t"
for i in 2 3; do
	check "the topic is on z$i" wait_until 10 test -e "$WORK/m$i/topics/t/p0"
done
for n in $(seq 30); do
	echo "r$n" >>"$WORK/m$((n % 3 + 1))/topics/t/p0" || fail "append r$n"
done
all_read() {
	[ "$(sort "$1")" = "$(seq -f r%g 30 | sort)" ]
}
for i in 1 2 3; do
	check "all are read on z$i" wait_until 10 all_read \
	    "$WORK/m$i/topics/t/p0"
	check "the same bytes" wait_until 10 cmp "$M1/topics/t/p0" \
	    "$WORK/m$i/topics/t/p0"
done
same "three replicas" "z1 z2 z3" "$(getfattr --only-values \
    -n user.zkfs.replicas "$M2/topics/t/p0" | tr , '\n' | sort | xargs)"

# --- partitions on one host each
must mkdir "$M2/topics/s"
must wait_until 10 test -e "$M1/topics/s/config"
printf 'replicas=1\npartitions=3\n' >"$M1/topics/s/config"
must wait_until 10 test -e "$M3/topics/s/p2"
must wait_until 10 test -e "$M2/topics/s/p2"
alone() {
	[ "$(for p in 0 1 2; do getfattr --only-values -n user.zkfs.replicas \
	    "$M3/topics/s/p$p"; echo; done | sort | xargs)" = "z1 z2 z3" ]
}
check "each host keeps one of them" wait_until 30 alone
for i in 1 2 3; do
	for p in 0 1 2; do
		check "z$i appends to p$p" \
		    sh -c "echo h$i >>'$WORK/m$i/topics/s/p$p'"
	done
done
three_lines() {
	[ "$(wc -l <"$1")" = 3 ]
}
for i in 1 2 3; do
	for p in 0 1 2; do
		check "z$i reads p$p" wait_until 10 three_lines \
		    "$WORK/m$i/topics/s/p$p"
	done
done

# --- one consumer of each partition, wherever it is
consumers=()
must mkdir "$M3/topics/t/groups/g"
G=topics/t/groups/g
for i in 1 2 3; do
	must wait_until 10 test -e "$WORK/m$i/$G/next"
done
echo partitions=3 >>"$M1/topics/t/config"
for i in 1 2 3; do
	must wait_until 10 test -e "$WORK/m$i/$G/p2"
	: >"$WORK/got$i"
	# shellcheck disable=SC2016
	spawn bash -c 'while IFS= read -r m; do echo "$m"; done <"$1" >>"$2"' \
	    bash "$WORK/m$i/$G/next" "$WORK/got$i"
	consumers[i]=$!
done
shared() {
	[ "$(cut -f 3 "$M1/$G/members" | sort | xargs)" = "p0 p1 p2" ]
}
check "each host consumes a partition" wait_until 30 shared
for n in $(seq 90); do
	echo "c$n" >>"$WORK/m$((n % 3 + 1))/topics/t/any" || fail "append c$n"
done
got_all() {
	[ "$(cat "$WORK"/got? | sort -u | grep -c '^c')" = 90 ]
}
check "together they get every record" wait_until 30 got_all
same "and each of them once" 90 "$(cat "$WORK"/got? | grep -c '^c')"

# --- a host dies
kill_member 3
check "the others go on appending" wait_until 30 \
    sh -c "echo after >>'$M1/topics/t/p0'"
taken_over() {
	[ "$(grep -c z3 "$M1/$G/members")" = 0 ] &&
	    [ "$(cut -f 3 "$M1/$G/members" | tr , '\n' | sort | xargs)" = \
	        "p0 p1 p2" ]
}
check "and consume what was its" wait_until 60 taken_over
for n in $(seq 91 120); do
	echo "c$n" >>"$WORK/m$((n % 2 + 1))/topics/t/any" || fail "append c$n"
done
rest() {
	[ "$(cat "$WORK/got1" "$WORK/got2" | sort -u | grep -cE \
	    '^c(9[1-9]|1[0-9][0-9])$')" = 30 ]
}
check "every record after that" wait_until 60 rest
for i in 1 2 3; do
	kill -KILL "${consumers[i]}" 2>/dev/null
	wait "${consumers[i]}" 2>/dev/null
done
must start_member 3
check "it comes back and has all" wait_until 60 \
    cmp "$M1/topics/t/p0" "$M3/topics/t/p0"
stop_all
