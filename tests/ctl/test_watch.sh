# zkfs watch: what it tells, and that it loses nothing on the way.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
cd "$M" || exit 1
mkdir -p a/b other

watchers=()
watching() {
	spawn "$@"
	watchers+=($!)
}
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
# Operation and path, without the revision and the mount.
told() { cut -f2- "$1" | sed "s|$M||g"; }
rev() { cut -d' ' -f1 "$M/.zkfs/digest"; }

since=$(rev)
watching "$ZKFS" watch a >"$WORK/flat"
watching "$ZKFS" watch -r a >"$WORK/deep"
watching "$ZKFS" watch --since "$since" -r "$M" >"$WORK/all"
watching "$ZKFS" watch a/one >"$WORK/file"
watching "$ZKFS" watch -jr a >"$WORK/json"
# They begin with what comes after they have begun.
for name in flat deep file json; do
	ready() {
		case $name in file) touch a/one && rm a/one ;; *) mkdir a/x && rmdir a/x ;; esac
		[ -s "$WORK/$name" ]
	}
	must wait_until 10 ready
done
mkdir a/marker
echo v >a/one
mv a/one a/b/two
echo w >a/b/two
mv a/b/two other/three
rm other/three
printf 'x' >"$(printf 'a/new\nline\t\\ \xff')"
rmdir a/marker
must wait_until 10 grep -q 'delete.*marker' "$WORK/all"
for name in flat deep json; do
	must wait_until 10 grep -q 'delete.*marker' "$WORK/$name"
done
after() { told "$1" | sed '1,/create.*marker/d; s/\t/ /g'; }
odd=$(printf '/a/new\\012line\\011\\134 \xff')
same "a directory and what is in it" "create /a/one
modify /a/one
rename /a/one /a/b/two
create $odd
modify $odd
delete /a/marker" "$(after "$WORK/flat")"
same "-r: and below" "create /a/one
modify /a/one
rename /a/one /a/b/two
modify /a/b/two
rename /a/b/two /other/three
create $odd
modify $odd
delete /a/marker" "$(after "$WORK/deep")"
same "a file that was not there" "create /a/one
modify /a/one
rename /a/one /a/b/two" "$(told "$WORK/file" | tail -n 3 | sed 's/\t/ /g')"
check "--json are the lines of events" python3 - "$WORK/json" <<'END'
import json, os, sys
events = [json.loads(line) for line in open(sys.argv[1])]
ops = [e["op"] for e in events]
assert ops[-8:-5] == ["create", "modify", "rename"] or "rename" in ops, ops
assert any(os.fsencode(e["path"]) == b"/a/new\nline\t\\ \xff" for e in events)
assert all(e["host"] and e["session"] for e in events)
END
check "revisions grow" bash -c 'cut -f1 "$1" | sort -nc' sh "$WORK/all"

# A command for each.
watching "$ZKFS" watch -r other -- sh -c \
    'echo "$ZKFS_EVENT ${ZKFS_PATH#"$ZKFS_MOUNT"}${ZKFS_TO:+ ${ZKFS_TO#"$ZKFS_MOUNT"}} $ZKFS_TYPE ${ZKFS_HOST:+host} $((ZKFS_REV > 0))" >>"$0"; exit 3' \
    "$WORK/ran"
ready() {
	mkdir other/x && rmdir other/x
	[ -s "$WORK/ran" ]
}
must wait_until 10 ready
mkdir other/d
mv other/d other/e
must wait_until 10 grep -q 'rename' "$WORK/ran"
same "with what changed in its environment" \
    "create /other/d directory host 1
rename /other/d /other/e directory host 1" "$(tail -n 2 "$WORK/ran")"
"$ZKFS" watch -s 0 "$M" -- /nonexistent >"$WORK/out" 2>&1
same "a command that cannot be run ends it" 127 $?
refuses "not a revision" "$ZKFS" watch --since x "$M"
refuses "not on a mount of zkfs" "$ZKFS" watch /
refuses "not in the tree" "$ZKFS" watch .zkfs/state
refuses "not in the tree" "$ZKFS" watch -m "$M" -r /.zkfs
refuses usage "$ZKFS" watch
refuses usage "$ZKFS" watch a b
# Mounted elsewhere, too: paths are those of a mount of all of the tree.
mkdir "$WORK/part" "$WORK/again"
must mount --bind "$M/other" "$WORK/part"
must mount --bind "$M" "$WORK/again"
since=$(rev)
mkdir other/bound
bound() {
	# shellcheck disable=SC2016 # the inner shell expands
	timeout 20 "$ZKFS" watch -s "$since" "$1" -- \
	    sh -c 'echo $ZKFS_EVENT $ZKFS_PATH; kill $PPID' 2>"$WORK/err"
}
same "in the mount" "create $M/other/bound" "$(bound other)"
same "in another one of all" "create $WORK/again/other/bound" \
    "$(bound "$WORK/again/other")"
must umount "$WORK/again"
for where in "$WORK/part" "$WORK/part/bound"; do
	same "below $where" "create $M/other/bound" "$(bound "$where")"
done
must umount "$WORK/part"

# The daemon ends, cleanly and not, and comes back; a writer goes on.
cd / || exit 1
watching "$ZKFS" watch -r "$M/a" >"$WORK/steady" 2>"$WORK/steady.err"
ready() {
	mkdir "$M/a/x" && rmdir "$M/a/x"
	[ -s "$WORK/steady" ]
}
must wait_until 10 ready
count=0
for round in 1 2 3 4; do
	for _ in 1 2 3 4 5; do
		count=$((count + 1))
		mkdir "$M/a/round-$count"
	done
	if [ $((round % 2)) = 0 ]; then
		kill_fs
		wait "$FS_PID" 2>/dev/null
	else
		# Watchers keep it busy: as umount -l, or a stop of the unit.
		kill -TERM "$FS_PID"
		wait "$FS_PID" 2>/dev/null
	fi
	must start_fs
done
mkdir "$M/a/round-end"
check "it goes on with the next daemon" \
    wait_until 20 grep -q round-end "$WORK/steady"
want=$(seq -f 'create /a/round-%g' 20)
same "and has lost and doubled nothing" "$want
create /a/round-end" "$(told "$WORK/steady" | sed 's/\t/ /g' | grep round)"
# --- whoever reads it goes: it does not wait for a change to notice
# shellcheck disable=SC2016 # the inner shell expands
watching bash -c '"$0" watch "$1" | head -n 1; echo "${PIPESTATUS[0]}"' \
    "$ZKFS" "$M/a" >"$WORK/one"
something() {
	mkdir "$(mktemp -u "$M/a/XXXXXX")"
	wait_until 1 test -s "$WORK/one"
}
must wait_until 10 something
check "head ends, and so does what it reads of" wait_until 10 grep -qx 141 \
    "$WORK/one"
# shellcheck disable=SC2016 # the inner shell expands
watching bash -c 'trap "" PIPE; "$0" watch "$1" 2>&1 >&3 3>&- |
    cat >"$2"' "$ZKFS" "$M/a" "$WORK/said" 3> >(head -n 1 >"$WORK/two")
more() {
	mkdir "$(mktemp -u "$M/a/XXXXXX")"
	wait_until 1 test -s "$WORK/two"
}
must wait_until 10 more
check "it says so where SIGPIPE is ignored" wait_until 10 grep -qx \
    "zkfs: watch: cannot write to standard output" "$WORK/said"
kill "${watchers[@]}" 2>/dev/null
wait "${watchers[@]}" 2>/dev/null
must stop_fs
