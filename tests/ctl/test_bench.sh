# zkfs bench, top and verify.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
mkdir "$M/here"
cd "$M/here" || exit 1

"$ZKFS" bench 1 >"$WORK/bench"
same "bench" 0 $?
same "a header and three tests" 4 "$(wc -l <"$WORK/bench")"
check "by one thread and by sixteen" \
    grep -qE '^write +16 +[1-9][0-9]* +[0-9.]+ ' "$WORK/bench"
check "and reads" grep -qE '^read +16 +[1-9]' "$WORK/bench"
same "it has cleaned up" "" "$(ls "$M/here")"
check "as JSON" sh -c "'$ZKFS' bench -j 1 | python3 -c '
import json, sys
t = json.load(sys.stdin)
assert len(t) == 3 and all(r[\"count\"] > 0 for r in t)
assert all(r[\"p50_us\"] <= r[\"p99_us\"] <= r[\"max_us\"] for r in t)'"
# Nothing is written in all the time that one test has: the next one reads.
paused() {
	local line after
	while read -r line; do
		echo "$line"
		case $line in "write "*" 1 "*) ;; *) continue ;; esac
		kill -STOP "$FS_PID"
		after=$((${EPOCHREALTIME/./} + 1500000))
		wait_until 10 eval "[ \${EPOCHREALTIME/./} -ge $after ]"
		kill -CONT "$FS_PID"
	done
}
"$ZKFS" bench 3 2>&1 | paused >"$WORK/bench"
check "a pause is no failure" grep -qE '^read +16 +[0-9]' "$WORK/bench"
refuses "not a number of seconds" "$ZKFS" bench 0
begun() { [ -n "$(ls "$M/here")" ]; }
"$ZKFS" bench 600 >/dev/null 2>"$WORK/err" &
pid=$!
check "it has begun" wait_until 10 begun
kill -INT "$pid"
wait "$pid"
same "called off" 1 $?
check "it says so" grep -q 'called off' "$WORK/err"
same "and has cleaned up" "" "$(ls "$M/here")"
mkdir "$M/here/deny"
chmod 755 "$M/here"
cd "$M/here/deny" || exit 1
refuses "Permission denied" as_user 4242 "$ZKFS" bench 1

"$ZKFS" verify >"$WORK/verify"
same "verify" 0 $?
check "it says what it compared" grep -qE '^local +[0-9]+ +leader' "$WORK/verify"
check "with nobody" grep -q '^one member' "$WORK/verify"
check "as JSON" sh -c "'$ZKFS' verify -j | python3 -m json.tool"

"$ZKFS" top -d 0.2 >"$WORK/top" </dev/null
same "top" 0 $?
check "one look, with a line for the member" \
    grep -qE '^local +leader +[0-9.]+ +0 +0 +[0-9]+' "$WORK/top"
same "one look" 1 "$(grep -c '^NAME' "$WORK/top")"
check "as JSON" sh -c "'$ZKFS' top -j -d 0.1 | python3 -c '
import json, sys
t = json.load(sys.stdin)
assert len(t) == 1 and t[0][\"role\"] == \"leader\" and t[0][\"lag\"] == 0'"
# On a terminal until q.
check "q ends it" timeout 20 python3 -c '
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], ["zkfs", "top", "-d", "0.1"])
seen = b""
while seen.count(b"NAME") < 3:
    seen += os.read(fd, 4096)
os.write(fd, b"q")
while True:
    try:
        if not os.read(fd, 4096):
            break
    except OSError:
        break
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$ZKFS"
cd / || exit 1
