#ifndef ZK_FS_VXATTR_H
#define ZK_FS_VXATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs/fuse.h"

struct zk_fs;

/*
 * The attributes user.zkfs.*: what zkfs knows of a node beyond stat(2).
 *
 * Setting or removing one that only tells something succeeds and does nothing:
 * `rsync -X` and `cp -a` carry them from file to file and must not fail.  Such
 * a copy does not make the new file ephemeral either.
 */
#define ZK_VXATTR_PREFIX "user.zkfs."

bool zk_vxattr_is(const char *name);

/* The value as text, not terminated.  -ENODATA where there is none. */
int zk_vxattr_get(struct zk_fs *fs, uint64_t ino, const char *name, char *buf,
    size_t cap, size_t *ret_len);

/*
 * Adds the names that ino has after len bytes of buf.  Returns the length of
 * all; beyond cap nothing is written.
 */
size_t zk_vxattr_list(struct zk_fs *fs, uint64_t ino, char *buf, size_t cap,
    size_t len);

/* Answers req. */
void zk_vxattr_set(fuse_req_t req, uint64_t ino, const char *name,
    const char *value, size_t size);

/* 0: it is there, and stays.  -ENODATA; -EPERM: of an ephemeral file. */
int zk_vxattr_remove(struct zk_fs *fs, uint64_t ino, const char *name);

#endif
