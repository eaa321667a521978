#include "queue/plog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "consensus/msg_codec.h"
#include "store/datadir.h"
#include "store/journal.h"
#include "store/store.h"

/*
 * TOPICS row: format u32, node u64.  GROUP row: status u8, disk_first u64,
 * base_index u64, base_term u64, base_offset u64, commit_index u64, time i64
 * u32, conf_count u32, then for each its index u64 and the configuration as
 * consensus/msg_codec.h has it.  GROUP_HARD row: term u64, vote u64.
 * Little-endian.
 */
#define FORMAT 2u
/* Without a journal: each commit was flushed, pages and all. */
#define FORMAT_FLUSHED 1u

/*
 * The journal, and what is flushed with its pages instead, for bulk writers:
 * written twice it would cost more than the second flush.
 */
#define JOURNAL_BYTES ((size_t)8 * ZK_MIB)
#define JOURNALED_MAX ((size_t)256 * ZK_KIB)
#define BLOCK_BYTES   ((size_t)4096)
#ifdef __SANITIZE_THREAD__ /* it leaves a process little address space */
#define MAP_BYTES_DEFAULT ((size_t)1 << 36)
#else
#define MAP_BYTES_DEFAULT ((size_t)1 << 40)
#endif
#define STATE_BYTES_MAX (80u + ZK_PCONFS_MAX * (8u + ZK_CONF_WIRE_MAX))

struct zk_plog {
	struct zk_env *env;
};

/* --- whose it is ---------------------------------------------------------- */

static struct zk_key
owner_key(void)
{
	struct zk_key key;

	zk_key_init(&key, ZK_TABLE_TOPICS);
	return key;
}

/* -ENOENT: it has none yet. */
static int
owner_check(struct zk_tx *tx, uint64_t self, uint32_t *ret_format)
{
	const struct zk_key key = owner_key();
	const void *value;
	struct zk_dec dec;
	uint32_t format;
	uint64_t node;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	format = zk_dec_u32(&dec);
	if (format != FORMAT && format != FORMAT_FLUSHED)
		return -ZK_EVERSION;
	node = zk_dec_u64(&dec);
	if (!zk_dec_done(&dec))
		return -ZK_ECORRUPT;
	*ret_format = format;
	return node == self ? 0 : -ZK_EFOREIGN;
}

static int
owner_make(struct zk_plog *plog, uint64_t self)
{
	const struct zk_key key = owner_key();
	struct zk_tx tx = {.env = NULL};
	uint8_t value[12];
	struct zk_enc enc;
	int rc;

	rc = zk_env_begin(plog->env, &tx);
	if (rc < 0)
		return rc;
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u32(&enc, FORMAT);
	zk_enc_u64(&enc, self);
	ZK_ASSERT(!enc.failed);
	rc = zk_row_put(&tx, &key, value, enc.len);
	if (rc < 0) {
		zk_env_abort(&tx);
		return rc;
	}
	rc = zk_env_commit(&tx);
	/* Without a checkpoint there is nothing to start from. */
	return rc == 0 ? zk_env_checkpoint(plog->env) : rc;
}

static int
id_make(struct zk_plog *plog, uint64_t id)
{
	struct zk_tx tx = {.env = NULL};
	int rc;

	rc = zk_env_begin(plog->env, &tx);
	if (rc < 0)
		return rc;
	rc = zk_topics_id_put(&tx, id);
	if (rc < 0) {
		zk_env_abort(&tx);
		return rc;
	}
	rc = zk_env_commit(&tx);
	/* It is looked for without the journal. */
	return rc == 0 ? zk_env_checkpoint(plog->env) : rc;
}

static int
id_of(struct zk_plog *plog, uint64_t *ret_id)
{
	struct zk_tx *tx;
	uint64_t id = 0;
	int rc;

	rc = zk_env_read_begin(plog->env, &tx);
	if (rc < 0)
		return rc;
	rc = zk_topics_id_get(tx, &id);
	zk_env_read_end(tx);
	if (rc == -ENOENT) {
		if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
			return -EIO;
		rc = id_make(plog, id);
	}
	if (rc == 0)
		*ret_id = id;
	return rc;
}

static int
owner_open(struct zk_plog *plog, uint64_t self)
{
	uint32_t format = 0;
	struct zk_tx *tx;
	int rc;

	rc = zk_env_read_begin(plog->env, &tx);
	if (rc < 0)
		return rc;
	rc = owner_check(tx, self, &format);
	zk_env_read_end(tx);
	if (rc == -ENOENT || (rc == 0 && format != FORMAT))
		rc = owner_make(plog, self);
	return rc;
}

/*
 * A file without a journal is new, or of the time when there was none: then
 * it gets one.  Any other has lost it, and with it what was told to others.
 */
static int
check_unjournaled(const struct zk_env_options *options, uint64_t self)
{
	struct zk_env_options flushed = *options;
	uint32_t format = FORMAT_FLUSHED;
	struct zk_env *env;
	struct zk_tx *tx;
	int rc;

	flushed.journal = NULL;
	rc = zk_env_open(&flushed, &env);
	if (rc < 0)
		return rc;
	rc = zk_env_read_begin(env, &tx);
	if (rc == 0) {
		rc = owner_check(tx, self, &format);
		zk_env_read_end(tx);
	}
	zk_env_close(env);
	if (rc == 0 && format != FORMAT_FLUSHED)
		return -ZK_ECORRUPT;
	return rc == -ENOENT ? 0 : rc;
}

static int
open_env(const struct zk_env_options *options, uint64_t self,
    struct zk_env **ret_env)
{
	int rc = zk_datadir_restore_topics(options->dir_fd);

	if (rc == 0 &&
	    faccessat(options->dir_fd, ZK_DATADIR_TOPICS, F_OK, 0) == 0)
		rc = check_unjournaled(options, self);
	return rc < 0 ? rc : zk_env_open(options, ret_env);
}

/* A small map, as tests have it, has no room for much between checkpoints. */
static size_t
journal_bytes(size_t map_bytes)
{
	const size_t bytes = map_bytes / 64 / BLOCK_BYTES * BLOCK_BYTES;

	if (bytes < ZK_JOURNAL_BYTES_MIN)
		return ZK_JOURNAL_BYTES_MIN;
	return bytes < JOURNAL_BYTES ? bytes : JOURNAL_BYTES;
}

static int
open_in(struct zk_plog *plog, const struct zk_plog_options *options)
{
	char path[4096];
	struct zk_env_options env = {
	    .path = path,
	    .map_bytes = options->map_bytes != 0 ? options->map_bytes
	                                         : MAP_BYTES_DEFAULT,
	    .journal = ZK_DATADIR_TOPICS_JOURNAL,
	    .journaled_max = JOURNALED_MAX,
	    .adopt = true,
	    .background = options->background,
	};
	int rc;

	if (snprintf(path, sizeof(path), "%s/%s", options->dir,
	        ZK_DATADIR_TOPICS) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	env.journal_bytes = journal_bytes(env.map_bytes);
	env.dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (env.dir_fd < 0)
		return -errno;
	rc = open_env(&env, options->self, &plog->env);
	(void)close(env.dir_fd);
	return rc;
}

int
zk_plog_open(const struct zk_plog_options *options, struct zk_plog **ret_plog)
{
	struct zk_plog *plog = calloc(1, sizeof(*plog));
	int rc;

	ZK_ASSERT(options->self != 0);

	if (plog == NULL)
		return -ENOMEM;
	rc = open_in(plog, options);
	if (rc == 0)
		rc = owner_open(plog, options->self);
	if (rc < 0) {
		zk_plog_close(plog);
		return rc;
	}
	*ret_plog = plog;
	return 0;
}

static int
tell_tree(struct zk_store *store, uint64_t id)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_topics_id_put(tx, id);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	return zk_store_commit(tx);
}

static int
make_known(const char *dir, struct zk_store *store)
{
	const struct zk_plog_options options = {
	    .dir = dir,
	    .self = zk_store_ident(store)->node,
	};
	const int dir_fd = zk_store_dir_fd(store);
	struct zk_plog *plog = NULL;
	uint64_t id = 0;
	int rc;

	rc = zk_datadir_new_topics(dir_fd);
	if (rc == 0)
		rc = zk_plog_open(&options, &plog);
	if (rc != 0)
		return rc;
	rc = id_of(plog, &id);
	zk_plog_close(plog);
	/* The file and its name are on disk before anybody insists on them. */
	if (rc == 0 && fsync(dir_fd) != 0)
		rc = -errno;
	return rc < 0 ? rc : tell_tree(store, id);
}

int
zk_plog_claim(const char *dir, struct zk_store *store)
{
	struct zk_tx *tx;
	uint64_t id;
	int rc;

	rc = zk_read_begin(store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_topics_id_get(tx, &id);
	zk_read_end(tx);
	if (rc == -ENOENT)
		rc = make_known(dir, store);
	return rc < 0 ? rc : zk_datadir_topics_made(zk_store_dir_fd(store));
}

void
zk_plog_close(struct zk_plog *plog)
{
	if (plog == NULL)
		return;
	zk_env_close(plog->env);
	free(plog);
}

struct zk_env *
zk_plog_env(struct zk_plog *plog)
{
	return plog->env;
}

/* --- a partition's state -------------------------------------------------- */

int
zk_pstate_put(struct zk_tx *tx, uint64_t id, const struct zk_pstate *state)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP, id);
	uint8_t value[STATE_BYTES_MAX];
	struct zk_enc enc;

	ZK_ASSERT(state->conf_count > 0);
	ZK_ASSERT(state->conf_count <= ZK_PCONFS_MAX);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u8(&enc, (uint8_t)state->status);
	zk_enc_u64(&enc, state->disk_first);
	zk_enc_u64(&enc, state->base_index);
	zk_enc_u64(&enc, state->base_term);
	zk_enc_u64(&enc, state->base_offset);
	zk_enc_u64(&enc, state->commit_index);
	zk_enc_i64(&enc, state->time.sec);
	zk_enc_u32(&enc, state->time.nsec);
	zk_enc_u32(&enc, state->conf_count);
	for (uint32_t i = 0; i < state->conf_count; i++) {
		zk_enc_u64(&enc, state->confs[i].index);
		zk_conf_encode(&enc, &state->confs[i].conf);
	}
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

static int
dec_state(struct zk_dec *dec, struct zk_pstate *ret_state)
{
	const uint8_t status = zk_dec_u8(dec);

	ret_state->disk_first = zk_dec_u64(dec);
	ret_state->base_index = zk_dec_u64(dec);
	ret_state->base_term = zk_dec_u64(dec);
	ret_state->base_offset = zk_dec_u64(dec);
	ret_state->commit_index = zk_dec_u64(dec);
	ret_state->time.sec = zk_dec_i64(dec);
	ret_state->time.nsec = zk_dec_u32(dec);
	ret_state->conf_count = zk_dec_u32(dec);
	if (dec->failed || status < ZK_PART_LIVE || status > ZK_PART_DROPPED ||
	    ret_state->conf_count == 0 ||
	    ret_state->conf_count > ZK_PCONFS_MAX ||
	    ret_state->commit_index < ret_state->base_index)
		return -ZK_ECORRUPT;
	ret_state->status = (enum zk_pstatus)status;
	for (uint32_t i = 0; i < ret_state->conf_count; i++) {
		ret_state->confs[i].index = zk_dec_u64(dec);
		if (zk_conf_decode(dec, &ret_state->confs[i].conf) < 0)
			return -ZK_ECORRUPT;
	}
	return zk_dec_done(dec) ? 0 : -ZK_ECORRUPT;
}

int
zk_pstate_get(struct zk_tx *tx, uint64_t id, struct zk_pstate *ret_state)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP, id);
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	rc = dec_state(&dec, ret_state);
	return rc < 0 ? (tx->fatal = rc) : 0;
}

int
zk_pstate_delete(struct zk_tx *tx, uint64_t id)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP, id);

	return zk_row_delete(tx, &key);
}

/* Two numbers: a term, and who got its vote or where the log ended. */
static int
put_pair(struct zk_tx *tx, const struct zk_key *key, uint64_t first,
    uint64_t second)
{
	uint8_t value[16];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, first);
	zk_enc_u64(&enc, second);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, key, value, enc.len);
}

static int
get_pair(struct zk_tx *tx, const struct zk_key *key, uint64_t *ret_first,
    uint64_t *ret_second)
{
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	*ret_first = zk_dec_u64(&dec);
	*ret_second = zk_dec_u64(&dec);
	return zk_dec_done(&dec) ? 0 : (tx->fatal = -ZK_ECORRUPT);
}

int
zk_phard_put(struct zk_tx *tx, uint64_t id, uint64_t term, uint64_t vote)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP_HARD, id);

	return put_pair(tx, &key, term, vote);
}

int
zk_phard_get(struct zk_tx *tx, uint64_t id, uint64_t *ret_term,
    uint64_t *ret_vote)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP_HARD, id);

	return get_pair(tx, &key, ret_term, ret_vote);
}

int
zk_phard_delete(struct zk_tx *tx, uint64_t id)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP_HARD, id);
	const struct zk_key floor = zk_key1(ZK_TABLE_GROUP_FLOOR, id);
	int rc = zk_row_delete(tx, &floor);

	return rc < 0 && rc != -ENOENT ? rc : zk_row_delete(tx, &key);
}

int
zk_pfloor_put(struct zk_tx *tx, uint64_t id, uint64_t term, uint64_t index)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP_FLOOR, id);

	return put_pair(tx, &key, term, index);
}

int
zk_pfloor_get(struct zk_tx *tx, uint64_t id, uint64_t *ret_term,
    uint64_t *ret_index)
{
	const struct zk_key key = zk_key1(ZK_TABLE_GROUP_FLOOR, id);

	return get_pair(tx, &key, ret_term, ret_index);
}

/* The partition of the first row of that table after id; -ENOENT. */
static int
next_of(struct zk_tx *tx, enum zk_table table, uint64_t id, uint64_t *ret_id)
{
	const struct zk_key from = zk_key1(table, id + 1);
	struct zk_scan scan;
	int rc;

	if (id == UINT64_MAX)
		return -ENOENT;
	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0 && scan.at.len != 1 + 8)
		rc = tx->fatal = -ZK_ECORRUPT;
	if (rc == 0)
		*ret_id = zk_get_be64(scan.at.bytes + 1);
	zk_scan_end(&scan);
	return rc;
}

int
zk_pstate_next(struct zk_tx *tx, uint64_t id, uint64_t *ret_id)
{
	return next_of(tx, ZK_TABLE_GROUP, id, ret_id);
}

int
zk_phard_next(struct zk_tx *tx, uint64_t id, uint64_t *ret_id)
{
	return next_of(tx, ZK_TABLE_GROUP_HARD, id, ret_id);
}
