#ifndef ZK_STORE_LOCK_H
#define ZK_STORE_LOCK_H

#include "base/command.h"
#include "store/apply.h"

/*
 * flock(2), POSIX and OFD record locks, cluster-wide.  Part of the state
 * machine: who holds what and who waits is replicated, so a lock survives a
 * change of leader, and waiters are granted in the order of the log.
 *
 * An owner is (session, owner, flock or not).  POSIX rules for ranges: a
 * new lock of an owner replaces its old ones where they overlap, splitting
 * and merging them; flocks cover the whole file.  The fence of a lock is the
 * log index that granted it; asking again for what one holds changes nothing.
 *
 * Fairness: who wants to wait waits behind conflicting waits of others that
 * are older, so shared locks cannot starve an exclusive one.  Exempt is an
 * owner that holds a lock on any file: it waits for holders only, as on
 * Linux.  Otherwise the order of waiting alone could close a circle that the
 * locks do not.  Who does not want to wait is refused only by a holder.
 *
 * All return 0, a negative code that refuses the command, or leave
 * ap->tx->fatal set.
 */

/*
 * ZK_OP_LOCK.  -EAGAIN: in the way of another and ZK_F_WAIT is not set.
 * -EDEADLK: waiting would close a circle of POSIX owners.  -ENOLCK: a bound.
 * -EINVAL: a range beyond the largest offset.  -ENOENT: no such file.
 * With ZK_F_WAIT and a conflict it queues, sets ap->pending and answers
 * later through the sink.  outcome->offset: the fence.
 *
 * A flock that is converted is given up first when the new one cannot be had
 * at once, as on Linux, even when the answer is -EAGAIN.  That answer is
 * given here, with ap->pending set, since a refused command changes nothing.
 */
int zk_lock_apply(struct zk_apply *ap);

/* Whether this very request, of that number, waits already: it is a retry. */
int zk_lock_is_waiting(struct zk_apply *ap, bool *ret_waiting);

/*
 * ZK_OP_LOCK_CANCEL: the wait of request cmd->off of this session ends with
 * -EINTR, through the sink; 0 also when it no longer waits.
 */
int zk_lock_cancel(struct zk_apply *ap);

/* ZK_OP_UNLOCK_OWNER: all locks (or flocks) of cmd->owner on cmd->ino. */
int zk_lock_drop_owner(struct zk_apply *ap);

/*
 * All locks taken through the open file (session, handle) on ino.  Waits end
 * with -EINTR.
 */
int zk_lock_drop_handle(struct zk_apply *ap, uint64_t ino, uint64_t session,
    uint64_t handle);

/*
 * All locks and waits of a session that is over.  Its waits are answered
 * -ZK_ESESSION through the sink; no answer is kept.
 */
int zk_lock_drop_session(struct zk_apply *ap, uint64_t session);

/* The file is gone: its rows too.  Waiters are answered -ENOENT. */
int zk_lock_drop_file(struct zk_apply *ap, uint64_t ino);

/*
 * Readers, any transaction.  len 0: to the end of all files.  -EINVAL as for
 * ZK_OP_LOCK.
 */
struct zk_lock_blocker {
	enum zk_lock_type type; /* ZK_LOCK_NONE: nothing in the way */
	uint64_t off, len;
	uint32_t pid;
	uint64_t session;
};
int zk_lock_find_blocker(struct zk_tx *tx, const struct zk_command *lock,
    struct zk_lock_blocker *ret_blocker);

/* The newest fence the session holds on ino, or 0. */
int zk_lock_fence(struct zk_tx *tx, uint64_t ino, uint64_t session,
    uint64_t *ret_fence);

/* Calls fn for each lock held and waited for, for .zkfs/locks. */
struct zk_lock_row {
	uint64_t ino, session, owner, handle, off, len, fence;
	uint32_t pid;
	enum zk_lock_type type;
	bool flock, waiting;
};
typedef void (*zk_lock_row_fn)(void *arg, const struct zk_lock_row *row);
int zk_lock_list(struct zk_tx *tx, zk_lock_row_fn fn, void *arg);
/* As above, of one file. */
int zk_lock_list_file(struct zk_tx *tx, uint64_t ino, zk_lock_row_fn fn,
    void *arg);

#endif
