#!/bin/bash
# What a member had acknowledged when it closed `next` is how far the group is,
# to the byte, also while records keep coming and it is looked at: nothing is
# delivered again that was acknowledged, and nothing else is left out.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
must bash -c 'echo retention.bytes=1000000 >>"$0/config"' "$T"
# shellcheck disable=SC2016 # the inner shell expands
spawn bash -c 'i=0; exec >>"$0"; while echo "record $i"; do i=$((i + 1)); done' \
    "$T/p0"
writer=$!
check "what was acknowledged at the close is committed" python3 - "$G" \
    "${ROUNDS:-1200}" <<'END'
import os, random, sys
group, rounds = sys.argv[1], int(sys.argv[2])

def committed():
    return int(open(group + "/p0").read())

# The bytes of a stream are those of the partition, from where it begins.
seen, wrong = 0, 0
for round in range(rounds):
    before = committed()
    fd = os.open(group + "/next", os.O_RDONLY)
    data = os.pread(fd, 4096, 0)
    ends = [i + 1 for i, c in enumerate(data) if c == 10]
    number = int(data.split(None, 2)[1])
    done = random.randrange(min(8, len(ends)))
    at = 0
    for end in ends[:done]:
        # Or somewhere in the record after it, which is not done by that.
        at = end
        assert os.pread(fd, 1 + random.randrange(9), end)
    os.close(fd)
    after = committed()
    if after - before != at or number != seen:
        wrong += 1
        print("round", round, "acknowledged", at, "committed", after - before,
            "begins with", number, "not", seen)
    seen = number + done
sys.exit(wrong > 0 or committed() == 0)
END
kill "$writer"
wait "$writer" 2>/dev/null
must stop_fs
