#ifndef ZK_FS_MOUNT_H
#define ZK_FS_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/fs.h"

/*
 * Mount, with mount(2): libfuse knows a part only of the flags that Linux has
 * for a mount.  *ret_fd is the kernel's end of it, the caller's to close.
 */
int zk_mount_make(const struct zk_fs_options *options, int *ret_fd);

/* The last argument of that mount(2).  0, or -EMSGSIZE: more than cap. */
int zk_mount_data(int fd, const char *more, char *buf, size_t cap);

/* The id of the topmost mount on this directory, or -ENOENT. */
int zk_mount_id(const char *mountpoint);

/* Whether the mount of this id is still in our namespace. */
bool zk_mount_is_there(int id);

/* Whether a request that waits for long would end the mount. */
int zk_mount_request_timeout_s(void);

#endif
