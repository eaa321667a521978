#ifndef ZK_FS_MOUNT_H
#define ZK_FS_MOUNT_H

#include <stddef.h>

#include "fs/fs.h"

/*
 * The argument of libfuse's -o for these options.  0, or -EMSGSIZE when it
 * exceeds cap.
 */
int zk_mount_options(const struct zk_fs_options *options, char *buf,
    size_t cap);

/* The id of the topmost mount on this directory, or -ENOENT. */
int zk_mount_id(const char *mountpoint);

/* Whether a request that waits for long would end the mount. */
int zk_mount_request_timeout_s(void);

#endif
