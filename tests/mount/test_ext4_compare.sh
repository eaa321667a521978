#!/bin/bash
# timeout: 400
# skip-ok: the reference is ext4, which not every machine's /var/tmp is on
# The system calls of fscompare, once on ext4 and once on zkfs: every line must
# be the same, except those of the file allowed-differences, which must differ
# in exactly the way written there.
. "$(dirname "$0")/lib.sh"

allowed=$SRC/tests/mount/allowed-differences
type=$(findmnt -n -o FSTYPE -T "$WORK")
[ "$type" = ext4 ] || skip "$WORK is on $type, the reference is ext4"

# Number the equal calls of one case, so that each line has a name of its own:
# NAME #N <tab> OUTCOME.
number() {
	awk '{
		at = match($0, / = [^=]*$/)
		name = substr($0, 1, at - 1)
		printf "%s #%d\t%s\n", name, ++count[name], \
		    substr($0, at + 3)
	}' "$1"
}

mkdir "$WORK/reference"
start_fs || exit 1
mkdir "$M/compared"
must "$BUILD/tests/mount/fscompare" "$WORK/reference" >"$WORK/ext4"
must "$BUILD/tests/mount/fscompare" "$M/compared" >"$WORK/zkfs"
check "the daemon still answers" stat "$M/compared"

number "$WORK/ext4" >"$WORK/ext4.numbered"
number "$WORK/zkfs" >"$WORK/zkfs.numbered"
lines=$(wc -l <"$WORK/ext4")
check "enough was compared ($lines lines)" test "$lines" -ge 1500

# "CASE: CALL = OUTCOME ON ZKFS  ## REASON"
grep -v -e '^#' -e '^$' "$allowed" >"$WORK/allowed"
check_not "every allowed difference has a reason" \
    grep -v ' = .*  ## .' "$WORK/allowed"

awk -F '\t' '
	FILENAME ~ /allowed$/ {
		sub(/  ## .*/, "", $0)
		allowed[$0] = 0
		next
	}
	FILENAME ~ /ext4.numbered$/ { want[$1] = $2; next }
	{
		seen[$1] = 1
		if (want[$1] == $2)
			next
		line = $1
		sub(/ #[0-9]*$/, "", line)
		line = line " = " $2
		if (line in allowed)
			allowed[line]++
		else
			printf "%s\n    ext4: %s\n    zkfs: %s\n", $1, \
			    ($1 in want) ? want[$1] : "(no such line)", $2
	}
	END {
		for (name in want)
			if (!(name in seen))
				printf "%s\n    ext4: %s\n    zkfs: %s\n", \
				    name, want[name], "(no such line)"
		for (line in allowed)
			if (allowed[line] == 0)
				print "no longer different: " line
	}' "$WORK/allowed" "$WORK/ext4.numbered" "$WORK/zkfs.numbered" \
    >"$WORK/differences"
check "no other difference between ext4 and zkfs" \
    test ! -s "$WORK/differences"
cat "$WORK/differences"

# What the cases left: kinds, modes, links, sizes, owners, targets, contents,
# attributes, and the times that were set; before a restart and after it.  Left
# out: what may differ, lines in any order, paths too long for other programs.
tree() (
	cd "$1" || exit
	rm -rf size.shift write.append_together open.deep_path
	find . -mindepth 1 -type d -printf '%p %y %m %n %U:%G\n' -o \
	    -printf '%p %y %m %n %s %U:%G %l\n' | sort
	find . -type f ! -empty -exec sha256sum {} + | sort -k 2
	find utime.given/* utime.survives/* -printf '%p %T@\n' | sort
	getfattr -R -P -h -d -e hex -m '^(user|trusted)[.]' . |
	    awk '/^# file: / { file = substr($0, 9); next }
		/=/ && !/^user[.]zkfs/ { print file, $0 }' | sort
)
tree "$WORK/reference" >"$WORK/ext4.tree"
tree "$M/compared" >"$WORK/zkfs.tree"
entries=$(wc -l <"$WORK/ext4.tree")
check "there is a tree to compare ($entries lines)" test "$entries" -ge 3500
check "the same tree is left" diff "$WORK/ext4.tree" "$WORK/zkfs.tree"
remount "" || exit 1
tree "$M/compared" >"$WORK/zkfs.tree"
check "the same tree is left after a restart" \
    diff "$WORK/ext4.tree" "$WORK/zkfs.tree"

# All but the 3000 files of one case, which would take as long as the rest.
check "what the cases left can be removed" find "$M/compared" -mindepth 1 \
    -maxdepth 1 ! -name readdir.many -exec rm -rf {} +
same "nothing of it is left" readdir.many "$(ls "$M/compared")"
stop_fs
