# Who checks what clients were told is checked here: work that was lost,
# doubled, invented or done out of turn must be found.
. "$(dirname "$0")/lib.sh"
AUDIT=$BUILD/tests/cluster/audit
top=$WORK/tree
rm -rf "$top"
mkdir -p "$top/a" "$top/l" "$top/s"
lay_out() {
	printf '%s\n' c1.1 c2.1 >"$top/a/a0"
	: >"$top/a/a1"
	printf '%s\n' 'c1.2 4' 'c1.3 4' 'c2.2 9' >"$top/l/l0"
	: >"$top/l/l1"
	rm -f "$top"/s/*
	: >"$top/s/c1.4-0000000000"
	cat >"$WORK/records" <<-END
		c1.1 a0 10 - append ?
		c1.1 a0 10 20 append ok
		c2.1 a0 12 - append ?
		c1.2 l0 30 40 append ok
		c1.3 l0 41 50 append ok
		c2.2 l0 60 70 append ok
		c1.4 s 80 90 create ok
		c1.5 s 91 95 create fail
		c2.3 a1 80 - append ?
	END
}
lay_out
check "all is well" "$AUDIT" "$top" "$WORK/records"
bad() {
	local text=$1
	shift
	lay_out
	eval "$*"
	refuses "$text" "$AUDIT" "$top" "$WORK/records"
}
bad "c1.1 is lost" 'echo c2.1 >$top/a/a0'
bad "c1.1 is there twice" 'echo c1.1 >>$top/a/a0'
bad "c9.9 was written by nobody" 'echo c9.9 >>$top/a/a0'
bad "c1.1 was written by nobody" 'echo c1.1 >>$top/a/a1'
bad "c2.3 was refused, and is there" 'echo c2.3 a1 80 90 append fail \
	>>$WORK/records; echo c2.3 >>$top/a/a1'
bad "has a fence that went back" 'sed -i "s/9/3/" $top/l/l0'
bad "c1.4 is lost" 'rm $top/s/*'
bad "c1.4 is there twice" ': >$top/s/c1.4-0000000001'
bad "c1.5 was refused, and is there" ': >$top/s/c1.5-0000000001'
lay_out
"$AUDIT" "$top" "$WORK/records" >"$WORK/offsets"
check "the order of the records is one" "$BUILD/tests/lib/history" \
    "$WORK/offsets"
sed -i 's/^c1.1 a0 10 20/c1.1 a0 30 40/; s/^c2.1 a0 12 -.*/c2.1 a0 12 14 append ok/' \
    "$WORK/records"
"$AUDIT" "$top" "$WORK/records" >"$WORK/offsets"
refuses "do not grow" "$BUILD/tests/lib/history" "$WORK/offsets"

# --- what is said of partitions
LOADED="$BUILD/tests/cluster/topicload check"
final=$WORK/final.p0
lay_queue() {
	printf '%s\n' 'wa 1 0 2 a' 'wa 1 1 2 b' 'wb 1 0 1 c' 'wa 3 0 1 d' \
	    >"$final"
	head -c 30 "$final" >"$WORK/seen"
	: >"$WORK/seen2"
	cat >"$WORK/wa.log" <<-END
		0 1 2 10 20 ok 0
		1 2 3 21 30 ok 0
		0 3 1 31 40 ? 110
		0 4 1 41 50 no 28
	END
	echo "0 1 1 15 25 ok 22" >"$WORK/wb.log"
}
queue_is_well() {
	$LOADED 0 "$final" "$WORK/wa.log" "$WORK/wb.log" -- "$WORK/seen" \
	    "$WORK/seen2"
}
lay_queue
check "all is well in the queue" queue_is_well
bad_queue() {
	local text=$1
	shift
	lay_queue
	eval "$*"
	refuses "$text" queue_is_well
}
bad_queue "wb 1: is lost" 'sed -i /wb/d $final; head -c 20 $final >$WORK/seen'
bad_queue "wb 1: is there twice" 'echo "wb 1 0 1 c" >>$final'
bad_queue "wa 1: is not whole" 'sed -i "s/wa 1 1/wb 1 1/" $final; : >$WORK/seen'
bad_queue "wa 1: is there twice, or is not whole" \
    'sed -i "2{h;d};3G" $final; : >$WORK/seen'
bad_queue "wc 1: was written by nobody" 'echo "wc 1 0 1 c" >>$final'
bad_queue "wa 2: was written by nobody" 'echo "wa 2 0 1 c" >>$final'
bad_queue "is no record" 'echo rubbish >>$final'
bad_queue "wa 4: was refused, and is there" 'echo "wa 4 0 1 d" >>$final'
bad_queue "wb 1: was elsewhere" 'sed -i "s/22$/33/" $WORK/wb.log'
bad_queue "wb 1: was acknowledged and could not be read" \
    'sed -i "s/22$/-1/" $WORK/wb.log'
bad_queue "wa 3: is before an older one" '{ echo "wa 3 0 1 d"
    head -n 3 $final; } >$WORK/new; mv $WORK/new $final'
bad_queue "wb 1: is after one that began later" \
    'sed -i "s/15 25/5 8/" $WORK/wb.log'
bad_queue "$WORK/seen" 'sed -i s/a/b/ $WORK/seen'
bad_queue "$WORK/seen2" 'cat $final $final >$WORK/seen2'

# --- and of those that retention has taken something from
retained_is_well() {
	$LOADED "$START" "$final" "$WORK/wa.log" "$WORK/wb.log" -- \
	    "$WORK/seen" "$WORK/seen2"
}
lay_retained() {
	lay_queue
	cp "$final" "$WORK/all"
	START=33
	tail -c +$((START + 1)) "$WORK/all" >"$final"
}
lay_retained
check "what nobody can see any more is well, if somebody saw it" \
    retained_is_well
: >"$WORK/seen"
check "or if nobody did" retained_is_well
dd if="$WORK/all" of="$WORK/seen2" bs=1 skip=22 seek=22 count=11 2>/dev/null
check "or if somebody saw a part of it" retained_is_well
lay_retained
sed -i 's/wb 1 0 1 c/wa 2 0 1 c/' "$WORK/all"
head -c 33 "$WORK/all" >"$WORK/seen"
refuses "wb 1: is lost" retained_is_well
lay_retained
START=20
refuses "$WORK/seen" retained_is_well

# --- what is said of groups
lay_group() {
	printf 'p0 %s\n' 0 1 2 3 >"$WORK/produced"
	printf '0 %s\n' 0 0 12 48 >"$WORK/committed"
	# a loses its stream, b goes on, and a has it again.
	printf '%s\n' '10 a 1 p0 0 1' '20 a 1 p0 1 1' '25 a 1 lost Stale' \
	    '30 b 1 p0 1 1' '40 b 1 p0 2 1' '50 a 2 p0 3 1' >"$WORK/group"
}
group_is_well() {
	python3 "$SRC/tests/cluster/groupload.py" check 1 "$WORK/produced" \
	    "$WORK/committed" "$WORK/group"
}
lay_group
check "all is well in the group" group_is_well
# What b had in flight when it lost its stream comes to a, who had it before.
lay_lost() {
	printf '%s\n' '10 a 1 p0 0 1' '20 b 1 p0 1 1' '30 b 1 p0 2 1' \
	    '35 b 1 lost Stale' '40 a 1 p0 2 1' '50 a 1 p0 3 1' >"$WORK/group"
}
lay_lost
check "also when it comes back to who had it before" group_is_well
bad_group() {
	local text=$1
	shift
	lay_group
	eval "$*"
	refuses "$text" group_is_well
}
bad_group "p0: ('b', 1) skips from 0 to 2" 'sed -i "/p0 1/d" $WORK/group'
bad_group "p0: 2 after 0 to ('a', 1)" 'sed -i "s/a 1 p0 1/a 1 p0 2/" $WORK/group'
bad_group "p0: 2 to ('a', 1), who lost it" \
    'echo "45 a 1 p0 2 1" >>$WORK/group'
bad_group "p0: 2 of 3" 'sed -i "/p0 3/d" $WORK/group'
bad_group "p0 is back at 11 from 12" 'echo "0 11" >>$WORK/committed; \
    sed -i /48/d $WORK/committed'
bad_group "p0: 2 to ('a', 1), who lost it" 'lay_lost; sed -i /lost/d $WORK/group'
bad_group "p0: 2 to ('a', 1), who lost it" \
    'lay_lost; echo "45 b 1 p1 0 1" >>$WORK/group'
bad_group "p0: 0 to ('a', 1), who lost it" \
    'lay_lost; sed -i "s/40 a 1 p0 2/40 a 1 p0 0/" $WORK/group'

# --- and of what members of a group were given, while it was reset
shift_us=$(python3 -c 'import time
print((time.time_ns() - time.monotonic_ns()) // 1000)')
gave() { # NAME RECORD BEGAN-MS ENDED-MS
	echo "${4}000000 $1 1 p0 $2 0 ${3}000000" >>"$WORK/audited/$1.log"
}
happened() { # MS WHAT
	echo "$(($1 * 1000 + shift_us)) $2" >>"$WORK/audited/faults"
}
was_reset() { # STATUS SAID AFTER [KILLED]
	cat >"$WORK/audited/resets" <<-END
		{"partition": "all", "to": "7", "killed": ${4:-false}, "idle": true, "command": [],
		"before": [42, 0], "low": [7, 7], "high": [7, 7], "after": $3,
		"began": 1300000000, "ended": 1310000000, "status": $1, "said": "$2"}
	END
}
lay_audited() {
	local i
	rm -rf "$WORK/audited"
	mkdir "$WORK/audited"
	seq -f 'p0 %.0f 0' 0 7 >"$WORK/audited/p0"
	: >"$WORK/audited/p1"
	gave c1z1 0 1000 1010
	gave c1z1 1 1011 1020
	gave c1z1 2 1021 1030
	happened 1035 "end c1z1"
	gave c2z2 2 1036 1100
	gave c2z2 3 1101 1109
	gave c2z2 4 1110 1120
	happened 1127 "kill 2"
	gave c3z1 4 1128 1200
	gave c3z1 5 1201 1210
	happened 1215 "end c3z1"
	was_reset 0 "" "[7, 7]"
	for i in 1 2 3 4 5 6 7; do
		gave c4z1 $i 13${i}0 13${i}9
	done
	printf '0 %s000000\n' "0 1000" "14 1040" "28 1150" "7 1335" "49 1390" \
	    >"$WORK/audited/committed1"
	echo "p0 7 0 1380000000" >"$WORK/audited/fed1"
}
audited_is_well() {
	tr -d '\n' <"$WORK/audited/resets" >"$WORK/resets" &&
	    mv "$WORK/resets" "$WORK/audited/resets" &&
	    python3 "$SRC/tests/cluster/groupaudit.py" 5 "$WORK/audited" \
		"$WORK/audited/p0" "$WORK/audited/p1" >&2
}
lay_audited
check "all is well in the group" audited_is_well
bad_audited() {
	local text=$1
	shift
	lay_audited
	eval "$*"
	refuses "$text" audited_is_well
}
A=$WORK/audited
bad_audited "skips 7 bytes from 28" 'sed -i "/ p0 4 /d" $A/c3z1.log $A/c2z2.log'
bad_audited "p0 1 0 again to ('c2z2', 1), was ('c1z1', 1)'s" \
    'sed -i "1i 1090000000 c2z2 1 p0 1 0 1080000000" $A/c2z2.log'
bad_audited "ms before its host's fault" \
    'sed -i "1i 1190000000 c3z1 1 p0 3 0 1180000000" $A/c3z1.log'
bad_audited "ms after it was another's" 'gave c2z2 6 1240 1250'
bad_audited "after a reset to" 'sed -i "/ p0 1 /d" $A/c4z1.log'
bad_audited "while ('c3z1', 1) was a member" \
    'gave c3z1 6 1311 1315; sed -i /c3z1/d $A/faults'
bad_audited "is at 14, not 7" 'was_reset 0 "" "[14, 7]"'
bad_audited "refused and done" 'was_reset 1 "held by another process" "[7, 7]"'
bad_audited "done in part" 'was_reset -9 "" "[7, 0]" true'
bad_audited "done in part" 'was_reset 1 "held by another process" "[7, 0]"'
bad_audited "back at 7 from 14 on z1" \
    'sed -i "2a 0 7 1045000000" $A/committed1'
bad_audited "when 28 was committed on z1" \
    'sed -i "2a 0 28 1105000000" $A/committed1'
bad_audited "ends at 49 of 56" 'sed -i "/ p0 7 /d" $A/c4z1.log'
bad_audited "acknowledged and lost: p0 8 0" 'echo "p0 8 0 1390000000" >>$A/fed1'
lay_audited
was_reset -9 "" "[7, 7]" true
check "one that was killed may have been done" audited_is_well
lay_audited
was_reset -9 "" "[42, 0]" true
check "or may be done later" audited_is_well
lay_audited
sed -i /kill/d "$A/faults"
refuses "p0 4 0 again to ('c3z1', 1), was ('c2z2', 1)'s" audited_is_well
echo "1125000000 c2z2 1 lost Stale-file-handle" >>"$A/c2z2.log"
check "a lost stream is reason enough" audited_is_well
