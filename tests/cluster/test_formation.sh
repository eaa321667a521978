# How an ensemble comes to be, who is let in, and what is said when it cannot
# be; and what becomes of a member that loses the others.
. "$(dirname "$0")/lib.sh"
OTHER_ORDER=z3=127.0.0.1:${PORT[3]},z1=127.0.0.1:${PORT[1]}
OTHER_ORDER=$OTHER_ORDER,z2=127.0.0.1:${PORT[2]}
is_listening() {
	grep -qi "^ *[0-9]*: [0-9A-F]*:$(printf %04X "${PORT[$1]}") " \
	    /proc/net/tcp
}
knows() {
	[ -e "$WORK/z$1.log" ] && grep -q "$2" "$WORK/z$1.log"
}

# --- what cannot begin
run_member() {
	local i=$1 options=$2
	timeout 20 "$BUILD/mount.zkfs" "${FROM-$SOURCE}" "$WORK/m$i" -f -o \
	    "data=$WORK/d$i,config=none,$options"
}
refuses "key=$WORK/none: No such file" run_member 1 "name=z1,key=$WORK/none"
cp "$KEY" "$WORK/open" && chmod 644 "$WORK/open"
refuses "chmod 600" run_member 1 "name=z1,key=$WORK/open"
(umask 077 && echo short >"$WORK/short")
refuses "not a key" run_member 1 "name=z1,key=$WORK/short"
many=$(for i in 1 2 3 4 5 6 7 8; do printf ',z%s=127.0.0.1:%s' $i $((4180 + i))
done)
FROM=${many#,} refuses "at most 7" run_member 1 "name=z1,insecure"
rm -rf "$WORK"/d?

# --- SIGTERM while it waits for the others
launch_member 1
check "one of three listens" wait_until 10 is_listening 1
kill -TERM "${PID[1]}"
check "SIGTERM ends the waiting at once" "$WAITFOR" gone 3 "${PID[1]}"
check "with status 8" ends 1 8

# --- two of three found nothing, then give up; a third with another key
(umask 077 && "$BUILD/zkfs" keygen "$WORK/other")
launch_member 1
launch_member 2
KEY=$WORK/other launch_member 3
for i in 1 2 3; do
	check "z$i gives up" ends $i 32
	says $i "no quorum within 30 s"
done
says 1 "REFUSED member=z3"
says 1 "z3 (127.0.0.1:${PORT[3]}) has another key"
check_not "nobody has founded" grep -q FORMED "$WORK/z1.log" "$WORK/z2.log"

# --- the order of SOURCE is not important, nor is when one is killed
launch_member 1
FROM=$OTHER_ORDER launch_member 2
FROM=$OTHER_ORDER launch_member 3
wait_until 10 knows 1 FORMED
kill -KILL "${PID[1]}"
"$WAITFOR" gone 10 "${PID[1]}"
umount -l "$WORK/m1" 2>/dev/null
check "the founder is killed, and comes back" start_member 1
check "z2 is there" settle_member 2
check "z3 is there" settle_member 3
same "they are one ensemble" 1 "$(for i in 1 2 3; do
	control $i status | grep ^ensemble; done | sort -u | wc -l)"
echo kept >"$WORK/m2/kept"
check "and one filesystem" wait_until 5 reads "$WORK/m3/kept" kept

# --- all stop, all start; SOURCE is not needed any more
stop_all
FROM=none launch_member 1
launch_member 2
launch_member 3
for i in 1 2 3; do
	check "z$i starts again" settle_member $i
	check "with what it had" reads "$WORK/m$i/kept" kept
done

# --- alone: no writes, then no session, and a new one when they are back
kill_member 2
kill_member 3
is_in_state() {
	[ "$(control "$1" state)" = "$2" ]
}
check "without the others the session is lost" \
    wait_until $((SESSION + 2)) is_in_state 1 lost
refuses "Read-only file system" bash -c "echo no >'$WORK/m1/kept'"
same "it says whom it does not reach" \
    "z2 (127.0.0.1:${PORT[2]}) is not reached; \
z3 (127.0.0.1:${PORT[3]}) is not reached" \
    "$(control 1 status | sed -n 's/^unreached: //p')"
check "reads go on" reads "$WORK/m1/kept" kept
launch_member 2
check "one comes back" settle_member 2
check "that is a majority" wait_until 10 is_in_state 1 connected
check "writes go on" sh -c "echo again >'$WORK/m1/kept'"
check "and are agreed" wait_until 5 reads "$WORK/m2/kept" again

# --- a wiped member is another one
rm -rf "$WORK/d3" "$WORK/z3.log"
launch_member 3
check "a wiped member is not let in" ends 3 32
says 3 "z3 is a member of this ensemble with another data directory (node"
says 3 "zkfs member remove z3"
check "the others go on" sh -c "echo still >'$WORK/m1/kept'"
stop_member 1
stop_member 2
refuses "belongs to member z2" run_member 3 "data=$WORK/d2,name=z3,key=$KEY"

# --- members are those of the data directory, whatever SOURCE says
rm "$WORK/z1.log"
FROM=z1=127.0.0.1:${PORT[1]},z9=127.0.0.1:9 launch_member 1
check "alone it gives up" ends 1 32
says 1 "no quorum within 30 s: z2 (127.0.0.1:${PORT[2]}) is not reached; \
z3 (127.0.0.1:${PORT[3]}) is not reached"
