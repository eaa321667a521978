# hosts.sh: sourced first by tests that need hosts with a network between
# them.  It is lib.sh, with each member in a network namespace of its own,
# joined by a bridge in another, so that nothing of it touches this machine's
# network.  VOTERS members (3 unless set before).
#
#   cut A B            nothing that A sends arrives at B any more
#   part A B           neither direction
#   reject A B         what A sends B is turned away with a reset
#   cut_off I [HOW]    I from all others, both ways; HOW is cut or reject
#   heal               all of that is over
#   unplug I, plug I   the cable of host I
#   pause I, resume I  SIGSTOP and SIGCONT of the daemon
#
#   with_links         before members start: what they say to each other goes
#                      through a proxy for each directed link
#   link A B COMMAND   tell the proxy from A to B; see proxy.c
#   links COMMAND      tell all of them
#
#   with_disks         before members start: their disks can be told to fail
#   disk I COMMAND...  see disk.c; no command: it is well again
#
#   works I SECONDS    a write on I is done within that time
#   leader             the number of the leader, once all of ALL, or those
#                      named, know the same one; bounded

IN_HOSTS=1
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for tool in ip nft nsenter; do
	command -v $tool >/dev/null || skip "needs $tool"
done
NET=zk$$
MARK=0x7a6b # packets of the proxies themselves
WAITS=${WAITS:-1} # bounds are this many times as long
declare -A LINK=()

ns() {
	echo "$NET-$1"
}

# lib.sh calls it when the daemons are gone.
hosts_down() {
	local name
	for name in $(cat "$WORK/namespaces" 2>/dev/null); do
		ip netns del "$name" 2>/dev/null
	done
	rm -f "$WORK/namespaces"
}

# A table for cuts; a bridge port for each host.
hosts_up() {
	local i
	# run.sh takes them away when this test cannot.
	for i in switch $EVERY; do
		ns "$i"
	done >"$WORK/namespaces"
	ip netns add "$(ns switch)" 2>"$WORK/ip" ||
	    skip "needs network namespaces: $(cat "$WORK/ip")"
	ip -n "$(ns switch)" link add br0 type bridge 2>"$WORK/ip" ||
	    skip "needs a bridge: $(cat "$WORK/ip")"
	ip -n "$(ns switch)" link set br0 up
	for i in $EVERY; do
		{
			ip netns add "$(ns "$i")"
			ip link add "p$i" netns "$(ns switch)" type veth \
			    peer name eth0 netns "$(ns "$i")"
		} 2>"$WORK/ip" || skip "needs veth: $(cat "$WORK/ip")"
		ip -n "$(ns switch)" link set "p$i" master br0 up
		ip -n "$(ns "$i")" -batch - <<-END
			link set lo up
			address add 10.77.0.$i/24 dev eth0
			link set eth0 up
		END
		firewall "$i" <<-END 2>"$WORK/ip" ||
			table inet cut {
				chain in {
					type filter hook input priority 0;
				}
				chain out {
					type nat hook output priority 0;
				}
			}
		END
		    skip "needs nf_tables: $(cat "$WORK/ip")"
		ADDRESS[i]=10.77.0.$i:4180
		AT[i]="nsenter --net=/run/netns/$(ns "$i")"
	done
}

# The rules on stdin are for host $1.
firewall() {
	${AT[$1]:-nsenter "--net=/run/netns/$(ns "$1")"} nft -f -
}

# --- the network ------------------------------------------------------------
cut() {
	echo "add rule inet cut in ip saddr 10.77.0.$1 drop" | firewall "$2"
}

part() {
	cut "$1" "$2" && cut "$2" "$1"
}

reject() {
	echo "add rule inet cut in ip saddr 10.77.0.$1 meta l4proto tcp reject\
 with tcp reset" | firewall "$2"
}

cut_off() {
	local i
	for i in $(others "$1"); do
		"${2:-cut}" "$1" "$i"
		"${2:-cut}" "$i" "$1"
	done
}

heal() {
	local i
	for i in $EVERY; do
		echo "flush chain inet cut in" | firewall "$i" 2>/dev/null
	done
}

unplug() {
	ip -n "$(ns switch)" link set "p$1" down
}

plug() {
	ip -n "$(ns switch)" link set "p$1" up
}

# --- links ------------------------------------------------------------------
with_links() {
	local from to port fd
	for from in $ALL; do
		for to in $(others "$from"); do
			port=$((9000 + to))
			mkfifo "$WORK/link$from$to"
			# Nobody waits for the other end of a fifo.
			exec {fd}<>"$WORK/link$from$to"
			LINK[$from$to]=$fd
			${AT[from]} "$BUILD/tests/cluster/proxy" $port \
			    "10.77.0.$to" 4180 $((MARK)) \
			    <"$WORK/link$from$to" >>"$WORK/links.log" 2>&1 &
			: >"$WORK/pids/$!"
			echo "add rule inet cut out ip daddr 10.77.0.$to tcp \
dport 4180 meta mark != $MARK redirect to :$port" | firewall "$from" ||
			    skip "needs redirection by nf_tables"
		done
	done
}

link() {
	echo "$3" >&"${LINK[$1$2]}"
}

links() {
	local pair
	for pair in "${!LINK[@]}"; do
		echo "$1" >&"${LINK[$pair]}"
	done
}

# --- disks ------------------------------------------------------------------
with_disks() {
	local i
	case ${BUILD##*/} in
	build-*) skip "a sanitizer and a preloaded library do not mix" ;;
	esac
	for i in $ALL; do
		AT[i]="${AT[i]} env LD_PRELOAD=$BUILD/tests/cluster/disk.so \
DISK_CONTROL=$WORK/disk$i"
	done
}

disk() {
	local i=$1
	shift
	if [ $# -eq 0 ]; then
		rm -f "$WORK/disk$i"
	else
		# The daemon never sees half a command.
		echo "$*" >"$WORK/disk$i.new"
		mv "$WORK/disk$i.new" "$WORK/disk$i"
	fi
}

# --- members ----------------------------------------------------------------
pause() {
	kill -STOP "${PID[$1]}"
}

resume() {
	kill -CONT "${PID[$1]}"
}

works() {
	timeout $(($2 * WAITS)) bash -c 'echo works >"$1"' sh "$WORK/m$1/works"
}

leader_is_known() {
	local i first='' now
	[ $# -gt 0 ] || eval "set -- $ALL"
	for i; do
		now=$(leader_of "$i")
		[ -n "$now" ] && [ "${first:=$now}" = "$now" ] || return 1
	done
	LEADER=$first
}

leader() {
	wait_until $((10 * WAITS)) leader_is_known "$@" || return 1
	echo "$LEADER"
}

hosts_up
make_source
