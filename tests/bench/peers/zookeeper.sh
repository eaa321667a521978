#!/bin/bash
# ZooKeeper, three servers on loopback, everything at its default: the
# transaction log is synced before every answer.
# shellcheck source=tests/bench/peers/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
need zookeeper java
jar=$(dpkg -L libzookeeper-java 2>/dev/null | grep '/java/zookeeper\.jar$')
[ -n "$jar" ] || need zookeeper zookeeper-jar
built zookeeper libzookeeper-mt-dev
load=$tools/zookeeper

cat >"$work/log4j.properties" <<L
log4j.rootLogger=WARN, C
log4j.appender.C=org.apache.log4j.ConsoleAppender
log4j.appender.C.layout=org.apache.log4j.SimpleLayout
L
port() {
	echo $((base_port + $1))
}
configure() {
	local i j
	for i in 1 2 3; do
		mkdir -p "$work/$i"
		echo "$i" >"$work/$i/myid"
		{
			printf '%s\n' tickTime=2000 initLimit=10 syncLimit=5 \
			    "dataDir=$work/$i" "clientPort=$(port "$i")" \
			    clientPortAddress=127.0.0.1 maxClientCnxns=0 \
			    admin.enableServer=false
			for j in 1 2 3; do
				echo "server.$j=127.0.0.1:$(port 1$j):$(port 2$j)"
			done
		} >"$work/$i.cfg"
	done
}
boot() {
	run "$1" java -Xmx1000m -cp "$jar" \
	    -Dlog4j.configuration="file:$work/log4j.properties" \
	    org.apache.zookeeper.server.quorum.QuorumPeerMain "$work/$1.cfg"
}
mode() {
	{ exec 3<>"/dev/tcp/127.0.0.1/$(port "$1")" && printf srvr >&3 &&
	    timeout 1 sed -n 's/^Mode: //p' <&3; } 2>/dev/null
}
# all_up: sets hosts (the leader first) and leader, when three servers answer.
all_up() {
	local i count=0 rest=
	leader=
	for i in 1 2 3; do
		case $(mode "$i") in
		leader) leader=$i ;;
		follower) rest+=,127.0.0.1:$(port "$i") count=$((count + 1)) ;;
		esac
	done
	[ -n "$leader" ] && [ "$count" = 2 ] &&
	    hosts=127.0.0.1:$(port "$leader")$rest
}
any=127.0.0.1:$(port 1),127.0.0.1:$(port 2),127.0.0.1:$(port 3)

configure
if [ -n "${WATCH_ONLY:-}" ]; then
	for i in 1 2 3; do boot $i; done
	until_true 60 all_up
	"$load" load warm set "$hosts" 3 32 "$secs" >/dev/null
	"$load" watch "zookeeper: change -> watcher" "$hosts" $((secs * 500))
	exit
fi
start=$(now_ms)
for i in 1 2 3; do boot $i; done
until_true 60 "$load" first "$any" 2>/dev/null
row "zookeeper: start of three -> first write" $(($(now_ms) - start)) ms
until_true 60 all_up
memory "zookeeper: memory per member, idle"
# The JIT shall have settled.
"$load" load warm set "$hosts" 3 32 "$secs" >/dev/null
"$load" load warm get "$hosts" 3 32 "$secs" >/dev/null
"$load" load "zookeeper: write 100 B, 1 writer" set "${hosts%%,*}" 1 1 "$secs"
"$load" load "zookeeper: write, 16 sessions" set "$hosts" 16 1 "$secs"
"$load" load "zookeeper: write, 64 sessions" set "$hosts" 64 1 "$secs"
"$load" load "zookeeper: write, 64 in 1 session" set "${hosts%%,*}" 1 64 "$secs"
"$load" load "zookeeper: create or delete, 1" cd "${hosts%%,*}" 1 1 "$secs"
"$load" load "zookeeper: create or delete, 64" cd "${hosts%%,*}" 1 64 "$secs"
"$load" load "zookeeper: read, 1 client" get "${hosts##*,}" 1 1 "$secs"
"$load" load "zookeeper: read, 64 sessions" get "$hosts" 64 1 "$secs"
"$load" watch "zookeeper: change -> watcher" "$hosts" $((secs * 500))
"$load" owners "zookeeper: owner killed -> gone (4 s)" "$hosts" 4 "$owners"
took=()
for _ in $(seq "$trials"); do
	until_true 60 all_up
	took+=("$("$load" failover "$any" "${pid[$leader]}")")
	reap "$leader"
	boot "$leader"
done
row_of "zookeeper: leader killed -> next write" ms "${took[@]}"
stop_all
rm -rf "$work"/[123] "$work"/[123].cfg
configure
for i in 1 2 3; do boot $i; done
until_true 60 all_up
"$load" fill "zookeeper: create, 200 in flight" "$hosts" "$nodes"
memory "zookeeper: memory per member, $nodes nodes"
