#!/bin/bash
# .zkfs/events: every change, once, in order, for those who may see it; and
# the programs that read it.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
export PYTHONPATH=$SRC/tests/mount PYTHONDONTWRITEBYTECODE=1
cd "$M" || exit 1
E=.zkfs/events

# Words of the lines: what happened to what.
words() { python3 -c '
import json, sys
for line in sys.stdin:
    e = json.loads(line)
    print(e["op"], e["path"], *([e["to"]] if "to" in e else []))' ; }
has_lines() { [ "$(wc -l <"$1")" -ge "$2" ]; }
revision() { tail -n 1 "$1" | grep -o '"rev":[0-9]*' | cut -d: -f2; }

# From the beginning, to a program that is ended when it has all.
spawn cat "$E@0" >"$WORK/all"
all=$!
mkdir d
echo hi >d/f
mv d/f d/g
ln d/g d/h
rm d/h
chmod 600 d/g
setfattr -n user.x -v 1 d/g
ln -s nowhere d/l
: >d/g
echo >>d/g
rm -r d
must wait_until 10 has_lines "$WORK/all" 15
want='create /topics
create /d
create /d/f
modify /d/f
rename /d/f /d/g
create /d/h
delete /d/h
attrib /d/g
attrib /d/g
create /d/l
modify /d/g
modify /d/g
delete /d/g
delete /d/l
delete /d'
same "every change is a line, in order" "$(sort <<<"$want")" \
    "$(words <"$WORK/all" | sort)"
same "in the order in which they were made" \
    "$(grep -v delete <<<"$want")" "$(words <"$WORK/all" | grep -v delete)"

before=$(wc -l <"$WORK/all")
ls -laR . >/dev/null
cat .zkfs/state >/dev/null
mkdir marker
must wait_until 20 grep -q marker "$WORK/all"
same "reading and listing make no event" $((before + 1)) \
    "$(wc -l <"$WORK/all")"
rev=$(revision "$WORK/all")

# Who reads, and how.
readers=()
watch() {
	spawn "$@"
	readers+=($!)
}
watch timeout 100 bash -c 'while IFS= read -r l; do echo "$l"; done \
    <.zkfs/events@'"$rev"' >'"$WORK/r.bash"
watch timeout 100 dash -c 'while IFS= read -r l; do echo "$l"; done \
    <.zkfs/events@'"$rev"' >'"$WORK/r.dash"
watch timeout 100 python3 -u -c '
import sys
for line in open(sys.argv[1]):
    print(line, end="")' "$E@$rev" >"$WORK/r.python"
watch timeout 100 tail -n 5 -f "$E@$rev" >"$WORK/r.tail" 2>"$WORK/tail.err"
watch timeout 100 grep --line-buffered . "$E@$rev" >"$WORK/r.grep"
watch timeout 100 sed -u p -n "$E@$rev" >"$WORK/r.sed"
watch timeout 100 dd "if=$E@$rev" bs=7 status=none of="$WORK/r.dd"
names="bash dash python tail grep sed dd"
if command -v jq >/dev/null; then
	watch timeout 100 jq -c --unbuffered . "$E@$rev" >"$WORK/r.jq"
	names+=" jq"
fi
for i in $(seq 240); do
	echo "$i" >"n$i"
done
"$BUILD/zkfs" txn >/dev/null <<'END'
mkdir /t
create /t/a v
delete /n1
END
for name in $names; do
	check "$name reads it" wait_until 20 has_lines "$WORK/r.$name" 484
	[ "$name" = jq ] || same "$name has what cat has" \
	    "$(tail -n 484 "$WORK/all" | md5sum)" "$(md5sum <"$WORK/r.$name")"
done
same "a transaction is several changes of one revision" \
    "1 create /t create /t/a modify /t/a delete /n1" \
    "$(tail -n 4 "$WORK/all" | grep -o '"rev":[0-9]*' | sort -u | wc -l) $(
	tail -n 4 "$WORK/all" | words | tr '\n' ' ' | sed 's/ $//')"
same "tail is content with the size" "" "$(cat "$WORK/tail.err")"
kill "${readers[@]}" 2>/dev/null

spawn timeout 100 tail -n 0 -f "$E" >"$WORK/new" 2>&1
reader=$!
tells_new() {
	touch d/new
	[ -s "$WORK/new" ]
}
mkdir d
check "tail -n 0 -f tells what is new" wait_until 20 tells_new
same "and nothing older" "" "$(grep -F '"/n2"' "$WORK/new")"
kill "$reader"
rm -r d

check "poll, epoll and O_NONBLOCK work" timeout 60 python3 - "$E" <<'END'
import errno, os, select, sys
from asleep import when_waiting
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
try:
    os.read(fd, 100)
    raise SystemExit("read without an event")
except BlockingIOError:
    pass
p = select.poll()
p.register(fd, select.POLLIN)
e = select.epoll()
e.register(fd, select.EPOLLIN)
assert p.poll(0) == [] and e.poll(0) == []
for wait in lambda: p.poll(), lambda: e.poll(), \
        lambda: select.select([fd], [], []):
    t = when_waiting(os.mkdir, "polled")
    assert wait()
    t.join()
    assert os.read(fd, 4096).count(b"\n") == 1
    os.rmdir("polled")
    wait()
    assert b'"delete"' in os.read(fd, 4096)
    assert p.poll(0) == []
END
check "a read that waits can be interrupted" timeout 60 python3 - "$E" <<'END'
import os, signal, sys
from asleep import when_waiting
class Told(Exception):
    pass
def tell(*_):
    raise Told
signal.signal(signal.SIGALRM, tell)
fd = os.open(sys.argv[1], os.O_RDONLY)
when_waiting(os.kill, os.getpid(), signal.SIGALRM)
try:
    os.read(fd, 100)
    raise SystemExit("no")
except Told:
    pass
when_waiting(os.mkdir, "after")
assert b"after" in os.read(fd, 1000)
END
check "and killed" bash -c 'cat "$1" & "$2" asleep 20 $! && kill -9 $!; wait $!
	[ $? = 137 ]' sh "$E" "$WAITFOR"
spawn cat "$E" >/dev/null
last=$!
check_not "what is no revision is no file" test -e "$E@x"
spawn cat "$E@999999999" >"$WORK/future"
future=$!
check "a revision of the future is waited for" "$WAITFOR" asleep 20 "$future"

# Who may not list a directory must not learn its names.
mkdir -m 700 secret
mkdir -m 711 passage
mkdir -m 755 passage/open
rev=$(revision "$WORK/all")
echo x >secret/name1
echo x >passage/name2
echo x >passage/open/name3
mv secret/name1 passage/open/name4
mkdir end
must wait_until 10 grep -q '"/end"' "$WORK/all"
rev=$(grep '"/passage/open"' "$WORK/all" | tail -n 1 |
    grep -o '"rev":[0-9]*' | cut -d: -f2)
# shellcheck disable=SC2024
as_user 4242 timeout 60 sed '/"\/end"/q' "$E@$rev" >"$WORK/user"
same "others are told what they could have seen" \
    "create /passage/open/name3
modify /passage/open/name3
create /passage/open/name4
create /end" "$(words <"$WORK/user")"
check_not "and nothing else" grep -q 'secret\|name1\|name2' "$WORK/user"

# A burst that no reader keeps up with, and one who is stopped meanwhile.
rev=$(revision "$WORK/all")
cat "$E@$rev" >"$WORK/burst" &
slow=$!
kill -STOP "$slow"
python3 - <<'END'
import os
fd = os.open("burst", os.O_CREAT | os.O_WRONLY)
for i in range(3000):
    os.pwrite(fd, b"%d" % i, 0)
os.mkdir("after-burst")
END
kill -CONT "$slow"
check "a reader that was stopped gets all of it" \
    wait_until 30 grep -q after-burst "$WORK/burst"
same "without one missing" 3002 "$(wc -l <"$WORK/burst")"
same "and nothing is told before" "" "$(cat "$WORK/future")"
kill "$slow" "$all" "$last" "$future"
wait "$slow" "$all" "$last" "$future" 2>/dev/null

# The history survives the daemon.
rev=$(revision "$WORK/burst")
mkdir before-restart
cd / || exit 1
must remount
cd "$M" || exit 1
mkdir after-restart
same "what happened before a restart is still told" \
    "create /before-restart
create /after-restart" "$(timeout 60 sed '/after-restart/q' "$E@$rev" | words)"
cd / || exit 1
must stop_fs
