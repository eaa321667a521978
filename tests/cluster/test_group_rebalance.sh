# Members join and leave while records keep coming: the partitions that do not
# move never pause.  ROUNDS=n
. "$(dirname "$0")/lib.sh"
WAITS=${WAITS:-1}
. "$(dirname "$0")/groups.sh"
test_cleanup() {
	groups_cleanup
}
must start_all
must groups_start
member 1 a
records 1 10
check "the first has all" wait_until 20 owns a $PARTS
for ((round = 0; round < ${ROUNDS:-4}; round++)); do
	host=$((2 + round % 2))
	member $host b$round
	check "round $round: one on z$host joins and has its part" \
	    wait_until 20 owns b$round $((PARTS / 2))
	"$WAITFOR" passed 1
	if [ $((round % 3)) = 2 ]; then
		member_is_killed b$round
	else
		member_ends b$round
	fi
	check "it leaves, and the first has all" wait_until 20 owns a $PARTS
	"$WAITFOR" passed 1
done
records_end
groups_verdict
check "where nothing moved, nothing paused" sh -c '"$0" "$@" >&9' python3 \
    "$SRC/tests/cluster/groupload.py" pauses $PARTS $WAITS \
    "$GROUPS_DIR"/*.log 9>"$WORK/pauses"
cat "$WORK/pauses"
stop_all
