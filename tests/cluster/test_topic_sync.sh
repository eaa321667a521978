# Who asks for it reads all that was appended before, anywhere: sync(1), and
# O_DIRECT, on a host with a replica that lags, and on one without.
. "$(dirname "$0")/hosts.sh"
. "$(dirname "$0")/topics.sh"
PARTS=1
T=topics/t
must start_all
must topics_prepare
must mkdir "$WORK/m1/topics/one"
must wait_until 20 test -e "$WORK/m1/topics/one/config"
must sh -c 'echo replicas=1 >>"$1"' sh "$WORK/m1/topics/one/config"
for i in 2 3; do
	must wait_until 20 grep -qsx replicas=1 "$WORK/m$i/topics/one/config"
done

# Appends on one host after the other; prints how often somebody did not read
# that at once.
cat >"$WORK/reads.py" <<'END'
import os, sys
how, count, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
direct = os.O_DIRECT if how == "direct" else 0
writers = [os.open(f, os.O_WRONLY | os.O_APPEND) for f in files]
readers = [os.open(f, os.O_RDONLY | direct) for f in files]
end = os.fstat(readers[0]).st_size
wrong = 0
for n in range(count):
    record = b"%s %d\n" % (how.encode(), n)
    os.write(writers[n % len(files)], record)
    for r in readers:
        if how == "sync":
            os.fsync(r)
        wrong += os.pread(r, 100, end) != record
    end += len(record)
print(wrong)
END
for topic in t one; do
	for how in direct sync; do
		same "$how: all is read everywhere, of $topic" 0 \
		    "$(timeout 60 python3 "$WORK/reads.py" $how 300 \
		    "$WORK"/m[123]/topics/$topic/p0)"
	done
done

# The link between the partition's leader and a replica is cut; the tree's
# leader is the third, and all are in touch with it.
read_sync() { # FILE
	timeout 10 sync "$1" && timeout 10 tail -n 1 "$1"
}
read_direct() { # FILE
	timeout 10 python3 -c '
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
at = max(0, os.fstat(fd).st_size - 100)
print(os.pread(fd, 65536, at).decode().split("\n")[-2])
' "$1"
}
for how in sync direct; do
	must topic_led 0
	victim=$LED
	mapfile -t rest < <(others "$victim")
	lags=${rest[0]} third=${rest[1]}
	[ "$(leader)" = "$third" ] ||
	    must zkfs "$third" member transfer "z$third"
	part "$victim" "$lags"
	check "z$victim leads, z$lags is cut off from it, z$third appends" \
	    timeout 10 sh -c 'echo "$1" >>"$2"' sh "for $how" \
	    "$WORK/m$third/$T/p0"
	same "which z$lags reads ($how)" "for $how" \
	    "$(read_$how "$WORK/m$lags/$T/p0")"
	heal
	check "all is well again" wait_until $((30 * WAITS)) works "$victim" 5
done
stop_all
