#ifndef ZK_CTL_GROUP_RESET_H
#define ZK_CTL_GROUP_RESET_H

#include <stdint.h>

#include "ctl/ctl.h"

/*
 * Has the group whose directory that is go on from `to`: in one partition, or,
 * below 0, in all of them or in none.  An exit status; what is wrong was said.
 */
int zk_ctl_group_reset(struct zk_ctl *ctl, const char *dir, int64_t partition,
    const char *to);

#endif
