# The disk of one host is full, then the leader's, then that of two: nothing
# that was acknowledged is lost, and with room again all is well.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=3s
must stop_all
# Room for what a member keeps ready, and little more.
for i in $ALL; do
	mkdir "$WORK/disk$i"
	truncate -s 128M "$WORK/image$i"
	mkfs.ext4 -q -m 0 -O ^has_journal "$WORK/image$i" >/dev/null ||
	    skip "needs mkfs.ext4"
	mount -o loop "$WORK/image$i" "$WORK/disk$i" ||
	    skip "needs loop devices"
	mv "$WORK/d$i" "$WORK/disk$i/d" || skip "128 MB are not enough"
	ln -s "disk$i/d" "$WORK/d$i"
done
hosts_test_cleanup=$(declare -f test_cleanup)
eval "load_${hosts_test_cleanup}"
test_cleanup() {
	local i
	load_test_cleanup
	for i in $ALL; do
		umount "$WORK/disk$i" 2>/dev/null ||
		    umount -l "$WORK/disk$i" 2>/dev/null
	done
}
must start_all op_timeout=3s
load_start $ALL
check "all work" load_runs 10 $ALL
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
# Enough for any reserve to be used up, or refused.
head -c 1000000 /dev/urandom >"$WORK/megabyte"
write_much() {
	local i
	for ((i = 0; i < 30; i++)); do
		timeout 10 dd if="$WORK/megabyte" of="$WORK/m$1/big$((i % 10))" \
		    bs=1000000 status=none || return
	done
}
lead=$(leader)
follower=$((lead % 3 + 1))
fill "$follower"
write_much "$lead" 2>"$WORK/much"
mapfile -t rest < <(others "$follower")
check "the disk of z$follower is full: the others work" \
    load_runs 10 "${rest[@]}"
empty "$follower"
check "there is room again: all work" load_runs 20 $ALL
lead=$(leader)
fill $ALL
write_much "$lead" 2>"$WORK/much"
check "all disks are full: deletes work" timeout 20 rm -f "$WORK/m$lead"/big*
empty $ALL
check "there is room again: all work" load_runs 20 $ALL
load_stop
load_verdict
must stop_all
