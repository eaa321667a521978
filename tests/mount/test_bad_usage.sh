#!/bin/bash
# Wrong use of mount.zkfs: one clear line on stderr, the exit status of
# mount(8) (1 usage or permission, 2 system, 32 the mount failed), and nothing
# mounted or made.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
N=$WORK/new # must never come to exist

# $1: the status, $2: what the line has to say, then the command.
fails() {
	local want=$1 text=$2 status before after
	shift 2
	checks=$((checks + 1))
	before=$(find "$WORK" -xdev ! -name 'err' | sort)
	"$@" >"$WORK/err" 2>&1 </dev/null
	status=$?
	after=$(find "$WORK" -xdev ! -name 'err' | sort)
	if [ "$status" != "$want" ]; then
		! is_mounted || umount "$M"
		fail "status $status, not $want: $*"
		cat "$WORK/err"
	elif [ "$(wc -l <"$WORK/err")" != 1 ]; then
		fail "not one line: $*"
		cat "$WORK/err"
	elif ! grep -q '^mount.zkfs: ' "$WORK/err" ||
	    ! grep -qiE -- "$text" "$WORK/err"; then
		fail "the line says nothing of '$text': $(cat "$WORK/err")"
	elif is_mounted; then
		fail "mounted: $*"
		umount "$M"
	elif [ "$before" != "$after" ]; then
		fail "made something: $*"
		diff <(echo "$before") <(echo "$after")
	else
		echo "ok - $(head -n 1 "$WORK/err")"
	fi
}
zkfs_mount() {
	"$BUILD/mount.zkfs" "$@"
}
with() {
	zkfs_mount "$M" -o "data=$N,config=none,$1"
}

fails 1 "DIR" zkfs_mount
fails 1 "operand" zkfs_mount a b c
fails 1 "option" zkfs_mount -Q "$M"
fails 1 "argument" zkfs_mount "$M" -o
fails 1 "color" with color=blue
fails 1 "max_file" with max_file=big
fails 1 "max_file" with max_file=1
fails 1 "max_file" with max_file=
fails 1 "session_timeout" with session_timeout=soon
fails 1 "session_timeout" with session_timeout=-1s
fails 1 "op_timeout" with op_timeout=5parsec
fails 1 "lost" with lost=found
fails 1 "listen" with listen=nowhere
fails 1 "listen" with listen=1.2.3.4:99999
fails 1 "log" with log=shouting
fails 1 "tls_" with tls_cert=/etc/hosts
fails 1 "key|insecure|keygen" with listen=0.0.0.0:4180
fails 1 "key=$WORK/missing: No such" with "key=$WORK/missing"
fails 1 "tls_cert=$WORK/missing: No such" \
    with "tls_cert=$WORK/missing,tls_key=/etc/hosts,tls_ca=/etc/hosts"
fails 1 "source" zkfs_mount "nonsense" "$M" -o "data=$N,config=none"
fails 1 "source" zkfs_mount "a=1.2.3.4:1,a=1.2.3.5:1" "$M" \
    -o "data=$N,config=none"
fails 1 "config" zkfs_mount "$M" -o "data=$N,config=$WORK/missing"

fails 32 "$WORK/missing" zkfs_mount "$WORK/missing" -o "data=$N,config=none"
# Nothing but --check: on /proc it would be in the way of everybody.
for dir in / /proc /dev/../sys; do
	fails 1 "need what is there" zkfs_mount --check "$dir" \
	    -o "data=$N,config=none"
done
echo text >"$WORK/file"
fails 32 "not a directory" zkfs_mount "$WORK/file" -o "data=$N,config=none"
fails 32 "data|directory" zkfs_mount "$M" -o "data=$WORK/file,config=none"
fails 1 "data" zkfs_mount "$M" -o "data=$M/below,config=none"
chmod 755 "$WORK"
fails 1 "root|permi" as_user 65534 "$BUILD/mount.zkfs" "$M" \
    -o "data=$N,config=none"

for line in "color = blue" "max_file = big" "max_file" "= 7" \
    "session_timeout = 10 s s"; do
	printf '# a comment\n\n%s\n' "$line" >"$WORK/conf"
	fails 1 "$WORK/conf:3: " zkfs_mount "$M" -o "data=$N,config=$WORK/conf"
done
head -c 3000 /dev/urandom >"$WORK/conf"
fails 1 "$WORK/conf:" zkfs_mount "$M" -o "data=$N,config=$WORK/conf"
rm "$WORK/conf" "$WORK/file"
check_not "no data directory was made by all that" test -e "$N"

check "--help tells the usage" bash -c \
    '"$1" --help | grep -q "usage: mount.zkfs"' sh "$BUILD/mount.zkfs"
check "--version a version" bash -c \
    '"$1" --version | grep -q "^mount.zkfs [0-9]"' sh "$BUILD/mount.zkfs"
check "--check of what is right" "$BUILD/mount.zkfs" --check "$M" \
    -o "data=$N,config=none"
check_not "changes nothing" test -e "$N"
fails 1 "max_file" "$BUILD/mount.zkfs" --check "$M" \
    -o "data=$N,config=none,max_file=x"

# Options of mount(8) that mean nothing to a filesystem are accepted.
must start_fs "_netdev,nofail,noauto,user,x-systemd.automount,relatime,exec"
check "generic options are accepted" is_mounted
refuses "" "$BUILD/mount.zkfs" "$M" -o "data=$WORK/d2,config=none"
check_not "a second mount on it is refused and makes nothing" \
    test -e "$WORK/d2/data.mdb"
mkdir "$WORK/m2"
"$BUILD/mount.zkfs" "$WORK/m2" -o "data=$D,config=none" 2>"$WORK/err"
same "a data directory in use" 32 $?
same "one line" 1 "$(wc -l <"$WORK/err")"
check "names it" grep -qF "$D" "$WORK/err"
check_not "nothing is mounted" is_mounted "$WORK/m2"
check "and the first goes on" bash -c 'echo v >"$1/f" && cat "$1/f"' sh "$M"
must stop_fs
must start_fs ro
refuses "Read-only file system" touch "$M/g"
check "ro: reading works" cat "$M/f"
must stop_fs

# Ended while it waits for a quorum, which nobody has.  $1: the signal, $2: to
# whom; $dir is the data directory.  Leaves what it took in $took.
ended_waiting() {
	local first begun whom
	"$BUILD/mount.zkfs" z1=127.0.0.1:9 "$M" -o "data=$dir,config=none" \
	    >"$WORK/err" 2>&1 </dev/null &
	first=$!
	: >"$WORK/pids/$first"
	must wait_until 20 test -s "$dir/pid"
	read -r whom <"$dir/pid"
	[ "$2" = daemon ] || whom=$first
	begun=${EPOCHREALTIME/./}
	kill -"$1" "$whom"
	wait "$first"
	status=$?
	took=$(((${EPOCHREALTIME/./} - begun) / 1000))
	rm -rf "$dir"
}
# It waits for a daemon that is still there up to 3 s, and for none that has
# ended.  The best of some counts: the machine may be busy.
soon() {
	for _ in 1 2 3 4 5; do
		ended_waiting "$@"
		[ "$took" -ge 2500 ] || return 0
	done
	return 1
}
dir=$WORK/alone
check "an interrupt ends it at once" soon INT first
same "as mount(8)" 8 "$status"
same "with a line" "mount.zkfs: interrupted, nothing is mounted" \
    "$(cat "$WORK/err")"
check "a daemon that dies is told at once" soon KILL daemon
same "as a failure" 32 "$status"
check "with the signal" grep -q "ended by signal 9" "$WORK/err"
