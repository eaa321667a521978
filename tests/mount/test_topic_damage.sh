#!/bin/bash
# A page of noise in the partitions' file: either nobody needs it, or it is
# refused at the start, with a line; or the reader is told, and nobody else
# notices.  No wrong byte is ever given, and the daemon does not die of it.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
STORE=$D/topics.mdb

must start_fs
must mkdir "$T"
must bash -c 'echo partitions=3 >>"$0/config"' "$T"
# Batches that fill pages of their own, and small ones that share some.
must python3 - "$T" <<'END'
import os, sys
for part, count, most in (("p0", 60, 5000), ("p1", 4000, 5)):
    fd = os.open(sys.argv[1] + "/" + part, os.O_WRONLY | os.O_APPEND)
    for i in range(count):
        os.write(fd, b"%09d\n" % i * (1 + i * 37 % most))
    os.close(fd)
END
check "a third partition" bash -c 'echo other >>"$0/p2"' "$T"
cp "$T/p0" "$WORK/right0"
cp "$T/p1" "$WORK/right1"
must stop_fs

# The last page in use, as LMDB's two first pages tell.
last=$(od -A n -t u8 -j 136 -N 8 "$STORE" | tr -d ' ')
other=$(od -A n -t u8 -j $((4096 + 136)) -N 8 "$STORE" | tr -d ' ')
[ "$last" -ge "$other" ] || last=$other

# What is given is how the right text begins.
is_right() {
	timeout 10 cat "$T/p$1" >"$WORK/got" 2>"$WORK/said" ||
	    grep -q "Input/output error" "$WORK/said" || return 1
	cmp -s -n "$(stat -c %s "$WORK/got")" "$WORK/got" "$WORK/right$1"
}
pages=0 refused=0 told=0
for ((page = 2; page <= last; page += (last + ${PAGES:-40} - 1) / ${PAGES:-40})); do
	pages=$((pages + 1))
	rm -rf "$WORK/copy"
	cp -a --sparse=always "$D" "$WORK/copy"
	dd if=/dev/urandom of="$WORK/copy/topics.mdb" bs=4096 seek="$page" \
	    count=1 conv=notrunc status=none
	if ! timeout 50 "$BUILD/mount.zkfs" "$M" \
	    -o "data=$WORK/copy,config=none" >"$WORK/err" 2>&1; then
		refused=$((refused + 1))
		[ "$(wc -l <"$WORK/err")" = 1 ] &&
		    grep -qF "$WORK/copy/topics.mdb: " "$WORK/err" ||
		    fail "page $page: said $(cat "$WORK/err")"
		continue
	fi
	daemon=$(cat "$WORK/copy/pid")
	: >"$WORK/pids/$daemon"
	for part in 0 1; do
		is_right $part || fail "page $page: p$part is wrong"
		[ ! -s "$WORK/said" ] || told=$((told + 1))
	done
	timeout 10 bash -c 'echo more >>"$0/p2"' "$T" ||
	    fail "page $page: nobody can append to another partition"
	"$WAITFOR" gone 0 "$daemon" && fail "page $page: the daemon died"
	umount "$M" 2>/dev/null || umount -l "$M"
	"$WAITFOR" gone 20 "$daemon" || fail "page $page: the daemon stays"
done
echo "$pages pages: $refused refused, $told told to a reader"
check "enough pages were tried" test "$pages" -ge 30
check "some of them mattered" test "$told" -ge 3
