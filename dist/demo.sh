#!/usr/bin/env bash
# demo.sh: three hosts on one machine agree, for two minutes or less.  Each is a
# network namespace with a mount of its own: /zk1, /zk2 and /zk3, or beneath
# DIR.  BUILD is where the programs are.  Nothing of it is left behind, however
# it ends.
#
#   PAUSE=2   seconds between the steps, to read along
set -u
BUILD=$(cd "${BUILD:-build}" && pwd) || exit 1
DIR=${DIR:-}
PAUSE=${PAUSE:-2}
SESSION=5
NET=zkdemo$$
MOUNTS=(- "$DIR/zk1" "$DIR/zk2" "$DIR/zk3")
pids=() made=()
WORK=
if [ -t 1 ]; then
	bold=$'\e[1m' plain=$'\e[0m'
else
	bold='' plain=''
fi

fail()
{
	echo "demo: $*" >&2
	[ -z "$WORK" ] || tail -n 3 "$WORK"/z?.log >&2 2>/dev/null
	exit 1
}

# One line of what is being shown.
tell()
{
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

# A command, shown as somebody would type it on host $1, and done.
on()
{
	local host=$1
	shift
	printf '  host%s# %s\n' "$host" "$*"
	(cd "${MOUNTS[host]}" && timeout 20 bash -c "$*") 2>&1 |
	    sed 's/^/         /'
}

# Time to read; a signal ends it at once.
pause()
{
	read -r -t "$PAUSE" _ <>"$WORK/never" || :
}

# until_true SECONDS COMMAND...: a bounded wait.
until_true()
{
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $deadline ] || return 1
		read -r -t 0.02 _ <>"$WORK/never"
	done
	return 0
}

# Not through the mount itself, which might not answer.
is_mounted()
{
	awk -v dir="$1" '$5 == dir { found = 1 } END { exit !found }' \
	    /proc/self/mountinfo
}

# shellcheck disable=SC2317 # a trap calls it
cleanup()
{
	local status=$? i
	trap '' INT TERM HUP
	exec 9>&- 8>&-
	for i in "${pids[@]}"; do
		kill -TERM "$i" 2>/dev/null
	done
	for i in 1 2 3; do
		! is_mounted "${MOUNTS[i]}" ||
			umount -l "${MOUNTS[i]}" 2>/dev/null
	done
	for i in "${pids[@]}"; do
		timeout 10 tail --pid="$i" -s 0.05 -f /dev/null ||
		    kill -KILL "$i" 2>/dev/null
	done
	wait 2>/dev/null
	for i in switch 1 2 3; do
		ip netns del "$NET-$i" 2>/dev/null
	done
	for i in "${made[@]}"; do
		rmdir "$i" 2>/dev/null
	done
	[ -z "$WORK" ] || rm -rf --one-file-system "$WORK"
	[ $status -ne 0 ] || tell "All of it is gone again."
	exit $status
}

host_up()
{
	local i=$1
	ip netns add "$NET-$i" &&
	    ip link add "p$i" netns "$NET-switch" type veth \
	        peer name eth0 netns "$NET-$i" &&
	    ip -n "$NET-switch" link set "p$i" master br0 up &&
	    ip -n "$NET-$i" link set lo up &&
	    ip -n "$NET-$i" address add "10.77.0.$i/24" dev eth0 &&
	    ip -n "$NET-$i" link set eth0 up ||
	    fail "cannot make a network namespace with a veth pair"
}

# The network of the demonstration is in namespaces of its own.
network_up()
{
	local i
	ip netns add "$NET-switch" &&
	    ip -n "$NET-switch" link add br0 type bridge &&
	    ip -n "$NET-switch" link set br0 up ||
	    fail "cannot make a bridge in a network namespace"
	for i in 1 2 3; do
		host_up $i
	done
}

SOURCE=z1=10.77.0.1:4180,z2=10.77.0.2:4180,z3=10.77.0.3:4180
daemon_start()
{
	local i=$1
	nsenter "--net=/run/netns/$NET-$i" "$BUILD/mount.zkfs" "$SOURCE" \
	    "${MOUNTS[i]}" -f -o "name=z$i,data=$WORK/data$i,key=$WORK/key,\
config=none,session_timeout=${SESSION}s" >>"$WORK/z$i.log" 2>&1 </dev/null &
	pids[i]=$!
	disown $! # the shell need not tell how it ended
}

# The numbers of LEADER and of the others, A and B.
find_leader()
{
	local name
	name=$(timeout 5 cat "${MOUNTS[$1]}/.zkfs/leader" 2>/dev/null)
	case $name in
	z[123]) LEADER=${name#z} ;;
	*) return 1 ;;
	esac
}

is_elected_anew()
{
	find_leader "$A" && [ "$LEADER" != "$OLD" ]
}

show_watch()
{
	until_true 5 grep -q "$1" "$WORK/events" ||
	    echo "(no event has come yet)"
	sed 's/^/         host1: inotifywait tells: /' "$WORK/events"
	: >"$WORK/events"
}

prepare()
{
	local tool i
	[ "$(id -u)" -eq 0 ] || fail "only root can mount: sudo make demo"
	for tool in ip nsenter inotifywait; do
		command -v $tool >/dev/null ||
		    fail "needs $tool: APT=1 dist/deps.sh test"
	done
	for i in 1 2 3; do
		! is_mounted "${MOUNTS[i]}" ||
		    fail "${MOUNTS[i]} is in use; choose a place: make demo DIR=/mnt"
	done
	# On a disk, as data is.
	WORK=$(mktemp -d /var/tmp/zkfs-demo.XXXXXX) || fail "no directory"
	mkfifo "$WORK/never"
	for i in 1 2 3; do
		[ ! -d "${MOUNTS[i]}" ] || continue
		mkdir -p "${MOUNTS[i]}" || fail "cannot make ${MOUNTS[i]}"
		made+=("${MOUNTS[i]}")
	done
	"$BUILD/zkfs" keygen "$WORK/key" >/dev/null || fail "no key"
}

start_all()
{
	local i
	tell "Three hosts, joined by a network. On each of them:"
	cat <<-END
	  mount -t zkfs $SOURCE /zkN -o name=zN,key=...
	END
	for i in 1 2 3; do
		daemon_start $i
	done
	for i in 1 2 3; do
		until_true 30 is_mounted "${MOUNTS[i]}" ||
		    fail "z$i did not mount"
	done
	until_true 10 find_leader 1 || fail "nobody leads"
	on "$LEADER" "cat .zkfs/members"
	pause
}

show_values()
{
	tell "One tree. Host 1 watches; what host 2 writes, all read."
	inotifywait -q -m -e close_write,create,delete --format '%e %f' \
	    "${MOUNTS[1]}" >"$WORK/events" 2>"$WORK/watch" &
	pids+=($!)
	printf '  host1# inotifywait -m . &\n'
	# It says so on standard error only without -q: look at its watches.
	until_true 5 grep -q inotify "/proc/${pids[-1]}/fdinfo/3" 2>/dev/null
	on 2 "echo color=green > config"
	until_true 5 test -s "${MOUNTS[1]}/config" &&
	    until_true 5 test -s "${MOUNTS[3]}/config"
	show_watch config
	on 1 "cat config"
	on 3 "cat config"
	pause
}

show_election()
{
	tell "An election: of all who open the file, one succeeds. It is master"
	echo "as long as it holds the file open."
	on 1 "mkdir -m u+s app"
	until_true 5 test -u "${MOUNTS[LEADER]}/app"
	printf '  host%s# exec 9> app/master && echo host%s >&9\n' \
	    "$LEADER" "$LEADER"
	exec 9>"${MOUNTS[LEADER]}/app/master" && echo "host$LEADER" >&9 ||
	    fail "not elected"
	until_true 5 test -s "${MOUNTS[A]}/app/master"
	on "$A" "cat app/master"
	on "$A" "exec 9> app/master"
	pause
}

show_failover()
{
	local started elected gone
	tell "Host $LEADER, where the master is, leads the ensemble, too. kill -9:"
	OLD=$LEADER
	printf '  host%s# kill -9 %s\n' "$OLD" "${pids[OLD]}"
	started=${EPOCHREALTIME/./}
	kill -KILL "${pids[OLD]}"
	exec 9>&-
	(cd "${MOUNTS[B]}" && timeout 15 bash -c 'echo color=blue >config') ||
	    fail "host $B cannot write"
	printf '  host%s# echo color=blue > config\n' "$B"
	elected=$(((${EPOCHREALTIME/./} - started) / 1000))
	until_true 10 is_elected_anew || fail "no new leader"
	echo "  Host $LEADER leads now. The first write elsewhere was done" \
	    "after $elected ms."
	umount -l "${MOUNTS[OLD]}"
	pause
	tell "The old master's file goes when its session does (session_timeout" \
	    "is ${SESSION}s)."
	until_true 20 test ! -e "${MOUNTS[A]}/app/master" ||
	    fail "the old master is still there"
	gone=$(((${EPOCHREALTIME/./} - started) / 1000))
	echo "  It was gone after $gone ms. Whoever is first is master now:"
	printf '  host%s# exec 9> app/master && echo host%s >&9\n' "$A" "$A"
	exec 8>"${MOUNTS[A]}/app/master" && echo "host$A" >&8 ||
	    fail "not elected"
	on "$B" "cat app/master"
	pause
}

show_return()
{
	tell "Host $OLD comes back, and has missed nothing."
	daemon_start "$OLD"
	until_true 30 is_mounted "${MOUNTS[OLD]}" || fail "z$OLD did not mount"
	on "$OLD" "cat config app/master"
	on "$LEADER" "cat .zkfs/members"
	pause
}

trap cleanup EXIT
# A second signal must not end what the first has begun.
trap 'trap "" INT TERM HUP; exit 130' INT TERM HUP
prepare
network_up
start_all
read -r A B <<<"$(echo 1 2 3 | tr ' ' '\n' | grep -vx "$LEADER" | xargs)"
show_values
show_election
show_failover
show_return
