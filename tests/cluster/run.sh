#!/bin/bash
# run.sh [TEST...]: run tests/cluster/test_*.sh, or the files named, JOBS (2) of
# them at a time, each in a directory of its own.  They use tests/mount/lib.sh.
# Needs root, and BUILD, the build directory.  Exit status 77 of a test is a
# skip, which is a failure where CI=true; its last line is the reason.
# AGAIN=1: what failed is run once more, alone, and if it passes then, that is
# told and the run does not fail by it; not where a sanitizer spoke.
# VERBOSE=1 shows what was checked, also where all was well.
set -u
here=$(cd "$(dirname "$0")" && pwd)
SRC=$(cd "$here/../.." && pwd)
BUILD=$(cd "${BUILD:-$SRC/build}" && pwd) || exit 2
export BUILD SRC LC_ALL=C TZ=UTC
LIMIT_SECONDS=${LIMIT_SECONDS:-240}

# A memory file system has neither the attributes nor the flushes of a disk.
top=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-cluster.XXXXXX") || exit 2
chmod 755 "$top"

# What a test that was killed could not take away itself.
finish() {
	local pid_file mount name
	for pid_file in "$top"/*/dir/pids/*; do
		[ -e "$pid_file" ] || continue
		grep -qzF -- "ZKFS_TEST=$top/" \
		    "/proc/${pid_file##*/}/environ" 2>/dev/null &&
		    kill -KILL "${pid_file##*/}"
	done
	for name in $(cat "$top"/*/dir/namespaces 2>/dev/null); do
		ip netns del "$name" 2>/dev/null
	done
	for mount in "$top"/*/dir/m[0-9]* "$top"/*/dir/disk[0-9]; do
		while awk -v dir="$mount" '$5 == dir { found = 1 }
		    END { exit !found }' /proc/self/mountinfo; do
			umount -l "$mount" || break
		done
	done
	rm -rf --one-file-system "$top"
}
end() {
	local pid
	for pid in $(jobs -p); do
		kill -TERM "$pid" 2>/dev/null
	done
	wait
	finish
}
trap end EXIT
trap 'exit 130' INT TERM

run_one() {
	local test=$1 dir=$2 started=$SECONDS pid rc
	mkdir -p "$dir/dir"
	WORK=$dir/dir timeout -k 20 "$LIMIT_SECONDS" bash "$test" \
	    >"$dir/output" 2>&1 </dev/null &
	pid=$!
	# It hands the signal on to all of the test.
	trap 'kill -TERM "$pid"; wait "$pid"; exit 1' TERM INT
	wait "$pid"
	rc=$?
	[ ! -s "$dir/dir/reports" ] || rc=sanitizer
	echo "$rc $((SECONDS - started))" >"$dir/verdict"
}

report() {
	local dir=$1 name=${1##*/} rc took
	read -r rc took <"$dir/verdict"
	if [ "$rc" = 77 ] && [ "${CI:-}" != true ]; then
		skipped=$((skipped + 1))
		echo "  SKIP    $name: $(tail -n 1 "$dir/output")"
	elif [ "$rc" = 0 ]; then
		passed=$((passed + 1))
		echo "  PASS    $name ($took s)"
		[ -z "${VERBOSE:-}" ] || sed 's/^/    | /' "$dir/output"
	else
		if [ "${AGAIN:-}" = 1 ] && [ "$rc" != sanitizer ] &&
		    [ "$rc" != 77 ]; then
			again+=("$name")
			echo "  AGAIN   $name: exit $rc ($took s)"
		else
			failed=$((failed + 1))
			echo "  FAIL    $name: exit $rc ($took s)"
		fi
		grep -A 8 '^not ok' "$dir/output" | head -n 40 | sed 's/^/    | /'
		grep -v '^ok' "$dir/output" | tail -n 60 | sed 's/^/    : /'
		head -n 60 "$dir/dir/reports" 2>/dev/null | sed 's/^/    ! /'
	fi
}

passed=0 failed=0 skipped=0 again=()
[ $# -gt 0 ] || set -- "$here"/test_*.sh
declare -A dir_of=()
reap() {
	local pid=
	wait -n -p pid
	[ -n "${pid:-}" ] || return
	report "${dir_of[$pid]}"
	unset "dir_of[$pid]"
}
for test; do
	name=$(basename "$test" .sh)
	while [ "${#dir_of[@]}" -ge "${JOBS:-2}" ]; do
		reap
	done
	dir=$top/$name
	while [ -e "$dir" ]; do # a test may be named again
		dir=$dir+
	done
	mkdir "$dir"
	run_one "$test" "$dir" &
	dir_of[$!]=$dir
done
while [ "${#dir_of[@]}" -gt 0 ]; do
	reap
done
AGAIN=over
for name in "${again[@]}"; do
	mkdir "$top/$name.again"
	run_one "$here/$name.sh" "$top/$name.again" &
	dir_of[$!]=$top/$name.again
	reap
	echo "  FLAKY   $name: failed first, and then as above"
done
echo "cluster: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
