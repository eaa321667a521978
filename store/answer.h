#ifndef ZK_STORE_ANSWER_H
#define ZK_STORE_ANSWER_H

#include "base/command.h"
#include "store/table.h"

/*
 * The answers of each session's commands, so that a command which is retried
 * because its answer got lost is answered again and not applied again
 * (Ongaro, "Consensus: Bridging Theory and Practice" (2014), section 6.3).
 * The table is bounded: a command says up to where its session has answers.
 */

/* 0 or a fatal code. */
int zk_answer_put(struct zk_tx *tx, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome);

/*
 * -ENOENT: never answered.  ret_outcome->attr is that of the node now, since
 * only the node's number is kept.
 */
int zk_answer_get(struct zk_tx *tx, uint64_t session, uint64_t number,
    struct zk_outcome *ret_outcome);

/*
 * Forgets the answers up to, not including, `below`; also those that came late,
 * to a number that was below the last time, as to who waited for a lock.
 */
int zk_answer_forget(struct zk_tx *tx, uint64_t session, uint64_t below);

/* Forgets them all: the session is over. */
int zk_answer_forget_all(struct zk_tx *tx, uint64_t session);

#endif
