#!/usr/bin/env python3
"""A random mix of operations, and the proof that none was lost in a crash.

worker_crash.py run MOUNT STATE SEED     work until the daemon dies
worker_crash.py verify MOUNT STATE       compare with what was acknowledged

Three workers, each in a directory of its own below MOUNT, note every
operation in STATE before it is begun and after it was acknowledged.  The tree
must then be as after all acknowledged operations, or as after the one more
that was under way: whole or not at all.  "run" prints one line when it is
time to kill the daemon, a random number of operations and a random time
after the start.
"""
import errno
import json
import os
import random
import select
import stat
import sys
import time
import traceback

WORKERS = 3
NAMES = 8
OPERATIONS_MAX = 120
SECONDS_MAX = 60
GONE = (errno.ENOTCONN, errno.ECONNABORTED)


# A tree is {path: [kind, content, mode]}, paths relative to the worker's
# directory; kinds are d, f and l.

def look(top):
    tree = {}
    for root, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(root, name)
            st = os.lstat(path)
            key = os.path.relpath(path, top)
            if stat.S_ISLNK(st.st_mode):
                tree[key] = ["l", os.readlink(path), 0]
            elif stat.S_ISDIR(st.st_mode):
                tree[key] = ["d", "", stat.S_IMODE(st.st_mode)]
            else:
                with open(path) as f:
                    tree[key] = ["f", f.read(), stat.S_IMODE(st.st_mode)]
    return tree


def value(rng):
    length = rng.choice((10, 100, 1000, 5000, 9000, 40000))
    return "%016x" % rng.getrandbits(64) + rng.choice("abcdef") * length


def children(tree, path):
    return [p for p in tree if p.startswith(path + "/")]


def choose(rng, tree):
    """An operation that will succeed on the tree: [name, arguments...]."""
    op = None
    while op is None:
        op = choose_maybe(rng, tree)
    return op


def choose_maybe(rng, tree):
    """None where the dice wanted what the tree does not offer."""
    files = [p for p in tree if tree[p][0] == "f"]
    dirs = [p for p in tree if tree[p][0] == "d"]
    base = rng.choice(dirs) + "/" if dirs and rng.random() < 0.5 else ""
    path = base + "n%d" % rng.randrange(NAMES)
    new = path not in tree and path.count("/") < 3
    kind = rng.random()
    if kind < 0.30 and files:
        return ["set", rng.choice(files), value(rng)]
    if kind < 0.45 and files:
        return ["append", rng.choice(files), value(rng)]
    if kind < 0.55:
        leaves = [p for p in tree if tree[p][0] != "d"]
        return ["unlink", rng.choice(leaves)] if leaves else None
    if kind < 0.65 and files and new:
        return ["rename", rng.choice(files), path]
    if kind < 0.70 and len(files) > 1:
        return ["rename"] + rng.sample(files, 2)
    if kind < 0.74 and files:
        return ["chmod", rng.choice(files), rng.choice((0o600, 0o644, 0o640))]
    if kind < 0.77 and dirs:
        victim = rng.choice(dirs)
        if not children(tree, victim):
            return ["rmdir", victim]
    if kind < 0.80 and dirs and new:
        old = rng.choice(dirs)
        if not path.startswith(old + "/"):
            return ["rename", old, path]
    if kind < 0.86 and len(files) > 1:
        one, two = rng.sample(files, 2)
        return ["txn", one, two, "%016x" % rng.getrandbits(64)]
    if not new:
        return None
    if kind < 0.90:
        return ["mkdir", path]
    if kind < 0.92:
        return ["symlink", path, "%016x" % rng.getrandbits(64)]
    return ["create", path, value(rng)]


def after(tree, op):
    """The trees that may be there once op is under way, the last: done."""
    done = dict(tree)
    between = []
    name, path = op[0], op[1]
    if name == "create":
        between = [dict(tree)]
        between[0][path] = ["f", "", 0o644]
        done[path] = ["f", op[2], 0o644]
    elif name == "set":
        done[path] = ["f", op[2], tree[path][2]]
    elif name == "append":
        done[path] = ["f", tree[path][1] + op[2], tree[path][2]]
    elif name in ("unlink", "rmdir"):
        del done[path]
    elif name == "rename":
        for old in [path] + children(tree, path):
            done[op[2] + old[len(path):]] = done.pop(old)
    elif name == "chmod":
        done[path] = [tree[path][0], tree[path][1], op[2]]
    elif name == "txn":
        for one in op[1:3]:
            done[one] = ["f", op[3] + "\n", tree[one][2]]
    elif name == "mkdir":
        done[path] = ["d", "", 0o755]
    elif name == "symlink":
        done[path] = ["l", op[2], 0]
    return [tree] + between + [done]


def write(path, flags, text):
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        data = text.encode()
        n = os.write(fd, data)
        assert n == len(data), "%s: %d of %d bytes" % (path, n, len(data))
    finally:
        os.close(fd)


def execute(mount, top, op):
    name, path = op[0], os.path.join(top, op[1])
    if name == "create":
        write(path, os.O_CREAT | os.O_EXCL, op[2])
    elif name == "set":
        write(path, os.O_TRUNC, op[2])
    elif name == "append":
        write(path, os.O_APPEND, op[2])
    elif name == "unlink":
        os.unlink(path)
    elif name == "rmdir":
        os.rmdir(path)
    elif name == "rename":
        os.rename(path, os.path.join(top, op[2]))
    elif name == "chmod":
        os.chmod(path, op[2])
    elif name == "mkdir":
        os.mkdir(path)
    elif name == "symlink":
        os.symlink(op[2], path)
    elif name == "txn":
        where = "/" + os.path.relpath(top, mount)
        text = "".join("set %s/%s %s\n" % (where, p, op[3]) for p in op[1:3])
        write(os.path.join(mount, ".zkfs/txn"), 0, text)


def work(mount, state, number, rng, pipe):
    top = os.path.join(mount, "w%d" % number)
    with open(os.path.join(state, "tree%d" % number)) as f:
        tree = json.load(f)
    journal = open(os.path.join(state, "journal%d" % number), "w", 1)
    try:
        # The others may be the cause of the end before this one has begun.
        os.open(os.path.join(mount, "e/%d" % number),
                os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        while True:
            op = choose(rng, tree)
            journal.write(json.dumps(op) + "\n")
            execute(mount, top, op)
            journal.write("done\n")
            tree = after(tree, op)[-1]
            os.write(pipe, b".")
    except OSError as e:
        if e.errno not in GONE:
            print("worker %d: %s" % (number, e), file=sys.stderr)
            os._exit(1)
    os._exit(0)


def run(mount, state, seed):
    rng = random.Random(seed)
    os.makedirs(state, exist_ok=True)
    read_end, write_end = os.pipe()
    pids = []
    os.makedirs(os.path.join(mount, "e"), exist_ok=True)
    os.chmod(os.path.join(mount, "e"), 0o4755)
    for number in range(WORKERS):
        os.makedirs(os.path.join(mount, "w%d" % number), exist_ok=True)
        path = os.path.join(state, "tree%d" % number)
        if not os.path.exists(path):
            with open(path, "w") as f:
                f.write("{}")
        own = random.Random(rng.getrandbits(64))
        pid = os.fork()
        if pid == 0:
            os.close(read_end)
            try:
                work(mount, state, number, own, write_end)
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(2)
        pids.append(pid)
    os.close(write_end)
    left = rng.randrange(1, OPERATIONS_MAX)
    end = time.monotonic() + SECONDS_MAX
    while left > 0 and select.select([read_end], [], [], 1)[0]:
        left -= len(os.read(read_end, left)) or left
        assert time.monotonic() < end, "too slow"
    # Not always right after an operation: some time into the next.
    end = time.monotonic() + rng.random() * 0.004
    while time.monotonic() < end:
        pass
    print("now", flush=True)
    while os.read(read_end, 4096):
        pass
    bad = sum(os.waitpid(pid, 0)[1] != 0 for pid in pids)
    sys.exit(1 if bad else 0)


def difference(want, got):
    lines = []
    for path in sorted(set(want) | set(got)):
        if want.get(path) != got.get(path):
            for label, tree in ("want", want), ("got", got):
                node = tree.get(path)
                text = "nothing" if node is None else "%s %s... %d bytes %o" % (
                    node[0], node[1][:40], len(node[1]), node[2])
                lines.append("  %s: %s %s" % (path, label, text))
    return "\n".join(lines[:20])


def verify_one(mount, state, number):
    tree_path = os.path.join(state, "tree%d" % number)
    with open(tree_path) as f:
        tree = json.load(f)
    with open(os.path.join(state, "journal%d" % number)) as f:
        lines = f.read().splitlines()
    possible, pending, acknowledged = [tree], None, 0
    for line in lines:
        if line == "done":
            possible, pending = possible[-1:], None
            acknowledged += 1
        else:
            pending = json.loads(line)
            possible = after(possible[-1], pending)
    got = look(os.path.join(mount, "w%d" % number))
    if got not in possible:
        print("worker %d after %d operations, %s under way:" % (
            number, acknowledged, pending and pending[:2]))
        print(difference(possible[-1], got))
        return -1
    with open(tree_path, "w") as f:
        json.dump(got, f)
    return acknowledged


def verify(mount, state):
    counts = [verify_one(mount, state, n) for n in range(WORKERS)]
    left = os.listdir(os.path.join(mount, "e"))
    if left:
        print("ephemeral files are left:", left)
    print("%d operations" % sum(counts))
    sys.exit(1 if min(counts) < 0 or left else 0)


if sys.argv[1:2] == ["run"] and len(sys.argv) == 5:
    run(sys.argv[2], sys.argv[3], int(sys.argv[4]))
elif sys.argv[1:2] == ["verify"] and len(sys.argv) == 4:
    verify(sys.argv[2], sys.argv[3])
else:
    sys.exit("usage: worker_crash.py run MOUNT STATE SEED | "
             "verify MOUNT STATE")
