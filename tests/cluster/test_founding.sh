# A member is killed at a random moment of the founding and started again:
# all the same there is one ensemble, of all three.  ROUNDS is how often.
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-$([ "${FULL:-0}" = 1 ] && echo 50 || echo 6)}

# A moment between now and a fifth of a second from now.
random_moment() {
	local count=$((RANDOM % 20)) turns i
	exec {turns}< <(exec "$WAITFOR" turns 1)
	for ((i = 0; i < count; i++)); do
		read -r _ <&"$turns"
	done
	exec {turns}<&-
}
for ((round = 1; round <= rounds; round++)); do
	rm -rf "$WORK"/d? "$WORK"/z?.log
	for i in 1 2 3; do
		launch_member $i
	done
	victim=$((RANDOM % 3 + 1))
	random_moment
	kill -KILL "${PID[victim]}"
	"$WAITFOR" gone 10 "${PID[victim]}"
	wait "${PID[victim]}" 2>/dev/null
	while is_mounted "$WORK/m$victim"; do
		umount -l "$WORK/m$victim"
	done
	launch_member $victim
	for i in 1 2 3; do
		must settle_member $i
	done
	same "round $round, z$victim killed: one ensemble" 1 "$(for i in 1 2 3
	do control $i status | grep ^ensemble; done | sort -u | wc -l)"
	echo $round >"$WORK/m$victim/round"
	for i in 1 2 3; do
		check "it is on z$i" wait_until 5 reads "$WORK/m$i/round" $round
	done
	stop_all
done
