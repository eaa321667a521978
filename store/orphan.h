#ifndef ZK_STORE_ORPHAN_H
#define ZK_STORE_ORPHAN_H

#include "store/apply.h"
#include "store/inode.h"

/*
 * Nodes without a name, kept because a process somewhere may have them open.
 * One row for each session that has not said otherwise.
 */

/*
 * The node lost its last name: ask the sessions, or end it at once.
 * *ret_held: there are sessions to ask.
 */
int zk_orphan_add(struct zk_apply *ap, const struct zk_inode *node,
    bool *ret_held);

/* 0 when the node has, or had, no holder left: then it is gone. */
int zk_orphan_release(struct zk_apply *ap, uint64_t ino, uint64_t session);

#endif
