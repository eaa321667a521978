#!/bin/bash
# Inode numbers are stable and never used again; times never go backward.
. "$(dirname "$0")/lib.sh"
must start_fs

look() {
	find "$M" -path "$M/.zkfs" -prune -o -printf '%P %i %y %m %n %s %T@\n' |
	    sort
}
mkdir -p "$M/a/b"
for i in 1 2 3 4 5; do
	echo "$i" >"$M/a/f$i"
	ln -s "f$i" "$M/a/b/l$i"
done
ln "$M/a/f1" "$M/a/hard"
mkfifo "$M/a/fifo"
before=$(look)
must remount
same "names, numbers, types, modes, links, sizes and times after a remount" \
    "$before" "$(look)"
must kill_fs
must start_fs
same "and after kill -9" "$before" "$(look)"

make_and_count() {
	python3 - "$M" "$WORK/numbers" <<'END'
import os, sys
top, known = sys.argv[1:]
seen = set()
if os.path.exists(known):
    seen = set(map(int, open(known).read().split()))
new = set()
for i in range(100):
    path = "%s/n%d" % (top, i % 10)
    if i % 3 == 0:
        os.mkdir(path)
        ino = os.stat(path).st_ino
        os.rmdir(path)
    else:
        open(path, "w").close()
        ino = os.stat(path).st_ino
        os.unlink(path)
    assert ino not in seen and ino not in new, ino
    new.add(ino)
for root, dirs, files in os.walk(top):
    if root == top:
        dirs[:] = [d for d in dirs if d != ".zkfs"]
    for name in dirs + files:
        assert os.lstat(os.path.join(root, name)).st_ino not in new
open(known, "a").write("".join("%d\n" % i for i in new))
assert len(new) == 100
END
}
check "a hundred files made and removed: a hundred numbers" make_and_count
must remount
check "none of them again after a remount" make_and_count
must kill_fs
must start_fs
check "nor after kill -9" make_and_count
same "three hundred in all" 300 "$(sort -u "$WORK/numbers" | wc -l)"

check "times never go backward from change to change" python3 - "$M" <<'END'
import os, sys
top = sys.argv[1]
last = 0
for i in range(200):
    with open(top + "/t", "a" if i % 2 else "w") as f:
        f.write("x")
    st = os.stat(top + "/t")
    assert st.st_mtime_ns == st.st_ctime_ns, st
    assert st.st_mtime_ns >= last, (last, st)
    last = st.st_mtime_ns
END
must stop_fs
