#!/bin/bash
# run.sh [TEST...]: run tests/cluster/test_*.sh, or the files named, one after
# the other, each in a directory of its own.  They use tests/mount/lib.sh.
# Needs root, and BUILD, the build directory.  Exit status 77 of a test is a
# skip, which is a failure where CI=true; its last line is the reason.
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
	for pid_file in "$top"/*/pids/*; do
		[ -e "$pid_file" ] || continue
		grep -qzF -- "ZKFS_TEST=$top/" \
		    "/proc/${pid_file##*/}/environ" 2>/dev/null &&
		    kill -KILL "${pid_file##*/}"
	done
	for name in $(cat "$top"/*/namespaces 2>/dev/null); do
		ip netns del "$name" 2>/dev/null
	done
	for mount in "$top"/*/m[0-9]*; do
		while awk -v dir="$mount" '$5 == dir { found = 1 }
		    END { exit !found }' /proc/self/mountinfo; do
			umount -l "$mount" || break
		done
	done
	rm -rf --one-file-system "$top"
}
trap finish EXIT
trap 'exit 130' INT TERM

passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- "$here"/test_*.sh
for test; do
	name=$(basename "$test" .sh)
	mkdir -p "$top/$name"
	started=$SECONDS
	WORK=$top/$name timeout -k 20 $LIMIT_SECONDS bash "$test" \
	    >"$top/output" 2>&1 </dev/null
	rc=$?
	[ -s "$top/$name/reports" ] && rc=sanitizer
	took="$((SECONDS - started)) s"
	if [ "$rc" = 77 ] && [ "${CI:-}" != true ]; then
		skipped=$((skipped + 1))
		echo "  SKIP    $name: $(tail -n 1 "$top/output")"
	elif [ "$rc" = 0 ]; then
		passed=$((passed + 1))
		echo "  PASS    $name ($took)"
	else
		failed=$((failed + 1))
		echo "  FAIL    $name: exit $rc ($took)"
		grep -A 8 '^not ok' "$top/output" | head -n 40 | sed 's/^/    | /'
		grep -v '^ok' "$top/output" | tail -n 60 | sed 's/^/    : /'
		head -n 60 "$top/$name/reports" 2>/dev/null | sed 's/^/    ! /'
	fi
done
echo "cluster: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
