#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/datadir.h"
#include "store/inode.h"
#include "store/own_rows.h"
#include "store/store_impl.h"

#define MAP_BYTES_DEFAULT ((size_t)64 << 30)

/* LMDB has room for 126 by default. */
#define READERS_MAX 120u

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

/* The code of a commit that failed, after a look at what is the matter. */
static int
failed_commit(struct zk_store *store, int rc)
{
	if (rc == -EDQUOT || (rc == -EIO && zk_store_disk_is_full(store)))
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
