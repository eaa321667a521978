#!/bin/bash
# etcd, three members on loopback, everything at its default: the log is
# synced before every answer.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need etcd-server etcd
need etcd-client etcdctl
built etcd libnghttp2-dev
load=$tools/etcd
export ETCDCTL_API=3

port() {
	echo $((base_port + 100 + $1))
}
boot() {
	run "$1" etcd --name "m$1" --data-dir "$work/$1" --log-level error \
	    --listen-client-urls "http://127.0.0.1:$(port "$1")" \
	    --advertise-client-urls "http://127.0.0.1:$(port "$1")" \
	    --listen-peer-urls "http://127.0.0.1:$(port "1$1")" \
	    --initial-advertise-peer-urls "http://127.0.0.1:$(port "1$1")" \
	    --initial-cluster "$cluster" --initial-cluster-state new \
	    --initial-cluster-token bench --quota-backend-bytes 4294967296
}
for i in 1 2 3; do
	cluster=${cluster:+$cluster,}m$i=http://127.0.0.1:$(port "1$i")
done
# all_up: sets hosts (the leader first), rest and leader.
all_up() {
	local i count=0 status
	leader='' rest=''
	for i in 1 2 3; do
		status=$(etcdctl --endpoints "127.0.0.1:$(port $i)" \
		    --command-timeout 1s endpoint status 2>/dev/null |
		    cut -d, -f5)
		case $status in
		*true) leader=$i ;;
		*false)
			rest=${rest:+$rest,}127.0.0.1:$(port $i)
			count=$((count + 1))
			;;
		esac
	done
	[ -n "$leader" ] && [ "$count" = 2 ] &&
	    hosts=127.0.0.1:$(port "$leader"),$rest
}

if [ -n "${WATCH_ONLY:-}" ]; then
	for i in 1 2 3; do boot $i; done
	until_true 60 all_up
	"$load" watch "etcd: change -> watcher" "$hosts" $((secs * 500))
	exit
fi
start=$(now_ms)
for i in 1 2 3; do boot $i; done
until_true 60 "$load" first "127.0.0.1:$(port 1)" 2>/dev/null
row "etcd: start of three -> first write" $(($(now_ms) - start)) ms
until_true 60 all_up
memory "etcd: memory per member, idle"
"$load" load warm put "$hosts" 3 32 1 >/dev/null
# Reads first: the revisions that writes leave behind make them slower.
"$load" load "etcd: read, 1 client, linearizable" get "${hosts##*,}" 1 1 "$secs"
"$load" load "etcd: read, 1 client" sget "${hosts##*,}" 1 1 "$secs"
"$load" load "etcd: read, 64 clients" sget "$hosts" 64 1 "$secs"
"$load" load "etcd: write 100 B, 1 writer" put "${hosts%%,*}" 1 1 "$secs"
"$load" load "etcd: write, 16 connections" put "$hosts" 16 1 "$secs"
"$load" load "etcd: write, 64 connections" put "$hosts" 64 1 "$secs"
"$load" load "etcd: write, 64 in 1 connection" put "${hosts%%,*}" 1 64 "$secs"
"$load" load "etcd: create or delete, 1" cd "${hosts%%,*}" 1 1 "$secs"
"$load" load "etcd: create or delete, 64" cd "${hosts%%,*}" 1 64 "$secs"
"$load" watch "etcd: change -> watcher" "$hosts" $((secs * 500))
"$load" owners "etcd: owner killed -> gone (4 s)" "$hosts" 4 "$owners"
took=()
for _ in $(seq "$trials"); do
	until_true 60 all_up
	took+=("$("$load" failover "$rest" "${pid[$leader]}")")
	reap "$leader"
	boot "$leader"
done
row_of "etcd: leader killed -> next write" ms "${took[@]}"
stop_all
rm -rf "$work"/[123]
for i in 1 2 3; do boot $i; done
until_true 60 all_up
"$load" fill "etcd: create, 200 in flight" "$hosts" "$nodes"
memory "etcd: memory per member, $nodes keys"
