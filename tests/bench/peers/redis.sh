#!/bin/bash
# Redis Streams, one server (there is no quorum), its append-only file synced
# before every answer, driven by its own redis-benchmark.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need redis-server redis-server
need redis-tools redis-benchmark

port=$((base_port + 300))
cli() {
	redis-cli -p $port "$@"
}
first() {
	cli XADD first '*' f v 2>/dev/null | grep -q -- -
}
# rate CLIENTS PIPELINE COUNT COMMAND...: requests a second.
rate() {
	local clients=$1 pipeline=$2 count=$3
	shift 3
	timeout 60 redis-benchmark -p $port -c "$clients" -P "$pipeline" \
	    -n "$count" --csv "$@" 2>/dev/null | awk -F'"' 'END { print $4 }'
}
# measure NAME CLIENTS PIPELINE COMMAND...: a short run says how many requests
# fill the time.
measure() {
	local name=$1 clients=$2 pipeline=$3 per_second
	shift 3
	per_second=$(rate "$clients" "$pipeline" \
	    $((200 * pipeline * clients)) "$@")
	per_second=$(rate "$clients" "$pipeline" \
	    $((${per_second%.*} * secs)) "$@")
	row "$name" "${per_second%.*}" /s
}

start=$(now_ms)
run 1 redis-server --port $port --bind 127.0.0.1 --dir "$work" --save '' \
    --appendonly yes --appendfsync always --daemonize no
until_true 20 first
row "redis: start of one -> first message" $(($(now_ms) - start)) ms
memory "redis: memory, idle"
for size in 100 1024; do
	value=$(head -c $size /dev/zero | tr '\0' v)
	p="redis: XADD $size B"
	measure "$p, 1 writer" 1 1 XADD s '*' f "$value"
	measure "$p, 16 writers" 16 1 XADD s '*' f "$value"
	measure "$p, 64 writers" 64 1 XADD s '*' f "$value"
	measure "$p, pipeline 64" 1 64 XADD s '*' f "$value"
	cli DEL s >/dev/null
done
value=$(head -c 100 /dev/zero | tr '\0' v)
rate 1 200 200000 XADD q '*' f "$value" >/dev/null
for group in a b; do cli XGROUP CREATE q $group 0 >/dev/null; done
# A request takes 100 messages.
requests=$(rate 1 1 2000 XREADGROUP GROUP a x COUNT 100 NOACK STREAMS q '>')
row "redis: consume 100 B, not acknowledged" $((${requests%.*} * 100)) /s
requests=$(rate 1 1 2000 XREADGROUP GROUP b x COUNT 100 STREAMS q '>')
row "redis: consume 100 B, kept until acknowledged" \
    $((${requests%.*} * 100)) /s
