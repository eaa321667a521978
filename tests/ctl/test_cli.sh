# What zkfs(1) says about itself, and to those who call it wrongly: no mount.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs

# exits STATUS CMD...: with exactly that status.
exits() {
	local want=$1 status
	shift
	"$@" >"$WORK/out" 2>"$WORK/err"
	status=$?
	same "exit status of ${*#"$BUILD/"}" "$want" "$status"
}

# blames TEXT STATUS CMD...: one line on stderr, with that text, and no output.
blames() {
	local text=$1
	shift
	exits "$@"
	check "it says: $text" grep -qF -- "$text" "$WORK/err"
	same "in one line" 1 "$(wc -l <"$WORK/err")"
	same "and nothing on stdout" 0 "$(wc -c <"$WORK/out")"
}

exits 0 "$ZKFS" --version
same "the version" "zkfs $(cat "$SRC/dist/VERSION")" "$(cat "$WORK/out")"
exits 0 "$ZKFS" --help
exits 0 "$ZKFS" help
commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' "$WORK/out")
same "the commands" "status top member get set create txn watch hold lock elect upgrade topic produce consume group backup restore verify bench keygen help" \
    "$(echo $commands)"

# As it is shown, without the overstrikes.
mandoc -T ascii "$SRC/man/zkfs.1" | sed 's/.\x08//g' >"$WORK/manual"
for command in $commands; do
	exits 0 "$ZKFS" help "$command"
	cp "$WORK/out" "$WORK/page"
	exits 0 "$ZKFS" "$command" --help
	check "help $command and $command --help agree" \
	    cmp "$WORK/page" "$WORK/out"
	check "zkfs.1 has $command" \
	    grep -q "^\.It Ic $command\b" "$SRC/man/zkfs.1"
	blames "unknown option --frobnicate" 2 "$ZKFS" "$command" --frobnicate
	blames "unknown option -Q" 2 "$ZKFS" "$command" -Q
	# Every option of the help is in the manual, and in the program.
	for option in $(grep -o -e '--[a-z-]*[a-z]' "$WORK/page" | sort -u); do
		check "zkfs.1 has $command $option" \
		    grep -qwF -e "$option" "$WORK/manual"
		"$ZKFS" "$command" "$option" >"$WORK/out" 2>&1
		check_not "$command knows $option" \
		    grep -q "unknown option" "$WORK/out"
	done
done

blames "which command" 2 "$ZKFS"
blames "frobnicate: no such command" 2 "$ZKFS" frobnicate
blames "no such command" 2 "$ZKFS" help frobnicate
blames "option -i wants an argument" 2 "$ZKFS" set -i
blames "x: not a version" 2 "$ZKFS" set -i x path value
blames "not a version" 2 "$ZKFS" set -i -1 path value
blames "usage: zkfs set" 2 "$ZKFS" set path
blames "usage: zkfs get" 2 "$ZKFS" get
blames "usage: zkfs hold" 2 "$ZKFS" hold path value true
blames "usage: zkfs hold" 2 "$ZKFS" hold path value --
blames "usage: zkfs lock" 2 "$ZKFS" lock path true
blames "x: not a number of seconds" 2 "$ZKFS" lock -w x path -- true
blames "cannot be ephemeral" 2 "$ZKFS" create -d -e path
blames "its number" 2 "$ZKFS" create -d -s path
blames "has no value" 2 "$ZKFS" create -d path value
blames "usage: zkfs backup" 2 "$ZKFS" backup
blames "usage: zkfs restore" 2 "$ZKFS" restore file
blames "usage: zkfs status" 2 "$ZKFS" status --json --metrics

cd "$WORK" || exit 1
blames "not on a mount of zkfs" 1 "$ZKFS" get file
blames "not on a mount of zkfs" 1 "$ZKFS" set file value
blames "not on a mount of zkfs" 1 "$ZKFS" -m "$WORK" status
blames "$WORK/none: No such file" 1 "$ZKFS" -m "$WORK/none" status
blames "not on a mount of zkfs" 125 "$ZKFS" hold file value -- true
check_not "nothing was made" test -e file

# /dev/full takes nothing: output that is lost is a failure.
for option in --version --help; do
	"$ZKFS" "$option" >/dev/full 2>"$WORK/err"
	same "$option that cannot be written" 1 $?
	check "says so" grep -q "cannot write" "$WORK/err"
done
"$ZKFS" help >/dev/full 2>"$WORK/err"
same "output that cannot be written" 1 $?
