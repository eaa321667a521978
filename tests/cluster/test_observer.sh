# An observer joins by itself, serves the whole tree, has a session of its own
# and no vote; it comes back after a restart, and can be removed.
HOSTS=6
. "$(dirname "$0")/lib.sh"
NAME[4]=o4
NAME[5]=
# o4 has met all of them when the ensemble is founded.
met() { # ... z$1
	grep -qs "UP member=z$1 " "$WORK/z4.log"
}
for i in 4 2 3; do
	launch_member $i
done
must wait_until 10 met 2
must wait_until 10 met 3
kill -STOP "${PID[3]}"
launch_member 1
must wait_until 10 met 1
kill -CONT "${PID[3]}"
for i in $ALL 4; do
	must settle_member $i
done
echo before >"$WORK/m1/before"
mkdir "$WORK/m1/dir"

# --- one with a name, one without
same "o4 is an observer" observer "$(role_of 4 o4)"
check "the voters know it" wait_until 5 has_role 1 o4 observer
check "what was there is there" wait_until 5 reads "$WORK/m4/before" before
check "it writes" sh -c "echo from-4 >'$WORK/m4/file'"
for i in 1 2 3; do
	check "and z$i reads it" wait_until 5 reads "$WORK/m$i/file" from-4
done
check "z2 writes" sh -c "echo from-2 >'$WORK/m2/file'"
check "and o4 reads it" wait_until 5 reads "$WORK/m4/file" from-2
must start_member 5
name=$(control 5 status | awk '/^member:/ { print $2 }')
check "a name is made up: $name" expr "$name" : '.*-[0-9][0-9]*$'
same "it is an observer" observer "$(role_of 5 "$name")"
check "all have the same" wait_until 10 agree 1 2 3 4 5

# --- each host can tell of each
tells_all() {
	control "$1" members | awk '
	    NR > 1 && $4 ~ /^[0-9]+$/ && $5 ~ /^[0-9]+$/ { n++ }
	    END { exit n != 5 }'
}
for i in 1 2 3 4 5; do
	check "host $i tells lag and contact of all" \
	    wait_until 10 tells_all $i
done

# --- its session: ephemerals, locks, elections
mkdir "$WORK/m4/c" && chmod u+s "$WORK/m4/c"
wait_until 5 test -u "$WORK/m1/c"
exec 9>"$WORK/m4/c/master"
wait_until 5 test -e "$WORK/m1/c/master"
refuses "Device or resource busy" bash -c "exec 8>'$WORK/m1/c/master'"
exec 9>&-
check "its ephemeral ends with its owner" \
    wait_until 5 test ! -e "$WORK/m1/c/master"
: >"$WORK/m1/lock"
wait_until 5 test -e "$WORK/m4/lock"
exec 8<"$WORK/m4/lock"
check "it locks" flock -n 8
check_not "others do not, then" flock -n "$WORK/m2/lock" true
exec 8<&-
check "unlocked" wait_until 5 flock -n "$WORK/m2/lock" true

# --- no vote: without two of three voters nothing is agreed
kill_member 2
kill_member 3
check_not "one voter and two observers agree on nothing" \
    timeout 20 sh -c "echo no >'$WORK/m4/file'"
must start_member 2
is_connected() {
	[ "$(control "$1" state)" = connected ]
}
check "it is connected again" wait_until 20 is_connected 4
check "and writes" sh -c "echo again >'$WORK/m4/file'"
must start_member 3

# --- restart: the same name, the same data
stop_member 5
must start_member 5
same "it is who it was" "$name" \
    "$(control 5 status | awk '/^member:/ { print $2 }')"
kill_member 4
echo while-away >"$WORK/m1/file"
must start_member 4
check "it has what was written meanwhile" \
    wait_until 5 reads "$WORK/m4/file" while-away
kill_member 4
FROM=none start_member 4
check "it needs no SOURCE any more" wait_until 5 reads "$WORK/m4/file" \
    while-away

# --- removed
check "removed, from another observer" zkfs 5 member remove o4
check "it is told, and ends" ends 4 32
says 4 "was removed from the ensemble"
same "nobody has it" "" "$(role_of 1 o4)"
launch_member 4
check "its data is not let in any more" ends 4 32
kill_member 5
check "one that is gone for good is removed" zkfs 3 member remove "$name"
same "it is gone" "" "$(role_of 3 "$name")"
rm -rf "$WORK/d4"
must start_member 4
same "a new one of the name is welcome" observer "$(role_of 4 o4)"

# --- the bound, and a name that is taken
NAME[6]=o4
launch_member 6
check "a name is used once" ends 6 32
says 6 "another daemon that is called o4"
must stop_all
