#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/env_impl.h"

/*
 * A checkpoint is begun when this share of the journal is in use, or the file
 * has grown by as many bytes: meanwhile no page of it is used again.
 */
#define CHECKPOINT_SHARE 4u

/*
 * One that takes its time hurries once the file has grown by that again, or so
 * many of these shares are in use.
 */
#define HURRY_SHARES 2u

/* When there is no room: a checkpoint each time the file has grown by this. */
#define SHORT_OF_ROOM_BYTES ((uint64_t)512 * ZK_KIB)

/* Notes of a transaction begin with this much room. */
#define NOTES_FIRST ((size_t)64 << 10)
/* So much may be kept for later. */
#define KEPT_MAX ((size_t)4 * ZK_MIB)

/*
 * A note: key length u16, value length u32 (NOTE_DELETED: none), key, value.
 */
#define NOTE_HEAD    6u
#define NOTE_DELETED UINT32_MAX
#define BLOCK_BYTES  ((size_t)4096)

static bool
ensure_notes(struct zk_env *env, size_t len)
{
	const size_t need = ZK_JOURNAL_HEAD + len + BLOCK_BYTES;
	size_t cap = env->notes_cap == 0 ? NOTES_FIRST : env->notes_cap;
	uint8_t *grown;

	if (len > env->notes_max)
		return false;
	if (need <= env->notes_cap)
		return true;
	while (cap < need)
		cap *= 2;
	/* Whole pages, which can be written past the page cache. */
	grown = aligned_alloc(BLOCK_BYTES, cap);
	if (grown == NULL)
		return false;
	if (env->notes != NULL)
		memcpy(grown, env->notes, env->notes_cap);
	free(env->notes);
	env->notes = grown;
	env->notes_cap = cap;
	return true;
}

void
zk_env_note(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	const size_t more = NOTE_HEAD + key->len + len;
	struct zk_env *env = tx->env;
	struct zk_enc enc;

	if (env == NULL || env->journal == NULL || tx->whole ||
	    !zk_table_is_journaled(key->bytes[0]))
		return;
	zk_env_await_flush(env);
	/* What is too much for the journal is flushed with its pages. */
	if (!ensure_notes(env, tx->noted + more)) {
		tx->whole = true;
		return;
	}
	zk_enc_init(&enc, env->notes + ZK_JOURNAL_HEAD + tx->noted, more);
	zk_enc_u16(&enc, (uint16_t)key->len);
	zk_enc_u32(&enc, value == NULL ? NOTE_DELETED : (uint32_t)len);
	zk_enc_raw(&enc, key->bytes, key->len);
	zk_enc_raw(&enc, value, len);
	ZK_ASSERT(!enc.failed);
	tx->noted += more;
}

static bool
is_new(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return info.me_last_txnid == 0;
}

static uint64_t
last_page(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return info.me_last_pgno;
}

static int
begin_checkpoint(struct zk_env *env, bool in_lots)
{
	env->checkpoint_last_page = last_page(env);
	return zk_checkpointer_begin(env->checkpointer, &env->mark, in_lots);
}

/* One of what is committed now, and not before that. */
static int
checkpoint_now(struct zk_env *env)
{
	int rc = zk_checkpointer_wait(env->checkpointer);

	if (rc == 0)
		rc = begin_checkpoint(env, false);
	if (rc == 0)
		rc = zk_checkpointer_wait(env->checkpointer);
	return rc;
}

/* 1: there is none, even after a checkpoint. */
int
zk_env_make_journal_room(struct zk_env *env, size_t len)
{
	int rc = 0;

	if (!zk_journal_has_room(env->journal, len))
		rc = zk_checkpointer_wait(env->checkpointer);
	if (rc == 0 && !zk_journal_has_room(env->journal, len))
		rc = checkpoint_now(env);
	if (rc < 0)
		return rc;
	return zk_journal_has_room(env->journal, len) ? 0 : 1;
}

/* There is room. */
int
zk_env_append_notes(struct zk_env *env, size_t len)
{
	const int rc = zk_journal_append(env->journal, env->notes, len);

	/* It has had its room from the beginning. */
	return rc == -ENOSPC ? -EIO : rc;
}

/*
 * Notes of the transaction into the journal.  1: there is no room, so it must
 * be a checkpoint itself.
 */
static int
journal_notes(struct zk_env *env, const struct zk_tx *tx)
{
	const int rc = zk_env_make_journal_room(env, tx->noted);

	return rc == 0 ? zk_env_append_notes(env, tx->noted) : rc;
}

uint64_t
zk_env_durable_label(const struct zk_env *env)
{
	return env->journal != NULL ? zk_checkpointer_label(env->checkpointer)
	                            : env->label;
}

int
zk_env_checkpoint(struct zk_env *env)
{
	int rc;

	ZK_ASSERT(!env->writing);

	if (env->journal == NULL)
		return 0;
	rc = zk_env_settle(env);
	return rc == 0 ? checkpoint_now(env) : rc;
}

/* After a commit: is it time for one? */
int
zk_env_maybe_checkpoint(struct zk_env *env)
{
	const uint64_t most = zk_journal_bytes(env->journal) / CHECKPOINT_SHARE;
	const uint64_t used = zk_journal_used(env->journal);
	const uint64_t grown =
	    (last_page(env) - env->checkpoint_last_page) * BLOCK_BYTES;
	int rc;

	/* Deletes must not use up what is in reserve for them. */
	if (!env->room && grown >= SHORT_OF_ROOM_BYTES)
		return checkpoint_now(env);
	rc = zk_checkpointer_poll(env->checkpointer);
	if (rc < 0)
		return rc;
	if (!zk_checkpointer_is_busy(env->checkpointer))
		return used < most && grown < most
		    ? 0
		    : begin_checkpoint(env, zk_env_has_plenty(env));
	if (!env->room || used >= HURRY_SHARES * most || grown >= most)
		zk_checkpointer_hurry(env->checkpointer);
	return 0;
}

/* All that the journal has is committed. */
void
zk_env_mark(struct zk_env *env)
{
	zk_journal_mark(env->journal, &env->mark);
	env->mark.label = env->label;
}

/* LMDB's commit; what was kept for later is in it. */
int
zk_env_commit_mdb(struct zk_env *env, struct zk_tx *tx, bool noted)
{
	int rc;

	rc = zk_err_from_mdb(mdb_txn_commit(tx->mdb));
	tx->mdb = NULL; /* gone, whatever the outcome */
	env->writing = false;
	if (rc == 0) {
		env->kept_len = 0;
		env->label = tx->label;
		return 0;
	}
	rc = zk_env_failed_commit(env, rc);
	if (rc == -ENOSPC && noted && zk_journal_void(env->journal) < 0)
		rc = -EIO;
	if (rc != -ENOSPC)
		return rc;
	/*
	 * What was freed lately can be used again after a checkpoint.  Of
	 * nothing there is none: it would pass for something.
	 */
	if (!is_new(env) && checkpoint_now(env) < 0)
		return -EIO;
	if (env->kept_len > 0)
		zk_env_redo_kept(env);
	return -ENOSPC;
}

/* Nothing is acknowledged before this returns 0. */
int
zk_env_commit_journaled(struct zk_env *env, struct zk_tx *tx)
{
	bool noted = !tx->whole && tx->noted > 0;
	bool begun = false;
	int rc = zk_env_end_flush(tx, &begun);

	if (rc == 0 && noted && !begun)
		rc = journal_notes(env, tx);
	if (rc > 0) {
		tx->whole = true;
		noted = false;
		rc = 0;
	}
	if (rc < 0) {
		zk_env_abort(tx);
		return rc == -ENOSPC ? -EIO : rc;
	}
	rc = zk_env_commit_mdb(env, tx, noted);
	if (rc < 0)
		return rc;
	zk_env_mark(env);
	rc = tx->whole ? zk_env_checkpoint(env) : zk_env_maybe_checkpoint(env);
	return rc == -ENOSPC ? -EIO : rc;
}

/* --- later ---------------------------------------------------------------- */

static bool
keep_notes(struct zk_env *env, size_t len)
{
	const size_t need = env->kept_len + len;
	size_t cap = env->kept_cap == 0 ? NOTES_FIRST : env->kept_cap;
	uint8_t *grown;

	if (need > KEPT_MAX)
		return false;
	while (cap < need)
		cap *= 2;
	if (cap == env->kept_cap)
		return true;
	grown = realloc(env->kept, cap);
	if (grown == NULL)
		return false;
	env->kept = grown;
	env->kept_cap = cap;
	return true;
}

int
zk_env_commit_later(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	int rc;

	if (env->journal == NULL || tx->whole || tx->fatal < 0 ||
	    tx->noted == 0 || !keep_notes(env, tx->noted))
		return zk_env_commit(tx);
	rc = journal_notes(env, tx);
	if (rc > 0) {
		tx->whole = true;
		return zk_env_commit(tx);
	}
	if (rc < 0) {
		zk_env_abort(tx);
		return rc;
	}
	memcpy(env->kept + env->kept_len, env->notes + ZK_JOURNAL_HEAD,
	    tx->noted);
	env->kept_len += tx->noted;
	env->later = tx->mdb;
	tx->mdb = NULL;
	env->writing = false;
	return zk_checkpointer_poll(env->checkpointer);
}

bool
zk_env_is_unsettled(const struct zk_env *env)
{
	return env->kept_len > 0;
}

int
zk_env_settle(struct zk_env *env)
{
	struct zk_tx tx = {.label = env->label};
	int rc;

	if (env->later == NULL)
		return env->broken;
	rc = zk_env_begin(env, &tx);
	return rc == 0 ? zk_env_commit(&tx) : rc;
}

/* --- opening -------------------------------------------------------------- */

/* Do again what notes tell. */
static int
redo_notes(struct zk_tx *tx, const void *bytes, size_t len)
{
	struct zk_dec dec;

	zk_dec_init(&dec, bytes, len);
	while (dec.pos < len) {
		const uint16_t key_len = zk_dec_u16(&dec);
		const uint32_t value_len = zk_dec_u32(&dec);
		const void *raw = zk_dec_raw(&dec, key_len);
		const void *value = NULL;
		struct zk_key key = {0};
		int rc;

		if (value_len != NOTE_DELETED)
			value = zk_dec_raw(&dec, value_len);
		if (dec.failed || key_len == 0 || key_len > ZK_KEY_MAX)
			return -ZK_ECORRUPT;
		zk_key_raw(&key, raw, key_len);
		if (value_len == NOTE_DELETED)
			rc = zk_row_delete(tx, &key);
		else
			rc = zk_row_put(tx, &key, value, value_len);
		if (rc < 0)
			return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	}
	return 0;
}

void
zk_env_redo_kept(struct zk_env *env)
{
	const size_t len = env->kept_len;
	struct zk_tx tx = {0};
	int rc;

	env->kept_len = 0;
	rc = zk_env_begin(env, &tx);
	if (rc == 0) {
		tx.whole = true; /* the journal has it */
		rc = redo_notes(&tx, env->kept, len);
		if (rc == 0)
			env->later = tx.mdb;
		else
			mdb_txn_abort(tx.mdb);
		env->writing = false;
	}
	env->kept_len = len;
	if (rc < 0)
		env->broken = rc == -ENOSPC ? -EIO : rc;
}

/* One record of the journal. */
static int
redo(void *arg, uint64_t sequence, const void *bytes, size_t len)
{
	(void)sequence;
	return redo_notes(arg, bytes, len);
}

/* All records in one transaction: it is there whole after a crash, or not. */
static int
redo_all(struct zk_env *env)
{
	struct zk_tx tx = {0};
	int rc;

	rc = zk_env_begin(env, &tx);
	if (rc < 0)
		return rc;
	tx.whole = true;
	rc = zk_journal_replay(env->journal, redo, &tx);
	if (rc == 0 && tx.changes > 0)
		return zk_env_commit(&tx);
	zk_env_abort(&tx);
	return rc;
}

int
zk_env_open_journal(struct zk_env *env, const struct zk_env_options *options)
{
	const size_t bytes = options->journal_bytes != 0
	    ? options->journal_bytes
	    : ZK_JOURNAL_BYTES_DEFAULT;
	struct zk_checkpoint checkpoint;
	bool made = is_new(env), adopt = false;
	int rc = 0;

	if (!made) {
		rc = zk_journal_open(options->dir_fd, options->journal,
		    &env->journal, &checkpoint);
		adopt = rc == -ENOENT && options->adopt;
	}
	if (made || adopt)
		rc = zk_journal_make(options->dir_fd, options->journal, bytes,
		    &env->journal);
	if (rc == 0)
		rc = zk_checkpointer_open(env->mdb, env->witness_fd,
		    env->journal, options->background, &env->checkpointer);
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	env->notes_max = zk_journal_record_max(env->journal);
	if (options->journaled_max > 0 &&
	    options->journaled_max < env->notes_max)
		env->notes_max = options->journaled_max;
	env->checkpoint_last_page = last_page(env);
	zk_journal_mark(env->journal, &env->mark);
	env->mark.label = 0;
	if (adopt)
		return checkpoint_now(env);
	return made ? 0 : redo_all(env);
}
