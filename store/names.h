#ifndef ZK_STORE_NAMES_H
#define ZK_STORE_NAMES_H

#include "store/apply.h"
#include "store/session.h"

/*
 * The commands that change names: create, link, unlink, rmdir, rename, and
 * the end of nodes.  Part of the state machine; each returns 0 or the
 * negative code that refuses the command, with nothing changed.
 *
 * A node that lost its last name lives on, without one, while a session may
 * have it open: each session says so by ZK_OP_REAP once its host's kernel has
 * forgotten the node.
 */
int zk_names_create(struct zk_apply *ap);
int zk_names_link(struct zk_apply *ap);
int zk_names_unlink(struct zk_apply *ap);
int zk_names_rmdir(struct zk_apply *ap);
int zk_names_rename(struct zk_apply *ap);

/* Make the file cmd->ino the ephemeral of the open file cmd->handle. */
int zk_names_ephemeral(struct zk_apply *ap);

/* Remove a file whose owner closed it or is gone. */
int zk_names_remove_ephemeral(struct zk_apply *ap,
    const struct zk_ephemeral *eph);

/* ZK_OP_REAP: cmd->data holds inode numbers, u64 little-endian. */
int zk_names_reap(struct zk_apply *ap);

/* A session's holds on unlinked nodes end with it. */
int zk_names_reap_session(struct zk_apply *ap, uint64_t session);

#endif
