#!/bin/bash
# Transactions: the lines of one write(2) to .zkfs/txn, all or nothing.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1
txn() {
	"$BUILD/zkfs" txn
}
attribute() {
	getfattr --only-values -n "user.zkfs.$2" "$1" 2>/dev/null
}
# Everything that a transaction could have changed.
picture() {
	find . -path ./.zkfs -prune -o -printf '%p %y %m %U %s %i ' \
	    -exec getfattr --only-values -n user.zkfs.version {} ';' \
	    -printf '\n' 2>/dev/null
	find . -path ./.zkfs -prune -o -type f -exec cat {} +
}
# $1: the line that fails, $2: what is said, then the lines.
fails() {
	local line=$1 reason=$2 text=$3 before
	before=$(picture)
	checks=$((checks + 1))
	if printf '%s\n' "$text" | txn >"$WORK/said" 2>&1; then
		fail "applied: $text"
	elif ! grep -q "line $line: .*$reason" "$WORK/said" ||
	    [ "$(wc -l <"$WORK/said")" != 1 ]; then
		fail "line $line, $reason: said $(cat "$WORK/said")"
	else
		echo "ok - line $line: $reason"
	fi
	same "nothing changed" "$before" "$(picture)"
}

check "create, set, delete, mkdir and check, in one" txn <<'END'
# a comment, and an empty line

mkdir /app
create /app/a one
create /app/b  two words 
create app/c
check /app/a *
check /app/missing -
mkdir /app/dir
create /app/dir/gone x
set /app/dir/gone y
delete /app/dir/gone
set /app/c three\n\c
END
same "values" one "$(cat app/a)"
same "blanks belong to them" " two words " "$(cat app/b)"
same "escapes" three "$(cat app/c)"
check_not "what was deleted again is not there" test -e app/dir/gone
check "one revision for all of it" test "$(attribute app/a czxid)" = \
    "$(attribute app/dir czxid)" -a -n "$(attribute app/a czxid)"
same "modes" "644 755" "$(stat -c %a app/a app | tr '\n' ' ' |
    sed 's/ $//')"
version=$(attribute app/a version)
check "check of a version, and set" txn <<END
check /app/a $version
set /app/a uno
END
same "the new value" uno "$(cat app/a)"
same "its version" $((version + 1)) "$(attribute app/a version)"

fails 1 "" "check /app/a $version"
fails 3 "exists" "create /app/new x
set /app/a due
create /app/b x"
fails 2 "" "delete /app/a
check /app/a *"
fails 2 "exists" "mkdir /app/new
mkdir /app/dir"
fails 1 "exists" "check /app/a -"
fails 2 "No such" "set /app/a x
set /app/missing/f y"
fails 2 "not empty" "delete /app/dir
delete /app"
fails 1 "directory" "set /app x"
fails 4 "nvalid" "create /app/1 x
create /app/2 x

frobnicate /app/3"
fails 1 "nvalid" "check /app/a seven"
fails 1 "nvalid" "create"
fails 1 "nvalid" "create /app/../etc x"
fails 1 "nvalid" 'create /app/bad\q x'
fails 1 "not permitted" "create /.zkfs/f x"
fails 1 "too long" "create /app/$(printf '%0256d' 0) x"
refuses "" "$BUILD/zkfs" txn "$WORK/missing"

# So does a shell, which cannot seek back to read.
same "a shell reads each outcome from the descriptor that it wrote to" \
    "ok,line 1: File exists,ok,end" "$(bash -c 'exec 9<>.zkfs/txn
	echo "create /app/shell x" >&9; read -r ok revision <&9
	echo "create /app/shell x" >&9; refused=$(cat <&9)
	echo "delete /app/shell" >&9; last=$(cat <&9); more=$(cat <&9)
	echo "$ok,$refused,${last% *},${more:-end}"' 2>"$WORK/out")"

# Programs write it themselves.
check "one write(2); the same descriptor tells the outcome" python3 - <<'END'
import errno, os
fd = os.open(".zkfs/txn", os.O_RDWR)
assert os.pread(fd, 100, 0) == b""
text = b"create /app/by_hand x\nset /app/by_hand y"
assert os.write(fd, text) == len(text)
assert os.pread(fd, 100, 0).startswith(b"ok ")
assert open("app/by_hand").read() == "y\n"
def refused(text, err, said):
    try:
        os.write(fd, text)
    except OSError as e:
        assert e.errno == err, (text[:40], e)
    else:
        assert False, text[:40]
    got = os.pread(fd, 200, 0)
    assert got.startswith(said), got
refused(b"set /app/by_hand z\ndelete /app/nothing\n", errno.ENOENT, b"line 2: ")
assert open("app/by_hand").read() == "y\n"
refused(b"\0", errno.EINVAL, b"line 1: ")
refused(b"set /app/by_hand \\xzz", errno.EINVAL, b"line 1: ")
refused(bytes(range(128, 256)) * 100, errno.EINVAL, b"line 1: ")
refused(b"create /n%d\n" % 1 * 1025, errno.E2BIG, b"line 1025: ")
before = os.listdir("app")
import random
rng = random.Random(7)
for i in range(200):
    junk = rng.randbytes(rng.randrange(1, 300))
    try:
        os.write(fd, junk)
    except OSError as e:
        assert e.errno in (errno.EINVAL, errno.ENAMETOOLONG), (junk, e)
    else:
        assert all(line.lstrip(b" \t")[:1] in (b"", b"#")
                   for line in junk.split(b"\n")), junk
assert os.listdir("app") == before
os.close(fd)
# 1024 operations are the most, and are done.
text = b"".join(b"create /app/many%04d %d\n" % (i, i) for i in range(1024))
fd = os.open(".zkfs/txn", os.O_WRONLY)
assert os.write(fd, text) == len(text)
os.close(fd)
assert open("app/many1023").read() == "1023\n"
assert len(os.listdir("app")) == len(before) + 1024
END
find app -name 'many*' -delete

# No reader sees a half: two counters that always move together.
echo 0 >x && echo 0 >y
together='i=1; while [ $i -le 100 ]; do
	printf "set /x %s\nset /y %s\n" $i $i | "$1" txn || exit 1
	i=$((i + 1)); done'
check "readers of two files never see the second change before the first" \
    bash -c '
	bash -c "$1" together "$2" & writer=$!
	trap "kill $writer 2>/dev/null; wait" EXIT
	last=0
	while [ "$last" -lt 100 ]; do
		read -r y <y && read -r x <x || exit 1
		[ "$x" -ge "$y" ] || { echo "x $x, y $y"; exit 1; }
		last=$y
		kill -0 $writer 2>/dev/null || { wait $writer || exit 1; }
	done
	wait $writer' sh "$together" "$BUILD/zkfs"

# A transaction does not pass through the kernel's cache, its readers do.
check "values that transactions replace are whole, of whatever length" \
    python3 - <<'END'
import os
last = 300
def value(i):
    return b"%d " % i + b"x" * (i * 7919 % 5000) + b" %d\n" % i
def write():
    fd = os.open(".zkfs/txn", os.O_WRONLY)
    for i in range(1, last + 1):
        os.write(fd, b"set /whole " + value(i))
def read():
    seen = 0
    while seen < last:
        fd = os.open("whole", os.O_RDONLY)
        got = os.read(fd, 10000)
        os.close(fd)
        number = int(got.split(b" ")[0] or b"0")
        assert got == value(number), (seen, number, len(got))
        assert number >= seen, (seen, number)
        seen = number
open("whole", "wb").write(value(0))
pids = []
for job in read, read, write:
    pid = os.fork()
    if pid == 0:
        try:
            job()
            os._exit(0)
        except BaseException as e:
            print(repr(e))
        os._exit(1)
    pids.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
END

# Permissions as the system calls need them.
chmod 755 .
mkdir open closed private && chmod 777 open && chmod 700 private
echo v >closed/f && chmod 644 closed/f && echo v >private/f
echo v >open/f && chmod 666 open/f
user_txn() {
	printf '%s\n' "$1" | as_user 4242 "$BUILD/zkfs" txn
}
check "a user may do what the modes allow" user_txn 'create /open/mine x
set /open/f y
check /closed/f *
mkdir /open/dir'
same "and owns what it makes" "4242 4242" "$(stat -c '%u %g' open/mine)"
refuses "denied" user_txn 'set /closed/f x'
refuses "denied" user_txn 'create /closed/mine x'
refuses "denied" user_txn 'delete /closed/f'
refuses "denied" user_txn 'check /private/f *'
refuses "denied" user_txn 'create /open/second x
set /private/f x'
check_not "not even the first line is done" test -e open/second
chmod +t open
refuses "not permitted" user_txn 'delete /open/f'

mkdir eph && chmod u+s eph
exec 9>eph/held
refuses "" txn <<<'set /eph/held x'
check "delete of an ephemeral" txn <<<'delete /eph/held'
refuses "Stale file handle" bash -c 'echo x >&9'
exec 9>&-
cd / || exit 1
must remount
same "all of it is there after a remount" "uno" "$(cat "$M/app/a")"
must stop_fs
