#ifndef ZK_DAEMON_ANSWERER_H
#define ZK_DAEMON_ANSWERER_H

#include "daemon/inbox.h"

/*
 * A thread that tells callers their outcomes, when there are many at once: to
 * answer a write is a system call that wakes somebody, and a third of the node
 * thread's time under load.  What it is given has been committed and applied.
 * Bounded by the inbox: who waits for an answer asks nothing else.
 */
struct zk_answerer;

int zk_answerer_open(struct zk_answerer **ret_answerer);

/* Tells what was given, and ends.  NULL is fine. */
void zk_answerer_close(struct zk_answerer *answerer);

/* Takes all of the list.  One thread at a time. */
void zk_answerer_give(struct zk_answerer *answerer, struct zk_item_list *list);

#endif
