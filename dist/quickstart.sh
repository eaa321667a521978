#!/bin/sh
# quickstart.sh start|stop: an ensemble of one member from the build
# directory.  MOUNT is where, DATA what it keeps, BUILD where the programs are.
set -eu

MOUNT=${MOUNT:-/zk}
DATA=${DATA:-/var/lib/zkfs}
BUILD=${BUILD:-build}
STOP_SECONDS=15

# As the kernel shows it.  Its parent is looked at, but not the mount itself,
# which might not answer.
parent=$(realpath -m -- "$(dirname -- "$MOUNT")")
MOUNT=${parent%/}/$(basename -- "$MOUNT")
DATA=$(realpath -m -- "$DATA")

fail()
{
	echo "quickstart: $*" >&2
	exit 1
}

is_mounted()
{
	dir=$MOUNT awk '
	    { gsub(/\\040/, " ", $2) }
	    $2 == ENVIRON["dir"] { type = $3 }
	    END { exit type != "fuse.zkfs" }' /proc/self/mounts
}

is_answering()
{
	timeout 5 stat -f "$MOUNT" >/dev/null 2>&1
}

# The daemon is whoever runs our program with this directory as an argument.
daemon_pid()
{
	for dir in /proc/[0-9]*; do
		[ "$(cat "$dir/comm" 2>/dev/null)" = mount.zkfs ] || continue
		tr '\0' '\n' <"$dir/cmdline" 2>/dev/null |
		    grep -qxF -e "$MOUNT" || continue
		echo "${dir#/proc/}"
	done | head -n 1
}

# Whatever DATA says; nothing if the mount does not answer.
data_in_use()
{
	timeout 5 sed -n 's/^data: //p' "$MOUNT/.zkfs/status" 2>/dev/null ||
	    true
}

# A command that another package brings is no use without it.
needs()
{
	command -v "$1" >/dev/null || printf '   # apt install %s' "$2"
}

show_lines()
{
	zkfs=$(cd "$BUILD" && pwd)/zkfs
	cat <<LINES

Five lines to try:
  echo 10.0.0.1:5432 > $MOUNT/database; cat $MOUNT/database
  inotifywait -m -r $MOUNT &$(needs inotifywait inotify-tools)
  mkdir $MOUNT/app; chmod u+s $MOUNT/app; exec 9> $MOUNT/app/master && echo \$\$ >&9   # elected; exec 9>&- resigns
  flock $MOUNT/backup.lock echo one host at a time
  $zkfs -m $MOUNT status

make stop MOUNT=$MOUNT ends it; $DATA keeps the tree.
LINES
}

start()
{
	if is_mounted && is_answering; then
		data=$(data_in_use)
		DATA=${data:-$DATA}
		echo "zkfs is running on $MOUNT already (pid $(daemon_pid))."
		show_lines
		return
	fi
	[ "$(id -u)" -eq 0 ] || fail "only root can mount: sudo make quickstart"
	[ -x "$BUILD/mount.zkfs" ] || fail "$BUILD/mount.zkfs is not built"
	mkdir -p "$MOUNT" 2>/dev/null || is_mounted ||
	    fail "cannot make the directory $MOUNT"
	# Commas separate options; an ensemble of one needs no configuration.
	data=$(printf '%s' "$DATA" | sed 's/[\\,]/\\&/g')
	"$BUILD/mount.zkfs" "$MOUNT" -o "config=none,data=$data"
	is_answering || fail "$MOUNT does not answer"
	echo "zkfs is running on $MOUNT (pid $(daemon_pid)), its data in $DATA."
	show_lines
}

stop()
{
	if ! is_mounted; then
		echo "zkfs is not running on $MOUNT."
		return
	fi
	[ "$(id -u)" -eq 0 ] || fail "only root can unmount: sudo make stop"
	pid=$(daemon_pid)
	data=$(data_in_use)
	umount "$MOUNT" ||
	    fail "$MOUNT is in use; end what uses it (fuser -vm $MOUNT)"
	if [ -n "$pid" ]; then
		# Returns when the process is gone.
		timeout $STOP_SECONDS tail --pid="$pid" -s 0.05 -f /dev/null ||
		    fail "pid $pid has not ended within $STOP_SECONDS s"
	fi
	! is_mounted || fail "another zkfs is mounted on $MOUNT"
	echo "zkfs on $MOUNT has ended; ${data:-$DATA} keeps the tree."
}

case ${1:-} in
start) start ;;
stop) stop ;;
*)
	echo "usage: quickstart.sh start|stop" >&2
	exit 1
	;;
esac
