#!/bin/bash
# run.sh [TEST...]: run tests/ctl/test_*.sh, or the files named, one after the
# other, each in a directory of its own.  They use the library of tests/mount.
# Needs root, and BUILD, the build directory.  Exit status 77 of a test is a
# skip, which is a failure where CI=true; its last line is the reason.
# AGAIN=1: what failed is run once more, which is told.
set -u
here=$(cd "$(dirname "$0")" && pwd)
SRC=$(cd "$here/../.." && pwd)
BUILD=$(cd "${BUILD:-$SRC/build}" && pwd) || exit 2
export BUILD SRC LC_ALL=C TZ=UTC
LIMIT_SECONDS=300

# A memory file system has neither the attributes nor the flushes of a disk.
top=$(mktemp -d "${TMPDIR:-/var/tmp}/zkfs-ctl.XXXXXX") || exit 2
chmod 755 "$top"
trap 'rm -rf --one-file-system "$top"' EXIT
trap 'exit 130' INT TERM

passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- "$here"/test_*.sh
for test; do
	name=$(basename "$test" .sh)
	mkdir -p "$top/$name"
	started=$SECONDS
	for try in 1 2; do
		WORK=$top/$name timeout -k 20 $LIMIT_SECONDS bash "$test" \
		    >"$top/output" 2>&1 </dev/null
		rc=$?
		[ -s "$top/$name/reports" ] && rc=sanitizer
		case $rc in 0 | 77 | sanitizer) break ;; esac
		[ "${AGAIN:-} $try" = "1 1" ] || break
		echo "  FLAKY   $name: exit $rc, once more"
		grep -v '^ok' "$top/output" | tail -n 60 | sed 's/^/    | /'
		rm -rf --one-file-system "${top:?}/$name"
		mkdir -p "$top/$name"
	done
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
		grep -v '^ok' "$top/output" | tail -n 60 | sed 's/^/    | /'
		head -n 60 "$top/$name/reports" 2>/dev/null | sed 's/^/    ! /'
	fi
done
echo "ctl: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
