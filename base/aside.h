#ifndef ZK_BASE_ASIDE_H
#define ZK_BASE_ASIDE_H

#include <stdbool.h>

/*
 * A thread that does one thing at a time beside its owner: what waits for a
 * disk while the owner has something to compute.
 *
 * Threads: begin, wait and close are for one thread, or for several in turns.
 * What fn uses is its own from begin to the end of wait.
 */
struct zk_aside;

/* name: of the thread, at most 15 bytes.  -ENOMEM or -EAGAIN: no thread. */
int zk_aside_open(const char *name, struct zk_aside **ret_aside);
/* Waits for what was begun.  NULL is fine. */
void zk_aside_close(struct zk_aside *aside);

/* Nothing may be under way.  Does not block. */
void zk_aside_begin(struct zk_aside *aside, int (*fn)(void *arg), void *arg);
/* What fn has returned; blocks until it has.  Something must have been begun. */
int zk_aside_wait(struct zk_aside *aside);

#endif
