#ifndef ZK_FS_MAKE_H
#define ZK_FS_MAKE_H

#include "fs/call.h"

/* What create(2) shares with the other ways to make a node. */

/*
 * Group and mode that cmd's new node gets from its directory.  0, or -ENOENT
 * when the directory is gone.
 */
int zk_inherit(struct zk_fs *fs, uint64_t parent, struct zk_command *cmd,
    struct zk_attr *ret_parent);

/* The entry to reply for a node just made, whose inode is registered. */
struct fuse_entry_param zk_made_entry(struct zk_call *call,
    const struct zk_outcome *out);

#endif
