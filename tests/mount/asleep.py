"""For tests in Python: do something once the main thread waits in the kernel."""
import os
import threading


def waits(tid, *names):
    """Whether this thread of ours is in a function of one of these names."""
    try:
        with open("/proc/self/task/%d/wchan" % tid) as f:
            text = f.read()
    except OSError:
        return False
    return any(name in text for name in names)


def when_waiting(act, *args):
    """Another thread does it when ours is in poll(2) and the like, or a read
    that a FUSE file system has not answered.  Returns the thread."""
    main = threading.main_thread().native_id

    def run():
        while not waits(main, "poll", "select", "request_wait"):
            os.sched_yield()
        act(*args)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
