#!/bin/bash
# The examples of mount.zkfs(8) and zkfs.conf(5), as they are printed but for
# the places that they name.
# skip-ok: without overlayfs there is no /sbin to pretend with
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
if [ "${ZKFS_APART:-}" != 1 ]; then
	# In a mount namespace that nobody else sees: mount.zkfs in /sbin, and a
	# /var/lib with nothing in it.
	trap - EXIT
	mkdir -p "$WORK/upper" "$WORK/work" "$WORK/lib"
	install -m 755 "$BUILD/mount.zkfs" "$WORK/upper/"
	ZKFS_APART=1 exec unshare -m --propagation private bash -c '
		# This copy of the mounts of other tests would keep them alive.
		while read -r _ _ _ _ at rest; do
			case $rest in
			*" - fuse.zkfs "*) umount -l "$at" ;;
			esac
		done <<<"$(cat /proc/self/mountinfo)"
		mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" \
		    overlay "$1" && mount --bind "$2/lib" /var/lib ||
			ZKFS_APART=2
		exec bash "$3"' sh "$(realpath /sbin)" "$WORK" "$0"
fi
[ "$ZKFS_APART" = 1 ] || skip "needs overlayfs"
[ ! -e /etc/zkfs/zkfs.conf ] || skip "/etc/zkfs/zkfs.conf is there"

# examples PAGE: the examples, each into a file of its own, $WORK/example.N.
examples() {
	rm -f "$WORK"/example.*
	awk -v out="$WORK/example." '
	    /^\.Sh / { here = $2 == "EXAMPLES" }
	    here && /^\.Bd / { n++; inside = 1; next }
	    /^\.Ed/ { inside = 0 }
	    inside { gsub(/\\e/, "\\"); print >(out n) }' "$SRC/man/$1"
	# Elsewhere than on a real host.
	sed -i "s,/etc/zkfs/key,$WORK/key,; s,/srv/,$WORK/,; s, /zk, $M," \
	    "$WORK"/example.*
}
head -c 32 /dev/urandom | base64 >"$WORK/key"
chmod 600 "$WORK/key"

# A release without observers says so, once all else is right.
accepts() {
	"$BUILD/mount.zkfs" --check "$M" -o "config=$1" 2>"$WORK/err" ||
	    { cat "$WORK/err" && grep -q 'observers are not' "$WORK/err"; }
}
examples zkfs.conf.5
count=0
for file in "$WORK"/example.*; do
	count=$((count + 1))
	check "zkfs.conf(5), example $count" accepts "$file"
done
same "zkfs.conf(5): examples" 3 "$count"

# Commands begin with "# "; what is no command is a line of fstab.
commands() {
	sed -n 's/^# //p; s/^    //p' "$1"
}
run_alone() {
	commands "$1" >"$1.sh"
	bash -eu "$1.sh" || return
	"$WAITFOR" unmounted 20 "$M"
}
# What needs other hosts is checked as far as mount(8) does that.
run_faked() {
	commands "$1" | sed 's/^mount -t/mount -f -t/' >"$1.sh"
	bash -eu "$1.sh"
}
examples mount.zkfs.8
count=0
for file in "$WORK"/example.*; do
	count=$((count + 1))
	if grep -q systemctl "$file"; then
		check "mount.zkfs(8), example $count: the unit is there" \
		    test -f "$SRC/dist/zkfs.service"
	elif ! grep -q '^#' "$file"; then
		check "mount.zkfs(8), example $count, a line of fstab" \
		    mount -f --fstab "$file" "$M"
	elif grep -q 'mount -t' "$file"; then
		check "mount.zkfs(8), example $count, faked" run_faked "$file"
	else
		check "mount.zkfs(8), example $count" run_alone "$file"
	fi
done
same "mount.zkfs(8): examples" 6 "$count"
check "a tree in /var/lib" test -s /var/lib/zkfs/tree.mdb
