# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with lib.sh and the scripts
# Sourced after lib.sh: three members of zkfs on loopback, each with a mount.
zkfs_source=
for i in 1 2 3; do
	zkfs_source=${zkfs_source:+$zkfs_source,}z$i=127.0.0.1:$((base_port +
	    350 + i))
done
dir() {
	echo "$work/mnt.$1"
}
# A daemon is no child: it ends with its mount, or by its pid if it hangs.
unmount_all() {
	local i daemon
	for i in 1 2 3; do
		daemon=$(cat "$work/$i/pid" 2>/dev/null)
		mountpoint -q "$(dir $i)" && umount -l "$(dir $i)"
		[ -n "$daemon" ] || continue
		timeout 5 tail --pid="$daemon" -f /dev/null ||
		    kill -KILL "$daemon" 2>/dev/null
	done
}
trap 'unmount_all; cleanup' EXIT
boot() {
	"$tools/../../../mount.zkfs" "$zkfs_source" "$(dir "$1")" \
	    -o "name=z$1,data=$work/$1" >>"$work/log.$1" 2>&1
}
boot_all() {
	local i booting=()
	for i in 1 2 3; do
		mkdir -p "$(dir $i)"
		boot $i &
		booting+=($!)
	done
	wait "${booting[@]}"
}
# all_up: sets dirs (the leader's first), rest and leader.
all_up() {
	local i
	leader=$(tr -dc 0-9 <"$(dir "${1:-1}")/.zkfs/leader") rest=
	for i in 1 2 3; do
		grep -q connected "$(dir $i)/.zkfs/state" || return 1
		[ "$i" = "$leader" ] || rest=${rest:+$rest,}$(dir $i)
	done
	[ -n "$leader" ] && dirs=$(dir "$leader"),$rest
}
memory_of_daemons() {
	local i all=()
	for i in 1 2 3; do
		all+=("$(awk '/^Rss(Anon|Shmem)/ { kib += $2 }
		    END { printf "%.1f", kib / 1024 }' \
		    "/proc/$(cat "$work/$i/pid")/status")")
	done
	row_of "$1" MiB "${all[@]}"
}
