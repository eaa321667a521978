#ifndef ZK_STORE_LOCK_GRANT_H
#define ZK_STORE_LOCK_GRANT_H

#include <stdbool.h>

#include "store/apply.h"
#include "store/lock_row.h"

/*
 * Who gets a lock next.  Part of the state machine, shared by the commands of
 * lock.c.  Functions return 0 or a fatal code.
 *
 * Invariants between entries: held locks do not conflict; each wait is
 * blocked by a held lock of another owner, or by an older blocked wait.  So
 * whatever takes away a lock or a wait, or weakens a lock, ends with
 * zk_lock_grant().
 */

/*
 * Grant, from the oldest on, every wait of this kind that neither a held lock
 * nor an older wait that stays is in the way of.  The caller stores the file.
 */
int zk_lock_grant(struct zk_apply *ap, struct zk_lock_file *file, bool flock);

/*
 * The answer of a request whose entry was applied without one.  It is kept
 * for a retry, except -ZK_ESESSION.
 */
int zk_lock_answer(struct zk_apply *ap, const struct zk_lock_wait *wait,
    int result);

/* Does the owner hold a lock, on this file or any other? */
int zk_lock_is_holder(const struct zk_lock_file *file,
    const struct zk_held *owner, bool *ret_holds);

#endif
