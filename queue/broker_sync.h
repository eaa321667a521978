#ifndef ZK_QUEUE_BROKER_SYNC_H
#define ZK_QUEUE_BROKER_SYNC_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Where a partition ends, with all in it that anybody was answered for before
 * the question; a part of broker_impl.h.
 */
struct zk_effects;
struct zk_group;
struct zk_part;
struct zk_request;
struct zk_syncs;

/*
 * The question of that number of that host, which may be this one, is answered
 * by zk_ask_synced() when the leader has made sure that it leads, and what it
 * had has been applied here.  Again before that: nothing is done twice.
 * Negative: not by this replica, now.
 */
int zk_sync_begin(struct zk_group *g, uint64_t from, uint64_t number);
/* Raft's answers, among the effects of a step. */
void zk_sync_told(struct zk_group *g, const struct zk_effects *fx);
/* Answers what can be, when entries have been applied. */
void zk_sync_finish(struct zk_part *part);
bool zk_sync_waits(const struct zk_group *g);

/*
 * Whom to ask next for this host: 0: the replica here has been asked, or there
 * is nobody.
 */
uint64_t zk_sync_aim(struct zk_part *part, struct zk_request *request);
/* From now on it is read here where all up to there is. */
void zk_sync_seen(struct zk_part *part, uint64_t end);

/* broker_ask.c: what a replica here says to SYNC, of this host or another. */
void zk_ask_synced(struct zk_part *part, uint64_t from, uint64_t number,
    int rc);

#endif
