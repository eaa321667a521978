#ifndef ZK_CTL_SAY_H
#define ZK_CTL_SAY_H

#include "ctl/ctl.h"

/*
 * One line on stderr for one failure: "zkfs: COMMAND: what: reason".
 */

/* What an errno of the mount means to its user.  Static text. */
const char *zk_ctl_reason(int err);

void zk_ctl_say(const struct zk_ctl *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "what: reason" for a positive errno. */
void zk_ctl_say_errno(const struct zk_ctl *ctl, const char *what, int err);

/*
 * Until fd (-1: none) can be read, or for timeout_ms (-1: for ever); 0, also
 * after a signal.  With prints, nobody may read standard output any more, and
 * then there is nothing to wait for: it ends the process by SIGPIPE, as a write
 * would, or, if that is ignored, says so and returns an exit status.
 */
int zk_ctl_wait(const struct zk_ctl *ctl, bool prints, int fd, int timeout_ms);

#endif
