#ifndef ZK_CTL_MOUNT_H
#define ZK_CTL_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* The zkfs mounts of this host, as /proc/self/mountinfo tells them. */

struct zk_ctl_mount {
	char *dir;  /* where it is mounted */
	char *root; /* what of the tree: "/", or a part by a bind mount */
	dev_t dev;  /* as in st_dev of everything on it */
	bool whole; /* the root of the tree; else a bind mount of a part */
};

struct zk_ctl_mounts {
	struct zk_ctl_mount *list;
	size_t count;
};

/*
 * Read the lines of a mountinfo file; see proc(5).  0 or -ENOMEM, -EIO; what
 * is not a mount of zkfs is passed over.  *ret_mounts is the caller's to
 * give back.
 */
int zk_ctl_mounts_read(FILE *in, struct zk_ctl_mounts *ret_mounts);

/* An empty value is fine. */
void zk_ctl_mounts_free(struct zk_ctl_mounts *mounts);

/*
 * The mount of a device: the one of the whole tree where there is one, and of
 * several the last, which is the one that can be seen.  NULL if none.
 */
const struct zk_ctl_mount *zk_ctl_mounts_find(
    const struct zk_ctl_mounts *mounts, dev_t dev);

/*
 * The path in the tree of what has this real path on this device; the caller's
 * to free.  *ret_mount is the mount that it is below.  NULL with errno: EXDEV,
 * there is none; ENOMEM.
 */
char *zk_ctl_mounts_below(const struct zk_ctl_mounts *mounts, dev_t dev,
    const char *real, const struct zk_ctl_mount **ret_mount);

/*
 * The only one of the host: -ENOENT when there is none, -ENOTUNIQ when there
 * are several ensembles.
 */
int zk_ctl_mounts_only(const struct zk_ctl_mounts *mounts,
    const struct zk_ctl_mount **ret_mount);

#endif
