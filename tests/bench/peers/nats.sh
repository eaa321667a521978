#!/bin/bash
# NATS JetStream, three servers on loopback, one stream with three replicas in
# files.  It acknowledges from the page cache of a majority and syncs every
# two minutes: its figures are not those of a synced log.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need nats-server nats-server
# shellcheck source=tests/bench/peers/nats_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/nats_lib.sh"

start=$(now_ms)
for i in 1 2 3; do nats_boot $i; done
until_true 60 nats_stream s
"$nats" publish first "$(nats_host 1)" s.first 100 1 1 0.01 >/dev/null
row "nats: start of three -> first message" $(($(now_ms) - start)) ms
until_true 60 nats_leader
memory "nats: memory per member, idle"
"$nats" publish warm "$hosts" s.w 100 1 64 1 >/dev/null
for size in 100 1024; do
	p="nats: publish $size B"
	"$nats" publish "$p, 1 writer" "${hosts%%,*}" s.a $size 1 1 "$secs"
	"$nats" publish "$p, 16 writers" "$hosts" s.a $size 16 1 "$secs"
	"$nats" publish "$p, 64 writers" "$hosts" s.a $size 64 1 "$secs"
	"$nats" publish "$p, window 64" "${hosts%%,*}" s.a $size 1 64 "$secs"
done
nats_api STREAM.PURGE.s '' >/dev/null
"$nats" publish x "${hosts%%,*}" s.c 100 1 1000 "$secs" >/dev/null
until_true 20 nats_consumer push '"deliver_subject":"to.push",
    "ack_policy":"none","deliver_policy":"all","flow_control":true,
    "idle_heartbeat":1000000000'
"$nats" push "nats: consume 100 B, not acknowledged" "${hosts%%,*}" to.push \
    "$secs"
until_true 20 nats_consumer pull '"ack_policy":"explicit",
    "deliver_policy":"all","max_ack_pending":1000000,"ack_wait":60000000000'
"$nats" pull "nats: consume 100 B, acknowledged" "${hosts%%,*}" s pull "$secs"
until_true 20 nats_consumer new '"deliver_subject":"to.new",
    "ack_policy":"none","deliver_policy":"new"'
"$nats" deliver "nats: publish -> delivered" "$hosts" s.e to.new \
    $((secs * 500))
nats_api STREAM.PURGE.s '' >/dev/null
took=()
for _ in $(seq "$trials"); do
	until_true 60 nats_replicas
	took+=("$("$nats" failover "$rest" s.f "${pid[nats$leader]}")")
	reap "nats$leader"
	nats_boot "$leader"
	via=${rest##*:}
	via=$((via - base_port - 200))
done
row_of "nats: leader killed -> next message" ms "${took[@]}"
