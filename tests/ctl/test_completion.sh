# The completion of bash: words that the program has, and what is there.
# shellcheck disable=SC2034 # bash's own variables
. "$SRC/tests/mount/lib.sh"
ZKFS=$BUILD/zkfs
PATH=$BUILD:$PATH
must start_fs
mkdir "$M/topics/orders" "$M/topics/offers"
. "$SRC/dist/zkfs.bash"
compopt() { :; }

# $1: what it offers, sorted, for the words that follow; the last is completed.
offers() {
	local want=$1 COMP_WORDS COMP_CWORD COMPREPLY=()
	shift
	COMP_WORDS=("$@")
	COMP_CWORD=$(($# - 1))
	"_${1//./_}"
	same "after $*" "$want" "$(printf '%s\n' "${COMPREPLY[@]}" | sort | xargs)"
}

offers "set status" zkfs s
offers "--metrics --mount" zkfs status --m
offers "add" zkfs member a
offers "" zkfs member add x
offers "create" zkfs topic cr
offers "remove reset" zkfs -m "$M" group re
offers "offers orders" zkfs -m "$M" topic show o
offers "orders" zkfs -m "$M" consume -f or
offers "orders" zkfs -m "$M" consume -g billing --from end or
offers "offers" zkfs --mount "$M" produce of
offers "" zkfs -m "$M" topic show orders o
offers "--restore" mount.zkfs --r
cd "$M" || exit 1
offers "orders" zkfs topic show or
cd / || exit 1

# Every command and every option of it that its help has is offered.
for command in $("$ZKFS" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'); do
	COMP_WORDS=(zkfs "$command")
	COMP_CWORD=1
	_zkfs
	check "$command" grep -qxF "$command" <(printf '%s\n' "${COMPREPLY[@]}")
	for option in $("$ZKFS" help "$command" |
	    sed -n 's/^  .*\(--[a-z][a-z-]*\).*/\1/p'); do
		COMP_WORDS=(zkfs "$command" "$option")
		COMP_CWORD=2
		_zkfs
		check "$command $option" grep -qxF -e "$option" <(printf '%s\n' \
		    "${COMPREPLY[@]}")
	done
done
must stop_fs
