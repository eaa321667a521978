# connected, suspended, lost: what reads, writes and descriptors answer when
# the others are gone, with lost=eio and with lost=stale, and that a new
# session begins by itself.
SESSION=10
. "$(dirname "$0")/lib.sh"
options=("" "op_timeout=1s,lost=eio" "op_timeout=1s" "op_timeout=1s")
for i in 1 2 3; do
	launch_member $i "${options[i]}"
done
for i in 1 2 3; do
	must settle_member $i
done
is_in_state() {
	[ "$(control "$1" state)" = "$2" ]
}
# is_told ERRNO FD: that is what write(2) on the descriptor answers.
is_told() {
	python3 - "$1" "$2" <<'END'
import errno, os, sys
try:
    os.write(int(sys.argv[2]), b"x")
except OSError as e:
    sys.exit(errno.errorcode[e.errno] != sys.argv[1] and e.strerror)
sys.exit("written")
END
}
mkdir "$WORK/m1/dir" "$WORK/m1/c" && chmod u+s "$WORK/m1/c"
: >"$WORK/m1/plain"
: >"$WORK/m1/lock"
: >"$WORK/m1/flag"

for k in 1 2; do
	M=$WORK/m$k
	wait_until 5 test -u "$M/c"
	wait_until 5 test -e "$M/flag"
	echo "value $k" >"$M/file"
	exec 5>"$M/c/owner" 6>>"$M/lock" 7>>"$M/plain" 8<"$M/file"
	echo mine >&5
	must flock -n 6
	session=$(control $k session)
	timeout 150 inotifywait -q -m -e modify "$M/.zkfs/state" \
	    >"$WORK/events$k" 2>"$WORK/watch$k" 5>&- 6>&- 7>&- 8<&- &
	: >"$WORK/pids/$!"

	# --- one against two is no majority
	for i in 1 2 3; do
		[ $i = $k ] || kill_member $i
	done
	check "z$k is suspended" wait_until 20 is_in_state $k suspended
	before=$(now_ms)
	check "a write is not answered in time" is_told ETIMEDOUT 7
	took=$(($(now_ms) - before))
	check "which is op_timeout: $took ms" test $took -ge 900
	check "reads go on" reads "$M/file" "value $k"
	check "z$k is lost" wait_until 25 is_in_state $k lost
	check "a write is refused" is_told EROFS 7
	check "the ephemeral's descriptor is dead" is_told ESTALE 5
	check "so is the lock's" is_told ESTALE 6
	if [ $k = 1 ]; then
		refuses "Input/output error" cat "$M/file"
		refuses "Input/output error" ls "$M/dir"
		refuses "Input/output error" sh -c "cat <&8"
		refuses "Input/output error" ls "$M"
	else
		refuses "Read-only file system" mkdir "$M/dir/sub"
		check "reads go on" reads "$M/file" "value $k"
		check "through a descriptor, too" sh -c "cat <&8"
		check "and listings" ls "$M/dir"
	fi
	check ".zkfs is there all the same" is_in_state $k lost

	# --- back again
	for i in 1 2 3; do
		# A daemon must not hold what is open here.
		[ $i = $k ] || launch_member $i "${options[i]}" 5>&- 6>&- \
		    7>&- 8<&-
	done
	for i in 1 2 3; do
		[ $i = $k ] || check "z$i is back" settle_member $i
	done
	check "z$k is connected again" wait_until 20 is_in_state $k connected
	check_not "with a new session" test "$(control $k session)" = "$session"
	check "it writes" wait_until 10 timeout 5 sh -c "echo again >'$M/file'"
	check "and reads" reads "$M/file" again
	check "its ephemeral is gone" wait_until 10 test ! -e "$M/c/owner"
	check "and its descriptor stays dead" is_told ESTALE 5
	check "as does the lock's" is_told ESTALE 6
	check "which another can take" wait_until 10 flock -n \
	    "$WORK/m3/lock" true
	check "a new ephemeral can be had" sh -c \
	    "exec 9>'$M/c/owner' && echo new >&9"
	told() {
		[ "$(wc -l <"$WORK/events$k")" -ge 2 ]
	}
	check "inotify has told of it" wait_until 10 told
	exec 5>&- 6>&- 7>&- 8<&-
done
must stop_all
