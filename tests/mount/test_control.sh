#!/bin/bash
# The files below .zkfs: there, fresh at each read, and making sense.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M/.zkfs" || exit 1

for name in state status status.json members metrics version session leader \
    digest config sessions locks; do
	check "$name can be read, by anybody" as_user 4242 cat "$name"
	check "$name is not empty" test -n "$(cat "$name")"
	same "$name ends in a newline" 0a \
	    "$(tail -c 1 "$name" | od -An -tx1 | tr -d ' ')"
	refuses "Permission denied" bash -c "echo x >$name"
	check_not "$name cannot be removed" rm -f "$name"
	check "and $name is listed" bash -c '
		for f in *; do [ "$f" = "$1" ] && exit 0; done; exit 1' sh "$name"
done
check_not "nothing can be made there" touch new
check_not "nor a directory" mkdir dir
check_not "the directory cannot be renamed" mv "$M/.zkfs" "$M/other"
check_not "nor removed" rmdir "$M/.zkfs"
check_not "nor is a file moved in" bash -c 'echo v >../f && mv ../f f'

same "state" connected "$(cat state)"
same "version is the program's" "$("$BUILD/zkfs" --version | cut -d' ' -f2)" \
    "$(grep -o '[0-9][0-9.]*[0-9a-z.-]*' version | head -n 1)"
cp config "$WORK/conf"
mkdir "$WORK/checked"
check "config can be read again" "$BUILD/mount.zkfs" --check "$WORK/checked" \
    -o "config=$WORK/conf"
for key in name data session_timeout op_timeout lost ro max_file insecure log; do
	check "config tells $key" grep -q "^$key = ." config
done
check "status.json is JSON with the state" python3 - <<'END'
import json
status = json.load(open("status.json"))
assert status["state"] == "connected", status
END
check "members: one line, and it names an address or role" python3 - <<'END'
lines = open("members").read().splitlines()
rows = [line for line in lines if line and not line.startswith("#")]
assert len(rows) >= 1, lines
assert any("leader" in row or "voter" in row for row in rows), rows
END
check "metrics are OpenMetrics: types, samples, and the end" python3 - <<'END'
import re
text = open("metrics").read()
lines = text.splitlines()
assert lines[-1] == "# EOF", lines[-1]
types, seen = {}, set()
sample = re.compile(
    r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? '
    r'([-+]?[0-9.eE+-]+|NaN|[+-]Inf)( [0-9.]+)?$')
for line in lines[:-1]:
    if line.startswith("# TYPE "):
        name, kind = line.split()[2:4]
        assert name not in types, name
        types[name] = kind
    elif line.startswith("# "):
        assert line.split()[1] in ("HELP", "UNIT"), line
    else:
        m = sample.match(line)
        assert m, line
        key = (m.group(1), m.group(2))
        assert key not in seen, key
        seen.add(key)
        family = m.group(1)
        known = [f for f in (family, re.sub(
            "_(total|count|sum|bucket|created|info)$", "", family))
            if f in types]
        assert known, line
        if types[known[0]] == "counter":
            assert re.search("_(total|created)$", family), line
assert len(seen) > 5, len(seen)
END
before=$(cat metrics)
for i in 1 2 3 4 5 6 7 8 9 10; do
	echo "$i" >../counted
done
check_not "metrics have moved after ten writes" \
    test "$before" = "$(cat metrics)"

first=$(cat digest)
same "the digest is the same while nothing changes" "$first" "$(cat digest)"
echo changed >../counted
check_not "and another after a change" test "$first" = "$(cat digest)"
check "the configuration has the options in force" grep -q max_file config
check "sessions has the session of this mount" grep -qF "$(
    grep -o '[0-9a-f]*[0-9][0-9a-f]*' session | head -n 1)" sessions

exec 9>../locked
flock 9
check "locks shows a lock while it is held" python3 - <<'END'
import os
ino = str(os.stat("../locked").st_ino)
text = open("locks").read()
assert ino in text or "locked" in text, text
END
exec 9>&-

check "read in small pieces, each file is whole" python3 - <<'END'
import os
for name in "config", "members", "session", "version", "state":
    fd = os.open(name, os.O_RDONLY)
    whole = os.pread(fd, 1 << 20, 0)
    got = b""
    while True:
        piece = os.pread(fd, 3, len(got))
        if not piece:
            break
        got += piece
    assert got == whole, (name, got, whole)
    os.close(fd)
END
check "zkfs status agrees" "$BUILD/zkfs" status
check "with --json, too" bash -c '"$1" status -j | python3 -c "
import json, sys; assert json.load(sys.stdin)[\"state\"] == \"connected\""' \
    sh "$BUILD/zkfs"
check "find and du walk it all" bash -c 'find "$1" >/dev/null && du -s "$1"' \
    sh "$M"
cd / || exit 1
must stop_fs
