#!/bin/sh
# check-histories.sh PROGRAM: the histories of histories/good, one a paragraph,
# must each be found good; those of histories/bad, bad; histories/broken are
# no histories.  A paragraph begins with a comment, which names it.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(mktemp -d) || exit 2
trap 'rm -rf "$top"' EXIT
failed=0 count=0
for kind in good:0 bad:1 broken:2; do
	awk -v dir="$top" -v kind="${kind%:*}" 'BEGIN { RS = ""; }
	    { print > (dir "/" kind "-" NR) }' "$here/histories/${kind%:*}"
	for file in "$top/${kind%:*}"-*; do
		count=$((count + 1))
		timeout 60 "$1" "$file" >"$top/output"
		rc=$?
		[ "$rc" = "${kind#*:}" ] && continue
		failed=$((failed + 1))
		echo "  FAIL    ${kind%:*} $(head -n 1 "$file"): exit $rc"
		sed 's/^/    | /' "$top/output"
	done
done
echo "histories: $((count - failed)) passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$count" -gt 20 ]
