#!/bin/bash
# zkfs itself in the table of the peers: three members on loopback, each with
# a mount; the programs are ordinary users of files.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need zkfs "$tools/../../../mount.zkfs"
load=$tools/zkfs

source=
for i in 1 2 3; do
	source=${source:+$source,}z$i=127.0.0.1:$((base_port + 350 + i))
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
	mkdir -p "$(dir "$1")"
	"$tools/../../../mount.zkfs" "$source" "$(dir "$1")" \
	    -o "name=z$1,data=$work/$1" >>"$work/log.$1" 2>&1
}
boot_all() {
	local i
	for i in 1 2 3; do boot $i & done
	wait
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
first_write() {
	echo v >"$(dir 1)/first"
}

start=$(now_ms)
boot_all
until_true 30 first_write 2>/dev/null
row "zkfs: start of three -> first write" $(($(now_ms) - start)) ms
until_true 30 all_up
memory_of_daemons "zkfs: own memory per member, idle"
one=${dirs%%,*}
far=${dirs##*,}
run_load() { # run_load NAME OPERATION DIRS WRITERS [SIZE]
	"$load" load "zkfs: $1" "$2" "$3" "$4" "$secs" "${5:-100}"
}
run_load "write 100 B, 1 writer" write "$one" 1
run_load "write 100 B, 1 writer on a follower" write "$far" 1
run_load "write, 16 writers" write "$dirs" 16
run_load "write, 64 writers" write "$dirs" 64
run_load "write, 64 on the leader" write "$one" 64
run_load "create or delete, 1" cd "$one" 1
run_load "create or delete, 64" cd "$one" 64
run_load "read, 1 client" read "$far" 1
run_load "read, 1 client, linearizable" linear "$far" 1 4096
run_load "read, 64 clients" read "$dirs" 64
"$load" watch "zkfs: change -> inotify elsewhere" "$dirs" $((secs * 500))
"$load" owners "zkfs: owner killed -> gone on all" "$dirs" "$owners"
took=()
for _ in $(seq "$trials"); do
	until_true 30 all_up "${leader:-1}"
	took+=("$("$load" failover "$rest" "$(cat "$work/$leader/pid")")")
	boot "$leader"
done
row_of "zkfs: leader killed -> next write" ms "${took[@]}"
until_true 30 all_up
one=${dirs%%,*}
"$load" fill "zkfs: create + write, 16 in flight" "$one" "$nodes"
memory_of_daemons "zkfs: own memory per member, $nodes files"

mkdir -p "$one/topics/bench" && [ -e "$one/topics/bench/p0" ] || exit 0
for size in 100 1024; do
	p="append $size B"
	run_load "$p, 1 writer" append "$one/topics/bench/p0" 1 $size
	run_load "$p, 16 writers" append "$one/topics/bench/p0" 16 $size
	run_load "$p, 64 writers" append "$one/topics/bench/p0" 64 $size
done
run_load "append 64 KiB, 1 writer" append "$one/topics/bench/p0" 1 65536
start=$(now_ms)
lines=$(wc -l <"$one/topics/bench/p0")
row "zkfs: read a partition, lines" \
    $((lines * 1000 / ($(now_ms) - start + 1))) /s
