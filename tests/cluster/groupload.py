"""
Members of a consumer group, and the verdict on what they were given.

  groupload.py consume NAME NEXT LOG   a member until SIGTERM; who loses its
                stream opens it again.  A line of LOG for each record: when
                the read of it returned (ns), NAME, which opening it was, the
                record, when the read began.  A line "... lost ERROR" when a
                stream fails
  groupload.py produce TOPIC PARTS LOG PAUSE-MS   records "pP NUMBER TIME" in
                turn, each in one write, until SIGTERM; LOG: what was
                acknowledged
  groupload.py feed TOPIC PARTS LOG PAUSE-MS   the same on a host that may die:
                what fails may be there or not, and is not tried again; LOG: and
                when its write returned
  groupload.py committed GROUP PARTS LOG   how far it is, and when that was
                read, until SIGTERM
  groupload.py reset LOG GROUP PARTS HOW KILL-MS PARTITION TO COMMAND...   has
                COMMAND reset a group, kills it after KILL-MS (0: does not), and
                writes down what became of it, as a host that has GROUP knows;
                HOW: idle, or something else where members come meanwhile
  groupload.py check PARTS PRODUCED COMMITTED LOG...   each record was
                delivered; by one at a time, in order; what one had had was
                not delivered again but for those after which it lost its
                stream or was closed; offsets never went back
  groupload.py pauses PARTS SECONDS LOG...   the longest time that a record of
                a partition that one member had all the time was on its way

A record is read by its line, at its place: that acknowledges those before it.
"""
import json, os, select, signal, subprocess, sys, time

over = False
woken, wake = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(wake)


def end(*_):
    global over
    over = True


class Over(Exception):
    pass


def rest(seconds):
    """Until a signal comes, and no longer than that."""
    select.select([woken], [], [], seconds)


def interrupt(*_):
    end()
    raise Over


def consume(name, path, log):
    signal.signal(signal.SIGTERM, interrupt)
    out = open(log, "a", 1)
    opened = 0
    try:
        while not over:
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                rest(0.05)
                continue
            opened += 1
            at = 0
            try:
                while not over:
                    began = time.monotonic_ns()
                    line = os.pread(fd, 4096, at).split(b"\n", 1)[0]
                    print(time.monotonic_ns(), name, opened, line.decode(),
                          began, file=out)
                    at += len(line) + 1
            except OSError as e:
                print(time.monotonic_ns(), name, opened, "lost",
                      os.strerror(e.errno).replace(" ", "-"), file=out)
            try:
                os.close(fd)
            except OSError:
                pass
    except Over:
        pass


def produce(topic, parts, log, pause_ms):
    signal.signal(signal.SIGTERM, end)
    fds = [os.open("%s/p%d" % (topic, p), os.O_WRONLY | os.O_APPEND)
           for p in range(parts)]
    out = open(log, "w", 1)
    i = 0
    while not over:
        for p in range(parts):
            os.write(fds[p], b"p%d %d %d\n" % (p, i, time.monotonic_ns()))
            print("p%d" % p, i, file=out)
        i += 1
        rest(pause_ms / 1000)


def feed(topic, parts, log, pause_ms):
    signal.signal(signal.SIGTERM, end)
    out = open(log, "w", 1)
    i = 0
    while not over:
        for p in range(parts):
            text = "p%d %d %d" % (p, i, time.monotonic_ns())
            try:
                fd = os.open("%s/p%d" % (topic, p), os.O_WRONLY | os.O_APPEND)
                try:
                    os.write(fd, text.encode() + b"\n")
                    print(text, time.monotonic_ns(), file=out)
                finally:
                    os.close(fd)
            except OSError:
                rest(0.05)
        i += 1
        rest(pause_ms / 1000)


def committed(group, parts, log):
    signal.signal(signal.SIGTERM, end)
    out = open(log, "w", 1)
    while not over:
        for p in range(parts):
            try:
                with open("%s/p%d" % (group, p)) as f:
                    text = f.read().strip()
                print(p, text, time.monotonic_ns(), file=out)
            except OSError:
                pass
        rest(0.02)


def look(path, parts):
    """What is agreed on by now, not what this host has heard of."""
    found = []
    for p in range(parts):
        fd = os.open("%s/p%d" % (path, p), os.O_RDONLY)
        os.fsync(fd)
        found.append(int(os.read(fd, 64)))
        os.close(fd)
    return found


def places(topic, parts, to):
    """Where that is in each partition, by the partitions' own word."""
    found = []
    for p in range(parts):
        path = "%s/p%d" % (topic, p)
        name = {"start": "start", "end": "end"}.get(to, to)
        found.append(int(os.getxattr(path, "user.zkfs." + name))
                     if not to[0].isdigit() else int(to))
    return found


def reset(log, group, parts, how, kill_ms, partition, to, command):
    topic = os.path.dirname(os.path.dirname(group))
    asked = {"partition": partition, "to": to, "killed": False,
             "idle": how == "idle", "command": command}
    asked["before"] = look(group, parts)
    asked["low"] = places(topic, parts, to)
    asked["began"] = time.monotonic_ns()
    run = subprocess.Popen(command, stderr=subprocess.PIPE,
                           start_new_session=True)
    try:
        asked["said"] = run.communicate(
            timeout=kill_ms / 1000 if kill_ms else None)[1].decode().strip()
    except subprocess.TimeoutExpired:
        run.kill()
        asked["killed"] = True
        asked["said"] = run.communicate()[1].decode().strip()
    asked["ended"] = time.monotonic_ns()
    asked["status"] = run.returncode
    asked["high"] = places(topic, parts, to)
    asked["after"] = look(group, parts)
    with open(log, "a") as out:
        print(json.dumps(asked), file=out)


def deliveries(logs):
    """By partition, in time: when, who, number, when it was produced."""
    found, lost = {}, set()
    for log in logs:
        for line in open(log):
            words = line.split()
            who = (words[1], int(words[2]))
            if words[3] == "lost":
                lost.add(who)
            else:
                found.setdefault(words[3], []).append(
                    (int(words[0]), who, int(words[4]), int(words[5])))
    for rows in found.values():
        rows.sort()
    return found, lost


def check(parts, produced, offsets, logs):
    wrong, again, moves = [], 0, 0
    found, lost = deliveries(logs)
    want, latest = {}, {}
    for line in open(produced):
        p, i = line.split()
        want[p] = int(i)
    for rows in found.values():
        for when, who, _, _ in rows:
            latest[who] = max(when, latest.get(who, 0))
    for p in range(parts):
        name = "p%d" % p
        owner, last, first, gone = None, -1, -1, set()
        for when, who, number, _ in found.get(name, []):
            if who in gone and who != owner:
                # It may have it again, but then it goes on where others were,
                # or with what the last of them had when its stream was lost.
                dead = owner in lost and latest[owner] < when
                if dead and first <= number <= last:
                    again += last + 1 - number
                elif number != last + 1:
                    wrong.append("%s: %d to %s, who lost it" %
                                 (name, number, who))
            elif who == owner and number != last + 1:
                wrong.append("%s: %d after %d to %s" %
                             (name, number, last, who))
            elif who != owner and number > last + 1:
                wrong.append("%s: %s skips from %d to %d" %
                             (name, who, last, number))
            elif number <= last:
                again += last + 1 - number
            if who != owner:
                moves += owner is not None
                gone.add(owner)
                first = number
            owner, last = who, number
        if last != want.get(name, -1):
            wrong.append("%s: %d of %d" % (name, last, want.get(name, -1)))
    before = {}
    for line in open(offsets):
        p, off = line.split()[:2]
        if int(off) < before.get(p, 0):
            wrong.append("p%s is back at %s from %d" % (p, off, before[p]))
        before[p] = int(off)
    print("%d moves, %d delivered again, streams lost: %d" %
          (moves, again, len(lost)))
    for line in wrong[:20]:
        print(line)
    return len(wrong) > 0


def pauses(parts, bound, logs):
    found, _ = deliveries(logs)
    stayed, moved, wrong = [], [], 0
    for p in range(parts):
        rows = found.get("p%d" % p, [])
        late = max((row[0] - row[3]) / 1e6 for row in rows)
        owners = {row[1] for row in rows}
        (stayed if len(owners) == 1 else moved).append((late, p))
        if len(owners) == 1 and late > bound * 1000:
            wrong += 1
    print("on its way for at most: where it stayed", " ".join(
        "p%d %.0f ms" % (p, late) for late, p in stayed), "; where it moved",
        " ".join("p%d %.0f ms" % (p, late) for late, p in moved))
    return wrong > 0 or not stayed or not moved


verb, args = sys.argv[1], sys.argv[2:]
if verb == "consume":
    consume(*args)
elif verb == "produce":
    produce(args[0], int(args[1]), args[2], int(args[3]))
elif verb == "feed":
    feed(args[0], int(args[1]), args[2], int(args[3]))
elif verb == "reset":
    reset(args[0], args[1], int(args[2]), args[3], int(args[4]), args[5],
          args[6], args[7:])
elif verb == "committed":
    committed(args[0], int(args[1]), args[2])
elif verb == "check":
    sys.exit(check(int(args[0]), args[1], args[2], args[3:]))
elif verb == "pauses":
    sys.exit(pauses(int(args[0]), float(args[1]), args[2:]))
else:
    sys.exit(2)
