#ifndef ZK_DAEMON_GUARD_H
#define ZK_DAEMON_GUARD_H

#include <sys/types.h>

/*
 * A process that sees to it that a killed daemon is gone.
 *
 * The kernel ends the requests of a mount when /dev/fuse is closed, and that
 * is when the last thread of the daemon has ended.  A thread that tells the
 * kernel of a change waits for the directory's lock, which a caller may hold
 * whose request only the daemon could answer: if it is killed then, both wait
 * for ever, and nobody can kill them.  So this process, which has neither
 * threads nor /dev/fuse, aborts the mount's connection as soon as the daemon's
 * first thread has ended.  The mount stays, dead, until somebody takes it
 * away: nobody is to write into the directory below it.
 */
struct zk_guard {
	pid_t pid;
	int fd; /* -1: none */
};

/*
 * Fork it.  By the first thread of the daemon, before there are others, and
 * while nothing is open that it must not hold.  0 or -errno.
 */
int zk_guard_fork(struct zk_guard *ret_guard);

/* What is on dir (canonical) now is our mount. */
void zk_guard_begin(struct zk_guard *guard, const char *dir);

/* The mount is gone: there is nothing to see to any more.  Twice is once. */
void zk_guard_end(struct zk_guard *guard);

#endif
