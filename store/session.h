#ifndef ZK_STORE_SESSION_H
#define ZK_STORE_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "store/apply.h"
#include "store/table.h"

/*
 * Sessions: one a mount.  An ephemeral file, a lock, a hold on an unlinked
 * file belong to a session and end with it.  A session's id is the log index
 * that opened it.
 */
struct zk_session {
	uint64_t id;
	/*
	 * Grows from session to session of one data directory, which is what
	 * `node` names: a member that was wiped begins to count anew.
	 */
	uint64_t incarnation, node;
	uint64_t acked;      /* answers below are forgotten */
	uint32_t timeout_ms; /* of its lease */
	struct zk_stamp opened;
	char member[64];
};

/* -ENOENT when it is over, or never was. */
int zk_session_get(struct zk_tx *tx, uint64_t id,
    struct zk_session *ret_session);
int zk_session_put(struct zk_tx *tx, const struct zk_session *session);

/* The first session with an id above `after`; -ENOENT. */
int zk_session_next(struct zk_tx *tx, uint64_t after,
    struct zk_session *ret_session);

/*
 * ZK_OP_SESSION_OPEN: outcome->index is the new session's id.  Ends the same
 * node's session of an earlier incarnation; the same incarnation again gets
 * the session it has.  What a node of the same name, now wiped, has left
 * behind ends with its lease.
 */
int zk_session_open(struct zk_apply *ap);

/* ZK_OP_SESSION_END: cmd->ino is over, with all that belongs to it. */
int zk_session_finish(struct zk_apply *ap, uint64_t id);

/* Ephemeral files: which file an open file keeps alive, and its name. */
struct zk_ephemeral {
	uint64_t ino, parent;
	size_t name_len;
	char name[ZK_NAME_MAX + 1];
};
int zk_ephemeral_put(struct zk_tx *tx, uint64_t session, uint64_t handle,
    const struct zk_ephemeral *eph);
int zk_ephemeral_get(struct zk_tx *tx, uint64_t session, uint64_t handle,
    struct zk_ephemeral *ret_eph);
int zk_ephemeral_delete(struct zk_tx *tx, uint64_t session, uint64_t handle);

#endif
