# Every example of the manuals and of the README runs as it is printed.
. "$SRC/tests/mount/lib.sh"
must start_fs
export PATH="$BUILD:$PATH"

# examples FILE: the names of its examples.
examples() {
	sed -n 's/^\.\\" example: //p' "$1"
}

# example FILE NAME: its text, as man(1) shows it.
example() {
	awk -v name="$2" '
	    $0 == ".\\\" example: " name { found = 1; next }
	    found && /^\.Bd / { inside = 1; next }
	    found && /^\.Ed/ { exit }
	    inside { gsub(/\\e/, "\\"); print }' "$1"
}

for page in "$SRC"/man/zkfs.1 "$SRC"/man/zkfs.5; do
	blocks=$(sed -n '/^\.Sh EXAMPLES/,$p' "$page" | grep -c '^\.Bd ')
	same "${page##*/}: every example has a name" "$blocks" \
	    "$(examples "$page" | wc -l)"
	for name in $(examples "$page"); do
		dir=$M/${page##*.}-$name
		mkdir "$dir"
		example "$page" "$name" >"$WORK/example"
		check "${page##*/}: $name" env -C "$dir" timeout 200 \
		    sh -eu "$WORK/example"
		check_not "${page##*/}: $name complains" \
		    grep -q 'not found' "$WORK/out"
	done
done

# The tour of the README, from its first line to its last, on a fresh mount.
must stop_fs
rm -r "$D"
must start_fs
awk '/^## A tour/ { tour = 1 } /^## What is there/ { exit }
    tour && /^```sh$/ { inside = 1; next }
    /^```$/ { inside = 0 }
    inside { print }' "$SRC/README.md" | sed "s,^cd /zk\$,cd $M," >"$WORK/tour"
check "the tour is there" test -s "$WORK/tour"
check "the tour runs" timeout 200 bash -eu "$WORK/tour"
same "its last configuration" color=black "$(cat "$M/config")"
same "its jobs" 2 "$(find "$M/jobs" -name 'job-??????????' | wc -l)"
