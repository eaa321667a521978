# zkfs watch where history is gone: with a restored tree, which remembers
# nothing, there is a `lost' and an `exists' for all there is, never silence.
# shellcheck disable=SC2016 # the inner shells expand
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
FIRST=$D
must start_fs

mkdir -p "$M/a/b" "$M/other"
echo v >"$M/a/f"
ln -s f "$M/a/l"
mkfifo "$M/a/p"
must "$ZKFS" -m "$M" backup "$WORK/backup"
rev() { cut -d' ' -f1 "$M/.zkfs/digest"; }
told() { cut -f2- "$1" | sed "s|$M||g; s/\t/ /g"; }
watching() { # NAME ARGUMENT...
	local name=$1
	shift
	spawn "$ZKFS" watch "$@" >"$WORK/$name" 2>"$WORK/$name.err"
	watchers+=($!)
}
is_told_of_loss() { # NAME
	grep -q -e $'\tlost\t' -e '"op":"lost"' "$WORK/$1"
}
watchers=()

# One that was there before, and is told of changes that the other tree, which
# is of the time before them, never had; the numbers are used again.
watching before -r "$M/a"
ready() {
	mkdir "$M/a/x" && rmdir "$M/a/x"
	[ -s "$WORK/before" ]
}
must wait_until 10 ready
for i in $(seq 40); do
	mkdir "$M/a/only-then$i"
done
must wait_until 10 grep -q only-then40 "$WORK/before"
old=$(rev)
kill -TERM "$FS_PID"
"$WAITFOR" gone 20 "$FS_PID"
wait "$FS_PID" 2>/dev/null

D=$WORK/d2
must "$ZKFS" restore "$WORK/backup" "$D" >"$WORK/out"
must start_fs
check "the numbers are used again" test "$(rev)" -lt "$old"
now="exists /a
exists /a/b
exists /a/f
exists /a/l
exists /a/p"
check "another ensemble is told of as a loss" \
    wait_until 20 is_told_of_loss before
mkdir "$M/a/new"
check "and what happens there" wait_until 20 \
    grep -q create.*a/new "$WORK/before"
same "first that, then all that there is" "lost /a
$now
create /a/new" "$(told "$WORK/before" | sed '1,/only-then40/d' >"$WORK/then"
	sed -n 1p "$WORK/then"
	sed '1d; $d' "$WORK/then" | sort
	sed -n '$p' "$WORK/then")"
check "and said" grep -q "another ensemble" "$WORK/before.err"
rmdir "$M/a/new"

# Asked for what is forgotten.
refuses "No data available" cat "$M/.zkfs/events@1"
since=$(rev)
watching since --since 1 -r "$M/a"
watching flat --since 1 "$M/a"
watching all --since 0 -r "$M"
watching json --since 1 -jr "$M/a"
watching file --since 1 "$M/a/f"
watching none --since 1 "$M/a/nothing"
watching command --since 1 -r "$M/a" -- sh -c \
    'echo "$ZKFS_EVENT ${ZKFS_PATH#"$ZKFS_MOUNT"} $ZKFS_TYPE $((ZKFS_REV >= '"$since"'))" >>"$0"' \
    "$WORK/ran"
names="since flat all json file none"
for name in $names; do
	check "$name is told" wait_until 20 is_told_of_loss "$name"
	check "and why" wait_until 10 grep -q "after revision [01] are forgotten" \
	    "$WORK/$name.err"
done
ready() {
	[ "$(wc -l <"$WORK/ran")" -ge 6 ]
}
check "and a command is run" wait_until 20 ready
mkdir "$M/a/end" "$M/end"
rmdir "$M/a/end" "$M/end"
echo >"$M/a/nothing"
for name in since flat all json; do
	must wait_until 20 grep -q delete.*a/end "$WORK/$name"
done
must wait_until 20 grep -q nothing "$WORK/none"
first() { told "$1" | grep '^lost\|^exists' | sort; }
sorted() { sort <<<"$1"; }
same "what there is" "$(sorted "$now
lost /a")" "$(first "$WORK/since")"
same "and in it only" "$(sorted "$now
lost /a")" "$(first "$WORK/flat")"
same "all but what is not of the tree" "$(sorted "$now
exists /other
exists /topics
lost /")" "$(first "$WORK/all")"
same "of a file" "$(sorted "exists /a/f
lost /a/f")" "$(first "$WORK/file")"
same "of what is not there" "lost /a/nothing" "$(first "$WORK/none")"
same "and when it comes" "create /a/nothing" \
    "$(told "$WORK/none" | grep create)"
same "with its type, for a command" "$(sorted "exists /a directory 1
exists /a/b directory 1
exists /a/f file 1
exists /a/l symlink 1
exists /a/p fifo 1
lost /a  1")" "$(grep '^lost\|^exists' "$WORK/ran" | sort)"
check "--json is JSON" python3 -c '
import json, sys
ops = [json.loads(line)["op"] for line in open(sys.argv[1])]
assert ops[0] == "lost" and ops[1:6] == ["exists"] * 5, ops
assert "create" in ops, ops' "$WORK/json"

# From the future: it is said, and waited for.
watching future --since $(($(rev) + 5)) -r "$M/a"
check "a revision that has not come is said to be" wait_until 10 \
    grep -q "not yet" "$WORK/future.err"
for i in 1 2 3 4 5 6 7; do
	mkdir "$M/a/f$i"
done
check "and what comes after it is told" wait_until 10 \
    grep -q f7 "$WORK/future"
check_not "but not what comes before" grep -q f1 "$WORK/future"

kill "${watchers[@]}" 2>/dev/null
wait "${watchers[@]}" 2>/dev/null
must stop_fs
rm -rf "$FIRST"
