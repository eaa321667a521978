# What zkfs(1) says when something is not as its user thought: the reason, not
# the errno of the last call.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
cd "$M" || exit 1

# exits STATUS TEXT CMD...: one line on stderr with that text, nothing else.
exits() {
	local want=$1 text=$2
	shift 2
	"$@" >"$WORK/stdout" 2>"$WORK/stderr"
	same "status of ${*##*/}" "$want" $?
	same "its one line" "$text" "$(cat "$WORK/stderr")"
	same "and no output" "" "$(cat "$WORK/stdout")"
}

echo v >plain
mkdir dir
exits 1 "zkfs: hold: plain: exists, and is not ephemeral" \
    "$ZKFS" hold plain v -- true
exits 1 "zkfs: hold: dir: exists, and is not ephemeral" \
    "$ZKFS" hold dir v -- true
ln -s nowhere link
exits 1 "zkfs: hold: link: exists, and is not ephemeral" \
    "$ZKFS" hold link v -- true
spawn "$ZKFS" hold seat v -- tail -f /dev/null
holder=$!
must wait_until 10 test -s seat
exits 1 "zkfs: hold: seat: held by another process" "$ZKFS" hold seat v -- true
kill -TERM $holder
wait $holder 2>/dev/null

chmod 755 "$WORK" .
exits 125 "zkfs: lock: nobodys: Permission denied" \
    as_user 4242 "$ZKFS" lock nobodys -- true
exits 1 "zkfs: upgrade: only for root" as_user 4242 "$ZKFS" upgrade

exits 2 "zkfs: member: z9: not NAME=ADDR:PORT" "$ZKFS" member add z9
exits 2 "zkfs: member: z9=h: not NAME=ADDR:PORT" "$ZKFS" member add z9=h

exits 1 "zkfs: get: no?thing: No such file or directory" \
    "$ZKFS" get $'no\nthing'
exits 1 "zkfs: lock: plain: locked by another process" \
    flock plain "$ZKFS" lock -w 0.1 plain -- true

bad="no such setting, or a value that it cannot have"
one="one is no setting, or has a value that it cannot have"
exits 1 "zkfs: topic: partitions=0: $bad" "$ZKFS" topic create t partitions=0
exits 1 "zkfs: topic: partitions=2 color=3: $one" \
    "$ZKFS" topic create t partitions=2 color=3
check_not "no topic was made" test -e topics/t
config=$M/topics/none/config
exits 1 "zkfs: topic: $config: No such file or directory" \
    "$ZKFS" topic show none
exits 1 "zkfs: topic: $config: No such file or directory" \
    "$ZKFS" topic show --json none

# For programs: numbers are numbers, names are not.
check "top --json" python3 - "$("$ZKFS" top --json)" <<'END'
import json, sys
(row,) = json.loads(sys.argv[1])
assert isinstance(row["writes/s"], (int, float)), row
END
# For people: one column of labels, one of values.
same "status is in two columns" "" \
    "$("$ZKFS" status | sed '/^$/,$d' | grep -v '^.\{16\} [^ ]')"
