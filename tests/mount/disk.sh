# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # lib.sh mounts with D, and has cleanup
# Sourced after lib.sh: a data directory on a small disk of its own, at
# $WORK/disk.
#
#   disk_up SIZE MKFS...   makes it, or skips the test

unmount_disk() {
	cd /
	umount "$WORK/disk" || umount -l "$WORK/disk"
}

disk_up() {
	local size=$1
	shift
	mkdir "$WORK/disk"
	truncate -s "$size" "$WORK/image"
	"$@" "$WORK/image" >/dev/null || skip "needs $1"
	mount -o loop "$WORK/image" "$WORK/disk" 2>/dev/null ||
	    skip "needs loop devices, and a kernel that has what $1 makes"
	D=$WORK/disk/d
	trap 'status=$?; is_mounted && umount -l "$M"; end_processes
		unmount_disk; (exit "$status"); cleanup' EXIT
}
