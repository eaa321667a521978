#!/bin/bash
# NATS JetStream, three servers on loopback, one stream with three replicas in
# files.  It acknowledges from the page cache of a majority and syncs every
# two minutes: its figures are not those of a synced log.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need nats-server nats-server
load=$tools/nats

host() {
	echo "127.0.0.1:$((base_port + 200 + $1))"
}
boot() {
	local d=$work/$1
	mkdir -p "$d"
	cat >"$d/conf" <<C
server_name: n$1
listen: $(host "$1")
jetstream { store_dir: "$d/js", max_memory_store: 1GB, max_file_store: 20GB }
cluster { name: bench, listen: $(host "1$1"), routes: [
  nats://$(host 11), nats://$(host 12), nats://$(host 13) ] }
C
	run "$1" nats-server -c "$d/conf"
}
api() { # api SUBJECT JSON
	timeout 10 "$load" api "$(host "${via:-1}")" "\$JS.API.$1" "$2" \
	    2>/dev/null
}
make_stream() {
	api STREAM.CREATE.s '{"name":"s","subjects":["s.>"],"storage":"file",
	    "retention":"limits","discard":"old","num_replicas":3,
	    "max_bytes":4000000000}' | grep -q '"config"'
}
make_consumer() { # make_consumer NAME JSON
	api "CONSUMER.DURABLE.CREATE.s.$1" "{\"stream_name\":\"s\",
	    \"config\":{\"durable_name\":\"$1\",$2}}" | grep -q '"config"'
}
# has_leader: sets leader, hosts (the leader first) and rest.
has_leader() {
	local i
	leader=$(api STREAM.INFO.s '' |
	    sed -n 's/.*"cluster":{[^}]*"leader":"n\([0-9]\)".*/\1/p')
	rest=
	for i in 1 2 3; do
		[ $i = "$leader" ] || rest=${rest:+$rest,}$(host $i)
	done
	[ -n "$leader" ] && hosts=$(host "$leader"),$rest
}
# has_replicas: both of the leader's followers are current.
has_replicas() {
	has_leader && [ "$(api STREAM.INFO.s '' | grep -o '"current":true' |
	    wc -l)" -ge 2 ]
}

start=$(now_ms)
for i in 1 2 3; do boot $i; done
until_true 60 make_stream
"$load" publish first "$(host 1)" s.first 100 1 1 0.01 >/dev/null
row "nats: start of three -> first message" $(($(now_ms) - start)) ms
until_true 60 has_leader
memory "nats: memory per member, idle"
"$load" publish warm "$hosts" s.w 100 1 64 1 >/dev/null
for size in 100 1024; do
	p="nats: publish $size B"
	"$load" publish "$p, 1 writer" "${hosts%%,*}" s.a $size 1 1 "$secs"
	"$load" publish "$p, 16 writers" "$hosts" s.a $size 16 1 "$secs"
	"$load" publish "$p, 64 writers" "$hosts" s.a $size 64 1 "$secs"
	"$load" publish "$p, window 64" "${hosts%%,*}" s.a $size 1 64 "$secs"
done
api STREAM.PURGE.s '' >/dev/null
"$load" publish x "${hosts%%,*}" s.c 100 1 1000 "$secs" >/dev/null
until_true 20 make_consumer push '"deliver_subject":"to.push",
    "ack_policy":"none","deliver_policy":"all","flow_control":true,
    "idle_heartbeat":1000000000'
"$load" push "nats: consume 100 B, not acknowledged" "${hosts%%,*}" to.push \
    "$secs"
until_true 20 make_consumer pull '"ack_policy":"explicit",
    "deliver_policy":"all","max_ack_pending":1000000,"ack_wait":60000000000'
"$load" pull "nats: consume 100 B, acknowledged" "${hosts%%,*}" s pull "$secs"
until_true 20 make_consumer new '"deliver_subject":"to.new",
    "ack_policy":"none","deliver_policy":"new"'
"$load" deliver "nats: publish -> delivered" "$hosts" s.e to.new \
    $((secs * 500))
api STREAM.PURGE.s '' >/dev/null
took=()
for _ in $(seq "$trials"); do
	until_true 60 has_replicas
	took+=("$("$load" failover "$rest" s.f "${pid[$leader]}")")
	reap "$leader"
	boot "$leader"
	via=${rest##*:}
	via=$((via - base_port - 200))
done
row_of "nats: leader killed -> next message" ms "${took[@]}"
