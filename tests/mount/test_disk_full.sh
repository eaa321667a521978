#!/bin/bash
# timeout: 300
# The disk below the data directory is full: writes are told ENOSPC and change
# nothing, reads and deletes go on, and it heals by itself.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_up 96M mkfs.ext4 -q -m 0 -O ^has_journal

# LMDB's file of readers is memory: a hole in it that meets a full disk would
# be SIGBUS, and not an error.
must start_fs
must stop_fs
rm "$D"/*-lock
head -c "$((1 << 30))" /dev/zero >"$WORK/disk/ballast" 2>/dev/null
refuses "No space left" "$BUILD/mount.zkfs" "$M" -o "$(fs_options)"
rm "$WORK/disk/ballast"

must start_fs
cd "$M" || exit 1
mkdir keep
for i in 1 2 3 4 5; do
	head -c 200000 /dev/urandom >"keep/f$i"
done
echo old >value
sums=$(sha256sum keep/*)

fill_up() {
	python3 - "$M/fill" <<'END'
import errno, os, sys
top = sys.argv[1]
os.makedirs(top, exist_ok=True)
for i in range(2000):
    try:
        fd = os.open("%s/%d" % (top, i), os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        sys.exit(0)
    try:
        n = os.write(fd, os.urandom(1000000))
        assert n == 1000000, n
    except OSError as e:
        assert e.errno == errno.ENOSPC, e
        assert os.fstat(fd).st_size == 0
        sys.exit(0)
    finally:
        os.close(fd)
sys.exit("2 GB fit onto 96 MB")
END
}
# Space that something else takes, and gives back.
head -c 3000000 /dev/zero | tr '\0' x >"$WORK/big"
avail=$(df --output=avail -B1 "$WORK/disk" | tail -n 1)
must fallocate -l $((avail - 8000000)) "$WORK/disk/ballast"
check "with the disk taken by another: ENOSPC at some time" fill_up
same "reads go on" "$sums" "$(sha256sum keep/*)"
rm "$WORK/disk/ballast"
check "the space is back: writes work, with no more done" wait_until 20 \
    bash -c 'head -c 500000 "$1" >after' sh "$WORK/big"
check "deletes work" rm -r fill

for turn in 1 2; do
	check "turn $turn: writes end in ENOSPC" fill_up
	check "turn $turn: the mount lives" test "$(cat .zkfs/state)" != lost
	same "turn $turn: reads go on" "$sums" "$(sha256sum keep/*)"
	refuses "No space left" bash -c 'head -c 1000000 "$1" >value' \
	    sh "$WORK/big"
	same "turn $turn: the old value is there" old "$(cat value)"
	check_not "turn $turn: the shell says so with its status" \
	    bash -c 'echo "$(head -c 100000 "$1")" >value2' sh "$WORK/big"
	rm -f value2
	check "turn $turn: deletes work" rm -r fill
	try() {
		echo "new $turn" >healed 2>/dev/null
	}
	check "turn $turn: after that writes work" wait_until 20 try
	same "turn $turn: and are read" "new $turn" "$(cat healed)"
	check "turn $turn: large ones too" wait_until 20 bash -c \
	    'head -c 1000000 "$1" >large' sh "$WORK/big"
	rm -f large
done

cd / || exit 1
must remount
same "all values are right after a remount" "$sums" \
    "$(cd "$M" && sha256sum keep/*)"
must stop_fs
