# zkfs backup and restore: a tree of a running mount in a file, and a new
# ensemble from that file.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
B=$WORK/backup

mkdir -p "$M/app/deep/er" "$M/many"
echo value >"$M/app/config"
ln "$M/app/config" "$M/app/deep/hard"
ln -s ../config "$M/app/deep/soft"
setfattr -n user.colour -v blue "$M/app/config"
chmod 640 "$M/app/config"
chown 12:34 "$M/app/deep"
head -c 300000 /dev/urandom >"$M/app/large"
truncate -s 200000 "$M/app/holes"
for i in $(seq 60); do
	echo "$i" >"$M/many/a name that is number $i"
done
mkdir "$M/alive"

must mkdir "$M/topics/orders"
produce() { "$ZKFS" -m "$M" produce "$M/topics/orders" "$1"; }
consume() { timeout 20 "$ZKFS" -m "$M" consume -n 1 --group g "$M/topics/orders"; }
check "a record in a topic" wait_until 20 produce old
consume >/dev/null

# An ephemeral file, a lock and an unlinked open file: not in the new ensemble.
spawn "$ZKFS" hold "$M/alive/host" here -- tail -f /dev/null
holder=$!
check "an ephemeral file" wait_until 10 test -e "$M/alive/host"
exec {locked}>"$M/app/lock"
check "a lock" flock -n "$locked"
exec {gone}>"$M/app/gone"
echo unlinked >&"$gone"
rm "$M/app/gone"

tell() {
	(cd "$1" && find app many -printf '%p %y %m %U %G %n %s %T@ %l\n' |
	    sort && cat app/config app/large app/holes many/* | cksum &&
	    getfattr --absolute-names -d app/config && stat -c %i app/config)
}

check "backup" "$ZKFS" -m "$M" backup "$B"
tell "$M" >"$WORK/before"
index=$("$ZKFS" -m "$M" backup "$B" | sed 's/.* index //')
check "it says its index" test "$index" -gt 60
same "only for its owner" 600 "$(stat -c %a "$B")"
check_not "nothing is left beside it" test -e "$B.tmp"
check_not "nothing is left in the data directory" test -e "$D/backup"
echo later >"$M/app/config"

# What is refused.
mknod -m 666 "$WORK/null" c 1 3
ln -s backup "$WORK/link"
mkfifo "$WORK/fifo" "$WORK/other.tmp"
mkdir "$WORK/dir"
for name in null link fifo dir; do
	before=$(stat -c "%F %i" "$WORK/$name")
	refuses "$WORK/$name: not a regular file" \
	    "$ZKFS" -m "$M" backup "$WORK/$name"
	same "$name is as it was" "$before" "$(stat -c "%F %i" "$WORK/$name")"
	check_not "nothing beside $name" test -e "$WORK/$name.tmp"
done
refuses "$WORK/other.tmp: " timeout 20 "$ZKFS" -m "$M" backup "$WORK/other"
check "what is in its place stays" test -p "$WORK/other.tmp"
refuses "it must be a file" "$ZKFS" -m "$M" backup -
check "anybody may look at the directory" as_user 4242 ls "$M/.zkfs"
refuses "only for root" as_user 4242 "$ZKFS" -m "$M" backup "/var/tmp/none.$$"
exec {open}<"$M/.zkfs/backup"
refuses "another backup" "$ZKFS" -m "$M" backup "$B.2"
exec {open}<&-
check_not "no file of a backup that failed" test -e "$B.2"
free_again() { "$ZKFS" -m "$M" backup "$B.2"; }
check "the other is over" wait_until 10 free_again
# A disk that takes half of it.
mkdir "$WORK/small"
if mount -t tmpfs -o size=100k none "$WORK/small"; then
	refuses "No space left" "$ZKFS" -m "$M" backup "$WORK/small/b"
	same "and nothing stays" "" "$(ls "$WORK/small")"
	umount "$WORK/small"
fi
check_not "it cannot be written" sh -c "echo >'$M/.zkfs/backup'"
refuses "not empty" "$ZKFS" restore "$B" "$D"
refuses "not a backup" "$ZKFS" restore "$M/app/large" "$WORK/no"
head -c 100000 "$B" >"$WORK/cut"
refuses "cut short" "$ZKFS" restore "$WORK/cut" "$WORK/no"
cp "$B" "$WORK/bad"
printf x | dd of="$WORK/bad" bs=1 seek=70000 conv=notrunc status=none
refuses "damaged" "$ZKFS" restore "$WORK/bad" "$WORK/no"
refuses "No such file" "$ZKFS" restore "$WORK/none" "$WORK/no"
refuses "not a name" "$ZKFS" restore -n 'a b' "$B" "$WORK/no"
check_not "nothing was made" test -e "$WORK/no"
text=$("$ZKFS" restore "$WORK/none" "$WORK/no" 2>&1)
same "who complains, and the status" \
    "1 zkfs restore: $WORK/none: No such file or directory" "$? $text"
text=$("$ZKFS" restore -n 'a b' "$B" "$WORK/no" 2>&1)
same "and of a command line" 2 $?

# The same tree in a new ensemble.
old=$(sed -n 's/^ensemble: //p' "$M/.zkfs/status")
exec {locked}>&- {gone}>&-
kill "$holder"
wait "$holder"
must stop_fs
check "restore" "$ZKFS" restore -n z1 "$B" "$WORK/new"
check_not "it is all in place" test -e "$WORK/new/restore.unfinished"
D=$WORK/new
must start_fs
tell "$M" >"$WORK/after"
check "the tree is the same" diff "$WORK/before" "$WORK/after"
check_not "the ephemeral file is gone" test -e "$M/alive/host"
same "the directory is empty" "" "$(ls "$M/alive")"
same "no lock is held" 1 "$(wc -l <"$M/.zkfs/locks")"
same "one session" 2 "$(wc -l <"$M/.zkfs/sessions")"
same "one member, of the name given" "z1 -" \
    "$(sed 1d "$M/.zkfs/members" | cut -d' ' -f1,2)"
check_not "another ensemble" grep -q "$old" "$M/.zkfs/status"
read -r now _ <"$M/.zkfs/digest"
check "the index goes on" test "$now" -gt "$index"
check "names are found again" test -e "$M/many/a name that is number 44"
rm -r "$M/many"
same "a directory can be emptied" "alive app topics" \
    "$(find "$M" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd" ")"
check "a topic takes records" wait_until 20 produce new
same "and gives those" new "$(consume)"
echo new >"$M/app/config"
must remount
same "it lasts" new "$(cat "$M/app/config")"
check "a backup of it" "$ZKFS" -m "$M" backup "$B.3"
must stop_fs

# A daemon of its own with that directory: what is half made is refused.
mkdir -p "$WORK/half/restore.unfinished"
refuses "restore.unfinished" "$BUILD/mount.zkfs" "$M" \
    -o "data=$WORK/half,config=none"
