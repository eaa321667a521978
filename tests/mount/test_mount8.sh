#!/bin/bash
# mount(8), umount(8) and fstab lines, with mount.zkfs installed.
# skip-ok: mount.zkfs need not be installed
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
if [ ! -x /sbin/mount.zkfs ] && [ "${ZKFS_APART:-}" = 1 ]; then
	skip "needs mount.zkfs in /sbin, or overlayfs to pretend"
elif [ ! -x /sbin/mount.zkfs ]; then
	# Pretend, in a mount namespace that nobody else sees.
	trap - EXIT
	mkdir -p "$WORK/upper" "$WORK/work"
	install -m 755 "$BUILD/mount.zkfs" "$WORK/upper/"
	ln -s mount.zkfs "$WORK/upper/mount.fuse.zkfs"
	ZKFS_APART=1 exec unshare -m --propagation private bash -c '
		# This copy of the mounts of other tests would keep them alive.
		while read -r _ _ _ _ at rest; do
			case $rest in
			*" - fuse.zkfs "*) umount -l "$at" ;;
			esac
		done <<<"$(cat /proc/self/mountinfo)"
		mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" \
		    overlay "$1" 2>/dev/null
		exec bash "$3"' sh "$(realpath /sbin)" "$WORK" "$0"
fi
same "what is installed is what was built" \
    "$("$BUILD/mount.zkfs" --version)" "$(/sbin/mount.zkfs --version)"

by_mount() {
	mount -t zkfs "$@" || return
	read -r FS_PID <"$D/pid" || return
	: >"$WORK/pids/$FS_PID"
}
check "mount -t zkfs none DIR -o" \
    by_mount none "$M" -o "data=$D,config=none,_netdev,nofail,x-test=1"
check "is usable at once" bash -c 'echo v >"$1/f" && cat "$1/f"' sh "$M"
same "findmnt knows it" fuse.zkfs "$(findmnt -no FSTYPE "$M")"
check "umount" umount "$M"
check "ends the daemon" "$WAITFOR" gone 20 "$FS_PID"
check "-r: read-only" by_mount -r none "$M" -o "data=$D,config=none"
refuses "Read-only" touch "$M/g"
check "remount,rw" mount -o remount,rw "$M"
check "makes it writable" touch "$M/g"
check "remount,ro" mount -o remount,ro "$M"
refuses "Read-only" touch "$M/h"
check "umount" umount "$M"
check "ends the daemon" "$WAITFOR" gone 20 "$FS_PID"

mount -t zkfs none "$M" -o "data=$D,config=none,color=blue" 2>"$WORK/err"
same "an unknown option: mount's status" 1 $?
check "the reason is said" grep -q color "$WORK/err"
check_not "nothing is mounted" is_mounted
check "-s tolerates it" by_mount -s none "$M" \
    -o "data=$D,config=none,color=blue"
check "umount" umount "$M"
"$WAITFOR" gone 20 "$FS_PID"
check "mount -f mounts nothing" mount -f -t zkfs none "$M" \
    -o "data=$D,config=none"
check_not "nothing is mounted" is_mounted

# What the kernel shows of a mount with the option $1 must match $2, and with
# $3 it must not.
shown() {
	local seen
	by_mount none "$M" -o "data=$D,config=none,$1" || return
	seen=$(awk -v dir="$M" '$5 == dir { print $6, $NF }' \
	    /proc/self/mountinfo)
	umount "$M" && "$WAITFOR" gone 20 "$FS_PID"
	echo "$1: $seen"
	grep -qwE -- "$2" <<<"$seen" && ! grep -qwE -- "${3:-none}" <<<"$seen"
}
while read -r option want not; do
	check "-o $option" shown "$option" "$want" "$not"
done <<'END'
defaults rw,nosuid,nodev,relatime
ro ro
noexec noexec
exec,dev,suid nodev noexec
noatime noatime relatime
nodiratime nodiratime
nodiratime,noatime,noexec noexec,noatime,nodiratime
strictatime rw relatime
relatime relatime
lazytime lazytime
nosymfollow nosymfollow
sync,dirsync rw sync|dirsync
user noexec
owner nosuid noexec
silent,mand,iversion rw
_netdev,nofail,x-foo=1,X-bar,comment=a rw
context=system_u:object_r:tmp_t:s0 rw
rootcontext="system_u:object_r:tmp_t:s0:c1,c2" rw
END

printf 'none %s zkfs data=%s,config=none,_netdev,noauto,nofail 0 0\n' \
    "$M" "$D" >"$WORK/fstab"
check "a line of fstab" mount --fstab "$WORK/fstab" "$M"
check "mounts it" is_mounted
read -r FS_PID <"$D/pid"
same "the tree is there" v "$(cat "$M/f")"
check "umount" umount "$M"
check "ends the daemon" "$WAITFOR" gone 20 "$FS_PID"
FS_PID=
