"""
What members of a group were given while hosts failed and the group was reset,
against the partitions and the calls of `zkfs group reset`.

  groupaudit.py SLACK-MS DIR PARTITION-FILE...

DIR, as groups.sh and groupload.py leave it:
  NAMEzI.log      what member NAME on host I was given
  resets          what resets were asked for, and what became of them
  committedI      how far the group was, as host I had it
  faults          "MICROSECONDS WHAT": kill I, pause I, cut I; well I, when that
                  is over; end NAME, before a member is ended

A record comes after the one before it, or where a reset said, or again: because
who had it last ended with it in hand, or lost his host, and then only what he
acknowledged in the last 10 ms (and SLACK-MS, which is for a busy machine)
before.  Nobody is given a record that is before what had been read as committed,
who lost a partition by that has no more of it, and a reset that ends in an
error has changed nothing, one that was killed everything or nothing.
"""
import bisect, glob, json, os, re, sys, time

TOLD_NS = 10 * 10**6
LATE_NS = 40 * 10**9  # what was asked for may be done until then
STALE_NS = 5 * 10**9  # another host may not have heard of a reset so long
# A busy machine may run no daemon for longer than its session; this includes it.
LOST_NS = 10 * 10**9
wrong, seen = [], {}


def count(what, n=1):
    seen[what] = seen.get(what, 0) + n


def complain(p, text):
    wrong.append("p%d: %s" % (p, text))


class Record:
    def __init__(self, p, start, end, text):
        self.p, self.start, self.end, self.text = p, start, end, text
        self.last = None  # who was given it last


class Delivery:
    def __init__(self, began, ended, record, opening):
        self.began, self.ended, self.record = began, ended, record
        self.opening, self.next = opening, None
        self.at = ended


class Opening:
    """Of `next`, by a member."""

    def __init__(self, who, host):
        self.who, self.host = who, host
        self.given = []
        self.over = None  # when its member was ended
        self.fault = None  # of its host: (when, until)
        self.superseded = None


def read_partitions(files):
    parts, by_text = [], {}
    for p, path in enumerate(files):
        rows, at = [], 0
        for line in open(path, "rb"):
            row = Record(p, at, at + len(line), line[:-1].decode())
            if row.text in by_text:
                complain(p, "twice in the partition: " + row.text)
            by_text[row.text] = row
            rows.append(row)
            at = row.end
        parts.append(rows)
    return parts, by_text


def read_faults(path):
    """By host a list of [from, until], by member when it was ended."""
    shift = time.monotonic_ns() - time.time_ns()
    faults, ends = {}, {}
    for line in open(path):
        when, what, arg = line.split()
        when = int(when) * 1000 + shift
        if what == "end":
            ends[arg] = when
        elif what == "well":
            for span in faults.get(arg, []):
                span[1] = min(span[1], when)
        else:
            faults.setdefault(arg, []).append([when, 1 << 62])
    return faults, ends


def was_behind(host, faults, since, until):
    """Whether the host may, within that time, not have known what is agreed."""
    return any(begins < until and since < ends + STALE_NS
               for begins, ends in faults.get(host, []))


def read_openings(logs, by_text, faults, ends):
    found = {}
    for log in logs:
        name = os.path.basename(log)[:-4]
        host = name.split("z")[1]
        for line in open(log):
            words = line.split()
            if words[3] == "lost":
                count("streams lost")
                when = int(words[0])
                if not was_behind(host, faults, when, when):
                    count("streams lost without a fault")
                    faults.setdefault(host, []).append([when - LOST_NS, when])
                continue
            who = (name, int(words[2]))
            o = found.setdefault(who, Opening(who, host))
            o.over = ends.get(name)
            row = by_text.get(" ".join(words[3:6]))
            if row is None:
                wrong.append("not in any partition: " + line.strip())
                continue
            d = Delivery(int(words[6]), int(words[0]), row, o)
            if o.given:
                o.given[-1].next = d
            o.given.append(d)
    return found


def place_in_time(openings, faults):
    """Which fault ended which opening; what came before it, is before it."""
    for o in openings.values():
        last = o.given[-1]
        later = openings.get((o.who[0], o.who[1] + 1))
        until = later.given[0].ended if later else o.over or 1 << 62
        for span in faults.get(o.host, []):
            if last.began <= span[1] and span[0] <= until:
                o.fault = span
                break
        for d in o.given:
            if o.fault and d.began < o.fault[0]:
                d.at = min(d.ended, o.fault[0])


def fault_begins(span, faults):
    """Or another before it that left no majority."""
    begins = span[0]
    for spans in faults.values():
        for other in spans:
            if other[0] < begins <= other[1]:
                begins = other[0]
    return begins


def in_hand(d, faults, slack):
    """Whether it may come again to another than who was given it there."""
    o = d.opening
    if o.over is not None and d.next is None:
        count("again, in hand at an end")
        late = o.over - d.ended
        return late < slack or o.fault is not None
    if o.fault is None:
        return False
    if d.next is None:
        count("again, in hand at a loss")
        return True
    early = fault_begins(o.fault, faults) - d.next.began
    count("again, acknowledged before a loss" if early > 0 else
          "again, acknowledged after a loss began")
    seen["earliest ms"] = max(seen.get("earliest ms", 0), early // 10**6)
    return early < TOLD_NS + slack


def first_at(rows, offset):
    starts = [row.start for row in rows]
    return bisect.bisect_left(starts, offset)


class Reset:
    def __init__(self, asked, p, rows):
        self.began, self.ended = asked["began"], asked["ended"]
        self.done = asked["status"] == 0
        self.unknown = not self.done and (
            asked["killed"] or "imed out" in asked["said"])
        self.before, self.after = asked["before"][p], asked["after"][p]
        self.low, self.high = (boundary(rows, asked[k][p])
                               for k in ("low", "high"))
        self.text = "%s to %s" % (
            "all" if asked["partition"] == "all" else "-p", asked["to"])
        if self.unknown:
            self.ended += LATE_NS

    def to(self, offset):
        return self.low <= offset <= self.high


def boundary(rows, offset):
    i = first_at(rows, offset)
    return rows[i].start if i < len(rows) else max(
        offset, rows[-1].end if rows else 0)


def read_resets(path, parts):
    found = [[] for _ in parts]
    for line in open(path):
        asked = json.loads(line)
        moved, stayed = [], []
        for p, rows in enumerate(parts):
            if asked["partition"] not in ("all", str(p)):
                continue
            r = Reset(asked, p, rows)
            found[p].append(r)
            if r.to(r.before) or (not asked["idle"] and r.low > r.before):
                pass  # there anyway, or by what members acknowledge
            elif r.to(r.after) or r.after < r.before:
                moved.append(p)
            elif r.after == r.before or r.after < r.low or r.low < r.before:
                stayed.append(p)
            if r.done and asked["idle"] and not r.to(r.after):
                complain(p, "reset %s is at %d, not %d" %
                         (r.text, r.after, r.low))
        if asked["status"] == 0:
            count("resets done")
        elif asked["killed"]:
            count("resets killed")
            count("killed and done", bool(moved) and not stayed)
        else:
            count("resets refused")
        if asked["status"] != 0 and moved and stayed:
            count("resets done in part")
            wrong.append("done in part: %s; moved %s, not %s" %
                         (json.dumps(asked), moved, stayed))
        elif asked["status"] not in (0, -9) and moved and \
                "imed out" not in asked["said"]:
            wrong.append("refused and done: %s" % json.dumps(asked))
    return found


def walk(p, rows, given, resets, faults, slack):
    """The deliveries of a partition in time."""
    at, owner, since = 0, None, 0
    for d in sorted(given, key=lambda d: (d.at, d.record.start)):
        o, r = d.opening, d.record
        meant = [x for x in resets if since < x.ended and x.began < d.at and
                 (x.done or x.unknown)]
        if o.superseded and d.began > o.superseded:
            complain(p, "%s to %s, %d ms after it was another's" %
                     (r.text, o.who, (d.ended - o.superseded) // 10**6))
        done = [x for x in meant if x.done]
        latest = max((x.began for x in done), default=0)
        allowed = [x for x in meant if x.ended >= latest]
        if any(x.to(r.start) for x in allowed):
            count("went on at a reset")
            count("forward", r.start > at)
            count("back", r.start < at)
        elif done and (r.start != at or any(x.began > since for x in done)):
            complain(p, "%s to %s, after a reset to %s" % (
                r.text, o.who,
                [(x.low, x.high, x.text) for x in allowed]))
        elif r.start > at:
            complain(p, "%s to %s, skips %d bytes from %d" %
                     (r.text, o.who, r.start - at, at))
        elif r.start < at:
            again(p, rows, d, at, owner, faults, slack)
        if o is not owner and owner is not None:
            count("moves")
        r.last, at, owner = d, r.end, o
        since = d.at
    if rows and at != rows[-1].end:
        left = [x for x in resets if x.began > since and
                (x.done or x.unknown)]
        if not any(x.high >= rows[-1].end for x in left):
            complain(p, "ends at %d of %d" % (at, rows[-1].end))


def check_free(p, resets, openings):
    """A reset is of what nobody has, and members have all there is."""
    for x in resets:
        for o in openings.values() if x.done else ():
            if any(d.ended < x.began for d in o.given) and \
                    any(d.began > x.ended for d in o.given):
                complain(p, "reset %s while %s was a member" % (x.text, o.who))


def again(p, rows, d, at, owner, faults, slack):
    if d.opening is owner:
        complain(p, "%s again to %s itself" % (d.record.text, owner.who))
    for row in rows[first_at(rows, d.record.start):]:
        if row.start >= at:
            break
        count("again")
        if row.last is None:
            continue
        was = row.last.opening
        if not in_hand(row.last, faults, slack):
            early = "" if was.fault is None or row.last.next is None else \
                ", acknowledged %d ms before its host's fault" % (
                    (was.fault[0] - row.last.next.began) // 10**6)
            if was.over is not None:
                early += ", ended %d ms after it had it%s" % (
                    (was.over - row.last.ended) // 10**6,
                    "" if row.last.next is None else " (was acknowledged)")
            complain(p, "%s again to %s, was %s's%s" %
                     (row.text, d.opening.who, was.who, early))
        was.superseded = min(was.superseded or 1 << 62, d.ended)


def read_committed(path, host, parts, resets, faults):
    """On one host it goes back by resets only.  What it was, and when."""
    last, shown = {}, [[] for _ in parts]
    for line in open(path):
        words = line.split()
        if len(words) != 3:
            continue
        p, off, when = map(int, words)
        was, at = last.get(p, (0, 0))
        if off < was and not any(
                x.began < when and x.low <= off and
                (x.ended + STALE_NS > at or
                 was_behind(host, faults, x.ended, when)) for x in resets[p]):
            complain(p, "back at %d from %d on z%s" % (off, was, host))
        if off != was:
            count("offsets seen")
            shown[p].append((when, off))
        last[p] = off, when
    return shown


def check_committed(path, host, parts, given, resets, faults):
    """Nobody is given what is before what was seen to be committed."""
    shown = read_committed(path, host, parts, resets, faults)
    for p in range(len(parts)):
        times = [when for when, _ in shown[p]]
        for d in given[p]:
            i = bisect.bisect_left(times, d.at) - 1
            if i < 0 or shown[p][i][1] <= d.record.start:
                continue
            when = times[i]
            if was_behind(host, faults, when, when) or any(
                    x.began < d.at and x.ended + STALE_NS > when
                    for x in resets[p] if x.done or x.unknown):
                continue
            complain(p, "%s to %s, when %d was committed on z%s %d ms ago" %
                     (d.record.text, d.opening.who, shown[p][i][1], host,
                      (d.at - when) // 10**6))


def main(slack_ms, top, files):
    slack = slack_ms * 10**6
    parts, by_text = read_partitions(files)
    faults, ends = read_faults(top + "/faults")
    openings = read_openings(glob.glob(top + "/*z[0-9].log"), by_text,
                             faults, ends)
    place_in_time(openings, faults)
    resets = read_resets(top + "/resets", parts)
    given = [[] for _ in parts]
    for o in openings.values():
        for d in o.given:
            given[d.record.p].append(d)
    for p, rows in enumerate(parts):
        walk(p, rows, given[p], resets[p], faults, slack)
        check_free(p, resets[p], openings)
    for path in glob.glob(top + "/committed[0-9]"):
        check_committed(path, path[-1], parts, given, resets, faults)
    for path in glob.glob(top + "/fed[0-9]"):
        for line in open(path):
            text = " ".join(line.split()[:3])
            if text not in by_text:
                wrong.append("acknowledged and lost: " + text)
    count("records", sum(map(len, parts)))
    count("deliveries", sum(map(len, given)))
    print(", ".join("%s %d" % (k, v) for k, v in sorted(seen.items())))
    for line in wrong[:20]:
        print(line)
    return len(wrong) > 0


sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
