# What members say to each other goes through proxies that delay it, stall one
# way or both, end one half of a connection, reset it, cut it in the middle of
# a frame, or turn every connection away.  Whatever one link does, the other
# two are a majority; what all links do for a while is over when they stop.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
with_links
must start_all op_timeout=3s
load_start $ALL
check "all work through proxies" load_runs 10 $ALL

# The two links between a host and another.
between() {
	link "$1" "$2" "$3"
	link "$2" "$1" "$3"
}
stand_still() {
	read -r -t "$1" _ <>"$LOAD/never"
}

# --- one pair of hosts, the leader and another
for command in "stall up" "stall down" half "cut 3000" refuse; do
	lead=$(leader)
	other=$((lead % 3 + 1))
	third=$(others "$lead" "$other")
	case $command in
	half | refuse) between "$lead" "$other" reset ;;
	esac
	between "$lead" "$other" "$command"
	check "$command between z$lead and z$other: z$third works" \
	    load_runs 8 "$third"
	between "$lead" "$other" pass
	check "over, all work" load_runs 15 $ALL
done

# --- all of them
links "delay 30"
check "every message takes 30 ms longer: all work" load_runs 15 $ALL
links "slow 2000"
check "200 kB/s: all work" load_runs 20 $ALL
links "cut 20000"
stand_still 2
links pass
check "every connection was cut in mid-frame, again and again" \
    load_runs 15 $ALL
for ((i = 0; i < ${ROUNDS:-5}; i++)); do
	links reset
	stand_still 0.3
done
check "all connections were reset: all work" load_runs 15 $ALL
load_stop
load_verdict
must stop_all
