# zkfs member: voters are added, promoted, removed and made to lead, while
# somebody writes; a group of one grows to three and shrinks again.
HOSTS=5
. "$(dirname "$0")/lib.sh"
must start_all

members() {
	control "$1" members | awk 'NR > 1 { print $1 "=" $3 }' |
	    sed 's/leader/voter/' | sort | xargs
}
has_members() {
	[ "$(members "$1")" = "$2" ]
}
: >"$WORK/acked"
writer() {
	local n=0
	while [ ! -e "$WORK/enough" ]; do
		n=$((n + 1))
		is_up 1 || return 1
		echo $n >>"$WORK/m1/log" && echo $n >>"$WORK/acked"
	done 2>/dev/null
}
spawn writer
writer_pid=$!

# --- who may, and what is refused
chmod 711 "$WORK"
refuses "Permission denied" as_user 1000 sh -c "echo remove z3 \
>'$WORK/m1/.zkfs/member'"
refuses "no member of that name" zkfs 1 member remove z9
refuses "no member of that name" zkfs 2 member promote z9
refuses "not NAME=ADDR:PORT" zkfs 2 member add z9
refuses "not NAME=ADDR:PORT" zkfs 2 member add z9=nowhere
refuses "Invalid argument" bash -c "echo add z9=nowhere >'$WORK/m2/.zkfs/member'"
refuses "there is a member of that name" zkfs 2 member add z1=127.0.0.1:1
refuses "a member with that address" zkfs 3 member add \
    z9=127.0.0.1:"${PORT[1]}"
refuses "usage: zkfs member" zkfs 1 member frobnicate z1
same "nothing has changed" "z1=voter z2=voter z3=voter" "$(members 1)"
same "the list is JSON, too" 3 "$(zkfs 1 member list -j | tr , '\n' |
    grep -c '"name":"z[123]"')"

# --- add: registered, then started
check "a voter is added" zkfs 2 member add z4=127.0.0.1:"${PORT[4]}"
same "it is expected" joining "$(role_of 2 z4)"
must start_member 4
check "it is to lead, once it has a vote" zkfs 2 member transfer z4
for i in 1 2 3 4; do
	check "z4 becomes a voter, says z$i" wait_until 20 has_members $i \
	    "z1=voter z2=voter z3=voter z4=voter"
done
check "one who is expected and never comes is removed" sh -c \
    "'$BUILD/zkfs' member -m '$WORK/m1' add z9=127.0.0.1:9 &&
     '$BUILD/zkfs' member -m '$WORK/m3' remove z9"

# --- transfer, promote
leader=$(leader_of 1)
to=$((leader % 4 + 1))
check "z$to is to lead" zkfs "$leader" member transfer z$to
same "and does" $to "$(leader_of $to)"
refuses "not a request" zkfs 1 member -w 0 transfer z9=1
NAME[5]=o5
must start_member 5
same "what has no vote is no follower" observer \
    "$(control 5 status | sed -n 's/^role: //p')"
refuses "o5: not a voter that is here" zkfs 1 member transfer o5
refuses "it has no address" zkfs 1 member promote o5
stop_member 5
must start_member 5 "listen=127.0.0.1:${PORT[5]}"
check "it has an address now" wait_until 10 sh -c \
    "grep -q '^o5 127.0.0.1:${PORT[5]} ' '$WORK/m1/.zkfs/members'"
check "an observer is promoted" zkfs 4 member promote o5
same "there are five voters" "o5=voter z1=voter z2=voter z3=voter z4=voter" \
    "$(members 1)"

# --- remove: a follower, the leader, and what cannot be spared
check "o5 is removed" zkfs 1 member remove o5
check "and ends" ends 5 32
leader=$(leader_of 1)
while [ "$leader" = 1 ]; do
	check "z1 writes, so another is to lead" \
	    zkfs 1 member transfer z2
	leader=$(leader_of 1)
done
check "the leader is removed" zkfs 1 member remove "z$leader"
check "and ends" ends "$leader" 32
says "$leader" "was removed from the ensemble"
left=()
for i in 2 3 4; do
	[ "$i" = "$leader" ] || left+=("$i")
done
a=${left[0]} b=${left[1]}
same "three are left" "z1=voter z$a=voter z$b=voter" "$(members 1)"
kill_member "$b"
is_missed() {
	[ "$(control "$(leader_of 1)" members |
	    awk -v name="z$1" '$1 == name { print ($5 == "-" || $5 > 1000) }')" = 1 ]
}
check "it is missed" wait_until 10 is_missed "$b"
refused_now() {
	! zkfs 1 member -w 0 remove "z$a" 2>"$WORK/said" &&
	    grep -q "no majority" "$WORK/said"
}
check "of two that are there none is let go" wait_until 10 refused_now
check "but the one that is gone" zkfs 1 member remove "z$b"
same "two are left" "z1=voter z$a=voter" "$(members 1)"
check "now one can be spared, as it says itself" zkfs "$a" member remove "z$a"
check "and ends" ends "$a" 32
same "one is left" z1=voter "$(members 1)"
refuses "no majority" zkfs 1 member remove z1

# --- it grows again, with the old data of one that was removed
refuses "was removed from the ensemble" sh -c "timeout 40 \
'$BUILD/mount.zkfs' '$SOURCE' '$WORK/m$a' -f -o \
'data=$WORK/d$a,name=z$a,config=none,key=$KEY'"
check "it is wanted again" zkfs 1 member add "z$a=127.0.0.1:${PORT[a]}"
must start_member "$a"
check "and a voter again" wait_until 20 has_members 1 "z1=voter z$a=voter"
rm -rf "$WORK/d$b"
must start_member "$b" "listen=127.0.0.1:${PORT[b]}"
check "one without data comes as an observer" has_role 1 "z$b" observer
check "and is promoted" zkfs "$b" member promote "z$b"
check "three, as in the beginning" wait_until 5 has_members "$a" \
    "$(printf '%s\n' z1=voter "z$a=voter" "z$b=voter" | sort | xargs)"

# --- nothing was lost on the way
: >"$WORK/enough"
wait $writer_pid
LC_ALL=C sort "$WORK/acked" >"$WORK/want"
no_loss() {
	LC_ALL=C sort "$1" | LC_ALL=C comm -13 - "$WORK/want" >"$WORK/lost"
	[ ! -s "$WORK/lost" ]
}
check "all agree" wait_until 10 agree 1 "$a" "$b"
for i in 1 "$a" "$b"; do
	check "nothing acknowledged is lost on z$i" no_loss "$WORK/m$i/log"
	check "and nothing is twice" sh -c \
	    "[ -z \"\$(sort '$WORK/m$i/log' | uniq -d)\" ]"
done
check "there was something to lose: $(wc -l <"$WORK/acked")" \
    test "$(wc -l <"$WORK/acked")" -gt 50
must stop_all
