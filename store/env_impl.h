#ifndef ZK_STORE_ENV_IMPL_H
#define ZK_STORE_ENV_IMPL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/checkpoint.h"
#include "store/env.h"
#include "store/journal.h"

/* What the files env*.c share: env.c, env_journal.c, env_room.c. */

/* Read transactions kept for reuse; LMDB has room for 126 readers. */
#define READERS_KEPT 32u
#define READERS_MAX  120u

struct zk_env {
	MDB_env *mdb;
	MDB_dbi dbi;
	int witness_fd; /* of the file; see is_sound() */

	struct zk_journal *journal; /* NULL: commits are flushed */
	struct zk_checkpointer *checkpointer;
	uint8_t *notes; /* of the transaction: a head, then tx->noted bytes */
	size_t notes_cap, notes_max;
	uint64_t checkpoint_last_page;
	struct zk_checkpoint mark; /* of what is committed */
	uint64_t label;            /* of it */
	/*
	 * Committed for later: in the journal, and in this transaction of
	 * LMDB, which is tx->mdb while there is one; and again, for the case
	 * that it is undone, as notes.
	 */
	MDB_txn *later;
	uint8_t *kept;
	size_t kept_len, kept_cap;
	size_t ahead; /* bytes of notes of what is committed and not flushed */
	int broken;   /* it is not known what the disk holds */
	/*
	 * Of the transaction: bytes of notes that are on their way to the
	 * journal, or there; 0: none.  In flight they are the other thread's.
	 */
	size_t begun;
	bool in_flight;
	int begun_rc;           /* once it is not */
	bool background;        /* may have threads */
	struct zk_aside *aside; /* NULL: not yet */

	pthread_mutex_t readers_lock;
	struct zk_tx *readers[READERS_KEPT]; /* protected by readers_lock */
	size_t reader_count;                 /* protected by readers_lock */

	bool writing;
	MDB_cursor *cursors[ZK_TX_CURSORS]; /* of the write transaction */
	bool room;
	uint64_t room_checked_ms;
	uint64_t file_bytes;
};

/* A new one of LMDB, with no cursors. */
int zk_env_begin_mdb(struct zk_env *env, MDB_txn **ret_txn);

/* The code of a commit that failed, after a look at what is the matter. */
int zk_env_failed_commit(struct zk_env *env, int rc);

/* env_journal.c: for an environment that has one. */
int zk_env_open_journal(struct zk_env *env,
    const struct zk_env_options *options);
int zk_env_commit_journaled(struct zk_env *env, struct zk_tx *tx);
/* 1: there is no room for len bytes of notes, even after a checkpoint. */
int zk_env_make_journal_room(struct zk_env *env, size_t len);
int zk_env_append_notes(struct zk_env *env, size_t len); /* there is room */
/* LMDB's part; noted: the last record of the journal is of this commit. */
int zk_env_commit_mdb(struct zk_env *env, struct zk_tx *tx, bool noted);
/* All that the journal has is committed; maybe it is time for a checkpoint. */
void zk_env_mark(struct zk_env *env);
int zk_env_maybe_checkpoint(struct zk_env *env);
/* A transaction was undone: what was kept for later begins the next. */
void zk_env_redo_kept(struct zk_env *env);

/* env_room.c: on the disk and in the map, far from any need to use it well. */
bool zk_env_has_plenty(struct zk_env *env);

/* env_flush.c. */
/*
 * At the commit: wait for what was begun.  *ret_done: the journal has all
 * notes of tx; else it has none.  At the abort: it shall have none.
 */
int zk_env_end_flush(struct zk_tx *tx, bool *ret_done);
void zk_env_undo_flush(struct zk_env *env);
/* Before notes are added to: they are nobody else's any more. */
void zk_env_await_flush(struct zk_env *env);

#endif
