#ifndef ZK_STORE_NODES_H
#define ZK_STORE_NODES_H

#include "store/apply.h"
#include "store/inode.h"

/*
 * The commands that change one node: its attributes, content and extended
 * attributes.  Part of the state machine; each returns 0 or the negative code
 * that refuses the command, with nothing changed.
 *
 * cmd->len of a ZK_OP_WRITE is the largest file its caller allows, 0: the
 * limit of all files.
 */
int zk_nodes_setattr(struct zk_apply *ap);
int zk_nodes_write(struct zk_apply *ap);
int zk_nodes_fallocate(struct zk_apply *ap);
int zk_nodes_xattr_set(struct zk_apply *ap);
int zk_nodes_xattr_remove(struct zk_apply *ap);

/*
 * For the parts of store/: the content has changed.  Version and times; puts
 * the node, and tells.
 */
int zk_nodes_content_changed(struct zk_apply *ap, struct zk_inode *node);

/*
 * ZK_OP_RELEASE: the open file cmd->handle of cmd->ino is closed: a pending
 * truncation, its ephemeral file, its locks, its place in a group.
 */
int zk_nodes_release(struct zk_apply *ap);

#endif
