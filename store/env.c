#include "store/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"

/* Read transactions kept for reuse; LMDB has room for 126 readers. */
#define READERS_KEPT 32u
#define READERS_MAX  120u

/*
 * The file is allocated this far ahead of its last used page, so that what
 * frees space (and the flush that records it) finds room on a full disk.
 */
#define ROOM_RESERVE    (12ull * ZK_MIB)
#define ROOM_STEP       (16ull * ZK_MIB)
#define ROOM_RECHECK_MS 200u
/* Less than this behind the end of the file is nothing. */
#define ROOM_PROBE ((off_t)ZK_MIB)

struct zk_env {
	MDB_env *mdb;
	MDB_dbi dbi;
	int witness_fd; /* of the file; see is_sound() */

	pthread_mutex_t readers_lock;
	struct zk_tx *readers[READERS_KEPT]; /* protected by readers_lock */
	size_t reader_count;                 /* protected by readers_lock */

	bool writing;
	bool room;
	uint64_t room_checked_ms;
	uint64_t file_bytes;
};

/* --- transactions --------------------------------------------------------- */

int
zk_env_begin(struct zk_env *env, struct zk_tx *tx)
{
	MDB_txn *mdb;
	int rc;

	ZK_ASSERT(!env->writing);

	rc = zk_err_from_mdb(mdb_txn_begin(env->mdb, NULL, 0, &mdb));
	if (rc < 0)
		return rc;
	tx->env = env;
	tx->mdb = mdb;
	tx->dbi = env->dbi;
	tx->write = true;
	tx->fatal = 0;
	tx->changes = 0;
	env->writing = true;
	return 0;
}

void
zk_env_abort(struct zk_tx *tx)
{
	if (tx->mdb == NULL)
		return;
	mdb_txn_abort(tx->mdb);
	tx->mdb = NULL;
	tx->env->writing = false;
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

/* The code of a commit that failed, after a look at what is the matter. */
static int
failed_commit(struct zk_env *env, int rc)
{
	if (rc == -EDQUOT || (rc == -EIO && is_disk_full(env)))
		rc = -ENOSPC;
	return rc == -ENOSPC && !is_sound(env) ? -EIO : rc;
}

int
zk_env_commit(struct zk_tx *tx)
{
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(tx->mdb != NULL);

	rc = tx->fatal;
	if (rc < 0) {
		zk_env_abort(tx);
		return rc;
	}
	rc = zk_err_from_mdb(mdb_txn_commit(tx->mdb));
	tx->mdb = NULL; /* gone, whatever the outcome */
	tx->env->writing = false;
	return rc < 0 ? failed_commit(tx->env, rc) : 0;
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

static int
open_file(struct zk_env *env, const char *path, size_t map_bytes)
{
	MDB_txn *txn = NULL;
	int rc;

	rc = zk_err_from_mdb(mdb_env_create(&env->mdb));
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_set_mapsize(env->mdb, map_bytes));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_env_set_maxreaders(env->mdb, READERS_MAX));
	/* Readers are FUSE worker threads: slots must follow the txn. */
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_open(env->mdb, path,
		    MDB_NOTLS | MDB_NOSUBDIR, 0600));
	/* The roots of a new file come before whatever they lead to. */
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_sync(env->mdb, 1));
	if (rc == 0) {
		env->witness_fd = open(path, O_RDONLY | O_CLOEXEC);
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
zk_env_open(const char *path, size_t map_bytes, struct zk_env **ret_env)
{
	struct zk_env *env = calloc(1, sizeof(*env));
	int rc;

	if (env == NULL)
		return -ENOMEM;
	env->witness_fd = -1;
	env->room = true;
	(void)pthread_mutex_init(&env->readers_lock, NULL);
	rc = open_file(env, path, map_bytes);
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
	if (env->mdb != NULL)
		mdb_env_close(env->mdb);
	if (env->witness_fd >= 0)
		(void)close(env->witness_fd);
	(void)pthread_mutex_destroy(&env->readers_lock);
	free(env);
}

/* --- room and usage ------------------------------------------------------- */

/* Pages on LMDB's free list, which is its database 0 (as mdb_stat reads it). */
static uint64_t
free_pages(struct zk_env *env)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	uint64_t pages = 0;

	if (mdb_txn_begin(env->mdb, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS)
		return 0;
	if (mdb_cursor_open(txn, 0, &cursor) == MDB_SUCCESS) {
		while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) ==
		    MDB_SUCCESS) {
			size_t count;

			memcpy(&count, value.mv_data, sizeof(count));
			pages += count;
		}
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(txn);
	return pages;
}

static uint64_t
page_bytes(struct zk_env *env)
{
	MDB_stat stat;

	(void)mdb_env_stat(env->mdb, &stat);
	return stat.ms_psize;
}

/* Bytes of the file below its last used page. */
static uint64_t
used_bytes(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return (info.me_last_pgno + 1) * page_bytes(env);
}

uint64_t
zk_env_free_bytes(struct zk_env *env)
{
	return free_pages(env) * page_bytes(env);
}

static uint64_t
map_bytes(struct zk_env *env)
{
	MDB_envinfo info;

	(void)mdb_env_info(env->mdb, &info);
	return info.me_mapsize;
}

/* What the file has already within its first `end` bytes, not in use. */
static uint64_t
spare_bytes(struct zk_env *env, uint64_t end)
{
	const uint64_t used = used_bytes(env);

	return zk_env_free_bytes(env) + (end > used ? end - used : 0);
}

static bool
room_on_disk(struct zk_env *env)
{
	const uint64_t used = used_bytes(env);
	mdb_filehandle_t fd;
	uint64_t have;

	if (env->file_bytes >= used + ROOM_RESERVE)
		return true;
	if (mdb_env_get_fd(env->mdb, &fd) != MDB_SUCCESS)
		return false;
	have = used + ROOM_STEP;
	if (have > map_bytes(env))
		return spare_bytes(env, map_bytes(env)) >= ROOM_RESERVE;
	if (fallocate(fd, 0, 0, (off_t)have) == 0) {
		env->file_bytes = have;
		return true;
	}
	if (errno != ENOSPC && errno != EDQUOT) {
		struct statvfs vfs;

		/* No fallocate here: trust the free blocks. */
		return fstatvfs(fd, &vfs) == 0 &&
		    (uint64_t)vfs.f_bavail * vfs.f_frsize >= ROOM_RESERVE;
	}
	return spare_bytes(env, env->file_bytes) >= ROOM_RESERVE;
}

bool
zk_env_has_room(struct zk_env *env, uint64_t now_ms)
{
	if (!env->room && now_ms - env->room_checked_ms < ROOM_RECHECK_MS)
		return false;
	env->room_checked_ms = now_ms;
	env->room = room_on_disk(env);
	return env->room;
}

bool
zk_env_has_last_room(struct zk_env *env)
{
	const uint64_t map = map_bytes(env);

	return spare_bytes(env,
	           env->file_bytes < map ? env->file_bytes : map) >=
	    ROOM_RESERVE / 2;
}

void
zk_env_usage(struct zk_env *env, struct zk_env_usage *ret_usage)
{
	struct zk_env_usage usage = {.map_bytes = map_bytes(env)};
	mdb_filehandle_t fd;
	struct statvfs vfs;

	usage.file_bytes = used_bytes(env);
	if (mdb_env_get_fd(env->mdb, &fd) == MDB_SUCCESS &&
	    fstatvfs(fd, &vfs) == 0) {
		usage.disk_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
		usage.disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	}
	*ret_usage = usage;
}
