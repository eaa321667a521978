# Two of three do not hear each other, the third hears both: whoever leads,
# there is a majority, and who is in it works.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/load.sh"
must start_all op_timeout=2s
load_start $ALL
check "all work" load_runs 10 $ALL
for turn in 1 2; do
	lead=$(leader)
	other=$(((lead + turn - 1) % 3 + 1))
	[ "$other" != "$lead" ] || other=$((lead % 3 + 1))
	third=$(others "$lead" "$other")
	part "$lead" "$other"
	check "z$lead leads and does not hear z$other: z$third works" \
	    load_runs 8 "$third"
	heal
	check "healed, all work" load_runs 15 $ALL
done
load_stop
load_verdict
must stop_all
