#!/bin/sh
# deps.sh run|demo|test: have the Debian packages that running, the
# demonstration or testing needs.
# Installs only what is missing and starts no service.  APT=0: installs
# nothing, names what is missing and exits 1.
set -eu

RUN='gcc make pkg-config|pkgconf fuse3 libfuse3-dev libnng-dev liblmdb-dev
libmbedtls-dev'
DEMO='iproute2 inotify-tools util-linux'
TEST='libcriterion-dev inotify-tools attr rsync sqlite3 git python3 jq nftables
iproute2 clang-format clang-tidy cppcheck mandoc shellcheck procps util-linux
incron entr python3-watchdog btrfs-progs'

case ${1:-} in
run) wanted=$RUN ;;
demo) wanted="$RUN $DEMO" ;;
test) wanted="$RUN $TEST" ;;
*)
	echo "usage: deps.sh run|demo|test" >&2
	exit 1
	;;
esac

# An alternative after '|' will do as well.
is_installed()
{
	for name in $(echo "$1" | tr '|' ' '); do
		status=$(dpkg-query -W -f '${db:Status-Status}' "$name" \
		    2>/dev/null) || continue
		[ "$status" = installed ] && return 0
	done
	return 1
}

if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian system; see that you have: $wanted" | tr '\n' ' '
	echo
	exit 0
fi

missing=
for package in $wanted; do
	is_installed "$package" || missing="$missing ${package%%|*}"
done
[ -n "$missing" ] || exit 0

if [ "${APT:-1}" = 0 ]; then
	echo "deps: missing:$missing" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing:$missing; run as root, or: apt install$missing" >&2
	exit 1
fi

# Packages ask this file before they start a service; 101 is "do not".
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	trap 'exit 1' INT TERM HUP
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi

echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install_missing()
{
	# shellcheck disable=SC2086 # a list of names
	apt-get install -y -q --no-install-recommends $missing \
	    </dev/null >"$log" 2>&1
}
# Package lists may be absent or old: then fetch them, once.
if ! install_missing; then
	apt-get update -q >/dev/null 2>&1 || true
	if ! install_missing; then
		tail -n 20 "$log" >&2
		echo "deps: apt-get could not install$missing" >&2
		rm -f "$log"
		exit 1
	fi
fi
rm -f "$log"
