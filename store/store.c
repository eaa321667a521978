#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/datadir.h"
#include "store/inode.h"
#include "store/own_rows.h"

#define MAP_BYTES_DEFAULT ((size_t)64 << 30)

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

struct zk_store {
	MDB_env *env;
	MDB_dbi dbi;
	int dir_fd;     /* its flock keeps other daemons out */
	int witness_fd; /* of the tree; see is_sound() */
	struct zk_ident ident;
	struct zk_tx writer;
	struct zk_state state; /* as committed; node thread */

	pthread_mutex_t readers_lock;
	struct zk_tx *readers[READERS_KEPT]; /* protected by readers_lock */
	size_t reader_count;                 /* protected by readers_lock */

	bool room;
	uint64_t room_checked_ms;
	uint64_t file_bytes;
};

/* --- transactions --------------------------------------------------------- */

int
zk_store_begin(struct zk_store *store, struct zk_tx **ret_tx)
{
	struct zk_tx *tx = &store->writer;
	int rc;

	ZK_ASSERT(tx->mdb == NULL);

	*tx = (struct zk_tx){
	    .store = store,
	    .dbi = store->dbi,
	    .write = true,
	    .state = store->state,
	};
	rc = zk_err_from_mdb(mdb_txn_begin(store->env, NULL, 0, &tx->mdb));
	if (rc < 0)
		return rc;
	*ret_tx = tx;
	return 0;
}

void
zk_store_abort(struct zk_tx *tx)
{
	if (tx->mdb != NULL)
		mdb_txn_abort(tx->mdb);
	tx->mdb = NULL;
}

/*
 * After a commit that met a full disk.  All is well if it was a write of
 * pages that failed: nothing refers to them.  It is not if it was the flush or
 * the meta page.  LMDB has one code for all; but after the last it begins no
 * transaction any more, and the kernel tells of a failed write-back once to
 * each descriptor, so to one that LMDB does not know, too.
 */
static bool
is_sound(struct zk_store *store)
{
	MDB_txn *txn;

	if (fdatasync(store->witness_fd) != 0)
		return false;
	if (mdb_txn_begin(store->env, NULL, 0, &txn) != MDB_SUCCESS)
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
is_disk_full(struct zk_store *store)
{
	struct statvfs vfs;
	struct stat st;
	mdb_filehandle_t fd;

	if (mdb_env_get_fd(store->env, &fd) != MDB_SUCCESS ||
	    fstat(fd, &st) != 0)
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
failed_commit(struct zk_store *store, int rc)
{
	if (rc == -EDQUOT || (rc == -EIO && is_disk_full(store)))
		rc = -ENOSPC;
	return rc == -ENOSPC && !is_sound(store) ? -EIO : rc;
}

int
zk_store_commit(struct zk_tx *tx)
{
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(tx->mdb != NULL);

	rc = tx->fatal;
	if (rc == 0)
		rc = zk_state_row_put(tx);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	rc = zk_err_from_mdb(mdb_txn_commit(tx->mdb));
	tx->mdb = NULL; /* gone, whatever the outcome */
	if (rc < 0)
		return failed_commit(tx->store, rc);
	tx->store->state = tx->state;
	return 0;
}

int
zk_store_trial_begin(struct zk_tx *tx, struct zk_tx *ret_trial)
{
	struct zk_tx trial = *tx;
	int rc;

	ZK_ASSERT(tx->write);

	rc = zk_err_from_mdb(
	    mdb_txn_begin(tx->store->env, tx->mdb, 0, &trial.mdb));
	if (rc < 0)
		return tx->fatal = rc;
	*ret_trial = trial;
	return 0;
}

int
zk_store_trial_end(struct zk_tx *tx, struct zk_tx *trial)
{
	mdb_txn_abort(trial->mdb);
	tx->fatal = trial->fatal;
	return tx->fatal;
}

static int
reader_open(struct zk_store *store, struct zk_tx **ret_tx)
{
	struct zk_tx *tx = NULL;
	int rc;

	(void)pthread_mutex_lock(&store->readers_lock);
	if (store->reader_count > 0)
		tx = store->readers[--store->reader_count];
	(void)pthread_mutex_unlock(&store->readers_lock);
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
	tx->store = store;
	tx->dbi = store->dbi;
	rc = zk_err_from_mdb(
	    mdb_txn_begin(store->env, NULL, MDB_RDONLY, &tx->mdb));
	if (rc < 0) {
		free(tx);
		return rc;
	}
	*ret_tx = tx;
	return 0;
}

int
zk_read_begin(struct zk_store *store, struct zk_tx **ret_tx)
{
	struct zk_tx *tx;
	int rc;

	rc = reader_open(store, &tx);
	if (rc < 0)
		return rc;
	/* Names are looked up by a hash whose key is in the state. */
	tx->state = (struct zk_state){0};
	rc = zk_state_get(tx, &tx->state);
	if (rc < 0 && rc != -ENOENT) {
		zk_read_end(tx);
		return rc;
	}
	*ret_tx = tx;
	return 0;
}

void
zk_read_end(struct zk_tx *tx)
{
	struct zk_store *store = tx->store;
	bool kept = false;

	ZK_ASSERT(!tx->write);

	mdb_txn_reset(tx->mdb);
	(void)pthread_mutex_lock(&store->readers_lock);
	if (store->reader_count < READERS_KEPT) {
		store->readers[store->reader_count++] = tx;
		kept = true;
	}
	(void)pthread_mutex_unlock(&store->readers_lock);
	if (!kept) {
		mdb_txn_abort(tx->mdb);
		free(tx);
	}
}

/* --- opening -------------------------------------------------------------- */

static int
random_bytes(void *buf, size_t len, uint64_t *seed)
{
	uint8_t *p = buf;

	if (*seed == 0)
		return getrandom(buf, len, 0) == (ssize_t)len ? 0 : -EIO;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)zk_prng_next(seed);
	return 0;
}

static int
ident_make(const struct zk_store_options *options, struct zk_ident *ret_ident)
{
	struct zk_ident ident = {.fresh = true};
	uint64_t seed = options->seed;
	int rc;

	if (strlen(options->member) >= sizeof(ident.member))
		return -ENAMETOOLONG;
	(void)snprintf(ident.member, sizeof(ident.member), "%s",
	    options->member);
	rc = random_bytes(ident.ensemble, sizeof(ident.ensemble), &seed);
	if (rc == 0)
		rc = random_bytes(&ident.node, sizeof(ident.node), &seed);
	if (rc < 0)
		return rc;
	ident.node |= 1; /* 0 means nobody */
	*ret_ident = ident;
	return 0;
}

/* The first transaction of a new directory: who we are, and nothing else. */
static int
store_make(struct zk_store *store, const struct zk_store_options *options)
{
	struct zk_tx *tx;
	int rc;

	rc = ident_make(options, &store->ident);
	if (rc < 0)
		return rc;
	rc = zk_store_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_ident_row_put(tx, &store->ident);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	memcpy(tx->state.ensemble, store->ident.ensemble,
	    sizeof(tx->state.ensemble));
	return zk_store_commit(tx);
}

static int
store_load(struct zk_store *store, const struct zk_store_options *options)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_ident_row_get(tx, &store->ident);
	if (rc == 0) {
		rc = zk_state_get(tx, &store->state);
		if (rc == -ENOENT)
			rc = -ZK_ECORRUPT;
	}
	zk_read_end(tx);
	if (rc == -ENOENT)
		return store_make(store, options);
	return rc;
}

static int
env_open(struct zk_store *store, const struct zk_store_options *options)
{
	const size_t map =
	    options->map_bytes != 0 ? options->map_bytes : MAP_BYTES_DEFAULT;
	char path[4096];
	MDB_txn *txn = NULL;
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", options->dir,
	        ZK_DATADIR_TREE) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	rc = zk_err_from_mdb(mdb_env_create(&store->env));
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_set_mapsize(store->env, map));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_env_set_maxreaders(store->env, READERS_MAX));
	/* Readers are FUSE worker threads: slots must follow the txn. */
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_open(store->env, path,
		    MDB_NOTLS | MDB_NOSUBDIR, 0600));
	/* The roots of a new file come before whatever they lead to. */
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_sync(store->env, 1));
	if (rc == 0) {
		store->witness_fd = open(path, O_RDONLY | O_CLOEXEC);
		rc = store->witness_fd < 0 ? -errno : 0;
	}
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn));
	if (rc < 0)
		return rc;
	rc = zk_err_from_mdb(mdb_dbi_open(txn, NULL, 0, &store->dbi));
	mdb_txn_abort(txn);
	return rc;
}

int
zk_store_open(const struct zk_store_options *options, char **ret_why,
    struct zk_store **ret_store)
{
	struct zk_store *store;
	int rc;

	ZK_ASSERT(options->dir != NULL);
	ZK_ASSERT(options->member != NULL);

	store = calloc(1, sizeof(*store));
	if (store == NULL)
		return -ENOMEM;
	store->dir_fd = -1;
	store->witness_fd = -1;
	store->room = true;
	(void)pthread_mutex_init(&store->readers_lock, NULL);

	rc = zk_datadir_claim(options->dir, ret_why, &store->dir_fd);
	if (rc < 0)
		goto fail;
	rc = env_open(store, options);
	if (rc == 0)
		rc = store_load(store, options);
	if (rc == 0)
		rc = zk_datadir_made(store->dir_fd);
	if (rc < 0) {
		zk_datadir_why(ret_why, options->dir, rc);
		goto fail;
	}
	*ret_store = store;
	return 0;
fail:
	zk_store_close(store);
	return rc;
}

void
zk_store_close(struct zk_store *store)
{
	if (store == NULL)
		return;
	ZK_ASSERT(store->writer.mdb == NULL);

	for (size_t i = 0; i < store->reader_count; i++) {
		mdb_txn_abort(store->readers[i]->mdb);
		free(store->readers[i]);
	}
	if (store->env != NULL)
		mdb_env_close(store->env);
	if (store->witness_fd >= 0)
		(void)close(store->witness_fd);
	if (store->dir_fd >= 0)
		(void)close(store->dir_fd);
	(void)pthread_mutex_destroy(&store->readers_lock);
	free(store);
}

const struct zk_ident *
zk_store_ident(const struct zk_store *store)
{
	return &store->ident;
}

int
zk_store_dir_fd(const struct zk_store *store)
{
	return store->dir_fd;
}

int
zk_store_bootstrap(struct zk_tx *tx, struct zk_stamp now, uint32_t uid,
    uint32_t gid)
{
	struct zk_inode root = {
	    .attr =
	        {
	            .ino = ZK_INO_ROOT,
	            .mode = S_IFDIR | 0755,
	            .nlink = 2,
	            .uid = uid,
	            .gid = gid,
	            .atime = now,
	            .mtime = now,
	            .ctime = now,
	            .btime = now,
	            .parent = ZK_INO_ROOT,
	        },
	};

	ZK_ASSERT(tx->state.nodes == 0);

	tx->state.time = now;
	tx->state.ino_next = ZK_INO_ROOT + 1;
	tx->state.nodes = 1;
	return zk_inode_put(tx, &root);
}

int
zk_store_join(struct zk_tx *tx, const uint8_t ensemble[16])
{
	struct zk_store *store = tx->store;

	if (tx->state.applied_index != 0 || tx->state.nodes != 0)
		return -EINVAL;
	memcpy(tx->state.ensemble, ensemble, sizeof(tx->state.ensemble));
	memcpy(store->ident.ensemble, ensemble, sizeof(store->ident.ensemble));
	return zk_ident_row_put(tx, &store->ident);
}

int
zk_store_count_boot(struct zk_tx *tx)
{
	tx->store->ident.boots++;
	return zk_ident_row_put(tx, &tx->store->ident);
}

/* --- room and usage ------------------------------------------------------- */

/* Pages on LMDB's free list, which is its database 0 (as mdb_stat reads it). */
static uint64_t
free_pages(struct zk_store *store)
{
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	uint64_t pages = 0;

	if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS)
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
page_bytes(struct zk_store *store)
{
	MDB_stat stat;

	(void)mdb_env_stat(store->env, &stat);
	return stat.ms_psize;
}

/* Bytes of the file below its last used page. */
static uint64_t
used_bytes(struct zk_store *store)
{
	MDB_envinfo info;

	(void)mdb_env_info(store->env, &info);
	return (info.me_last_pgno + 1) * page_bytes(store);
}

static bool
room_on_disk(struct zk_store *store)
{
	const uint64_t used = used_bytes(store);
	mdb_filehandle_t fd;
	uint64_t have;

	if (store->file_bytes >= used + ROOM_RESERVE)
		return true;
	if (mdb_env_get_fd(store->env, &fd) != MDB_SUCCESS)
		return false;
	have = used + ROOM_STEP;
	if (fallocate(fd, 0, 0, (off_t)have) == 0) {
		store->file_bytes = have;
		return true;
	}
	if (errno != ENOSPC && errno != EDQUOT) {
		struct statvfs vfs;

		/* No fallocate here: trust the free blocks. */
		return fstatvfs(fd, &vfs) == 0 &&
		    (uint64_t)vfs.f_bavail * vfs.f_frsize >= ROOM_RESERVE;
	}
	return free_pages(store) * page_bytes(store) >= ROOM_RESERVE;
}

bool
zk_store_has_room(struct zk_store *store, uint64_t now_ms)
{
	if (!store->room && now_ms - store->room_checked_ms < ROOM_RECHECK_MS)
		return false;
	store->room_checked_ms = now_ms;
	store->room = room_on_disk(store);
	return store->room;
}

int
zk_store_usage(struct zk_store *store, struct zk_store_usage *ret_usage)
{
	struct zk_store_usage usage = {0};
	struct zk_state state = {0};
	mdb_filehandle_t fd;
	struct statvfs vfs;
	MDB_envinfo info;
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_state_get(tx, &state);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	(void)mdb_env_info(store->env, &info);
	usage.file_bytes = used_bytes(store);
	usage.map_bytes = info.me_mapsize;
	if (mdb_env_get_fd(store->env, &fd) == MDB_SUCCESS &&
	    fstatvfs(fd, &vfs) == 0) {
		usage.disk_total = (uint64_t)vfs.f_blocks * vfs.f_frsize;
		usage.disk_free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	}
	usage.nodes = state.nodes;
	usage.row_bytes = state.row_bytes;
	usage.applied_index = state.applied_index;
	usage.digest = state.digest;
	*ret_usage = usage;
	return 0;
}
