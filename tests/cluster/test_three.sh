# Three mounts are one filesystem: what is written on one is read on the
# others, appends and locks and elections hold across them, and the loss of
# a host loses nothing that was acknowledged.
. "$(dirname "$0")/lib.sh"
must start_all
M1=$WORK/m1 M2=$WORK/m2 M3=$WORK/m3

same "three members, one of them leads" "1 leader 2 voter" \
    "$(control 1 members | awk 'NR > 1 { print $3 }' | sort | uniq -c |
        xargs)"
same "all know the same leader" "$(leader_of 1) $(leader_of 1)" \
    "$(leader_of 2) $(leader_of 3)"
same "all are connected" "connected connected connected" \
    "$(for i in 1 2 3; do control $i state; done | xargs)"

# --- one tree
for i in 1 2 3; do
	check "write on z$i" sh -c "echo from-$i >'$WORK/m$i/file'"
	for j in 1 2 3; do
		check "is read on z$j" wait_until 5 reads "$WORK/m$j/file" \
		    from-$i
	done
done
check "a directory" mkdir "$M2/dir"
check "is there" wait_until 5 test -d "$M3/dir"
check "moved" mv "$M2/dir" "$M2/moved"
check "is gone" wait_until 5 test ! -e "$M1/dir"
check "and there" test -d "$M1/moved"
check "and the digests agree" wait_until 5 agree 1 2 3

# --- appends
worker=$BUILD/tests/mount/worker_append
pids=()
for i in 0 1 2 3 4 5; do
	"$worker" append "$WORK/m$((i % 3 + 1))/appended" $i 60 3000 &
	pids+=($!)
done
for i in "${pids[@]}"; do
	check "appender ended well" wait "$i"
done
for i in 1 2 3; do
	check "no append lost, split or interleaved on z$i" wait_until 5 \
	    "$worker" check "$WORK/m$i/appended" 6 60
done

# --- locks: who holds it has what the one before wrote
echo 0 >"$M1/counter"
: >"$M1/lock"
wait_until 5 reads "$M3/counter" 0
count_up() {
	local i n
	for ((i = 0; i < 25; i++)); do
		flock "$1/lock" sh -c 'read -r n <"$1"; echo $((n + 1)) >"$1"' \
		    sh "$1/counter" || return 1
	done
}
pids=()
for i in 1 2 3 1 2 3; do
	count_up "$WORK/m$i" &
	pids+=($!)
done
for i in "${pids[@]}"; do
	check "counter ended well" wait "$i"
done
check "150 times one under a lock are 150" wait_until 5 reads "$M2/counter" 150

# --- elections
mkdir "$M1/c" && chmod u+s "$M1/c"
for i in 2 3; do
	wait_until 5 test -u "$WORK/m$i/c"
done
mkfifo "$WORK/go" "$WORK/over"
: >"$WORK/results"
candidate='read -r _ <"$2/go"
	if { exec 9>"$1"; } 2>"$2/said.$3"; then
		echo "$3" >&9
		echo winner >>"$2/results"
		read -r _ <"$2/over"
	elif grep -q "Device or resource busy" "$2/said.$3"; then
		echo busy >>"$2/results"
	else
		cat "$2/said.$3" >>"$2/results"
	fi'
pids=()
for ((i = 0; i < 30; i++)); do
	spawn bash -c "$candidate" candidate "$WORK/m$((i % 3 + 1))/c/master" \
	    "$WORK" "$i"
	pids+=($!)
done
exec 7<>"$WORK/go"
for i in "${pids[@]}"; do
	echo >&7
done
all_have_tried() {
	[ "$(wc -l <"$WORK/results")" -ge 30 ]
}
wait_until 30 all_have_tried
same "one of 30 on three mounts wins" "29 busy 1 winner" \
    "$(sort "$WORK/results" | uniq -c | xargs)"
exec 7>&- 8<>"$WORK/over"
for i in "${pids[@]}"; do
	echo >&8
done
wait "${pids[@]}"
exec 8>&-
for i in 1 2 3; do
	check "the winner's file is gone on z$i" \
	    wait_until 5 test ! -e "$WORK/m$i/c/master"
done

# --- the leader is killed while others write
leader=$(leader_of 1)
others=()
for i in 1 2 3; do
	[ $i = "$leader" ] || others+=("$i")
done
a=${others[0]} b=${others[1]}
: >"$WORK/acked"
writer() {
	local n=0
	while [ ! -e "$WORK/enough" ]; do
		n=$((n + 1))
		if echo $n >>"$1"; then
			echo $n >>"$WORK/acked"
		fi
	done
}
spawn writer "$WORK/m$a/log"
writer_pid=$!
has_acked() {
	[ "$(wc -l <"$WORK/acked")" -ge "$1" ]
}
check "a writer writes" wait_until 10 has_acked 20
exec 6>"$WORK/m$leader/c/owner"
wait_until 5 test -e "$WORK/m$a/c/owner"
killed=$(now_ms)
kill_member "$leader"
exec 6>&-
before=$(wc -l <"$WORK/acked")
check "z$b writes within 3 s" timeout 3 sh -c "echo x >'$WORK/m$b/after'"
check "z$a goes on within 3 s" wait_until 3 has_acked $((before + 5))
check "there is another leader" test "$(leader_of $a)" != "$leader"
check "the owner's host is gone, and its file after it" \
    wait_until $((SESSION + 2)) test ! -e "$WORK/m$a/c/owner"
gone=$(($(now_ms) - killed))
check "not later than the session's time and a second: $gone ms" \
    test $gone -le $((SESSION * 1000 + 1000 + 500))
check "and not before the holder's own: $gone ms" \
    test $gone -ge $((SESSION * 1000 * 3 / 4))
: >"$WORK/enough"
wait $writer_pid
LC_ALL=C sort "$WORK/acked" >"$WORK/want"
no_loss() {
	LC_ALL=C sort "$1" | LC_ALL=C comm -13 - "$WORK/want" >"$WORK/lost"
	[ ! -s "$WORK/lost" ]
}
no_double() {
	[ -z "$(sort "$1" | uniq -d)" ]
}
for i in $a $b; do
	check "nothing acknowledged is lost on z$i" \
	    wait_until 5 no_loss "$WORK/m$i/log"
	check "and nothing is twice" no_double "$WORK/m$i/log"
done

# --- it comes back
check "the killed one comes back" start_member "$leader"
check "and catches up" wait_until 10 agree 1 2 3
check "with all that was acknowledged" no_loss "$WORK/m$leader/log"
check "and can write" sh -c "echo back >'$WORK/m$leader/back'"
check "what others read" wait_until 5 reads "$WORK/m$a/back" back
must stop_all
