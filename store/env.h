#ifndef ZK_STORE_ENV_H
#define ZK_STORE_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/table.h"

/*
 * One LMDB environment with one tree of rows (store/table.h): opening it, its
 * transactions, and the room that it has on disk.  The tree and the topics
 * have one each.
 *
 * Threads: one writer, any number of readers.
 */
struct zk_env;

struct zk_env_options {
	const char *path;
	size_t map_bytes;
	/*
	 * NULL: each commit is flushed, pages and all.  Else a journal of that
	 * name in dir_fd makes it durable (store/journal.h): commits are
	 * short, and what is flushed are checkpoints, now and then.
	 */
	const char *journal;
	int dir_fd;
	size_t journal_bytes; /* of a new one; 0: the default */
	/*
	 * A transaction with more in it than this is flushed with its pages,
	 * as without a journal, so that much is not written twice; 0: what
	 * the journal has room for.
	 */
	size_t journaled_max;
	/* There may be none yet, for a file that was flushed until now. */
	bool adopt;
	bool background; /* has threads: for checkpoints, and to flush */
};

/*
 * The file at path is made where missing, mode 0600; it must be empty, or an
 * environment that is not damaged: LMDB aborts otherwise.  A process opens a
 * file once.  With a journal the file must be as at the last checkpoint
 * (zk_checkpoint_restore()); what came later is done again here.
 */
int zk_env_open(const struct zk_env_options *options, struct zk_env **ret_env);

/* NULL is fine; no transactions.  What is durable is found again. */
void zk_env_close(struct zk_env *env);

/* Flush everything, so that the next opening has nothing to do again. */
int zk_env_checkpoint(struct zk_env *env);

/*
 * What tx->label was in the newest transaction whose pages are on disk: all
 * up to there is found again without the journal.  Writer.
 */
uint64_t zk_env_durable_label(const struct zk_env *env);

/* For store/table.c: a row was put, or (value NULL) deleted. */
void zk_env_note(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len);

/*
 * The write transaction, into *tx, which is the caller's and whose `state` is
 * not touched.  commit and abort end it.  A commit makes everything durable;
 * when it fails with -ENOSPC all is as before, and any other failure ends the
 * process: it is not known what the disk holds.
 */
int zk_env_begin(struct zk_env *env, struct zk_tx *tx);
int zk_env_commit(struct zk_tx *tx);
void zk_env_abort(struct zk_tx *tx); /* one that is over is fine */

/*
 * As commit, but readers see it only with the next one: the rows stay in an
 * open transaction of LMDB, which costs far less.  settle ends that: before
 * another thread becomes the writer.
 */
int zk_env_commit_later(struct zk_tx *tx);
int zk_env_settle(struct zk_env *env);
/* Something waits for that.  Writer. */
bool zk_env_is_unsettled(const struct zk_env *env);

/*
 * As commit, in two steps: readers see the rows, and then flush makes durable
 * what the journal is to have; before that nothing may be said of it, and no
 * transaction be begun.  -ENOSPC only comes from the first.
 */
int zk_env_commit_ahead(struct zk_tx *tx);
int zk_env_flush(struct zk_env *env);
bool zk_env_is_ahead(const struct zk_env *env); /* flush is due */

/*
 * What is noted until now begins its way to the journal beside the writer, who
 * goes on with the transaction, if much is left to do in it.  A crash may leave
 * just that.  commit waits for it, and so does abort, which takes it back; if
 * it cannot, zk_env_broken() tells: then nobody may be told that it was undone.
 */
int zk_env_begin_flush(struct zk_tx *tx);
int zk_env_broken(const struct zk_env *env);

/* Nested in tx, which must not be used until this one is aborted. */
int zk_env_begin_nested(const struct zk_tx *tx, struct zk_tx *ret_nested);

/*
 * Read transactions, from any thread.  Short: pages that a reader can see
 * are not reused.
 */
int zk_env_read_begin(struct zk_env *env, struct zk_tx **ret_tx);
void zk_env_read_end(struct zk_tx *tx);

/*
 * Room: false when the file system below, or the map, is nearly full, so that
 * only what frees something may go on.  Writer; cheap, and re-checked at most
 * a few times a second while there is no room.
 */
bool zk_env_has_room(struct zk_env *env, uint64_t now_ms);

/*
 * When there is none: true as long as half of what is kept in reserve is left,
 * for what was begun before that was known.  Reads a list.
 */
bool zk_env_has_last_room(struct zk_env *env);

struct zk_env_usage {
	uint64_t file_bytes; /* of the file, below its last used page */
	uint64_t map_bytes;  /* its bound */
	uint64_t disk_total, disk_free;
};
void zk_env_usage(struct zk_env *env, struct zk_env_usage *ret_usage);

/* Of file_bytes, what can be used again.  Reads a list: not for every turn. */
uint64_t zk_env_free_bytes(struct zk_env *env);

#endif
