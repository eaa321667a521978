#!/bin/bash
# What may be done to the name and the mode of an ephemeral file, and what its
# owner then sees.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1
mkdir e plain && chmod u+s e && chmod 777 e

# shellcheck disable=SC2317
is_gone() {
	[ ! -e "$1" ]
}

# unlink by another: the owner's descriptor is stale from then on.
exec 9>e/f
echo one >&9
check "another process removes it" rm e/f
check "the name is gone at once" is_gone e/f
refuses "Stale file handle" bash -c 'echo two >&9'
refuses "Stale file handle" python3 -c \
    'import os; os.write(9, b"x")'
refuses "Stale file handle" python3 -c \
    'import os; os.ftruncate(9, 0)'
bash -c 'exec 8>e/f; echo "of another owner" >&8; read -r v <e/f
    [ "$v" = "of another owner" ]' || fail "a new owner"
exec 9>&-

exec 9>e/f
exec 8>e/g
exec 9>&-
check "the close of an old owner takes its own file only" \
    wait_until 5 is_gone e/f
check "and no other" test -e e/g
exec 8>&-

# A stale descriptor's close must not take the new owner's file.
exec 9>e/f
rm e/f
exec 8>e/f
echo new >&8
exec 9>&-
: >plain/barrier
same "the new owner's file outlives the old owner's close" new "$(cat e/f)"
check "and the new owner still writes" bash -c 'echo more >&8'
exec 8>&-
check "until its own close" wait_until 5 is_gone e/f

# rename keeps it ephemeral, wherever it goes.
exec 9>e/f
mv e/f plain/renamed
same "renamed, it is still ephemeral" T \
    "$(stat -c %A plain/renamed | cut -c10)"
echo v >&9
same "and still its owner's" v "$(cat plain/renamed)"
refuses "Device or resource busy" bash -c 'echo x >plain/renamed'
exec 9>&-
check "and goes when it is closed" wait_until 5 is_gone plain/renamed

exec 9>e/f
echo ordinary >plain/over
mv -f plain/over e/f
refuses "Stale file handle" bash -c 'echo x >&9'
exec 9>&-
: >plain/barrier
same "what was renamed over it stays" ordinary "$(cat e/f)"
rm e/f

# chmod neither makes nor unmakes.
echo v >plain/f
chmod +t plain/f
check "chmod +t makes no ephemeral" bash -c 'echo w >plain/f'
exec 9>e/f
chmod 600 e/f
same "chmod sets the other bits" -rw------T "$(stat -c %A e/f)"
chmod -t e/f
same "and cannot take the T" T "$(stat -c %A e/f | cut -c10)"
refuses "Device or resource busy" bash -c 'echo x >e/f'
chmod 1777 e
same "a sticky directory stays sticky" t "$(stat -c %A e | cut -c10)"
refuses "Operation not permitted" as_user 4242 rm e/f
exec 9>&-
check "gone with its owner in a sticky directory" wait_until 5 is_gone e/f

# Elsewhere a program makes its new file ephemeral itself.
check "fsetxattr makes the file that was just created ephemeral" \
    python3 - <<'END'
import errno, os, stat, time
fd = os.open("plain/own", os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.setxattr(fd, "user.zkfs.ephemeral", b"1")
os.write(fd, b"value")
assert os.stat("plain/own").st_mode & stat.S_ISVTX
assert os.getxattr("plain/own", "user.zkfs.ephemeral") == b"1"
try:
    os.open("plain/own", os.O_WRONLY)
    assert False, "opened"
except OSError as e:
    assert e.errno == errno.EBUSY, e
os.close(fd)
end = time.monotonic() + 5
while os.path.exists("plain/own"):
    assert time.monotonic() < end
END
check "but not a file that it found, or that another has open" \
    python3 - <<'END'
import os
open("plain/found", "w").write("v")
fd = os.open("plain/found", os.O_RDWR)
try:
    os.setxattr(fd, "user.zkfs.ephemeral", b"1")
    made = True
except OSError:
    made = False
os.close(fd)
assert not made
assert open("plain/found").read() == "v"
END
check_not "nor can it be taken off" python3 -c '
import os
fd = os.open("e/x", os.O_WRONLY | os.O_CREAT)
os.removexattr(fd, "user.zkfs.ephemeral")'

# zkfs(1) for scripts.
check "zkfs hold keeps it while a command runs" \
    "$BUILD/zkfs" hold plain/held "the value" -- bash -c '
	[ "$(cat plain/held)" = "the value" ] &&
	[ "$(stat -c %A plain/held | cut -c10)" = T ] &&
	! (echo x >plain/held) 2>/dev/null && [ "$ZKFS_FENCE" -gt 0 ]'
check "and not longer" wait_until 5 is_gone plain/held
"$BUILD/zkfs" hold plain/held v -- bash -c 'exit 7'
same "its exit status is the command's" 7 $?
mkfifo "$WORK/go"
spawn "$BUILD/zkfs" hold plain/held first -- bash -c "read -r _ <$WORK/go"
first=$!
check "held by one" wait_until 5 test -s plain/held
"$BUILD/zkfs" hold plain/held second -- true 2>"$WORK/err"
same "a second hold is refused with" 1 $?
same "and one line" 1 "$(wc -l <"$WORK/err")"
spawn "$BUILD/zkfs" elect plain/held second -- bash -c '
    cp plain/held plain/elected'
second=$!
echo >"$WORK/go"
check "the first ends" wait "$first"
check "and who stood for election is next" wait "$second"
same "with its own value" second "$(cat plain/elected)"
spawn "$BUILD/zkfs" hold plain/held lost -- bash -c "read -r _ <$WORK/go"
loser=$!
check "held again" wait_until 5 test -s plain/held
rm plain/held
wait "$loser"
same "the command is ended when the file is removed" 124 $?
spawn "$BUILD/zkfs" create -e plain/made value
maker=$!
check "zkfs create -e" wait_until 5 test -s plain/made
same "makes an ephemeral" T "$(stat -c %A plain/made | cut -c10)"
kill "$maker"
check "that goes with it" wait_until 5 is_gone plain/made
cd / || exit 1
must stop_fs
