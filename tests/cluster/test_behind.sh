# A member that falls so far behind that it gets a snapshot instead of the log:
# what its kernel has cached of before must not be seen after.
. "$(dirname "$0")/lib.sh"
must start_all
head -c 900000 /dev/urandom >"$WORK/data"
mkdir "$WORK/m1/dir"
for f in changed gone moved; do
	echo old >"$WORK/m1/dir/$f"
done
lead=$(leader_of 1)
k=$((lead % 3 + 1))
a=$lead
M=$WORK/m$k
check "z$k has it" wait_until 5 reads "$M/dir/moved" old
same "and its kernel" "old old old" "$(cat "$M"/dir/* | xargs)"
check_not "also what is not there" test -e "$M/dir/new"
kill -STOP "${PID[k]}"
cd "$WORK/m$a" || exit 1
for ((i = 0; i < 30; i++)); do
	cp "$WORK/data" big || fail "a write of the others"
done
echo new >dir/changed
echo new >dir/new
rm dir/gone
mv dir/moved dir/there
cd /
kill -CONT "${PID[k]}"
check "it catches up" wait_until 30 agree 1 2 3
for i in 1 2 3; do
	same "what z$i lists" "changed new there" "$(cd "$WORK/m$i/dir" && echo *)"
	same "and reads" "new new old" "$(cat "$WORK/m$i"/dir/* | xargs)"
	check_not "without what is gone" test -e "$WORK/m$i/dir/gone"
done
check "it had to be a snapshot" cmp "$WORK/data" "$M/big"
must stop_all
