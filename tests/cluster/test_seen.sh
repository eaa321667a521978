# Who has got a lock, has synced, or reads with O_DIRECT, sees what was agreed
# before: the kernel of his host has been told of it by then.
. "$(dirname "$0")/lib.sh"
must start_all
for way in "1 2" "2 3" "3 1"; do
	check "from z${way% *} on z${way#* }" timeout 150 python3 \
	    "$SRC/tests/cluster/seen.py" "$WORK/m${way% *}" "$WORK/m${way#* }"
	rm -r "$WORK/m${way% *}/seen"
	sync "$WORK"/m[123]/.
done
must stop_all
