#!/bin/bash
# timeout: 120
# skip-ok: a kernel may be without btrfs
# The data directory on btrfs, which writes what is overwritten elsewhere: what
# has its room must not meet a full disk nevertheless.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/disk.sh"
disk_up 400M mkfs.btrfs -q

must start_fs
mkdir -p "$M/topics/t"
echo first >"$M/value"
for i in $(seq 50); do
	echo "record $i" >>"$M/topics/t/p0"
done
must kill_fs
must start_fs
same "after a crash the value is there" first "$(cat "$M/value")"
same "and the records" 50 "$(wc -l <"$M/topics/t/p0")"

dd if=/dev/zero of="$WORK/disk/ballast" bs=64k 2>/dev/null
fill_up() {
	local i
	for i in $(seq 20000); do
		echo "$i" >"$M/fill.$i" || return 0
	done 2>"$WORK/why"
	return 1
}
check "with the disk full, writes end in an error" fill_up
check "which says why" grep -q "No space left" "$WORK/why"
same "the mount lives and is read" first "$(cat "$M/value")"
check "deletes work" rm "$M/fill.1"
rm "$WORK/disk/ballast"
try() {
	echo healed >"$M/value" 2>/dev/null
}
check "with room again writes work" wait_until 20 try
same "and are read" healed "$(cat "$M/value")"
must stop_fs
must start_fs
same "also after a remount" healed "$(cat "$M/value")"
must stop_fs
