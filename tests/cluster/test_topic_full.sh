# The disk of one host is full, a leader's too, under writers of partitions:
# the others go on; when most are full writers hear ENOSPC and nothing else
# stops; with room again all is well.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/topics.sh"
for i in $ALL; do
	mkdir "$WORK/disk$i"
	truncate -s 256M "$WORK/image$i"
	mkfs.ext4 -q -m 0 -O ^has_journal "$WORK/image$i" >/dev/null ||
	    skip "needs mkfs.ext4"
	mount -o loop "$WORK/image$i" "$WORK/disk$i" ||
	    skip "needs loop devices"
	mkdir -m 700 "$WORK/disk$i/d"
	ln -s "disk$i/d" "$WORK/d$i"
done
test_cleanup() {
	local i
	topics_cleanup
	for i in $ALL; do
		umount "$WORK/disk$i" 2>/dev/null ||
		    umount -l "$WORK/disk$i" 2>/dev/null
	done
}
must start_all op_timeout=3s
topics_start $ALL
check "all append" topics_run 10 $ALL

fill() {
	local i avail
	for i; do
		avail=$(df --output=avail -B1 "$WORK/disk$i" | tail -n 1)
		fallocate -l "$avail" "$WORK/disk$i/ballast" ||
		    fallocate -l $((avail - 1048576)) "$WORK/disk$i/ballast"
	done
}
empty() {
	local i
	for i; do
		rm -f "$WORK/disk$i/ballast"
	done
}
# 24 MB through host $1, more than any reserve.
head -c 749999 /dev/zero | tr '\0' x >"$WORK/record"
echo >>"$WORK/record"
append_much() {
	local n
	for ((n = 0; n < 32; n++)); do
		timeout 10 dd if="$WORK/record" of="$WORK/m$1/topics/u/p0" \
		    bs=1M oflag=append conv=notrunc status=none || return
	done
}
must mkdir "$WORK/m1/topics/u"
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/topics/u/p0"
done

# Partitions on one host each, and a key for one of each host's.
must mkdir "$WORK/m1/topics/v"
for i in $ALL; do
	must wait_until 20 test -e "$WORK/m$i/topics/v/config"
done
printf 'replicas=1\npartitions=3\n' >"$WORK/settings"
must cp "$WORK/settings" "$WORK/m1/topics/v/config"
KEY=()
keys_are_found() {
	local p at
	for p in 0 1 2; do
		at=$(getfattr --only-values -n user.zkfs.replicas \
		    "$WORK/m1/topics/v/p$p" 2>/dev/null)
		case $at in
		z[123]) KEY[${at#z}]=$(awk 'NR == 1 { print $1 }' \
		    "$WORK/m1/topics/v/p$p") ;;
		*) return 1 ;;
		esac
	done
	[ -n "${KEY[1]:-}" ] && [ -n "${KEY[2]:-}" ] && [ -n "${KEY[3]:-}" ]
}
for n in $(seq 40); do
	printf 'key%d\tfirst\n' "$n"
done >"$WORK/keys"
must dd if="$WORK/keys" of="$WORK/m1/topics/v/by-key" bs=1M oflag=append \
    conv=notrunc status=none
check "each host has a key" wait_until 30 keys_are_found

# --- a follower, then a leader
must topic_led 0
for victim in $((LED % 3 + 1)) "$LED"; do
	mapfile -t rest < <(others "$victim")
	fill "$victim"
	check "the disk of z$victim is full, the others take more than it can" \
	    append_much "${rest[0]}"
	check "and go on appending" topics_run 10 "${rest[@]}"
	check "the tree, too" works "${rest[1]}" 5
	check "z$victim reads" timeout 10 tail -n 1 \
	    "$WORK/m$victim/topics/t/p0"
	empty "$victim"
	check "there is room again, all append" topics_run 30 $ALL
done

# --- most of them
fill 1 2
is_told() {
	! append_much 3 2>"$WORK/said" &&
	    grep -q "No space left on device" "$WORK/said"
}
check "two are full: who appends is told" wait_until 30 is_told
# A line whose beginning waited in the open file, and one for a full host.
cat >"$WORK/some.py" <<'END'
import os, sys
path, good, bad = sys.argv[1:]
fd = os.open(path, os.O_WRONLY | os.O_APPEND)
os.write(fd, ("%s\t%s" % (good, "x" * 5000)).encode())
try:
    os.write(fd, ("x\n%s\tfull\n" % bad).encode())
    print("written")
except OSError as e:
    print(e.strerror)
os.close(fd)
END
same "who has some of his lines appended is not told that none was" \
    "Connection timed out" "$(timeout 20 python3 "$WORK/some.py" \
    "$WORK/m3/topics/v/by-key" "${KEY[3]}" "${KEY[1]}")"
same "what was is there once, also after the close" 1 \
    "$(cat "$WORK"/m3/topics/v/p? | grep -c "^${KEY[3]}	x*$")"
check "reading goes on" timeout 10 tail -n 1 "$WORK/m1/topics/t/p0"
check "so do deletions" timeout 20 rm -f "$WORK/m3/works"
check "retention frees" sh -c 'echo retention.bytes=100K >>"$1"' sh \
    "$WORK/m3/topics/u/config"
freed() {
	[ "$(stat -c %b "$WORK/m3/topics/u/p0")" -lt 3000 ]
}
check "and is done" wait_until $((20 * WAITS)) freed
empty 1 2
check "there is room again, all append" topics_run 30 $ALL
topics_stop
topics_verdict
check "some were refused" grep -hq ' no 28' "$QUEUE"/w*.log
must stop_all
