#!/bin/bash
# The virtual attributes user.zkfs.*, and ordinary user attributes.
# shellcheck disable=SC2016 # the inner shells expand
. "$(dirname "$0")/lib.sh"
must start_fs
cd "$M" || exit 1

check "each changes when it should and not when it should not" \
    python3 - <<'END'
import os
names = ["czxid", "mzxid", "pzxid", "version", "cversion", "owner",
         "ephemeral"]
def look(path):
    return {n: os.getxattr(path, "user.zkfs." + n).decode() for n in names}
def num(path, name):
    return int(look(path)[name])
os.mkdir("d")
open("d/f", "w").write("one")
a = look("d/f")
assert a["owner"] == "0" and a["ephemeral"] == "0", a
assert int(a["mzxid"]) >= int(a["czxid"]) > 0, a
with open("d/f", "w") as f:
    f.write("two")
b = look("d/f")
assert b["czxid"] == a["czxid"]
assert int(b["version"]) == int(a["version"]) + 1, (a, b)
assert int(b["mzxid"]) > int(a["mzxid"])
open("d/f").read()
os.chmod("d/f", 0o600)
os.utime("d/f", (1, 2))
os.setxattr("d/f", "user.mine", b"x")
c = look("d/f")
assert c["version"] == b["version"] and c["mzxid"] == b["mzxid"], (b, c)
with open("d/f", "a") as f:
    f.write("three")
assert num("d/f", "version") == int(b["version"]) + 1
os.truncate("d/f", 1)
assert num("d/f", "version") == int(b["version"]) + 2
before = look("d")
open("d/g", "w").close()
after = look("d")
assert int(after["cversion"]) == int(before["cversion"]) + 1, (before, after)
assert int(after["pzxid"]) > int(before["pzxid"])
assert after["czxid"] == before["czxid"]
assert after["version"] == before["version"]
os.rename("d/g", "d/h")
assert num("d", "cversion") > int(after["cversion"])
middle = num("d", "cversion")
os.unlink("d/h")
assert num("d", "cversion") == middle + 1
middle = look("d")
with open("d/f", "w") as f:
    f.write("v")
assert look("d") == middle, "a change of content is none of the directory"
x = num("d/f", "mzxid")
open("d/later", "w").write("v")
assert num("d/later", "czxid") > x, "revisions grow"
END

echo v >f
same "getfattr -d -m user.zkfs lists them" \
    "cversion czxid ephemeral mzxid owner pzxid version" "$(
	getfattr -d -m user.zkfs f 2>/dev/null |
	    sed -n 's/^user\.zkfs\.\([a-z]*\)=.*/\1/p' | sort | tr '\n' ' ' |
	    sed 's/ $//')"
check "they are not copied by cp -a, nor is that an error" bash -c '
	cp -a f copy && [ "$(cat copy)" = v ]'

# Who copies all attributes of a file sets these, too: that changes nothing.
value() {
	getfattr --only-values -n "user.zkfs.$1" f
}
for name in czxid mzxid pzxid version cversion; do
	before=$(value "$name")
	setfattr -n "user.zkfs.$name" -v 4711 f 2>/dev/null
	same "$name cannot be set" "$before" "$(value "$name")"
done
same "nor do such attempts make it ephemeral" 0 "$(value ephemeral)"
refuses "Operation not permitted" setfattr -n user.zkfs.nonsense -v 7 f
# And who makes a copy like its original takes off what that does not have.
before=$(value version)
check "version is not taken off, nor is that an error" \
    setfattr -x user.zkfs.version f
same "version stays" "$before" "$(value version)"
refuses "No such attribute" setfattr -x user.zkfs.nonsense f
refuses "No such attribute" setfattr -x user.zkfs.fence f
refuses "No such attribute" getfattr -n user.zkfs.nonsense f

check "ordinary attributes are as on every filesystem" python3 - <<'END'
import errno, os
def refused(err, call, *args, **kw):
    try:
        call(*args, **kw)
    except OSError as e:
        assert e.errno == err, e
    else:
        assert False, args
open("x", "w").write("v")
def mine(path):
    return sorted(n for n in os.listxattr(path)
                  if not n.startswith("user.zkfs."))
os.setxattr("x", "user.a", b"1")
os.setxattr("x", "user.b", b"")
os.setxattr("x", "user.big", bytes(range(256)) * 200)
assert mine("x") == ["user.a", "user.b", "user.big"]
assert os.getxattr("x", "user.b") == b""
assert os.getxattr("x", "user.big") == bytes(range(256)) * 200
os.setxattr("x", "user.a", b"2", os.XATTR_REPLACE)
refused(errno.EEXIST, os.setxattr, "x", "user.a", b"3", os.XATTR_CREATE)
refused(errno.ENODATA, os.setxattr, "x", "user.c", b"3", os.XATTR_REPLACE)
assert os.getxattr("x", "user.a") == b"2"
os.removexattr("x", "user.a")
refused(errno.ENODATA, os.removexattr, "x", "user.a")
refused(errno.ENODATA, os.getxattr, "x", "user.a")
os.mkdir("dir")
os.setxattr("dir", "user.a", b"d")
assert mine("dir") == ["user.a"]
os.link("x", "y")
assert mine("y") == ["user.b", "user.big"]
END
chmod 644 x
refuses "denied" as_user 4242 setfattr -n user.a -v 1 x
cd / || exit 1
must remount
same "they are kept" d \
    "$(getfattr --absolute-names --only-values -n user.a "$M/dir")"
must stop_fs
