# A member that speaks another version of the protocol is refused, with one
# line that names it, however often it tries; the others go on.
. "$(dirname "$0")/lib.sh"
version=$(sed -n 's/^#define ZK_CLUSTER_VERSION \([0-9]*\)u$/\1/p' \
    "$SRC/daemon/cluster_impl.h")
must start_all
must stop_member 3
stranger() {
	"$BUILD/tests/cluster/stranger" z3 "$1" "$KEY" z1 "${ADDRESS[1]}"
}
text="speaks another version of the protocol"
lines() {
	grep -c "REFUSED member=z3 .* by=us reason=$text" "$WORK/z1.log"
}
for other in $((version + 1)) $((version - 1)); do
	same "version $other is refused, and told why" "$text" \
	    "$(stranger "$other")"
done
same "in one line" 1 "$(lines)"
check "the others go on" sh -c "echo still >'$WORK/m1/file'"
# With the right one it gets that far.
check_not "it is the version" stranger "$version"
must start_member 3
check "the member itself is welcome" wait_until 10 reads "$WORK/m3/file" still
must stop_all
