#!/bin/bash
# The tools of every day, unchanged, give on the mount what they give on ext4.
# skip-ok: rsync may be absent
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v rsync >/dev/null || skip "needs rsync"
must start_fs
cd "$M" || exit 1

# A tree on the disk, with a bit of everything.
T=$WORK/tree
mkdir -p "$T/a/b/c" "$T/empty" "$T/many"
for i in {1..60}; do
	echo "file $i" >"$T/many/f$i"
done
head -c 2500000 /dev/urandom >"$T/a/large"
: >"$T/a/nothing"
echo 'a name with blanks, "quotes" and a '\\ >"$T/a/ odd \"name\"' \\ "
ln -s ../large "$T/a/b/link"
ln -s nowhere "$T/a/b/dangling"
ln "$T/many/f1" "$T/a/hard"
mkfifo "$T/a/fifo"
chmod 600 "$T/a/large"
chmod 1777 "$T/empty"
chown 12:34 "$T/many/f2"
touch -d '1999-12-31 23:59:59.123456789' "$T/many/f3"
touch -h -d '2010-01-01' "$T/a/b/link"
# shellcheck disable=SC2317
tree_of() {
	(cd "$1" && find . -printf '%p %y %m %U %G %n %l ' \
	    \( -type f -printf '%s %T@' -o -true \) -printf '\n' | sort &&
	    find . -type f -exec sha256sum {} + | sort)
}
same_tree() {
	diff <(tree_of "$1") <(tree_of "$2")
}

check "cp -a" cp -a "$T" copied
check "the copy is the same" same_tree "$T" copied
check "tar" bash -c 'mkdir tarred &&
	tar -C "$1" --format=posix -cf - . | tar -C tarred -xpf -' sh "$T"
check "what it unpacked is the same" same_tree "$T" tarred
check "tar of the mount, unpacked on the disk" bash -c '
	tar -C copied --format=posix -cf "$1/t.tar" . && mkdir "$1/back" &&
	tar -C "$1/back" -xpf "$1/t.tar"' sh "$WORK"
check "is the same" same_tree "$T" "$WORK/back"
check "rsync -aH" rsync -aH "$T/" synced/
check "what it made is the same" same_tree "$T" synced
same "a second run transfers nothing" "" \
    "$(rsync -aHi "$T/" synced/)"
same "not even when it compares the content" "" \
    "$(rsync -aHic "$T/" synced/)"
echo more >>"$T/many/f7"
touch -d '2033-02-03 04:05:06' "$T/many/f7" # not in the second of its making
same "a third what has changed" ">f.st...... many/f7" \
    "$(rsync -aHi "$T/" synced/)"
# With attributes, from a disk that knows nothing of zkfs's, onto files that are
# there, and from zkfs to zkfs.
mkdir "$WORK/attrs" && echo 1 >"$WORK/attrs/f" && echo 1 >"$WORK/attrs/g"
setfattr -n user.color -v red "$WORK/attrs/f"
# shellcheck disable=SC2317
colored() {
	(cd "$1" && cat f && getfattr --only-values -n user.color f 2>/dev/null)
}
for turn in new again changed; do
	check "rsync -aX: $turn" rsync -aX "$WORK/attrs/" attrs/
	check "rsync -aX --inplace: $turn" \
	    rsync -aX --inplace --ignore-times "$WORK/attrs/" attrs/
	check "cp -a: $turn" cp -a "$WORK/attrs/." attrs/
	same "content and color: $turn" "$(colored "$WORK/attrs")" \
	    "$(colored attrs)"
	[ "$turn" = new ] || continue
	setfattr -x user.color "$WORK/attrs/f" && echo changed >"$WORK/attrs/f"
done
check "rsync -aX within the mount" rsync -aX attrs/ attrs2/
check "and out of it" rsync -aX attrs/ "$WORK/attrs2/"
check "and back" rsync -aX --ignore-times "$WORK/attrs2/" attrs/
rm -r attrs attrs2
check "rsync --inplace" rsync -a --inplace --no-whole-file \
    "$T/a/large" synced/a/large
check "diff -r finds no difference" diff -r --no-dereference \
    --exclude fifo "$T" synced
check "mv of a directory within the mount" mv synced moved
check "is a rename" same_tree "$T" moved
check "mv from the mount to the disk" mv moved "$WORK/moved"
check "is a copy" same_tree "$T" "$WORK/moved"
check "and back" mv "$WORK/moved" again
check "is the same" same_tree "$T" again
check "rm -r" rm -r again
check_not "leaves nothing" test -e again

printf 'one\ntwo\nthree\n' >s
check "sed -i" sed -i 's/two/TWO/' s
same "edits" $'one\nTWO\nthree' "$(cat s)"
check "sed -i keeps the mode" bash -c '
	chmod 640 s && sed -i s/one/1/ s && [ "$(stat -c %a s)" = 640 ]'
check "sort -o in place" bash -c 'sort -r -o s s && [ "$(head -n 1 s)" = three ]'
check "tee -a" bash -c 'echo last | tee -a s >/dev/null && tail -n 1 s | grep last'
check "truncate, dd conv=notrunc" bash -c '
	truncate -s 100000 t && printf XX | dd of=t bs=1 seek=50000 conv=notrunc \
	    status=none && [ "$(stat -c %s t)" = 100000 ] &&
	    [ "$(dd if=t bs=1 skip=50000 count=2 status=none)" = XX ]'
check "fallocate: extend, punch, zero" bash -c '
	head -c 100000 /dev/zero | tr "\0" x >p &&
	fallocate -o 100000 -l 50000 p && [ "$(stat -c %s p)" = 150000 ] &&
	fallocate -p -o 20000 -l 10000 p &&
	fallocate -z -o 40000 -l 10000 p &&
	[ "$(tr -d x <p | wc -c)" = 70000 ] && [ "$(tr -dc x <p | wc -c)" = 80000 ]'
check "install, chmod, chown, ln, readlink, realpath" bash -c '
	install -D -m 751 -o 5 -g 6 s i/j/k &&
	[ "$(stat -c "%a %u %g" i/j/k)" = "751 5 6" ] &&
	ln -sfn j i/l && [ "$(readlink i/l)" = j ] &&
	[ "$(realpath i/l/k)" = "$PWD/i/j/k" ]'
check "patch" bash -c '
	printf "a\nb\n" >x && printf "a\nc\n" >y
	diff -u x y >d; patch -s x d && cmp x y'
check "mktemp, set -C, mv -n" bash -c '
	f=$(mktemp ./tmp.XXXXXX) && [ -f "$f" ] && echo 1 >"$f" &&
	echo 2 >n && mv -n "$f" n && [ "$(cat n)" = 2 ] && [ -e "$f" ]'
check "du adds up" bash -c '[ "$(du -sb copied | cut -f1)" -ge 2500000 ] &&
	[ "$(du -s --apparent-size -k copied | cut -f1)" -ge 2441 ]'
check "df and stat -f know the filesystem" bash -c 'df . && stat -f .'
check "find -newer, -size, -perm, -links" bash -c '
	[ "$(find copied -size +1000k | wc -l)" = 1 ] &&
	[ "$(find copied -perm 600 | wc -l)" = 1 ] &&
	[ "$(find copied -type f -links 2 | wc -l)" = 2 ]'
check "sync of a file, of the filesystem; zkfs get --newest" bash -c '
	echo v >sy && sync sy && sync -f sy && sync -d sy &&
	[ "$("$1" get --newest sy)" = v ]' sh "$BUILD/zkfs"
check "python3 pathlib and shutil" python3 - <<'END'
import pathlib, shutil, tempfile, os
p = pathlib.Path("py/a/b")
p.mkdir(parents=True)
(p / "f").write_text("text\n")
assert (p / "f").read_text() == "text\n"
(p / "f").rename(p / "g")
(p / "l").symlink_to("g")
assert (p / "l").resolve() == (p / "g").resolve()
(p / "h").hardlink_to(p / "g")
assert (p / "g").stat().st_nlink == 2 and (p / "h").samefile(p / "g")
assert sorted(x.name for x in p.iterdir()) == ["g", "h", "l"]
assert sorted(str(x) for x in pathlib.Path("py").rglob("g")) == ["py/a/b/g"]
(p / "g").write_bytes(bytes(300000))
(p / "g").chmod(0o604)
shutil.copytree("py", "py2", symlinks=True)
assert (pathlib.Path("py2/a/b/g")).stat().st_mode & 0o777 == 0o604
shutil.move("py2", "py3")
with tempfile.NamedTemporaryFile(dir="py") as f:
    f.write(b"x")
    f.flush()
    os.fsync(f.fileno())
    assert os.path.getsize(f.name) == 1
shutil.rmtree("py3")
shutil.rmtree("py")
END

echo first >log
mkfifo "$WORK/tail"
spawn bash -c 'exec tail -n +1 -F log >"$1/tail"' sh "$WORK"
tail=$!
exec 7<"$WORK/tail"
read -r -t 20 line <&7
same "tail -F prints what is there" first "$line"
for i in 1 2 3; do
	echo "line $i" >>log
	read -r -t 20 line <&7
	same "tail -F follows an append" "line $i" "$line"
done
mv log log.1
echo "a new file" >log
read -r -t 20 line <&7
same "and a file that takes its place" "a new file" "$line"
exec 7<&-
kill "$tail"
wait "$tail" 2>/dev/null
cd / || exit 1
must stop_fs
