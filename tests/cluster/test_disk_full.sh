# The disk of one member of three is full: it falls behind, its own writers are
# told ENOSPC, the others go on, and it catches up when there is room.  A
# leader hands over first.  When two are full, nobody can write, but delete.
. "$(dirname "$0")/lib.sh"
for i in 2 3; do
	mkdir "$WORK/disk$i"
	truncate -s 192M "$WORK/image$i"
	mkfs.ext4 -q -m 0 -O ^has_journal "$WORK/image$i" >/dev/null ||
	    skip "needs mkfs.ext4"
	mount -o loop "$WORK/image$i" "$WORK/disk$i" ||
	    skip "needs loop devices"
	mkdir -m 700 "$WORK/disk$i/d"
	ln -s "disk$i/d" "$WORK/d$i"
done
unmount_disks() {
	for i in 2 3; do
		umount "$WORK/disk$i" 2>/dev/null || umount -l "$WORK/disk$i"
	done
}
# The daemons go first, then the disks below them.
end_all() {
	local status=$? pid
	for pid in "${PID[@]}"; do
		kill -KILL "$pid" 2>/dev/null &&
		    "$WAITFOR" gone 10 "$pid"
	done
	unmount_disks
	(exit "$status")
	cluster_cleanup
}
trap end_all EXIT
must start_all

# fill I: take all of the disk of member I.  What that takes itself meanwhile is
# missing then.
fill() {
	local avail try
	for try in 1 2 3 4 5; do
		rm -f "$WORK/disk$1/ballast"
		avail=$(df --output=avail -B4096 "$WORK/disk$1" | tail -n 1)
		# Less what the file itself costs.
		avail=$((avail * 4096 - 65536))
		[ "$avail" -gt 0 ] || return
		fallocate -l "$avail" "$WORK/disk$1/ballast" && return
	done
	fail "the disk is not full ($try tries)"
}
free() {
	rm -f "$WORK/disk$1/ballast"
}
head -c 900000 /dev/urandom >"$WORK/data"
# put I NAME: a file of 900 kB.
put() {
	timeout 20 cp "$WORK/data" "$WORK/m$1/$2"
}
put_many() {
	local n
	for ((n = 0; n < $3; n++)); do
		put "$1" "$2$n" || return 1
	done
}
leads() {
	[ "$(leader_of 1)" = "$1" ]
}
make_lead() {
	leads "$1" || zkfs 1 member transfer "z$1"
}

# --- a follower
check "z1 is to lead" make_lead 1
echo kept >"$WORK/m2/kept"
fill 2
check "more than it has room for goes to the others" put_many 1 a 25
says 2 "FULL reason=no room on the disk"
check "z2 lives" is_up 2
refuses "No space left on device" put 2 refused
check "and reads what it had" reads "$WORK/m2/kept" kept
check "z3 has all" wait_until 10 cmp "$WORK/data" "$WORK/m3/a24"
free 2
check "with room z2 catches up" wait_until 30 agree 1 2 3
check "and writes" put 2 more
check "to all" wait_until 10 cmp "$WORK/data" "$WORK/m3/more"

# --- the leader
rm "$WORK"/m1/a*
check "z2 is to lead" make_lead 2
fill 2
# Its reserve goes first, and while it lasts somebody must ask for more.
n=0
hands_over() {
	n=$((n + 1))
	put 1 "b$n" 2>/dev/null
	! leads 2
}
check "a leader without room hands over" wait_until 40 hands_over
check "and the others write" wait_until 20 put 1 d0
check "and z2 is there, still" is_up 2
free 2
check "all agree again" wait_until 30 agree 1 2 3

# --- two of three
rm "$WORK"/m1/[bd]*
check "z1 is to lead" make_lead 1
fill 2
fill 3
is_told() {
	! put 1 "c$((RANDOM))" 2>"$WORK/said" &&
	    grep -q "No space left on device" "$WORK/said"
}
check "z1 is told, for two are full" wait_until 60 is_told
check "deletions go on" timeout 60 find "$WORK/m1" -maxdepth 1 -type f \
    -delete
free 2
free 3
works() {
	put 1 works
}
check "it recovers by itself" wait_until 30 works
check "all agree at last" wait_until 30 agree 1 2 3
must stop_all
