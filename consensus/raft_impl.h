#ifndef ZK_CONSENSUS_RAFT_IMPL_H
#define ZK_CONSENSUS_RAFT_IMPL_H

#include "consensus/raft.h"

/*
 * What the files of the Raft core share with each other and with nobody else.
 * They only ever see a struct zk_raft between two events; every function
 * that takes effects adds to them.
 */

/* raft.c */

/* Adds one message from us; fills in `from` and, if 0, our term. */
void zk_raft_emit(const struct zk_raft *r, struct zk_effects *fx,
    struct zk_msg *msg);
/* Whether what is said in our term may go before the next flush. */
bool zk_raft_term_is_durable(const struct zk_raft *r);
/* Adds milliseconds to a timer, which stops at its largest value. */
void zk_raft_elapse(uint32_t *timer_ms, uint32_t elapsed_ms);

/* raft_log.c: indexes and terms of the entries */

uint64_t zk_raft_last_term(const struct zk_raft *r);
/* Last index of the run that holds index, which is in the log. */
uint64_t zk_raft_run_end(const struct zk_raft *r, uint64_t index);
/* Whether entries of term can be appended once those >= from are gone. */
bool zk_raft_log_has_room(const struct zk_raft *r, uint64_t from,
    uint64_t term);
void zk_raft_log_append(struct zk_raft *r, uint64_t last, uint64_t term);
void zk_raft_log_truncate(struct zk_raft *r, uint64_t from);
/*
 * Entries up to base, which is in the log, are gone.  base_term 0: look it
 * up; it may come out as 0 then, which is as good as being compacted.
 */
void zk_raft_log_compact(struct zk_raft *r, uint64_t base, uint64_t base_term);
/* The first index of first..last that is not here with that term. */
uint64_t zk_raft_log_mismatch(const struct zk_raft *r, uint64_t first,
    uint64_t last, uint64_t term);
/* The highest index <= index whose term is at most term, at least base. */
uint64_t zk_raft_log_floor(const struct zk_raft *r, uint64_t index,
    uint64_t term);

/* raft_config.c: members */

unsigned zk_raft_quorum(const struct zk_conf *conf);
/* Whether the voters among the set bits are a majority. */
bool zk_raft_bits_win(const struct zk_conf *conf, uint32_t bits);
/* Takes over what an entry or a snapshot says; the index must grow. */
void zk_raft_conf_adopt(struct zk_raft *r, const struct zk_conf *conf,
    uint64_t index);
/* The log loses its entries from `from` on. */
void zk_raft_conf_rollback(struct zk_raft *r, uint64_t from);
bool zk_raft_conf_can_rollback(const struct zk_raft *r, uint64_t from);
int zk_raft_conf_change(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);

/* raft_election.c: terms, votes, roles */

void zk_raft_follow(struct zk_raft *r, uint64_t term, uint64_t leader,
    struct zk_effects *fx);
void zk_raft_campaign(struct zk_raft *r, bool transfer, struct zk_effects *fx);
void zk_raft_reset_timer(struct zk_raft *r);
void zk_raft_tick_follower(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx);
void zk_raft_leader_lost(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_peer_met(struct zk_raft *r, uint64_t peer);
/* A leader was heard from within the shortest election timeout. */
bool zk_raft_in_lease(const struct zk_raft *r);
void zk_raft_on_prevote(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_vote(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_vote_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_timeout_now(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);

/* raft_leader.c: the leader's own affairs */

void zk_raft_lead(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_tick_leader(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx);
int zk_raft_propose(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);
int zk_raft_transfer(struct zk_raft *r, uint64_t to, struct zk_effects *fx);
/* Sends TIMEOUT_NOW when the successor has everything. */
void zk_raft_transfer_advance(struct zk_raft *r, struct zk_effects *fx);
/* Adds `count` own entries of kind at the end, and offers them to all. */
void zk_raft_append_own(struct zk_raft *r, uint32_t count,
    enum zk_entry_kind kind, struct zk_effects *fx);
void zk_raft_leader_stored(struct zk_raft *r, struct zk_effects *fx);
/* The highest index that a majority of the voters has on disk. */
uint64_t zk_raft_majority_index(const struct zk_raft *r);
/* Commits what a majority has, tells everyone, steps down if removed. */
void zk_raft_leader_commit(struct zk_raft *r, struct zk_effects *fx);

/* raft_replicate.c: the leader and one follower */

void zk_raft_progress_reset(struct zk_progress *pr, uint64_t next);
/*
 * Asks the driver to send the next entries; empty: even if there are none.
 * True when a message goes out.
 */
bool zk_raft_send_append(struct zk_raft *r, uint32_t slot, bool empty,
    struct zk_effects *fx);
/* To all: entries if there are any, else a commit index that is news. */
void zk_raft_send_all(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_heartbeat_all(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_progress_tick(struct zk_raft *r, uint32_t slot,
    uint32_t elapsed_ms, struct zk_effects *fx);
void zk_raft_progress_lost(struct zk_raft *r, uint64_t peer);
void zk_raft_on_append_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_heartbeat_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_sent(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);
void zk_raft_on_snapshot_result(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);

/* raft_follow.c: the follower's log */

/* 0 or -EPROTO; changes nothing. */
int zk_raft_check_append(const struct zk_raft *r, const struct zk_event *ev);
void zk_raft_on_append(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);
void zk_raft_on_heartbeat(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
int zk_raft_install(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx);
void zk_raft_commit_to(struct zk_raft *r, uint64_t index);

/* raft_read.c: linearizable reads, section 6.4 */

int zk_raft_read(struct zk_raft *r, uint64_t ctx, struct zk_effects *fx);
void zk_raft_on_read(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
void zk_raft_on_read_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx);
/* Leader: its term has a commit, or somebody confirmed an attempt. */
void zk_raft_reads_start(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_reads_confirm(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_reads_fail(struct zk_raft *r, struct zk_effects *fx);
void zk_raft_reads_tick(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx);

#endif
