#!/bin/bash
# What fails is told to the shell: `echo v > f` exits with a status that is
# not zero and says why.  dash calls every failed write an I/O error.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs max_file=1K
cd "$M" || exit 1
LONG=$(printf '%01500d' 0)
export LONG
mkdir held && chmod u+s held

# Nothing may be left for close(2), whose error no shell reports.
for shell in bash dash; do
	case $shell in
	bash) big="File too large" again="Resource temporarily unavailable"
		stale="Stale file handle" ;;
	dash) big="I/O error" again="I/O error" stale="I/O error" ;;
	esac
	echo old >f
	refuses "$big" "$shell" -c 'echo $LONG >f'
	same "$shell: the old value is there" old "$(cat f)"
	refuses "$big" "$shell" -c 'echo $LONG >>f'
	same "$shell: nothing was appended" old "$(cat f)"
	refuses "$big" "$shell" -c 'echo $LONG >new'
	same "$shell: the new file is empty" 0 "$(stat -c %s new)"
	rm -f new
	check "$shell: && is not reached" \
	    "$shell" -c 'if echo $LONG >f; then exit 1; else exit 0; fi'
	check "$shell: set -e ends the script" \
	    bash -c '! "$1" -ec "echo \$LONG >f; exit 0"' sh "$shell"

	exec 9>held/master
	echo me >&9
	refuses "Device or resource busy" "$shell" -c 'echo you >held/master'
	refuses "Device or resource busy" "$shell" -c 'echo you >>held/master'
	refuses "Device or resource busy" "$shell" -c ': >held/master'
	same "$shell: its value is the owner's" me "$(cat held/master)"
	exec 9>&-

	refuses "$stale" "$shell" -c \
	    'exec 9>held/mine && rm held/mine && echo x >&9'

	# The shell inherits a descriptor that expects another version.
	refuses "$again" python3 -c '
import os, sys
fd = os.open("f", os.O_WRONLY | os.O_TRUNC)
os.setxattr(fd, "user.zkfs.expect", b"987654321")
os.dup2(fd, 1)
os.execvp(sys.argv[1], [sys.argv[1], "-c", "echo new"])' "$shell"
	same "$shell: the value is the old one" old "$(cat f)"

	refuses "Is a directory" "$shell" -c 'echo v >held'
	case $shell in
	bash) refuses "No such file" "$shell" -c 'echo v >nowhere/f' ;;
	dash) refuses "Directory nonexistent" "$shell" -c 'echo v >nowhere/f' ;;
	esac
	check "$shell: set -C makes and does not replace" "$shell" -c '
		set -C; rm -f once; echo first >once || exit 1
		(echo second >once) 2>/dev/null && exit 1
		read -r v <once && [ "$v" = first ]'
	# A name without permission, as whoever has none.
	chmod 755 .
	refuses "ermission denied" as_user 4242 "$shell" -c 'echo v >f'
	same "$shell: not by a stranger" old "$(cat f)"
done
cd / || exit 1
must stop_fs
