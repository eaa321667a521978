#ifndef ZK_STORE_STORE_H
#define ZK_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/table.h"

/*
 * The durable state of one member: its identity, Raft's hard state and log,
 * and the replicated tree, in one LMDB environment below a data directory.
 *
 * Threads: one writer (the node thread), any number of readers.
 */

struct zk_store_options {
	const char *dir;      /* made, mode 0700, where missing */
	const char *member;   /* this member's name, for a new directory */
	size_t map_bytes;     /* 0: the default; address space, not disk */
	uint64_t seed;        /* of a new ensemble's id; 0: from the kernel */
	size_t journal_bytes; /* of a new directory's; 0: the default */
	bool background;      /* a thread flushes the tree; else the writer */
};

/* Who the data directory belongs to. */
struct zk_ident {
	uint8_t ensemble[16];
	uint64_t node;  /* this member's id, drawn once, never reused */
	uint64_t boots; /* starts so far; see zk_store_count_boot() */
	char member[64];
	bool fresh; /* made by this zk_store_open() */
};

/*
 * Open, or make, a data directory.  On failure *ret_why, when not NULL, gets
 * one static or malloc'd line (caller frees) that names the file and the
 * reason, and nothing on disk has changed.
 *   -EBUSY        another process has it open
 *   -ZK_EFOREIGN  not empty and not ours
 *   -ZK_EVERSION  made by an incompatible version
 *   -ZK_ECORRUPT  damaged
 */
int zk_store_open(const struct zk_store_options *options, char **ret_why,
    struct zk_store **ret_store);

/*
 * Flush the tree and close.  A negative code when that failed: nothing is lost
 * by it, and the next opening finds out what the matter is.  NULL is fine.
 */
int zk_store_close(struct zk_store *store);

/*
 * Only close: what is left is what a failure of the power leaves, the tree of
 * some moment, and a journal that tells what was committed since.
 */
void zk_store_abandon(struct zk_store *store); /* NULL is fine */

const struct zk_ident *zk_store_ident(const struct zk_store *store);

/* The data directory; it stays the store's. */
int zk_store_dir_fd(const struct zk_store *store);

/*
 * The write transaction.  commit makes everything durable; on its failure the
 * changes are undone, and unless it returned -ENOSPC the process must end: it
 * is not known what the disk holds.  Both end the transaction.
 */
int zk_store_begin(struct zk_store *store, struct zk_tx **ret_tx);
int zk_store_commit(struct zk_tx *tx);
void zk_store_abort(struct zk_tx *tx);

/*
 * As commit, but readers see it, and may be told, before flush makes the log
 * and Raft's state durable: for a tree whose entries are durable already,
 * with others or here.  Nothing is said of the new ones, and no transaction is
 * begun, before flush has returned 0; if it does not, the process must end.
 */
int zk_store_commit_ahead(struct zk_tx *tx);
int zk_store_flush(struct zk_store *store);
bool zk_store_is_ahead(const struct zk_store *store); /* flush is due */

/*
 * The log and Raft's state, as far as they are in tx, begin their way to the
 * disk beside the writer, who goes on with tx; commit and abort wait for it.
 * A crash before that may leave just them.
 * After an abort, broken below 0: it could not be taken back, the process must
 * end and tell nobody that it was undone.
 */
int zk_store_begin_flush(struct zk_tx *tx);
int zk_store_broken(const struct zk_store *store);

/*
 * As commit, for a transaction that changed the log and Raft's state only:
 * cheaper, for readers see it with the next commit.  settle makes it visible,
 * and must come before another thread becomes the writer.
 */
int zk_store_commit_later(struct zk_tx *tx);
int zk_store_settle(struct zk_store *store);

/*
 * Commits are durable by the journal, which has the log and Raft's state; the
 * tree itself is flushed now and then.  After a crash it is found as it was
 * when this many entries were applied to it, or more: those after it must
 * stay in the log.  Writer.
 */
uint64_t zk_store_durable_index(const struct zk_store *store);

/*
 * A trial: a nested write transaction on tx whose changes are always undone.
 * While it is open only *ret_trial may be used.  trial_end returns trial's
 * fatal code, which is tx's then, too.
 */
int zk_store_trial_begin(struct zk_tx *tx, struct zk_tx *ret_trial);
int zk_store_trial_end(struct zk_tx *tx, struct zk_tx *trial);

/*
 * The tree's root: what applying the first entry of a new ensemble makes.
 */
int zk_store_bootstrap(struct zk_tx *tx, struct zk_stamp now, uint32_t uid,
    uint32_t gid);

/*
 * Which ensemble this member belongs to.  A new directory draws an id of its
 * own, for an ensemble that it founds; a member of an ensemble founded
 * elsewhere takes that one's, before its first entry.  -EINVAL afterwards.
 */
int zk_store_join(struct zk_tx *tx, const uint8_t ensemble[16]);

/*
 * One more start, in a transaction of its owner's: the count tells apart, and
 * orders, what this member says before and after a restart.
 */
int zk_store_count_boot(struct zk_tx *tx);

/*
 * Read transactions, from any thread.  Short: pages that a reader can see
 * are not reused.
 */
int zk_read_begin(struct zk_store *store, struct zk_tx **ret_tx);
void zk_read_end(struct zk_tx *tx);

/* The state as this transaction's snapshot has it. */
int zk_state_get(struct zk_tx *tx, struct zk_state *ret_state);

/* Raft's hard state. */
struct zk_hard_state {
	uint64_t term, vote;
};
int zk_hard_state_get(struct zk_tx *tx, struct zk_hard_state *ret_state);
int zk_hard_state_put(struct zk_tx *tx, const struct zk_hard_state *state);

/*
 * The membership that is in force as far as applied: the index of its entry
 * and its encoding, which is consensus/'s.  -ENOENT before the first.
 */
#define ZK_CONF_BYTES_MAX 512u
int zk_conf_row_put(struct zk_tx *tx, uint64_t index, const void *conf,
    size_t len);
int zk_conf_row_get(struct zk_tx *tx, void *buf, size_t cap, size_t *ret_len,
    uint64_t *ret_index);

/*
 * The members' names and addresses as this member knows them, in an encoding
 * of daemon/.  Not replicated.  -ENOENT before the first.
 */
int zk_peers_put(struct zk_tx *tx, const void *peers, size_t len);
int zk_peers_get(struct zk_tx *tx, void *buf, size_t cap, size_t *ret_len);

/*
 * Which file of partitions (ZK_DATADIR_TOPICS) belongs to this tree: a number
 * drawn when it was made, which is in both.  From then on a tree is not opened
 * without that file.  -ENOENT: none yet.
 */
int zk_topics_id_put(struct zk_tx *tx, uint64_t id);
int zk_topics_id_get(struct zk_tx *tx, uint64_t *ret_id);

/*
 * Room: false when the file system below is nearly full, so that only
 * commands that free something may go on.  Node thread; cheap, and
 * re-checked at most a few times a second while there is no room.
 */
bool zk_store_has_room(struct zk_store *store, uint64_t now_ms);

struct zk_store_usage {
	uint64_t file_bytes; /* of the environment's file in use */
	uint64_t map_bytes;  /* its bound */
	uint64_t disk_total, disk_free;
	uint64_t nodes, row_bytes;
	uint64_t applied_index, digest;
};
int zk_store_usage(struct zk_store *store, struct zk_store_usage *ret_usage);

#endif
