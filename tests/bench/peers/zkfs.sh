#!/bin/bash
# zkfs itself in the table of the peers: three members on loopback, each with
# a mount; the programs are ordinary users of files.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need zkfs "$tools/../../../mount.zkfs"
load=$tools/zkfs
# shellcheck source=tests/bench/peers/zkfs_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/zkfs_lib.sh"

first_write() {
	mountpoint -q "$(dir 1)" && echo v >"$(dir 1)/first"
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

