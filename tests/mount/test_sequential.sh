#!/bin/bash
# timeout: 300
# Names that end in ten X get the next number of their directory.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1
mkdir q

check "50 processes, 20 names each: unique, and increasing for each" \
    python3 - <<'END'
import os, re
def worker(number, out):
    last = -1
    for i in range(20):
        fd = os.open("q/job-XXXXXXXXXX", os.O_WRONLY | os.O_CREAT, 0o644)
        name = os.getxattr(fd, "user.zkfs.name").decode()
        os.write(fd, b"%d %d" % (number, i))
        os.close(fd)
        name = name.rsplit("/", 1)[-1]
        assert re.fullmatch("job-[0-9]{10}", name), name
        assert open("q/" + name).read() == "%d %d" % (number, i), name
        sequence = int(name[4:])
        assert sequence > last, (sequence, last)
        last = sequence
        os.write(out, b"%s\n" % name.encode())
r, w = os.pipe()
pids = []
for number in range(50):
    pid = os.fork()
    if pid == 0:
        try:
            worker(number, w)
            os._exit(0)
        except BaseException as e:
            print(repr(e))
            os._exit(1)
    pids.append(pid)
os.close(w)
names = os.fdopen(r).read().split()
for pid in pids:
    assert os.waitpid(pid, 0)[1] == 0
assert len(names) == 1000 and len(set(names)) == 1000, len(set(names))
assert sorted(names) == sorted(os.listdir("q"))
numbers = sorted(int(name[4:]) for name in names)
assert numbers == list(range(numbers[0], numbers[0] + 1000)), numbers
END

last_of() {
	find "$1" -mindepth 1 -printf '%f\n' | grep -o '[0-9]*$' | sort -n |
	    tail -n 1
}
number_of() {
	echo $((10#${1##*-}))
}

last=$(number_of "$(last_of q)")
rm q/*
touch q/job-XXXXXXXXXX
same "a number is not used again after its file is gone" \
    $((last + 1)) "$(number_of "$(last_of q)")"
mkdir q/dir-XXXXXXXXXX
same "directories are numbered, too" $((last + 2)) \
    "$(number_of "$(last_of q)")"
ln -s target q/link-XXXXXXXXXX
same "and links" $((last + 3)) "$(number_of "$(last_of q)")"

name=$("$BUILD/zkfs" create -s q/task- value)
same "zkfs create -s prints the name" value "$(cat "$name")"
same "with the next number" $((last + 4)) "$(number_of "$name")"
check "of ten digits" grep -qE '^q/task-[0-9]{10}$' <<<"$name"
"$BUILD/zkfs" txn >"$WORK/out" <<'END'
create /q/in_txn-XXXXXXXXXX first
create /q/in_txn-XXXXXXXXXX second
END
same "transactions number as well" "first second" \
    "$(cat q/in_txn-* | tr '\n' ' ' | sed 's/ $//')"

mkdir other
touch other/a-XXXXXXXXXX
same "each directory counts for itself" 1 \
    "$(find other -name 'a-000000000[01]' | wc -l)"
touch other/XXXXXXXXXX other/nine-XXXXXXXXX other/a-XXXXXXXXXXb
check "nine X are nothing special, nor X before the end" \
    test -e other/nine-XXXXXXXXX -a -e other/a-XXXXXXXXXXb
check_not "ten X alone are" test -e other/XXXXXXXXXX
check "an ephemeral can be numbered" bash -c '
	chmod u+s other && exec 9>other/node-XXXXXXXXXX || exit 1
	set -- other/node-0000*
	[ $# = 1 ] && [ -e "$1" ]'

last=$(number_of "$(last_of q)")
cd / || exit 1
must remount
touch "$M/q/job-XXXXXXXXXX"
same "counting goes on after a remount" $((last + 1)) \
    "$(number_of "$(last_of "$M/q")")"
rm -r "$M/q"/*
must kill_fs
must start_fs
touch "$M/q/job-XXXXXXXXXX"
same "and after kill -9, with the directory empty" $((last + 2)) \
    "$(number_of "$(last_of "$M/q")")"
must stop_fs
