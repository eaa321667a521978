#ifndef ZK_CTL_CHILD_H
#define ZK_CTL_CHILD_H

#include <stdint.h>

#include "ctl/ctl.h"
#include "ctl/guard.h"

/* The command that runs while something is held. */

struct zk_ctl_child {
	char *const *argv;          /* NULL: nothing runs, wait for a signal */
	const char *what;           /* what is held, for messages */
	uint64_t fence;             /* ZKFS_FENCE in its environment */
	uint32_t grace_ms;          /* between SIGTERM and SIGKILL */
	struct zk_ctl_guard *guard; /* NULL: cannot be lost */
};

#define ZK_CTL_GRACE_DEFAULT_MS 10000u

/*
 * Run it to its end and return what the shell is to get: its exit status, or
 * 128 + N when signal N ended it, or one of ZK_EXIT_*.  SIGHUP, SIGINT,
 * SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on to it.  When what is
 * held is lost, it and everything it started are ended first.  Blocks signals
 * and makes the process a subreaper, for good.
 */
int zk_ctl_child_run(const struct zk_ctl *ctl,
    const struct zk_ctl_child *child);

#endif
