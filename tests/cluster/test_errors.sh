# What an operator can get wrong, and the one line that says so: a data
# directory of another ensemble or of a running daemon, a SOURCE that is out of
# date or not meant for these hosts, a clock that is off by a day.
. "$(dirname "$0")/lib.sh"
CLOCK=$BUILD/tests/cluster/clock.so
DAY=86400

# --- not the same SOURCE on every host: who is not listed joins as an observer
two=${SOURCE%,*}
FROM=$two launch_member 1
FROM=$two launch_member 2
launch_member 3
for i in 1 2 3; do
	must settle_member $i
done
same "two found, the third observes" "observer voter voter" \
    "$(control 1 members | awk 'NR > 1 { print $3 }' | sed s/leader/voter/ |
        sort | xargs)"
says 3 "OBSERVER member=z3 reason=SOURCE lists it"
says 3 "zkfs member promote z3"
check "which is done" zkfs 3 member promote z3
check "three vote" wait_until 10 has_role 1 z3 voter

# --- two daemons on one data directory
mkdir "$WORK/m9"
refuses "$WORK/d1" timeout 20 "$BUILD/mount.zkfs" "$SOURCE" "$WORK/m9" -f \
    -o "data=$WORK/d1,name=z1,config=none,key=$KEY"
check "that is told as such" grep -qi "another process\|in use" "$WORK/out"
check "z1 goes on" sh -c "echo x >'$WORK/m1/file'"

# --- a SOURCE that is out of date
stop_member 1
FROM=$SOURCE,z9=127.0.0.1:9 start_member 1
says 1 "SOURCE member=z9 reason=not a member of this ensemble"
check "it works all the same" reads "$WORK/m1/file" x

# --- a data directory of another ensemble
stop_member 3
mv "$WORK/d3" "$WORK/d3.right"
FROM=z3=127.0.0.1:${PORT[3]} start_member 3
echo alone >"$WORK/m3/alone"
check "an ensemble of one" reads "$WORK/m3/alone" alone
stop_member 3
rm "$WORK/z3.log"
launch_member 3
check "is not mounted in the place of another" ends 3 32
check "which is said" grep -q "data=$WORK/d3: belongs to another ensemble than \
z[12], which SOURCE lists" "$WORK/z3.log"
says 1 "belongs to another ensemble"
rm -rf "$WORK/d3"
mv "$WORK/d3.right" "$WORK/d3"

# --- a clock that is a day ahead
if [ -s "$CLOCK" ] && ! ldd "$BUILD/mount.zkfs" | grep -q 'lib[at]san'; then
	AT[3]="env LD_PRELOAD=$CLOCK ZKFS_CLOCK=$DAY"
	start_member 3
	says 1 "CLOCK member=z3 ahead_s=$DAY"
	says 3 "CLOCK member=z1 ahead_s=-$DAY"
	session=$(control 1 session)
	mtime() {
		stat -c %Y "$WORK/m1/file"
	}
	for to in z3 z1; do
		before=$(mtime)
		check "$to is to lead" zkfs 1 member transfer $to
		check "writes go on" sh -c "echo $to >'$WORK/m1/file'"
		check "time does not go back" test "$(mtime)" -ge "$before"
	done
	check "it is that of the leaders" \
	    test "$(mtime)" -ge $(($(date +%s) + DAY - 600))
	same "no session has ended of it" "$session" "$(control 1 session)"
	AT[3]=
else
	start_member 3
fi
must stop_all
