#!/bin/bash
# Without records a read of `next` with O_NONBLOCK says so at once, and with some
# poll(2) does, also while the daemon is busy with that very stream, since others
# come and go.
. "$(dirname "$0")/lib.sh"
T=$M/topics/t
G=$T/groups/g
must start_fs
must mkdir "$T" "$G"
must bash -c 'echo partitions=2 >>"$0/config"' "$T"
check "none waits" timeout 60 python3 - "$T/p0" "$G/next" "${READS:-4000}" \
    <<'END'
import os, select, signal, sys
log, path, reads = sys.argv[1], sys.argv[2], int(sys.argv[3])
fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
others = []
for i in range(3):
    pid = os.fork()
    if pid == 0:
        while True:
            os.close(os.open(path, os.O_RDONLY))
    others.append(pid)

def late(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, late)
try:
    for i in range(reads):
        # Far more than it takes, for one that does not wait for ever.
        signal.alarm(20)
        try:
            os.read(fd, 100)
            sys.exit("there is something to read")
        except BlockingIOError:
            pass
    # Others get the other partition.
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(out, b"record\n")
    for i in range(reads):
        signal.alarm(20)
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if i == 0:
            poll.poll()
        elif not poll.poll(0):
            sys.exit("it is not told after %d times" % i)
    if os.read(fd, 100) != b"record\n":
        sys.exit("it is not the record")
finally:
    signal.alarm(0)
    for pid in others:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
END
must stop_fs
