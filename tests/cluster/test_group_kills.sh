#!/bin/bash
# timeout: 240
# The README's loop, in bash and dash on three hosts, while consumers and whole
# hosts are killed at random: each record is processed, in order per partition,
# one consumer at a time, and again only if it was in flight at a kill.
# SEED=n ROUNDS=n
. "$(dirname "$0")/hosts.sh"
SEED=${SEED:-$((SRANDOM % 1000000))}
RANDOM=$SEED
echo "SEED=$SEED"
PARTS=6
T=topics/mail
G=$T/groups/senders
DONE=$WORK/done   # what was processed, in that order
KILLED=$WORK/killed # consumer, and how
loop=$(grep '^while IFS= read' "$SRC/README.md") || skip "no loop in README.md"
declare -A WHO=() # a consumer's process, by its name
declare -A ON=()  # its host
number=0 produced=0
up=" $ALL "

consume_on() { # HOST SHELL
	local name=c$((number += 1)) text
	text=${loop/sending/sending $name}
	# Some take longer to be done, in a process of its own.
	[ $((RANDOM % 2)) = 0 ] || text=${text/echo/env echo}
	spawn env -C "$WORK/m$1" "$2" -c "$text" >>"$DONE" 2>>"$WORK/said"
	WHO[$name]=$!
	ON[$name]=$1
}
consumers_on() {
	consume_on "$1" bash
	consume_on "$1" dash
}

# A host's name out of those that are up.
any_host() {
	local hosts
	read -r -a hosts <<<"$up"
	HOST=${hosts[RANDOM % ${#hosts[@]}]}
}

produce() {
	local p i n text
	any_host
	n=$((50 + RANDOM % 300))
	for ((p = 0; p < PARTS; p++)); do
		text=
		for ((i = 0; i < n; i++)); do
			text+="p$p $((produced + i))"$'\n'
		done
		# shellcheck disable=SC2016 # the inner shell expands
		must timeout $((20 * WAITS)) sh -c 'printf %s "$1" >>"$0"' \
		    "$WORK/m$HOST/$T/p$p" "$text"
	done
	produced=$((produced + n))
}

# Some more than that are lines, where records were processed again.
processed() {
	[ "$(wc -l <"$DONE")" -ge "$want" ]
}
all_processed() {
	[ "$(sort -u -k 3 "$DONE" | wc -l)" -ge "$want" ]
}

end_consumer() { # NAME HOW
	echo "$1 $2" >>"$KILLED"
	kill -KILL "${WHO[$1]}"
	wait "${WHO[$1]}" 2>/dev/null
	unset "WHO[$1]" "ON[$1]"
}

kill_one() {
	local names=("${!WHO[@]}") name host
	name=${names[RANDOM % ${#names[@]}]}
	host=${ON[$name]}
	echo "killed: $name on z$host"
	end_consumer "$name" alone
	consume_on "$host" "$([ $((RANDOM % 2)) = 0 ] && echo bash || echo dash)"
}

kill_host() {
	local name
	any_host
	echo "killed: z$HOST"
	kill -KILL "${PID[$HOST]}"
	for name in "${!WHO[@]}"; do
		[ "${ON[$name]}" != "$HOST" ] || end_consumer "$name" host
	done
	kill_member "$HOST"
	up=${up/ $HOST / }
}

revive() {
	local i
	for i in $ALL; do
		[[ $up != *" $i "* ]] || continue
		must start_member "$i"
		consumers_on "$i"
	done
	up=" $ALL "
}

all_down() {
	local name
	for name in "${!WHO[@]}"; do
		end_consumer "$name" over
	done
}
test_cleanup() {
	[ ${#WHO[@]} -eq 0 ] || kill -KILL "${WHO[@]}" 2>/dev/null
}

verdict() {
	awk -v total="$produced" -v parts=$PARTS '
	function wrong(text) {
		print "line " FNR ": " $0 ": " text
		if (++wrongs > 20)
			exit 1
	}
	FNR == NR { killed[$1] = $2; next }
	{
		c = $2; p = $3; n = $4
		if (owner[p] == c && n != at[p] + 1)
			wrong("the one before was " at[p])
		if (n > next_[p] + 0)
			wrong("skips " next_[p] + 0)
		if (n < next_[p] + 0) {
			first = by[p, n]
			how = killed[first]
			again[how]++
			if (how != "alone" && how != "host")
				wrong("was done by " first ", who lived on")
			if (how == "alone" && twice[first]++ > 0)
				wrong("is not all that was in flight of " first)
		} else
			next_[p] = n + 1
		by[p, n] = owner[p] = c
		owner[p] = c
		at[p] = n
	}
	END {
		for (i = 0; i < parts; i++)
			if (next_["p" i] + 0 != total) {
				print "p" i ": " next_["p" i] + 0 " of " total
				wrongs++
			}
		print parts * total " records, again " again["alone"] + 0 \
		    " after kills of one, " again["host"] + 0 " of hosts"
		exit wrongs > 0
	}' "$KILLED" "$DONE"
}

must start_all
must mkdir "$WORK/m1/$T"
echo "partitions=$PARTS" >>"$WORK/m1/$T/config"
must mkdir "$WORK/m1/$G"
: >"$DONE"
: >"$KILLED"
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/$G/p$((PARTS - 1))"
	consumers_on "$i"
done
for ((round = 0; round < ${ROUNDS:-24}; round++)); do
	want=$((PARTS * produced))
	produce
	# Somewhere within that.
	want=$((want + RANDOM % (PARTS * produced - want)))
	check "round $round: $want records are processed" \
	    wait_until $((30 * WAITS)) processed
	case $((RANDOM % 8)) in
	0 | 1)
		if [ "$up" = " $ALL " ]; then
			kill_host
		else
			revive
		fi
		;;
	*) kill_one ;;
	esac
done
revive
want=$((PARTS * produced))
check "all $want are" wait_until $((60 * WAITS)) all_processed
all_down
check "in order, by one at a time, again only what was in flight" verdict
verdict | tail -n 1
stop_all
