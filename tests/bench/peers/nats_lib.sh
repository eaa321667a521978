# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # shared with lib.sh and the scripts
# Sourced after lib.sh: three servers of NATS JetStream on loopback.
nats=$tools/nats

# nats_host NUMBER: its clients; with a 1 before it, the other servers.
nats_host() {
	echo "127.0.0.1:$((base_port + 200 + $1))"
}
nats_boot() { # nats_boot NUMBER
	local d=$work/nats$1
	mkdir -p "$d"
	cat >"$d/conf" <<C
server_name: n$1
listen: $(nats_host "$1")
jetstream { store_dir: "$d/js", max_memory_store: 1GB, max_file_store: 20GB }
cluster { name: bench, listen: $(nats_host "1$1"), routes: [
  nats://$(nats_host 11), nats://$(nats_host 12), nats://$(nats_host 13) ] }
C
	run "nats$1" nats-server -c "$d/conf"
}
nats_api() { # nats_api SUBJECT JSON
	timeout 10 "$nats" api "$(nats_host "${via:-1}")" "\$JS.API.$1" "$2" \
	    2>/dev/null
}
# nats_stream NAME: three replicas, in files, of the subjects NAME.anything.
nats_stream() {
	nats_api "STREAM.CREATE.$1" "{\"name\":\"$1\",\"subjects\":[\"$1.>\"],
	    \"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"old\",
	    \"num_replicas\":3,\"max_bytes\":1000000000}" | grep -q '"config"'
}
nats_consumer() { # nats_consumer NAME JSON
	nats_api "CONSUMER.DURABLE.CREATE.s.$1" "{\"stream_name\":\"s\",
	    \"config\":{\"durable_name\":\"$1\",$2}}" | grep -q '"config"'
}
# nats_leader [STREAM]: sets leader, hosts (the leader first) and rest.
nats_leader() {
	local i
	leader=$(nats_api "STREAM.INFO.${1:-s}" '' |
	    sed -n 's/.*"cluster":{[^}]*"leader":"n\([0-9]\)".*/\1/p')
	rest=
	for i in 1 2 3; do
		[ $i = "$leader" ] || rest=${rest:+$rest,}$(nats_host $i)
	done
	[ -n "$leader" ] && hosts=$(nats_host "$leader"),$rest
}
# nats_replicas: both of the leader's followers are current.
nats_replicas() {
	nats_leader && [ "$(nats_api STREAM.INFO.s '' | grep -o '"current":true' |
	    wc -l)" -ge 2 ]
}
