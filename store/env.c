#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/aside.h"
#include "base/assert.h"
#include "base/limits.h"
#include "store/env_impl.h"

/* Less than this behind the end of the file is nothing. */
#define ROOM_PROBE ((off_t)ZK_MIB)

/* LMDB's file of readers: READERS_MAX lines of a cache, and a head. */
#define LOCK_BYTES ((off_t)8192)

/* --- transactions --------------------------------------------------------- */

int
zk_env_begin_mdb(struct zk_env *env, MDB_txn **ret_txn)
{
	memset(env->cursors, 0, sizeof(env->cursors));
	return zk_err_from_mdb(mdb_txn_begin(env->mdb, NULL, 0, ret_txn));
}

int
zk_env_begin(struct zk_env *env, struct zk_tx *tx)
{
	MDB_txn *mdb;
	int rc;

	ZK_ASSERT(!env->writing);
	ZK_ASSERT(env->ahead == 0);

	if (env->broken < 0)
		return env->broken;
	mdb = env->later;
	env->later = NULL;
	rc = mdb != NULL ? 0 : zk_env_begin_mdb(env, &mdb);
	if (rc < 0)
		return rc;
	tx->env = env;
	tx->mdb = mdb;
	tx->dbi = env->dbi;
	tx->cursors = env->cursors;
	tx->write = true;
	tx->fatal = 0;
	tx->changes = 0;
	tx->news = 0;
	tx->noted = 0;
	tx->whole = false;
	env->writing = true;
	return 0;
}

void
zk_env_abort(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	MDB_txn *mdb = tx->mdb;

	if (mdb == NULL)
		return;
	zk_env_undo_flush(env);
	tx->mdb = NULL;
	env->writing = false;
	if (env->kept_len > 0 && tx->changes == 0 && tx->fatal == 0) {
		env->later = mdb;
		return;
	}
	mdb_txn_abort(mdb);
	if (env->kept_len > 0)
		zk_env_redo_kept(env);
}

/*
 * After a commit that met a full disk.  All is well if it was a write of
 * pages that failed: nothing refers to them.  It is not if it was the flush or
 * the meta page.  LMDB has one code for all; but after the last it begins no
 * transaction any more, and the kernel tells of a failed write-back once to
 * each descriptor, so to one that LMDB does not know, too.
 */
static bool
is_sound(struct zk_env *env)
{
	MDB_txn *txn;

	if (fdatasync(env->witness_fd) != 0)
		return false;
	if (mdb_txn_begin(env->mdb, NULL, 0, &txn) != MDB_SUCCESS)
		return false;
	mdb_txn_abort(txn);
	return true;
}

/*
 * Whether there is no room behind the end of the file.  LMDB 0.9 calls a write
 * that stopped half-way an I/O error: this tells the one that met the end of
 * the disk from one that met a bad sector.
 */
static bool
is_disk_full(struct zk_env *env)
{
	struct statvfs vfs;
	struct stat st;
	mdb_filehandle_t fd;

	if (mdb_env_get_fd(env->mdb, &fd) != MDB_SUCCESS || fstat(fd, &st) != 0)
		return false;
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size, ROOM_PROBE) == 0)
		return false;
	if (errno != EOPNOTSUPP)
		return errno == ENOSPC || errno == EDQUOT;
	return fstatvfs(fd, &vfs) == 0 &&
	    (uint64_t)vfs.f_bavail * vfs.f_frsize < ROOM_PROBE;
}

int
zk_env_failed_commit(struct zk_env *env, int rc)
{
	if (rc == -EDQUOT || (rc == -EIO && is_disk_full(env)))
		rc = -ENOSPC;
	return rc == -ENOSPC && !is_sound(env) ? -EIO : rc;
}

int
zk_env_commit(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(tx->mdb != NULL);

	rc = tx->fatal;
	if (rc < 0) {
		zk_env_abort(tx);
		return env->broken < 0 ? env->broken : rc;
	}
	if (env->journal != NULL)
		return zk_env_commit_journaled(env, tx);
	rc = zk_err_from_mdb(mdb_txn_commit(tx->mdb));
	tx->mdb = NULL; /* gone, whatever the outcome */
	env->writing = false;
	if (rc < 0)
		return zk_env_failed_commit(env, rc);
	env->label = tx->label;
	return 0;
}

int
zk_env_begin_nested(const struct zk_tx *tx, struct zk_tx *ret_nested)
{
	struct zk_tx nested = *tx;
	int rc;

	ZK_ASSERT(tx->write);

	rc = zk_err_from_mdb(
	    mdb_txn_begin(tx->env->mdb, tx->mdb, 0, &nested.mdb));
	if (rc < 0)
		return rc;
	nested.cursors = NULL;
	*ret_nested = nested;
	return 0;
}

int
zk_env_read_begin(struct zk_env *env, struct zk_tx **ret_tx)
{
	struct zk_tx *tx = NULL;
	int rc;

	(void)pthread_mutex_lock(&env->readers_lock);
	if (env->reader_count > 0)
		tx = env->readers[--env->reader_count];
	(void)pthread_mutex_unlock(&env->readers_lock);
	if (tx != NULL) {
		rc = zk_err_from_mdb(mdb_txn_renew(tx->mdb));
		if (rc < 0) {
			mdb_txn_abort(tx->mdb);
			free(tx);
			return rc;
		}
		tx->fatal = 0;
		*ret_tx = tx;
		return 0;
	}
	tx = calloc(1, sizeof(*tx));
	if (tx == NULL)
		return -ENOMEM;
	tx->env = env;
	tx->dbi = env->dbi;
	rc = zk_err_from_mdb(
	    mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &tx->mdb));
	if (rc < 0) {
		free(tx);
		return rc;
	}
	*ret_tx = tx;
	return 0;
}

void
zk_env_read_end(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	bool kept = false;

	ZK_ASSERT(!tx->write);

	mdb_txn_reset(tx->mdb);
	(void)pthread_mutex_lock(&env->readers_lock);
	if (env->reader_count < READERS_KEPT) {
		env->readers[env->reader_count++] = tx;
		kept = true;
	}
	(void)pthread_mutex_unlock(&env->readers_lock);
	if (!kept) {
		mdb_txn_abort(tx->mdb);
		free(tx);
	}
}

/* --- opening -------------------------------------------------------------- */

/*
 * LMDB's readers are noted in memory that is a file with holes: who meets a
 * full disk there does not get an error, but SIGBUS.
 */
static int
reserve_lock(const char *path)
{
	char lock[PATH_MAX];
	int fd, rc = 0;

	_Static_assert(READERS_MAX * 64u + 256u <= LOCK_BYTES, "all of them");
	if (snprintf(lock, sizeof(lock), "%s-lock", path) >= (int)sizeof(lock))
		return -ENAMETOOLONG;
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (fallocate(fd, 0, 0, LOCK_BYTES) != 0 && errno != EOPNOTSUPP)
		rc = -errno;
	(void)close(fd);
	return rc;
}

static int
open_file(struct zk_env *env, const struct zk_env_options *options)
{
	const unsigned int flags = MDB_NOTLS | MDB_NOSUBDIR |
	    (options->journal != NULL ? MDB_NOSYNC : 0);
	MDB_txn *txn = NULL;
	int rc;

	rc = zk_err_from_mdb(mdb_env_create(&env->mdb));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_env_set_mapsize(env->mdb, options->map_bytes));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_env_set_maxreaders(env->mdb, READERS_MAX));
	if (rc == 0)
		rc = reserve_lock(options->path);
	/* Readers are FUSE worker threads: slots must follow the txn. */
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_env_open(env->mdb, options->path, flags, 0600));
	/* The roots of a new file come before whatever they lead to. */
	if (rc == 0 && mdb_env_sync(env->mdb, 1) != MDB_SUCCESS)
		rc = -EIO;
	if (rc == 0) {
		env->witness_fd = open(options->path, O_RDONLY | O_CLOEXEC);
		rc = env->witness_fd < 0 ? -errno : 0;
	}
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn));
	if (rc < 0)
		return rc;
	rc = zk_err_from_mdb(mdb_dbi_open(txn, NULL, 0, &env->dbi));
	mdb_txn_abort(txn);
	return rc;
}

int
zk_env_open(const struct zk_env_options *options, struct zk_env **ret_env)
{
	struct zk_env *env = calloc(1, sizeof(*env));
	int rc;

	if (env == NULL)
		return -ENOMEM;
	env->witness_fd = -1;
	env->room = true;
	env->background = options->background;
	(void)pthread_mutex_init(&env->readers_lock, NULL);
	rc = open_file(env, options);
	if (rc == 0 && options->journal != NULL)
		rc = zk_env_open_journal(env, options);
	if (rc < 0) {
		zk_env_close(env);
		return rc;
	}
	*ret_env = env;
	return 0;
}

void
zk_env_close(struct zk_env *env)
{
	if (env == NULL)
		return;
	ZK_ASSERT(!env->writing);

	for (size_t i = 0; i < env->reader_count; i++) {
		mdb_txn_abort(env->readers[i]->mdb);
		free(env->readers[i]);
	}
	/* The journal has it. */
	if (env->later != NULL)
		mdb_txn_abort(env->later);
	free(env->kept);
	zk_aside_close(env->aside);
	zk_checkpointer_close(env->checkpointer);
	zk_journal_close(env->journal);
	free(env->notes);
	if (env->mdb != NULL)
		mdb_env_close(env->mdb);
	if (env->witness_fd >= 0)
		(void)close(env->witness_fd);
	(void)pthread_mutex_destroy(&env->readers_lock);
	free(env);
}
