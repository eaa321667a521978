#ifndef ZK_CTL_GUARD_H
#define ZK_CTL_GUARD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Watches over something that is held through an open file: an ephemeral or
 * a lock.  A thread of its own asks the mount, because a call into a daemon
 * that hangs does not return; the holder must notice that too.
 */
struct zk_ctl_guard;

struct zk_ctl_held {
	int fd;            /* stays the caller's, and open */
	const char *path;  /* must go on leading to the open file */
	const char *mount; /* where its zkfs is mounted; or NULL */
	const char *xattr; /* must go on having this number; or NULL */
	uint64_t number;
};

/* The strings are copied.  0 or -errno. */
int zk_ctl_guard_start(const struct zk_ctl_held *held,
    struct zk_ctl_guard **ret_guard);

/* Readable as soon as it is lost. */
int zk_ctl_guard_fd(const struct zk_ctl_guard *guard);

/*
 * Why it is lost, or NULL while it is held.  To be called by one thread, at
 * least every ZK_CTL_GUARD_TICK_MS: it also counts how long the mount has not
 * answered.
 */
const char *zk_ctl_guard_lost(struct zk_ctl_guard *guard);

/* Ends the thread; one that hangs in a call is left to exit(3). */
void zk_ctl_guard_stop(struct zk_ctl_guard *guard);

#define ZK_CTL_GUARD_TICK_MS 250

#endif
