#ifndef ZK_QUEUE_PLOG_H
#define ZK_QUEUE_PLOG_H

#include "consensus/raft.h"
#include "queue/partition.h"
#include "store/env.h"
#include "store/table.h"

/*
 * The partitions of this host on disk: for each its Raft state and its log,
 * which is the partition's data.  Each entry of the log knows at which offset
 * of the partition its bytes begin, so that an offset, a time, and a term, all
 * of which only grow from entry to entry, are found by bisection: nothing is
 * stored a second time.
 *
 * For queue/ only.  Functions that take a transaction: the broker's thread
 * and its write transaction, or any thread and a read transaction.
 */
struct zk_plog;

/* See zk_broker_claim(). */
int zk_plog_claim(const char *dir, struct zk_store *store);

struct zk_plog_options {
	const char *dir;
	uint64_t self;    /* node id */
	size_t map_bytes; /* 0: the default */
	bool background;  /* checkpoints have a thread */
};

/* Codes as of zk_broker_open(). */
int zk_plog_open(const struct zk_plog_options *options,
    struct zk_plog **ret_plog);
void zk_plog_close(struct zk_plog *plog); /* NULL is fine */
struct zk_env *zk_plog_env(struct zk_plog *plog);

/* Configurations that a group may remember; see struct zk_pstate. */
#define ZK_PCONFS_MAX 8u

enum zk_pstatus {
	ZK_PART_LIVE = 1,
	ZK_PART_LEFT,    /* its replica moved away: only the term is kept */
	ZK_PART_DROPPED, /* nothing is kept */
};

/*
 * A partition's state.  The log holds entries base_index + 1 and on; entries
 * from disk_first on are still on disk and to be deleted up to base_index.
 * base_offset is the partition's start.
 */
struct zk_pstate {
	enum zk_pstatus status;
	uint64_t disk_first;
	uint64_t base_index, base_term, base_offset;
	uint64_t commit_index; /* as far as known when it was written */
	struct zk_stamp time;  /* of the last record that is committed */
	uint32_t conf_count;   /* > 0 */
	/* In force at base_index, then those that entries after it bring. */
	struct zk_conf_entry confs[ZK_PCONFS_MAX];
};

int zk_pstate_put(struct zk_tx *tx, uint64_t id, const struct zk_pstate *state);
int zk_pstate_get(struct zk_tx *tx, uint64_t id, struct zk_pstate *ret_state);
int zk_pstate_delete(struct zk_tx *tx, uint64_t id);
/* The next partition after id; -ENOENT. */
int zk_pstate_next(struct zk_tx *tx, uint64_t id, uint64_t *ret_id);

int zk_phard_put(struct zk_tx *tx, uint64_t id, uint64_t term, uint64_t vote);
/* -ENOENT */
int zk_phard_get(struct zk_tx *tx, uint64_t id, uint64_t *ret_term,
    uint64_t *ret_vote);
int zk_phard_delete(struct zk_tx *tx, uint64_t id); /* the floor, too */
/*
 * How far the log went of a replica that has given it up: see
 * zk_group_is_behind().  get: -ENOENT.
 */
int zk_pfloor_put(struct zk_tx *tx, uint64_t id, uint64_t term, uint64_t index);
int zk_pfloor_get(struct zk_tx *tx, uint64_t id, uint64_t *ret_term,
    uint64_t *ret_index);
int zk_phard_next(struct zk_tx *tx, uint64_t id, uint64_t *ret_id);

/* --- entries -------------------------------------------------------------- */

enum zk_pentry_kind {
	ZK_PENTRY_DATA = 1, /* records */
	ZK_PENTRY_NOOP,     /* the first of a term */
	ZK_PENTRY_CONF,     /* payload: a membership */
	ZK_PENTRY_TRIM,     /* payload: what retention takes; see group.c */
};
#define ZK_PENTRY_KIND_LAST ZK_PENTRY_TRIM

struct zk_pentry {
	uint64_t index, term;
	enum zk_pentry_kind kind;
	struct zk_stamp time; /* of the leader; never goes back */
	uint64_t offset;      /* where its records begin */
	/* DATA: who wrote it; see writers.h. */
	uint64_t session, number, acked;
	uint32_t len;        /* of the payload */
	const void *payload; /* borrowed; not set by zk_plog_head() */
};

/* What an entry adds to the partition. */
static inline uint64_t
zk_pentry_end(const struct zk_pentry *entry)
{
	return entry->kind == ZK_PENTRY_DATA ? entry->offset + entry->len
	                                     : entry->offset;
}

/* An entry without its payload, encoded. */
#define ZK_PENTRY_HEAD_BYTES (8u + 1 + 8 + 4 + 8 + 8 + 8 + 8 + 4)

int zk_plog_append(struct zk_tx *tx, uint64_t id,
    const struct zk_pentry *entry);
/* -ENOENT */
int zk_plog_head(struct zk_tx *tx, uint64_t id, uint64_t index,
    struct zk_pentry *ret_entry);
/* len bytes of the payload from `at`; within it. */
int zk_plog_bytes(struct zk_tx *tx, uint64_t id, const struct zk_pentry *entry,
    uint32_t at, void *buf, size_t len);
/* The index of the last entry, or 0: there is none from `after` + 1 on. */
int zk_plog_last(struct zk_tx *tx, uint64_t id, uint64_t after,
    uint64_t *ret_index);

/*
 * Delete entries first..last, from the end, so that a log is left at each step;
 * or from the front, about max_rows rows of them: *ret_next is the first that
 * is left.
 */
int zk_plog_truncate(struct zk_tx *tx, uint64_t id, uint64_t first,
    uint64_t last);
int zk_plog_trim(struct zk_tx *tx, uint64_t id, uint64_t first, uint64_t last,
    uint32_t max_rows, uint64_t *ret_next);

/*
 * Of entries first..last, which are there: the first that ends after `offset`,
 * whose time is not before `time`, whose term is greater than `term`; last + 1
 * when there is none.  The offsets of the span are only a help.
 */
struct zk_pspan {
	uint64_t first, last;
	uint64_t start, end; /* offsets: of the first, after the last */
};
int zk_plog_find_offset(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    uint64_t offset, uint64_t *ret_index);
int zk_plog_find_time(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    struct zk_stamp time, uint64_t *ret_index);
int zk_plog_find_term(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    uint64_t term, uint64_t *ret_index);

static inline int
zk_stamp_compare(struct zk_stamp a, struct zk_stamp b)
{
	if (a.sec != b.sec)
		return a.sec < b.sec ? -1 : 1;
	return a.nsec < b.nsec ? -1 : a.nsec > b.nsec;
}

#endif
