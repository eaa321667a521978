#!/bin/bash
# run.sh [TEST...]: run tests/mount/test_*.sh, or the named ones, each with its
# own directory, process group and time limit.  Needs root and BUILD, the
# absolute path of the build directory.
#
#   JOBS=2         how many run at once
#   KEEP=1         leave the directories of failed tests where they are
#   CI=true        a skipped test is a failed one, unless it has a line
#                  "# skip-ok: REASON"
#   AGAIN=1        a test that failed is run once more, alone; if it passes
#                  then, that is told, and the run does not fail by it.  Not
#                  where a sanitizer or an assertion spoke.
#   # timeout: N   a line of a test that needs more than 300 s
#
# A test is done well if it exits with 0, reports no failure, leaves no
# mount, and neither a sanitizer nor an assertion spoke.  Exit status 77 is a
# skip; its last line of output is the reason.
set -u
here=$(cd "$(dirname "$0")" && pwd)
: "${BUILD:=$(cd "$here/../.." && pwd)/build}"
case $BUILD in
/*) ;;
*) BUILD=$(cd "$BUILD" && pwd) || exit 2 ;;
esac
export BUILD LC_ALL=C TZ=UTC

# A memory filesystem has neither the xattrs nor the flushes of a disk.
base=${TMPDIR:-/var/tmp}
case $(stat -f -c %T "$base") in
tmpfs | ramfs) base=/var/tmp ;;
esac
top=$(mktemp -d "$base/zkfs-mount.XXXXXX") || exit 2
chmod 755 "$top"

# Whatever is mounted below $1; deepest first.
mounts_below() {
	awk -v dir="$1/" 'index($5, dir) == 1 { print $5 }' \
	    /proc/self/mountinfo | sort -r
}

# What a test that was killed could not do itself.  Only its own directory,
# its own process group and the daemons whose pid is noted in there.
sweep() {
	local dir=$1 group=$2 pid_file mount
	kill -KILL -- "-$group" 2>/dev/null
	for pid_file in "$dir"/pids/*; do
		[ -e "$pid_file" ] || continue
		grep -qzF -- "ZKFS_TEST=$dir" \
		    "/proc/${pid_file##*/}/environ" 2>/dev/null &&
		    kill -KILL "${pid_file##*/}" 2>/dev/null
	done
	for mount in $(mounts_below "$dir"); do
		umount -l "$mount" 2>/dev/null
	done
}

finish() {
	local group
	for group in $(jobs -p); do
		kill -TERM "$group" 2>/dev/null
	done
	wait
	for mount in $(mounts_below "$top"); do
		umount -l "$mount" 2>/dev/null
	done
	if [ -n "${KEEP:-}" ] && [ "$failed" -gt 0 ]; then
		echo "kept: $top"
	else
		rm -rf --one-file-system "$top"
	fi
}

# "pass", "fail WHY" or "skip REASON" into $1/verdict.
judge() {
	local dir=$1 test=$2 rc=$3 left
	left=$(mounts_below "$dir")
	if [ "$rc" -eq 77 ]; then
		if [ "${CI:-}" = true ] && ! grep -q '^# skip-ok: ' "$test"; then
			echo "fail skipped: $(tail -n 1 "$dir/output")"
		else
			echo "skip $(tail -n 1 "$dir/output")"
		fi
	elif [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
		echo "fail out of time"
	elif [ "$rc" -ne 0 ]; then
		echo "fail exit $rc"
	elif [ -n "$left" ]; then
		echo "fail left mounted: $left"
	elif [ -s "$dir/reports" ]; then
		echo "fail sanitizer or assertion"
	else
		echo "pass"
	fi
}

run_one() {
	local test=$1 dir=$2 limit start group rc
	limit=$(sed -n 's/^# timeout: \([0-9][0-9]*\).*/\1/p' "$test" | head -n 1)
	mkdir -p "$dir/pids"
	start=${EPOCHREALTIME/./}
	WORK=$dir ZKFS_TEST=$dir SRC=$(cd "$here/../.." && pwd) setsid \
	    timeout -k 20 "${limit:-300}" bash "$test" \
	    >"$dir/output" 2>&1 </dev/null &
	group=$!
	trap 'kill -TERM -- "-$group"; wait "$group"; sweep "$dir" "$group"; exit 1' \
	    TERM INT
	wait "$group" 2>/dev/null
	rc=$?
	judge "$dir" "$test" "$rc" >"$dir/verdict"
	sweep "$dir" "$group"
	echo $(((${EPOCHREALTIME/./} - start) / 100000)) >"$dir/tenths"
}

may_again() {
	[ "${AGAIN:-}" = 1 ] && case $1 in
	*sanitizer* | *skipped*) false ;;
	esac
}

report() {
	local dir=$1 name=${1##*/} verdict tenths
	read -r verdict <"$dir/verdict"
	read -r tenths <"$dir/tenths"
	tenths="$((tenths / 10)).$((tenths % 10)) s"
	case $verdict in
	pass)
		passed=$((passed + 1))
		echo "  PASS    $name ($tenths)"
		;;
	skip*)
		skipped=$((skipped + 1))
		echo "  SKIP    $name: ${verdict#skip }"
		;;
	*)
		if may_again "$verdict"; then
			again+=("$name")
			echo "  AGAIN   $name: ${verdict#fail } ($tenths)"
		else
			failed=$((failed + 1))
			echo "  FAIL    $name: ${verdict#fail } ($tenths)"
		fi
		tail -n 60 "$dir/output" | sed 's/^/    | /'
		head -n 60 "$dir/reports" 2>/dev/null | sed 's/^/    ! /'
		;;
	esac
	[ "$verdict" = pass ] && rm -rf --one-file-system "$dir"
}

passed=0 failed=0 skipped=0 again=()
trap finish EXIT
trap 'exit 130' INT TERM

[ $# -gt 0 ] || set -- "$here"/test_*.sh
declare -A dir_of=()
reap() {
	local pid
	wait -n -p pid || :
	[ -n "${pid:-}" ] || return
	report "${dir_of[$pid]}"
	unset "dir_of[$pid]"
}
for test; do
	name=$(basename "$test" .sh)
	test=$here/$name.sh
	if [ ! -f "$test" ]; then
		echo "  FAIL    $name: no such test"
		failed=$((failed + 1))
		continue
	fi
	while [ "${#dir_of[@]}" -ge "${JOBS:-2}" ]; do
		reap
	done
	mkdir -p "$top/$name"
	run_one "$test" "$top/$name" &
	dir_of[$!]=$top/$name
done
while [ "${#dir_of[@]}" -gt 0 ]; do
	reap
done
AGAIN=over
for name in "${again[@]}"; do
	rm -rf --one-file-system "${top:?}/$name"
	mkdir -p "$top/$name"
	run_one "$here/$name.sh" "$top/$name" &
	dir_of[$!]=$top/$name
	reap
	echo "  FLAKY   $name: failed first, and then as above"
done
echo "mount: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
