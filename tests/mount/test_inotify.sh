#!/bin/bash
# inotify on this host's own changes: every event once, and what is read at
# the event is the new state.
# skip-ok: inotifywait may be absent
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
command -v inotifywait >/dev/null || skip "needs inotifywait"
must start_fs
mkdir "$M/w" "$M/other"
echo v >"$M/w/there"

events=create,modify,close_write,attrib,delete,delete_self,moved_from,moved_to
mkfifo "$WORK/events"
spawn bash -c 'exec inotifywait -m -r -q -e "$1" --format "%e %w%f" "$2/m/w" \
    >"$2/events" 2>"$2/inotify.err"' sh "$events" "$WORK"
exec 7<"$WORK/events"
# It watches once it reports: prod it until it does.
watching() {
	echo x >"$M/w/prod"
	read -r -t 0.05 _ <&7
}
must wait_until 20 watching
# A mark ends what one change has raised.
mark=0
seen() {
	local line list=
	mark=$((mark + 1))
	mkdir "$M/w/mark$mark"
	while read -r -t 20 line <&7; do
		case $line in
		"CREATE,ISDIR $M/w/mark$mark") break ;;
		*prod* | *mark*) continue ;;
		esac
		list+="${line//"$M/w"/.}; "
	done
	rmdir "$M/w/mark$mark"
	echo "${list% }"
}
seen >/dev/null

echo v >"$M/w/f"
same "a new file" "CREATE ./f; MODIFY ./f; CLOSE_WRITE,CLOSE ./f;" "$(seen)"
echo w >"$M/w/there"
case $(seen) in
"MODIFY ./there; CLOSE_WRITE,CLOSE ./there;" | \
    "MODIFY ./there; MODIFY ./there; CLOSE_WRITE,CLOSE ./there;")
	got=expected ;;
*) got=else ;;
esac
same "a value replaced" expected "$got"
echo x >>"$M/w/there"
same "an append" "MODIFY ./there; CLOSE_WRITE,CLOSE ./there;" "$(seen)"
chmod 600 "$M/w/f"
same "chmod" "ATTRIB ./f;" "$(seen)"
mv "$M/w/f" "$M/w/g"
same "rename" "MOVED_FROM ./f; MOVED_TO ./g;" "$(seen)"
mv "$M/w/g" "$M/other/g"
same "moved away" "MOVED_FROM ./g;" "$(seen)"
mv "$M/other/g" "$M/w/g"
same "moved here" "MOVED_TO ./g;" "$(seen)"
rm "$M/w/g"
same "unlink" "DELETE ./g;" "$(seen)"
mkdir "$M/w/dir"
same "mkdir" "CREATE,ISDIR ./dir;" "$(seen)"
ln -s x "$M/w/link"
same "symlink" "CREATE ./link;" "$(seen)"
cat "$M/w/there" >/dev/null
ls -l "$M/w" >/dev/null
same "reading and listing raise nothing" "" "$(seen)"
exec 7<&-

check "what is read at the event is the new value" python3 - "$M/w" <<'END'
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
MODIFY = 2
top = sys.argv[1]
path = top + "/value"
open(path, "w").write("0")
fd = libc.inotify_init()
assert libc.inotify_add_watch(fd, path.encode(), MODIFY) >= 0
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(w)
    for i in range(1, 101):
        out = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.write(out, b"%d" % i)
        os.close(out)
        assert os.read(r, 1) == b"g"
    os._exit(0)
os.close(r)
last = 0
while last < 100:
    os.read(fd, 4096)
    text = open(path).read()
    assert text != "", "empty at the event"
    now = int(text)
    assert now >= last
    if now > last:
        os.write(w, b"g")
    last = now
assert os.waitpid(pid, 0)[1] == 0
END
must stop_fs
