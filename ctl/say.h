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

#endif
