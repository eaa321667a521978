# status, get, set, create and txn on a mount.
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
must start_fs
cd "$M" || exit 1

version() {
	getfattr --only-values -n user.zkfs.version "$1"
}

# --- set and get
check "set makes a file" "$ZKFS" set config v1
same "with a newline, as echo" "v1" "$(cat config)"
same "three bytes" 3 "$(stat -c %s config)"
same "get prints it" "v1" "$("$ZKFS" get config)"
check "set -n" "$ZKFS" set -n config v2
same "without a newline" 2 "$(stat -c %s config)"
printf 'a\0b' | "$ZKFS" set config -
same "stdin is stored as it is" 3 "$(stat -c %s config)"
check "an empty value" "$ZKFS" set -n config ""
same "no bytes" 0 "$(stat -c %s config)"
check "a value that looks like an option" "$ZKFS" set config -5
same "is stored" "-5" "$(cat config)"
head -c 1044480 /dev/zero >"$WORK/bytes"
check "the largest value" "$ZKFS" set big - <"$WORK/bytes"
same "arrives" 1044480 "$(stat -c %s big)"
same "as one change" 1 "$(version big)"
echo >>"$WORK/bytes"
refuses "exceeds the 1044480 bytes" "$ZKFS" set big - <"$WORK/bytes"
same "get -V tells the version first" "$(version config) -5" \
    "$("$ZKFS" get -V config | tr '\n' ' ' | sed 's/ $//')"
check "get --newest" "$ZKFS" get --newest config
refuses "No such file" "$ZKFS" get missing
refuses "Is a directory" "$ZKFS" get .
refuses "Is a directory" "$ZKFS" set . value

# --- compare and set
v=$(version config)
check "the version is right" "$ZKFS" set --if-version "$v" config one
same "the value is set" one "$(cat config)"
same "in one change" $((v + 1)) "$(version config)"
refuses "version is not $v" "$ZKFS" set --if-version "$v" config two
same "nothing was changed" one "$(cat config)"
same "nor the version" $((v + 1)) "$(version config)"
refuses "version is not $v" "$ZKFS" set -n --if-version "$v" config ""
same "nor emptied" one "$(cat config)"
check "emptied with the right version" \
    "$ZKFS" set -n --if-version $((v + 1)) config ""
same "is empty" 0 "$(stat -c %s config)"
refuses "No such file" "$ZKFS" set --if-version 0 missing value
check_not "nothing was made" test -e missing

increments() {
	local i=0 n pair
	while [ $i -lt 20 ]; do
		pair=$("$ZKFS" get -V counter) || return
		n=${pair#*$'\n'}
		"$ZKFS" set --if-version "${pair%%$'\n'*}" counter \
		    $((n + 1)) 2>/dev/null && i=$((i + 1))
	done
}
"$ZKFS" set counter 0
for _ in 1 2 3; do
	increments &
	jobs_of_mine="${jobs_of_mine:-} $!"
done
# shellcheck disable=SC2086
wait $jobs_of_mine
same "no increment is lost" 60 "$(cat counter)"

# --- create
check "create" "$ZKFS" create fresh
same "empty" 0 "$(stat -c %s fresh)"
refuses "File exists" "$ZKFS" create fresh
check "create with a value" "$ZKFS" create fresh2 value
same "it is there" value "$(cat fresh2)"
check "create -d" "$ZKFS" create -d dir
check "a directory" test -d dir
refuses "No such file" "$ZKFS" create none/sub/file
check "create -p" "$ZKFS" create -p none/sub/file deep
same "in directories of its own" deep "$(cat none/sub/file)"
check "create -p where they are" "$ZKFS" create -p none/sub/other
check "create -dp" "$ZKFS" create -d -p "$M/x/y/z"
check "a deep directory" test -d x/y/z
first=$("$ZKFS" create -s dir/job- one)
second=$("$ZKFS" create -s dir/job-XXXXXXXXXX two)
check "the name has ten digits" grep -qE '^dir/job-[0-9]{10}$' <<<"$first"
same "one" one "$(cat "$first")"
same "two" two "$(cat "$second")"
check "the second is larger" test "$second" \> "$first"
rm "$second"
third=$("$ZKFS" create -s dir/job-)
check "numbers do not come again" test "$third" \> "$second"

# --- create -e
spawn "$ZKFS" create -e alive here
holder=$!
check "the ephemeral file appears" wait_until 10 test -s alive
check "it is one" grep -q '^-rw.......*T' <<<"$(ls -l alive)"
refuses "Device or resource busy" sh -c 'exec 9>alive'
refuses "File exists" "$ZKFS" create -e alive
kill -TERM "$holder"
wait "$holder"
same "SIGTERM ends it well" 0 $?
check "and the file is gone" wait_until 5 test ! -e alive
spawn "$ZKFS" create -e alive
holder=$!
check "again" wait_until 10 test -e alive
rm alive
wait "$holder" 2>/dev/null
same "who loses the file fails" 124 $?
"$ZKFS" create -e -s dir/member- >"$WORK/name" &
holder=$!
: >"$WORK/pids/$holder"
check "the name is printed at once" wait_until 10 test -s "$WORK/name"
check "and is there" test -e "$(cat "$WORK/name")"
kill -KILL "$holder"
check "kill -9 removes it" wait_until 5 test ! -e "$(cat "$WORK/name")"

# --- txn
check "txn" "$ZKFS" txn <<EOT
# comment

mkdir /t
create t/a  two blanks
create /t/b\\sc line\\nline\\c
create t/empty
EOT
same "a blank of the value" " two blanks" "$(cat t/a)"
same "escapes" "line
line" "$(cat "t/b c")"
same "no newline" 9 "$(stat -c %s "t/b c")"
same "empty" 0 "$(stat -c %s t/empty)"
same "one change" "$(getfattr --only-values -n user.zkfs.czxid t/a)" \
    "$(getfattr --only-values -n user.zkfs.czxid "t/b c")"
v=$(version t/a)
printf 'check t/a %s\nset t/a new\ndelete t/empty\n' "$v" >"$WORK/lines"
check "txn FILE" "$ZKFS" txn "$WORK/lines"
same "set" new "$(cat t/a)"
check_not "deleted" test -e t/empty
refuses "line 1: check t/a $v: the version is another one" \
    "$ZKFS" txn "$WORK/lines"
printf 'set t/a other\n\ncreate t/a x\n' >"$WORK/lines"
refuses "line 3: create t/a x: File exists" "$ZKFS" txn "$WORK/lines"
same "nothing was changed" new "$(cat t/a)"
printf 'check t/none -\nset t/a other\nfrobnicate t\n' >"$WORK/lines"
refuses "line 3: frobnicate t: Invalid argument" "$ZKFS" txn "$WORK/lines"
for path in / /topics; do
	echo "delete $path" >"$WORK/lines"
	refuses "line 1: delete $path: held by another process, or what every tree has" \
	    "$ZKFS" txn "$WORK/lines"
done
printf 'create t/c bad\\q\n' >"$WORK/lines"
refuses "line 1" "$ZKFS" txn "$WORK/lines"
printf 'delete t/none\n' >"$WORK/lines"
refuses "No such file" "$ZKFS" txn "$WORK/lines"
printf 'check t/a *\ncheck t/none -\n' >"$WORK/lines"
check "checks alone" "$ZKFS" txn "$WORK/lines"
check "an empty transaction" "$ZKFS" txn /dev/null
head -c 1044481 /dev/zero | tr '\0' '#' >"$WORK/lines"
refuses "more than the 1044480 bytes" "$ZKFS" txn "$WORK/lines"
seq -f 'create t/n%g' 1024 >"$WORK/lines"
check "1024 operations" "$ZKFS" txn "$WORK/lines"
same "all of them" 1024 "$(find t -name 'n*' | wc -l)"
seq -f 'delete t/n%g' 1024 >"$WORK/lines"
echo 'mkdir t/one-more' >>"$WORK/lines"
refuses "line 1025" "$ZKFS" txn "$WORK/lines"
same "none of them" 1024 "$(find t -name 'n*' | wc -l)"

# --- status
check "status" "$ZKFS" status
"$ZKFS" status >"$WORK/status"
check "it tells the mount" grep -q "^mount  *$M\$" "$WORK/status"
check "and the state" grep -q '^state  *connected$' "$WORK/status"
check "and the members" grep -q '^NAME ' "$WORK/status"
"$ZKFS" status --json >"$WORK/json"
check "JSON that a parser takes" jq -e . "$WORK/json"
same "the mount in it" "$M" "$(jq -r .mount "$WORK/json")"
same "the state in it" connected "$(jq -r .state "$WORK/json")"
same "a member in it" "$(jq -r .member "$WORK/json")" \
    "$(jq -r '.members[0].name' "$WORK/json")"
same "numbers are numbers" number "$(jq -r '.applied | type' "$WORK/json")"
check "metrics end as OpenMetrics do" \
    test "$("$ZKFS" status --metrics | tail -n 1)" = "# EOF"

# --- which mount
cd /
check "-m" "$ZKFS" -m "$M" status
check "-m below the mount, after the command" "$ZKFS" status -m "$M/t"
same "-m and a path of the tree" new "$("$ZKFS" -m "$M" get /t/a)"
same "-m and a relative path" new "$("$ZKFS" -m "$M" get t/a)"
same "-m and a full path" new "$("$ZKFS" -m "$M" get "$M/t/a")"
same "a full path alone" new "$("$ZKFS" get "$M/t/a")"
ln -s "$M/t/a" "$WORK/link"
same "a link from elsewhere" new "$("$ZKFS" get "$WORK/link")"
cd "$M/t" || exit 1
same "-m and where one stands" new "$("$ZKFS" -m "$M" get a)"
same "a tree's path beats the host's where that is elsewhere" new \
    "$("$ZKFS" -m "$M" get /t/a)"
cd /

# --- a daemon that is gone
kill_fs
refuses "the daemon of this mount is gone" "$ZKFS" get "$M/t/a"
refuses "the daemon of this mount is gone" "$ZKFS" -m "$M" status
umount -l "$M"
