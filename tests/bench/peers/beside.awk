# Reads the rows of zkfs and of the peers; prints what can be compared beside
# each other, with the ratio to the best peer and the goal for it.

# The rows of one measure: of several of one server its best counts.
function measure(name, unit, less, goal, zkfs, zookeeper, etcd) {
	count++
	named[count] = name; units[count] = unit
	lower[count] = less; goals[count] = goal
	rows[count, "zkfs"] = zkfs
	rows[count, "zookeeper"] = zookeeper
	rows[count, "etcd"] = etcd
}

function best(i, server,    names, n, k, key, value) {
	value = ""
	n = split(rows[i, server], names, ";")
	for (k = 1; k <= n; k++) {
		key = server ": " names[k]
		if (key in values && (value == "" ||
		    (lower[i] ? values[key] < value : values[key] > value)))
			value = values[key]
	}
	return value
}

function show(value) {
	return value == "" ? "-" : sprintf(value < 100 ? "%.4g" : "%.0f", value)
}

# How many times as good as the better peer; a goal that begins with < is a
# bound of its own, in the measure's unit.
function print_row(i,    own, a, b, peer, ratio, verdict) {
	own = best(i, "zkfs"); a = best(i, "zookeeper"); b = best(i, "etcd")
	peer = a == "" || (b != "" && (lower[i] ? b < a : b > a)) ? b : a
	if (own == "" || peer == "")
		return
	ratio = lower[i] ? peer / own : own / peer
	if (goals[i] ~ /^</)
		verdict = own <= substr(goals[i], 2) + 0 ? "ok" : "MISS"
	else
		verdict = ratio >= goals[i] ? "ok" : "MISS"
	met += verdict == "ok"; missed += verdict == "MISS"
	printf "%-34s %-4s %9s %9s %9s %7.2f %8s  %s\n", named[i], units[i],
	    show(own), show(a), show(b), ratio,
	    goals[i] ~ /^</ ? goals[i] : ">=" goals[i], verdict
}

BEGIN {
	measure("write 100 B, 1 writer", "/s", 0, "1.5", "write 100 B, 1 writer",
	    "write 100 B, 1 writer", "write 100 B, 1 writer")
	measure("write, 16 writers", "/s", 0, "2", "write, 16 writers",
	    "write, 16 sessions", "write, 16 connections")
	measure("write, 64 writers", "/s", 0, "2.5",
	    "write, 64 writers;write, 64 on the leader",
	    "write, 64 sessions;write, 64 in 1 session",
	    "write, 64 connections;write, 64 in 1 connection")
	measure("create or delete, 1", "/s", 0, "1.4", "create or delete, 1",
	    "create or delete, 1", "create or delete, 1")
	measure("create or delete, 64", "/s", 0, "2", "create or delete, 64",
	    "create or delete, 64", "create or delete, 64")
	measure("read, 1 client", "/s", 0, "2", "read, 1 client",
	    "read, 1 client", "read, 1 client")
	measure("read, 64 clients", "/s", 0, "2.5", "read, 64 clients",
	    "read, 64 sessions", "read, 64 clients")
	measure("change -> watcher", "us", 1, "1", "change -> inotify elsewhere",
	    "change -> watcher", "change -> watcher")
	measure("... 99th", "us", 1, "<5000", "change -> inotify elsewhere, 99th",
	    "change -> watcher, 99th", "change -> watcher, 99th")
	measure("owner killed -> gone", "ms", 1, "<10",
	    "owner killed -> gone on all", "owner killed -> gone (4 s)",
	    "owner killed -> gone (4 s)")
	measure("leader killed -> next write", "ms", 1, "<300",
	    "leader killed -> next write", "leader killed -> next write",
	    "leader killed -> next write")
	measure("start of three -> first write", "ms", 1, "<500",
	    "start of three -> first write", "start of three -> first write",
	    "start of three -> first write")
	measure("memory per member, idle", "MiB", 1, "<20",
	    "own memory per member, idle", "memory per member, idle",
	    "memory per member, idle")
	measure("memory, 100,000 files or nodes", "MiB", 1, "<120",
	    "own memory per member, 100000 files",
	    "memory per member, 100000 nodes", "memory per member, 100000 keys")
}

# A name, then at least two spaces or the columns' end, value and unit.
match($0, /^(zkfs|zookeeper|etcd): /) {
	for (i = NF; i > 1; i--)
		if ($i ~ /^[0-9.]+$/ && $(i + 1) ~ /^(\/s|us|ms|MiB)$/)
			break
	name = $1
	for (k = 2; k < i; k++)
		name = name " " $k
	if (i > 1 && !(name in values))
		values[name] = $i + 0
}

END {
	for (i = 1; i <= count; i++)
		if (best(i, "zkfs") != "" &&
		    best(i, "zookeeper") best(i, "etcd") != "")
			shown = 1
	if (!shown)
		exit
	printf "\n%-34s %-4s %9s %9s %9s %7s %8s\n", "side by side", "unit",
	    "zkfs", "zookeeper", "etcd", "better", "goal"
	for (i = 1; i <= count; i++)
		print_row(i)
	printf "# beside the peers: %d goals met, %d missed\n", met, missed
}
