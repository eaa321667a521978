#ifndef ZK_FS_CALL_IMPL_H
#define ZK_FS_CALL_IMPL_H

#include "fs/call.h"

/*
 * Between call.c, the life of one call, and calls.c, the thread that retries,
 * resumes, interrupts and times them out.
 *
 * Order of locks: calls.lock, then the lock of the inode table.
 */

/* Whoever gets true gives the one reply; takes no further interrupts. */
bool zk_call_claim(struct zk_call *call);
/*
 * As claim, under calls.lock; before it replies, the caller calls
 * fuse_req_interrupt_func(req, NULL, NULL) without the lock.
 */
bool zk_call_claim_locked(struct zk_calls *calls, struct zk_call *call);
/* Take it out of the list of its next step. */
void zk_call_unstep_locked(struct zk_calls *calls, struct zk_call *call);

/* The outcome is there, from the port or from here. */
int zk_call_send(struct zk_call *call, uint64_t *ret_number);
/* Of memory that it holds while it is parked. */
size_t zk_call_bytes(const struct zk_call *call);
void zk_call_submitted(struct zk_call *call, uint64_t number);
void zk_call_unref(struct zk_call *call);

/*
 * Wait in a list of the caller's, under calls.lock, until it takes the call
 * out again.  again: false when it was answered meanwhile.
 */
void zk_call_wait_in(struct zk_call *call, struct zk_call_list *list);
bool zk_call_wait_again_locked(struct zk_calls *calls, struct zk_call *call,
    struct zk_call_list *list);

void zk_calls_kick_locked(struct zk_calls *calls);

#endif
