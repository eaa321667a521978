# The demonstration shows what it says, and leaves nothing behind; nor does
# one that is ended in the middle.
. "$(dirname "$0")/lib.sh"
for tool in ip nsenter inotifywait; do
	command -v $tool >/dev/null || skip "needs $tool"
done
ip netns add zkprobe$$ 2>/dev/null || skip "needs network namespaces"
ip netns del zkprobe$$
export DIR=$WORK/demo BUILD PAUSE=0
mkdir "$DIR"
left() {
	ls "$DIR"
	grep -F "$DIR/" /proc/self/mountinfo
	ip netns list | grep "^zkdemo$1-"
	ls -d /var/tmp/zkfs-demo.* 2>/dev/null | while read -r dir; do
		! grep -qs -D skip "$DIR" "$dir"/* || echo "$dir"
	done
}
same_as_host() {
	grep -A 1 -F "$1" "$WORK/shown" | grep -qF "$2"
}

timeout 120 "$SRC/dist/demo.sh" >"$WORK/shown" 2>&1 &
demo=$!
wait $demo
same "it ends well" 0 $?
check "an event came from another host" grep -q "tells: C.* config" "$WORK/shown"
check "hosts read what another wrote" same_as_host "host3# cat config" \
    color=green
check "who is not elected is told" grep -q "Device or resource busy" \
    "$WORK/shown"
check "another leads" grep -qE "Host [123] leads now" "$WORK/shown"
check "who comes back has missed nothing" grep -qx " *color=blue" "$WORK/shown"
same "nothing is left" "" "$(left '[0-9]*')"
[ $failures -eq 0 ] || cat "$WORK/shown"

PAUSE=30 setsid timeout 120 "$SRC/dist/demo.sh" >"$WORK/shown" 2>&1 &
demo=$!
: >"$WORK/pids/$demo"
check "it shows the members" "$WAITFOR" text 60 "$WORK/shown" CONTACT
# Twice: timeout(1) passes it on as well, and who is impatient types it again.
kill -INT -- -$demo
kill -INT -- -$demo
check "Ctrl-C ends it" "$WAITFOR" gone 30 $demo
wait $demo
same "nothing is left of that" "" "$(left '[0-9]*')"
