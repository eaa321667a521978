#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/datadir.h"
#include "store/env.h"
#include "store/inode.h"
#include "store/memo.h"
#include "store/own_rows.h"

#define MAP_BYTES_DEFAULT ((size_t)64 << 30)

struct zk_store {
	struct zk_env *env;
	int dir_fd; /* its flock keeps other daemons out */
	struct zk_ident ident;
	struct zk_tx writer;
	struct zk_memo memo;   /* the writer's */
	struct zk_state state; /* as committed; node thread */
};

/* --- transactions --------------------------------------------------------- */

int
zk_store_begin(struct zk_store *store, struct zk_tx **ret_tx)
{
	struct zk_tx *tx = &store->writer;
	int rc;

	ZK_ASSERT(tx->mdb == NULL);

	zk_memo_clear(&store->memo);
	*tx = (struct zk_tx){
	    .store = store,
	    .memo = &store->memo,
	    .state = store->state,
	};
	rc = zk_env_begin(store->env, tx);
	if (rc < 0)
		return rc;
	*ret_tx = tx;
	return 0;
}

void
zk_store_abort(struct zk_tx *tx)
{
	zk_env_abort(tx);
}

static int
commit(struct zk_tx *tx, int (*commit_env)(struct zk_tx *tx))
{
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(tx->mdb != NULL);

	rc = tx->fatal;
	if (rc == 0)
		rc = zk_state_row_put(tx);
	if (rc < 0) {
		zk_env_abort(tx);
		return zk_store_broken(tx->store) < 0 ? -EIO : rc;
	}
	/* A tree that changed by no entry cannot be found by applying any. */
	if (tx->state.digest != tx->store->state.digest &&
	    tx->state.applied_index == tx->store->state.applied_index)
		tx->whole = true;
	tx->label = tx->state.applied_index;
	rc = commit_env(tx);
	if (rc < 0)
		return rc;
	tx->store->state = tx->state;
	return 0;
}

int
zk_store_commit(struct zk_tx *tx)
{
	return commit(tx, zk_env_commit);
}

int
zk_store_commit_ahead(struct zk_tx *tx)
{
	return commit(tx, zk_env_commit_ahead);
}

bool
zk_store_is_ahead(const struct zk_store *store)
{
	return zk_env_is_ahead(store->env);
}

int
zk_store_flush(struct zk_store *store)
{
	return zk_env_flush(store->env);
}

int
zk_store_begin_flush(struct zk_tx *tx)
{
	return zk_env_begin_flush(tx);
}

int
zk_store_broken(const struct zk_store *store)
{
	return zk_env_broken(store->env);
}

int
zk_store_commit_later(struct zk_tx *tx)
{
	ZK_ASSERT(tx->state.applied_index == tx->store->state.applied_index);

	/* Only an entry changes the state, but for what is made whole. */
	if (tx->whole || tx->state.digest != tx->store->state.digest)
		return zk_store_commit(tx);
	tx->label = tx->state.applied_index;
	return zk_env_commit_later(tx);
}

int
zk_store_settle(struct zk_store *store)
{
	return zk_env_settle(store->env);
}

uint64_t
zk_store_durable_index(const struct zk_store *store)
{
	return zk_env_durable_label(store->env);
}

int
zk_store_trial_begin(struct zk_tx *tx, struct zk_tx *ret_trial)
{
	int rc = zk_env_begin_nested(tx, ret_trial);

	if (rc < 0)
		tx->fatal = rc;
	else
		ret_trial->memo = NULL; /* what it changes is undone */
	return rc;
}

int
zk_store_trial_end(struct zk_tx *tx, struct zk_tx *trial)
{
	mdb_txn_abort(trial->mdb);
	tx->fatal = trial->fatal;
	return tx->fatal;
}

int
zk_read_begin(struct zk_store *store, struct zk_tx **ret_tx)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_env_read_begin(store->env, &tx);
	if (rc < 0)
		return rc;
	tx->store = store;
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
	zk_env_read_end(tx);
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
	tx->whole = true;
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
	const struct zk_env_options env = {
	    .path = path,
	    .map_bytes = map,
	    .journal = ZK_DATADIR_JOURNAL,
	    .dir_fd = store->dir_fd,
	    .journal_bytes = options->journal_bytes,
	    .background = options->background,
	};

	if (snprintf(path, sizeof(path), "%s/%s", options->dir,
	        ZK_DATADIR_TREE) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return zk_env_open(&env, &store->env);
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
	zk_store_abandon(store);
	return rc;
}

int
zk_store_close(struct zk_store *store)
{
	int rc;

	if (store == NULL)
		return 0;
	rc = zk_env_checkpoint(store->env);
	zk_store_abandon(store);
	return rc;
}

void
zk_store_abandon(struct zk_store *store)
{
	if (store == NULL)
		return;
	ZK_ASSERT(store->writer.mdb == NULL);

	zk_env_close(store->env);
	if (store->dir_fd >= 0)
		(void)close(store->dir_fd);
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
	tx->whole = true; /* the state has it, too */
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

bool
zk_store_has_room(struct zk_store *store, uint64_t now_ms)
{
	return zk_env_has_room(store->env, now_ms);
}

int
zk_store_usage(struct zk_store *store, struct zk_store_usage *ret_usage)
{
	struct zk_store_usage usage = {0};
	struct zk_state state = {0};
	struct zk_env_usage env;
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_state_get(tx, &state);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	zk_env_usage(store->env, &env);
	usage.file_bytes = env.file_bytes;
	usage.map_bytes = env.map_bytes;
	usage.disk_total = env.disk_total;
	usage.disk_free = env.disk_free;
	usage.nodes = state.nodes;
	usage.row_bytes = state.row_bytes;
	usage.applied_index = state.applied_index;
	usage.digest = state.digest;
	*ret_usage = usage;
	return 0;
}
