#!/bin/sh
# run.sh SAN_LOG BINARY...: run each unit test binary; believe sanitizer
# reports over exit codes, and count the tests (a filter that matches nothing,
# or a binary without tests, would otherwise pass).
log=$1
shift
status=0
total=0
failed=0
for binary; do
	# Criterion 2.4.1's runner itself can hang for good on a loaded machine
	# (fixed in 2.4.2): what is out of time gets one more chance, and says
	# so.  AGAIN=1: so does what failed.
	for try in 1 2; do
		# Into a file: a process that a test left behind would keep a
		# pipe open, and us waiting.  (A child of a process with
		# threads can find the allocator of AddressSanitizer locked.)
		timeout -k 5 120 "$binary" -j1 --color=never >"$log.out" 2>&1
		rc=$?
		out=$(cat "$log.out")
		[ "$rc" -eq 0 ] && break
		[ "$rc" -ne 124 ] && [ "$rc" -ne 137 ] &&
		    [ "${AGAIN:-}" != 1 ] && break
		printf '  FLAKY   %s: attempt %s, exit %s\n%s\n' \
		    "${binary##*/}" "$try" "$rc" "$out"
	done
	tested=$(printf '%s\n' "$out" |
	    sed -n 's/.*Tested: \([0-9]*\).*/\1/p' | tail -n 1)
	failing=$(printf '%s\n' "$out" |
	    sed -n 's/.*Failing: \([0-9]*\).*/\1/p' | tail -n 1)
	crashing=$(printf '%s\n' "$out" |
	    sed -n 's/.*Crashing: \([0-9]*\).*/\1/p' | tail -n 1)
	total=$((total + ${tested:-0}))
	failed=$((failed + ${failing:-0} + ${crashing:-0}))
	if [ "$rc" -ne 0 ] || [ "${tested:-0}" -eq 0 ]; then
		printf '  FAIL    %s (exit %s, %s tests)\n%s\n' "${binary##*/}" \
		    "$rc" "${tested:-no}" "$out"
		status=1
	else
		printf '  TEST    %s (%s)\n' "${binary##*/}" "$tested"
	fi
done
rm -f "$log.out"
if cat "$log"/* 2>/dev/null; then
	echo "sanitizer reports above"
	status=1
fi
echo "unit: $((total - failed)) passed, $failed failed"
exit $status
