#ifndef ZK_CTL_WHERE_H
#define ZK_CTL_WHERE_H

#include "ctl/ctl.h"

/*
 * Which mount a command means, and which file a PATH.  Both complain on
 * stderr themselves and then return a negative code.
 */

/*
 * The mount of -m DIR; else the one that the working directory is on; else
 * the only one of the host.  *ret_mount belongs to ctl.
 */
int zk_ctl_where_mount(struct zk_ctl *ctl,
    const struct zk_ctl_mount **ret_mount);

/*
 * The path to give to the kernel for an argument PATH.  Without -m it is the
 * argument, which must be on a mount of zkfs.  With -m, a path that is not on
 * that mount is taken as one of its tree.  Also tells the mount.  *ret_path is
 * the caller's to free.
 */
int zk_ctl_where_path(struct zk_ctl *ctl, const char *arg, char **ret_path,
    const struct zk_ctl_mount **ret_mount);

/* DIR/.zkfs/NAME; the caller's to free, NULL without memory. */
char *zk_ctl_where_control(const struct zk_ctl_mount *mount, const char *name);

#endif
