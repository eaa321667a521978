#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "store/datadir.h"
#include "store/store.h"
#include "store/verify_impl.h"

/*
 * The file of partitions, before it is used.  It has nothing by which one
 * that was lost, emptied, or is of another time could be told from a new one;
 * the tree has the number that is in it.  LMDB trusts its pages, and one that
 * is damaged ends the process: so all of those that lead somewhere are walked,
 * for as long as a start may take.  The records themselves are not read: there
 * are too many, and each has a checksum.
 */
#define WALK_MS_MAX   2000u
#define PROGRESS_ROWS 4096u

/* Nothing is created or written: no lock file, no meta page. */
int
zk_verify_open(const char *path, MDB_env **ret_env, struct zk_tx *ret_tx)
{
	const unsigned int flags = MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR;
	MDB_env *env;
	int rc;

	rc = zk_err_from_mdb(mdb_env_create(&env));
	if (rc == 0)
		rc = zk_err_from_mdb(mdb_env_open(env, path, flags, 0));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_txn_begin(env, NULL, MDB_RDONLY, &ret_tx->mdb));
	if (rc == 0)
		rc = zk_err_from_mdb(
		    mdb_dbi_open(ret_tx->mdb, NULL, 0, &ret_tx->dbi));
	*ret_env = env;
	return rc;
}

/* Whose rows are few; the log's are the others. */
static const uint8_t short_tables[] = {ZK_TABLE_TOPICS, ZK_TABLE_TOPICS_ID,
    ZK_TABLE_JOURNAL, ZK_TABLE_GROUP, ZK_TABLE_GROUP_FLOOR, ZK_TABLE_GROUP_HARD,
    ZK_TABLE_WRITER};

/* Is this what may come after `last`, which becomes it? */
static bool
is_row(struct zk_tx *tx, const MDB_val *at, const MDB_val *value,
    struct zk_key *last)
{
	const size_t least = at->mv_size < last->len ? at->mv_size : last->len;
	const void *row;
	size_t len;
	int order;

	if (at->mv_size == 0 || at->mv_size > ZK_KEY_MAX || value->mv_size < 4)
		return false;
	order = memcmp(last->bytes, at->mv_data, least);
	if (order > 0 || (order == 0 && last->len >= at->mv_size))
		return false;
	memcpy(last->bytes, at->mv_data, at->mv_size);
	last->len = at->mv_size;
	if (last->bytes[0] == ZK_TABLE_GROUP_LOG)
		return true;
	return memchr(short_tables, last->bytes[0], sizeof(short_tables)) !=
	    NULL &&
	    zk_row_get(tx, last, &row, &len) == 0;
}

static int
walk(struct zk_tx *tx, void (*progress)(void *arg), void *arg)
{
	const uint64_t until_ms = zk_clock_ms() + WALK_MS_MAX;
	struct zk_key last = {.len = 0};
	MDB_val at, value;
	MDB_cursor *cursor = NULL;
	uint64_t rows = 0;
	MDB_stat stat;
	int rc;

	rc = zk_err_from_mdb(mdb_stat(tx->mdb, tx->dbi, &stat));
	if (rc == 0)
		rc =
		    zk_err_from_mdb(mdb_cursor_open(tx->mdb, tx->dbi, &cursor));
	if (rc < 0)
		return rc;
	while (rc == 0) {
		rc = zk_err_from_mdb(
		    mdb_cursor_get(cursor, &at, &value, MDB_NEXT));
		if (rc == 0 &&
		    (++rows > stat.ms_entries ||
		        !is_row(tx, &at, &value, &last)))
			rc = -ZK_ECORRUPT;
		if (rc < 0 || rows % PROGRESS_ROWS != 0)
			continue;
		progress(arg);
		if (zk_clock_ms() >= until_ms)
			break;
	}
	mdb_cursor_close(cursor);
	if (rc == -ENOENT)
		rc = rows == stat.ms_entries ? 0 : -ZK_ECORRUPT;
	return rc;
}

static bool
has_owner(struct zk_tx *tx)
{
	struct zk_key key;
	const void *row;
	size_t len;

	zk_key_init(&key, ZK_TABLE_TOPICS);
	return zk_row_get(tx, &key, &row, &len) == 0;
}

int
zk_verify_topics(const char *dir, struct zk_tx *tree,
    void (*progress)(void *arg), void *arg, char *problem, size_t cap)
{
	struct zk_tx tx = {.store = NULL};
	uint64_t want, got = 0;
	char path[4096];
	struct stat st;
	MDB_env *env;
	int rc;

	rc = zk_topics_id_get(tree, &want);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, ZK_DATADIR_TOPICS);
	if (stat(path, &st) != 0 || st.st_size == 0) {
		(void)snprintf(problem, cap, "%s, and it was not new: damaged",
		    access(path, F_OK) == 0 ? "empty" : "missing");
		return -ZK_ECORRUPT;
	}
	rc = zk_verify_open(path, &env, &tx);
	if (rc == 0)
		rc = zk_topics_id_get(&tx, &got);
	if (rc == 0 && got == want)
		return walk(&tx, progress, arg);
	/* A root of noise has no row at all. */
	if (rc == -ENOENT && !has_owner(&tx))
		return -ZK_ECORRUPT;
	if (rc == 0 || rc == -ENOENT) {
		(void)snprintf(problem, cap,
		    "%s: not the one that belongs to this tree",
		    rc == 0 ? "of another directory" : "made anew");
		rc = -ZK_ECORRUPT;
	}
	return rc;
}
