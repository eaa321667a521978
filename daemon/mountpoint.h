#ifndef ZK_DAEMON_MOUNTPOINT_H
#define ZK_DAEMON_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

#include "daemon/fault.h"

/*
 * The directory to mount on.  Everything here is done before the mount
 * exists, or by a process that holds no /dev/fuse: a daemon that waits for
 * its own mount cannot be killed.
 */

#define ZK_MOUNTPOINT_FSTYPE "fuse.zkfs"

enum zk_mount_state {
	ZK_MOUNT_NONE, /* no zkfs on it (another filesystem may be) */
	ZK_MOUNT_LIVE, /* a zkfs, whose daemon answers or may yet answer */
	ZK_MOUNT_DEAD, /* a zkfs, whose daemon is gone */
};

struct zk_mountpoint {
	char dir[PATH_MAX]; /* canonical */
	enum zk_mount_state state;
};

/*
 * Look, and change nothing: dir exists and is a directory, this process may
 * mount, /dev/fuse can be opened, and data (absolute; need not exist) lies
 * neither below dir nor on any zkfs.  Returns 0 with state NONE or DEAD; or a
 * negative code with *ret_fault set, -EBUSY for a live zkfs.  May wait 3 s
 * for a daemon that does not answer.  Call before any thread exists (forks).
 */
int zk_mountpoint_check(const char *dir, const char *data,
    struct zk_mountpoint *ret_mountpoint, struct zk_fault *ret_fault);

/*
 * Lazily unmount the dead zkfs mounts on top of mountpoint->dir, and nothing
 * else.  Returns 0, also when there were none.
 */
int zk_mountpoint_clear(struct zk_mountpoint *mountpoint,
    struct zk_fault *ret_fault);

/*
 * `mount -o remount,...`: give the live zkfs on dir these MS_* flags.
 */
int zk_mountpoint_remount(const char *dir, unsigned long mount_flags,
    struct zk_fault *ret_fault);

/*
 * Give the fresh mount on dir its propagation: MS_PRIVATE and the like, or 0
 * for leaving it alone.  Asks the daemon nothing, so it may call this.
 */
int zk_mountpoint_propagate(const char *dir, unsigned long propagation_flags,
    struct zk_fault *ret_fault);

/* What is mounted on the canonical dir, topmost; may fork, may wait 3 s. */
enum zk_mount_state zk_mountpoint_state(const char *dir);

/*
 * Whether the kernel knows SELinux contexts.  Where it does not, mount(8) takes
 * them off the options of every filesystem, and so do we.
 */
bool zk_mountpoint_knows_contexts(void);

#endif
