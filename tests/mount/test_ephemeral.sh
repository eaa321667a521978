#!/bin/bash
# Ephemeral files: made by opening them in a directory with u+s, they live as
# long as the open file that made them.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1
mkdir e plain && chmod u+s e

mode_of() {
	stat -c %A "$1"
}
# shellcheck disable=SC2317
is_gone() {
	[ ! -e "$1" ]
}
attribute() {
	getfattr --only-values -n "user.zkfs.$2" "$1" 2>/dev/null
}

same "the directory shows the s" drwsr-xr-x "$(mode_of e)"
chmod 755 e
same "chmod 755 leaves it" drwsr-xr-x "$(mode_of e)"

exec 9>e/master
echo 10.0.0.1 >&9
same "the file shows a T" -rw-r--r-T "$(mode_of e/master)"
# shellcheck disable=SC2012
same "ls -l shows it" -rw-r--r-T "$(ls -l e/master | cut -c1-10)"
same "everyone may read it" 10.0.0.1 "$(as_user 4242 cat e/master)"
same "user.zkfs.ephemeral says 1" 1 "$(attribute e/master ephemeral)"
check "user.zkfs.owner names a session" \
    test -n "$(attribute e/master owner)" -a "$(attribute e/master owner)" != 0
refuses "Device or resource busy" bash -c 'exec 8>e/master'
refuses "Device or resource busy" bash -c 'exec 8>>e/master'
refuses "Device or resource busy" bash -c 'exec 8<>e/master'
refuses "Device or resource busy" truncate -s 0 e/master
refuses "Device or resource busy" python3 -c \
    'import os; os.open("e/master", os.O_WRONLY | os.O_TRUNC)'
refuses "File exists" python3 -c \
    'import os; os.open("e/master", os.O_WRONLY | os.O_CREAT | os.O_EXCL)'
echo 10.0.0.2 >&9
same "the owner goes on writing" $'10.0.0.1\n10.0.0.2' "$(cat e/master)"
check "ten readers at once" bash -c '
	exec 3<e/master 4<e/master 5<e/master 6<e/master 7<e/master
	for i in 1 2 3 4 5; do read -r v <e/master || exit 1; done'
refuses "Operation not permitted" ln e/master e/second
refuses "Operation not permitted" ln e/master plain/second
exec 9>&-
check "closed: gone" wait_until 5 is_gone e/master

# The same name again, and again; each owner's close takes only its own.
check "a name is free again once its owner has closed" bash -c '
	for i in 1 2 3 4 5 6 7 8; do
		for try in {1..2000}; do
			{ exec 9>e/again; } 2>/dev/null && break
		done
		echo $i >&9 || exit 1
		read -r v <e/again; [ "$v" = $i ] || exit 1
		exec 9>&-
	done'

# Ways to end.
bash -c 'exec 9>e/by_exit'
check "gone at exit" wait_until 5 is_gone e/by_exit
bash -c 'exec 9>e/by_kill; [ -e e/by_kill ] && kill -KILL $$' 2>/dev/null
check "gone at kill -9" wait_until 5 is_gone e/by_kill
touch e/touched
check "touch makes one and lets it go" wait_until 5 is_gone e/touched
echo v >e/echoed
check "so does echo" wait_until 5 is_gone e/echoed

# A descriptor that a child inherited keeps the file.
mkfifo "$WORK/go"
bash -c 'exec 9>e/inherited; read -r _ <"$1" 2>/dev/null' child "$WORK/go" &
holder=$!
: >"$WORK/pids/$holder"
check "made by a background process" wait_until 5 test -e e/inherited
: >"$WORK/go"
wait "$holder"
check "gone with it" wait_until 5 is_gone e/inherited

bash -c 'exec 9>e/kept; "$BASH" -c "read -r _ <$1" & exit 0' parent "$WORK/go"
check "a child that inherited the descriptor keeps the file" test -e e/kept
refuses "Device or resource busy" bash -c 'exec 8>e/kept'
echo >"$WORK/go"
check "until it ends" wait_until 5 is_gone e/kept
bash -c 'exec 9>e/not_kept
    "$BASH" -c "read -r _ <$1" 9>&- & exit 0' parent "$WORK/go"
check "cmd 9>&- & does not keep it" wait_until 5 is_gone e/not_kept
echo >"$WORK/go"

check "dup, SCM_RIGHTS and mmap keep it, too" python3 - <<'END'
import array, mmap, os, socket, time
def exists(name):
    return os.path.exists("e/" + name)
def make(name):
    return os.open("e/" + name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
def wait_gone(name):
    end = time.monotonic() + 5
    while exists(name):
        assert time.monotonic() < end, name
fd = make("dup")
other = os.dup(fd)
os.close(fd)
assert exists("dup")
os.close(other)
wait_gone("dup")
a, b = socket.socketpair()
fd = make("passed")
socket.send_fds(a, [b"x"], [fd])
os.close(fd)
assert exists("passed")
fds = socket.recv_fds(b, 1, 1)[1]
assert exists("passed")
os.write(fds[0], b"v")
os.close(fds[0])
wait_gone("passed")
fd = make("mapped")
os.write(fd, b"value")
m = mmap.mmap(fd, 5, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
os.close(fd)
assert exists("mapped")
assert m[:] == b"value"
m.close()
wait_gone("mapped")
# A second descriptor of a reader does not: it did not make the file.
fd = make("read")
os.write(fd, b"value")
reader = os.open("e/read", os.O_RDONLY)
os.close(fd)
wait_gone("read")
os.close(reader)
END

# What is not ephemeral in such a directory.
mkdir e/dir
ln -s target e/link
mkfifo e/fifo
mknod e/made p
echo v >plain/moved_in && mv plain/moved_in e/
echo v >plain/linked && ln plain/linked e/linked
# shellcheck disable=SC2012
same "directories, links, fifos and what was moved in stay" \
    "dir fifo link linked made moved_in " "$(ls e | tr '\n' ' ')"
same "a file moved in is an ordinary one" -rw-r--r-- "$(mode_of e/moved_in)"
check "and can be written by anybody who may" bash -c 'echo new >e/moved_in'
echo v >e/dir/f
check "a directory below is an ordinary one" test -e e/dir/f
exec 9>e/dir/stays
exec 9>&-
check "whose files stay" test -e e/dir/stays
rm -r e/* plain/*

chmod u-s e
same "chmod u-s takes the bit away" drwxr-xr-x "$(mode_of e)"
exec 9>e/ordinary
exec 9>&-
check "files made after that stay" test -e e/ordinary
chmod u+s e
check "and chmod u+s does not change them" bash -c '
	echo v >e/ordinary && [ "$(cat e/ordinary)" = v ]'
rm e/ordinary
cd / || exit 1
must stop_fs
must start_fs
check "the bit is kept" test -u "$M/e"
must stop_fs
