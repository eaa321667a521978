#!/bin/bash
# timeout: 240
# A record that ends whoever processes it goes to the group's `dead` after
# max.deliveries, though no consumer lived to count them; and only that one.
# shellcheck disable=SC2016 # inner shells expand
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g

# Writes down what it begins; at the poison it takes its consumer along.
cat >"$WORK/handle" <<'END'
#!/bin/sh
IFS= read -r m
echo "$m" >>"$1"
case $m in
poison*) kill -KILL "$PPID" ;;
esac
echo "$m" >>"$1.done"
END
chmod +x "$WORK/handle"

# consumers FILE COUNT: a loop that starts a consumer whenever one is gone,
# until COUNT records were done with.
consumers() {
	spawn setsid bash -c 'for i in $(seq 40); do
		"$1" consume -g g -n 1000 -m "$2" t -- "$3" "$4" 2>>"$4.said"
	done' bash "$BUILD/zkfs" "$M" "$WORK/handle" "$1"
	loop=$!
	check "all others are done" wait_until 20 done_with "$1" "$2"
	check "and the poison is dead" wait_until 20 test -s "$G/dead"
	kill -KILL -- "-$loop"
	check "nobody is a member" wait_until 20 nobody
	wait "$loop" 2>/dev/null
}
done_with() {
	[ "$(grep -v poison "$1.done" 2>/dev/null | sort -u | wc -l)" -ge "$2" ]
}
nobody() {
	[ -z "$(cat "$G/members")" ]
}
times() {
	grep -cx "$2" "$1"
}

must start_fs
must mkdir "$T" "$G"
for m in m1 m2 poison m3 m4; do
	echo $m >>"$T/p0"
done
consumers "$WORK/one" 4
same "the poison alone is dead" poison "$(cat "$G/dead")"
same "it was begun as often as it may" 5 "$(times "$WORK/one" poison)"
for m in m1 m2 m3 m4; do
	same "$m once" 1 "$(times "$WORK/one" $m)"
done

# --- what others have had is not counted for those that nobody began with ------
: >"$G/dead"
echo partitions=4 >>"$T/config"
echo max.deliveries=3 >>"$T/config"
for i in 0 1 2 3; do
	printf '%s\n' "a$i" "b$i" "c$i" >>"$T/p$i"
done
echo poison2 >>"$T/p2"
for i in 0 1 2 3; do
	echo "d$i" >>"$T/p$i"
done
consumers "$WORK/four" 16
same "the poison alone is dead, of four partitions" poison2 "$(cat "$G/dead")"
same "it was begun as often as it may, now" 3 "$(times "$WORK/four" poison2)"
same "all others once" "" "$(grep -v poison "$WORK/four" | sort | uniq -d)"

# --- a restart of the daemon forgets nothing of it -----------------------------
: >"$G/dead"
echo poison3 >>"$T/p1"
echo after >>"$T/p1"
for i in 1 2 3 4; do
	"$BUILD/zkfs" consume -g g -n 1 -m "$M" t -- "$WORK/handle" \
	    "$WORK/again" 2>>"$WORK/said"
	must remount
done
same "the poison is dead, though the daemon began anew" poison3 \
    "$(cat "$G/dead")"
same "it was begun as often as it may, still" 3 "$(times "$WORK/again" poison3)"

# --- a command that cannot be run is nobody's fault ----------------------------
: >"$G/dead"
"$BUILD/zkfs" consume -g g -n 1 -m "$M" t -- "$WORK/handle" "$WORK/again"
echo innocent >>"$T/p1"
for i in 1 2 3 4 5; do
	check_not "no such command" "$BUILD/zkfs" consume -g g -n 1 t -m "$M" \
	    -- sh -c 'nonsense_that_is_not_there'
done
check "the next one gets it" "$BUILD/zkfs" consume -g g -n 1 -m "$M" t -- \
    "$WORK/handle" "$WORK/fine"
same "it was not counted" innocent "$(cat "$WORK/fine.done")"
same "and nothing is dead" "" "$(cat "$G/dead")"

# --- a command that fails, and one that is killed, count together --------------
echo sour >>"$T/p1"
timeout -s KILL 20 "$BUILD/zkfs" consume -g g -n 1 -m "$M" t -- \
    sh -c 'echo x >>"$0"; [ $(wc -l <"$0") -lt 2 ] || kill -KILL $PPID
        exit 1' "$WORK/sour"
"$BUILD/zkfs" consume -g g -n 1 -m "$M" t -- \
    sh -c 'echo x >>"$0"; exit 1' "$WORK/sour" 2>>"$WORK/said"
same "what failed goes, too" sour "$(cat "$G/dead")"
same "after as many tries in all" 3 "$(wc -l <"$WORK/sour")"
must stop_fs
