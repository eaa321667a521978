#!/bin/bash
# A data directory that is foreign or damaged is refused: the file is named,
# and nothing in it is changed.
. "$(dirname "$0")/lib.sh"

sums() {
	find "$1" -printf '%P %y %m %s\n' | sort
	find "$1" -type f -exec sha256sum {} + | sort
}
# $1 is the directory, $2 what has to be said, $3 what is wrong with it.
refused() {
	local dir=$1 text=$2 before status
	before=$(sums "$dir")
	checks=$((checks + 1))
	"$WAITFOR" unmounted 1 "$M"
	timeout 50 "$BUILD/mount.zkfs" "$M" -o "data=$dir,config=none" \
	    >"$WORK/err" 2>&1
	status=$?
	if [ "$status" = 0 ]; then
		fail "$3: mounted"
		umount "$M"
	elif [ "$status" != 32 ]; then
		fail "$3: status $status: $(cat "$WORK/err")"
	elif [ "$(wc -l <"$WORK/err")" != 1 ] ||
	    ! grep -qE -- "$text" "$WORK/err"; then
		fail "$3: said $(cat "$WORK/err")"
	else
		echo "ok - $3: $(cat "$WORK/err")"
	fi
	same "$3: nothing is changed" "$before" "$(sums "$dir")"
}

mkdir "$WORK/foreign"
echo "a letter" >"$WORK/foreign/letter"
refused "$WORK/foreign" "$WORK/foreign" "a directory with other files"
mkdir "$WORK/text"
echo "not a database" >"$WORK/text/tree.mdb"
refused "$WORK/text" "$WORK/text" "a tree.mdb that is none"
mkdir "$WORK/sqlite"
head -c 100000 /dev/urandom >"$WORK/sqlite/tree.mdb"
refused "$WORK/sqlite" "$WORK/sqlite" "a tree.mdb of noise"

must start_fs
for i in 1 2 3 4 5 6 7 8; do
	head -c 50000 /dev/urandom >"$M/f$i"
done
echo small >"$M/small"
must stop_fs
must start_fs
same "a sound one is used again" small "$(cat "$M/small")"
must stop_fs
# A disk that its errors have made read-only.
mkdir "$WORK/disk"
must mount --bind "$D" "$WORK/disk"
must mount -o remount,bind,ro "$WORK/disk"
refused "$WORK/disk" "data=$WORK/disk.*: Read-only file system" "read-only"
must umount "$WORK/disk"
find "$D" -printf '%P %y %s\n' | sort
store=$D/tree.mdb
must test -s "$store"

# Damage, each to a fresh copy.
damaged() {
	rm -rf "$WORK/copy"
	cp -a "$D" "$WORK/copy"
	damaged_store=$WORK/copy/${store#"$D"/}
}
damaged
dd if=/dev/zero of="$damaged_store" bs=4096 count=2 conv=notrunc status=none
refused "$WORK/copy" "$WORK/copy" "no header"
damaged
truncate -s $((40 * 4096)) "$damaged_store"
refused "$WORK/copy" "$WORK/copy" "cut short"
for size in 8192 4095 1 0; do
	damaged
	truncate -s "$size" "$damaged_store"
	refused "$WORK/copy" "$WORK/copy/tree.mdb" "cut to $size bytes"
done

# The partitions have a file of their own.
store=$D/topics.mdb
damaged
dd if=/dev/zero of="$damaged_store" bs=4096 count=2 conv=notrunc status=none
refused "$WORK/copy" "$WORK/copy/topics.mdb" "topics without a header"
for size in 8192 4095 1; do
	damaged
	truncate -s "$size" "$damaged_store"
	refused "$WORK/copy" "$WORK/copy/topics.mdb" "topics cut to $size bytes"
done
# A new one is not what was there.
damaged
rm "$damaged_store" "$damaged_store-lock"
refused "$WORK/copy" "$WORK/copy/topics.mdb: missing" "topics deleted"
: >"$damaged_store"
refused "$WORK/copy" "$WORK/copy/topics.mdb: empty" "topics emptied"
head -c 8192 /dev/zero >"$damaged_store"
refused "$WORK/copy" "$WORK/copy/topics.mdb" "topics of zeros"
store=$D/tree.mdb

# A page of noise: either nobody needs it, and then all values are right; or
# it is refused; or it is found later, and then no wrong value is ever given.
sums_of_values() {
	(cd "$M" && sha256sum f? marked small 2>/dev/null)
}
must start_fs
yes "a line that can be found again" | head -c 60000 >"$M/marked"
right=$(sums_of_values)
must stop_fs
# Half of the pages are where that value is, or was.
pages=$(
	grep -abo 'a line that can be found again' "$store" |
	    awk -F: '{ page = int($1 / 4096) } page != last { print page }
		{ last = page }' | sort -n | uniq | awk 'NR % 3 == 1' |
	    head -n 12
	count=$(($(stat -c %s "$store") / 4096))
	for ((page = 2; page < count; page += (count + 11) / 12)); do
		echo "$page"
	done
)
wrong=0 refusals=0 served=0 failed_reads=0
for page in $pages; do
	damaged
	dd if=/dev/urandom of="$damaged_store" bs=4096 seek="$page" count=1 \
	    conv=notrunc status=none
	cp -a "$WORK/copy" "$WORK/before"
	if timeout 50 "$BUILD/mount.zkfs" "$M" -o "data=$WORK/copy,config=none" \
	    >"$WORK/err" 2>&1; then
		served=$((served + 1))
		daemon=$(cat "$WORK/copy/pid")
		: >"$WORK/pids/$daemon"
		got=$(sums_of_values)
		# Each line that is given must be one of the right ones.
		[ -z "$(comm -13 <(echo "$right" | sort) \
		    <(echo "$got" | grep . | sort))" ] || wrong=$((wrong + 1))
		[ "$got" = "$right" ] || failed_reads=$((failed_reads + 1))
		umount "$M" 2>/dev/null || umount -l "$M"
		"$WAITFOR" gone 20 "$daemon" || fail "the daemon stays"
	else
		refusals=$((refusals + 1))
		[ "$(wc -l <"$WORK/err")" = 1 ] ||
		    fail "page $page: said $(cat "$WORK/err")"
		diff <(cd "$WORK/before" && sums .) \
		    <(cd "$WORK/copy" && sums .) ||
		    fail "page $page: changed although refused"
		! is_mounted || umount -l "$M"
	fi
	rm -rf "$WORK/before"
done
echo "$refusals refused, $served served, $failed_reads of them incomplete"
same "no wrong value from a damaged page" 0 "$wrong"
check "twenty pages were tried" test $((refusals + served)) -ge 20
check "and some of them mattered" test $((refusals + failed_reads)) -ge 3
