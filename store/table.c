#include "store/table.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/env.h"
#include "store/memo.h"

#define CRC_BYTES 4u

int
zk_err_from_mdb(int rc)
{
	switch (rc) {
	case MDB_SUCCESS:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_PANIC:
	case MDB_BAD_TXN:
		return -ZK_ECORRUPT;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

void
zk_key_raw(struct zk_key *key, const void *data, size_t len)
{
	ZK_ASSERT(len <= ZK_KEY_MAX - key->len);

	if (len > 0)
		memcpy(key->bytes + key->len, data, len);
	key->len += len;
}

void
zk_key_init(struct zk_key *key, enum zk_table table)
{
	key->bytes[0] = (uint8_t)table;
	key->len = 1;
}

void
zk_key_u64(struct zk_key *key, uint64_t value)
{
	uint8_t bytes[8];

	zk_put_be64(bytes, value);
	zk_key_raw(key, bytes, sizeof(bytes));
}

void
zk_key_u32(struct zk_key *key, uint32_t value)
{
	uint8_t bytes[4];

	zk_put_be32(bytes, value);
	zk_key_raw(key, bytes, sizeof(bytes));
}

struct zk_key
zk_key1(enum zk_table table, uint64_t a)
{
	struct zk_key key;

	zk_key_init(&key, table);
	zk_key_u64(&key, a);
	return key;
}

struct zk_key
zk_key2(enum zk_table table, uint64_t a, uint64_t b)
{
	struct zk_key key = zk_key1(table, a);

	zk_key_u64(&key, b);
	return key;
}

bool
zk_table_is_replicated(uint8_t table)
{
	return table >= 'a';
}

bool
zk_table_is_journaled(uint8_t table)
{
	return table == ZK_TABLE_IDENT || table == ZK_TABLE_HARD ||
	    table == ZK_TABLE_PEERS || table == ZK_TABLE_TOPICS_ID ||
	    table == ZK_TABLE_LOG ||
	    /* Of the topics all: nothing else brings them back. */
	    table == ZK_TABLE_TOPICS || table == ZK_TABLE_GROUP ||
	    table == ZK_TABLE_GROUP_HARD || table == ZK_TABLE_GROUP_FLOOR ||
	    table == ZK_TABLE_GROUP_LOG || table == ZK_TABLE_WRITER;
}

uint64_t
zk_row_digest(const void *key, size_t key_len, uint32_t crc)
{
	return zk_mix64((uint64_t)crc << 32 | zk_crc32c(~crc, key, key_len));
}

/* Any error but absence ends the transaction; remember the first. */
static int
tx_error(struct zk_tx *tx, int rc)
{
	if (rc < 0 && rc != -ENOENT && tx->fatal == 0)
		tx->fatal = rc;
	return rc;
}

static MDB_val
key_val(const struct zk_key *key)
{
	/* LMDB's interface lacks const; it only reads keys. */
	return (MDB_val){key->len, (void *)(uintptr_t)key->bytes};
}

static uint32_t
row_crc(const void *key, size_t key_len, const void *value, size_t len)
{
	return zk_crc32c(zk_crc32c(0, key, key_len), value, len);
}

static uint32_t
stored_crc(const MDB_val *val)
{
	const uint8_t *end = (const uint8_t *)val->mv_data + val->mv_size;

	return zk_get_be32(end - CRC_BYTES);
}

static int
check_row(const MDB_val *key, const MDB_val *val)
{
	if (val->mv_size < CRC_BYTES)
		return -ZK_ECORRUPT;
	if (row_crc(key->mv_data, key->mv_size, val->mv_data,
	        val->mv_size - CRC_BYTES) != stored_crc(val))
		return -ZK_ECORRUPT;
	return 0;
}

/*
 * A writer looks for a row before it puts it, and often near where it was in
 * that table before: a cursor that is there already finds it without coming
 * down from the root.  NULL: without one.
 */
static MDB_cursor *
cursor_of(struct zk_tx *tx, const struct zk_key *key)
{
	MDB_cursor **cursor;

	if (tx->cursors == NULL)
		return NULL;
	cursor = &tx->cursors[key->bytes[0] % ZK_TX_CURSORS];
	if (*cursor == NULL &&
	    mdb_cursor_open(tx->mdb, tx->dbi, cursor) != MDB_SUCCESS)
		*cursor = NULL;
	return *cursor;
}

static int
find(struct zk_tx *tx, const struct zk_key *key, MDB_val *k, MDB_val *v)
{
	MDB_cursor *cursor = cursor_of(tx, key);

	*k = key_val(key);
	return zk_err_from_mdb(cursor != NULL
	        ? mdb_cursor_get(cursor, k, v, MDB_SET)
	        : mdb_get(tx->mdb, tx->dbi, k, v));
}

/* Room for v->mv_size bytes. */
static int
place(struct zk_tx *tx, const struct zk_key *key, MDB_val *v, unsigned flags)
{
	MDB_cursor *cursor = cursor_of(tx, key);
	MDB_val k = key_val(key);

	flags |= MDB_RESERVE;
	return zk_err_from_mdb(cursor != NULL
	        ? mdb_cursor_put(cursor, &k, v, flags)
	        : mdb_put(tx->mdb, tx->dbi, &k, v, flags));
}

static int
remove_found(struct zk_tx *tx, const struct zk_key *key)
{
	MDB_cursor *cursor = cursor_of(tx, key);
	MDB_val k = key_val(key), v;
	int rc;

	if (cursor == NULL)
		return zk_err_from_mdb(mdb_del(tx->mdb, tx->dbi, &k, NULL));
	rc = find(tx, key, &k, &v);
	return rc < 0 ? rc : zk_err_from_mdb(mdb_cursor_del(cursor, 0));
}

int
zk_row_get(struct zk_tx *tx, const struct zk_key *key, const void **ret_value,
    size_t *ret_len)
{
	MDB_val k, v;
	int rc;

	rc = find(tx, key, &k, &v);
	if (rc == 0)
		rc = check_row(&k, &v);
	if (rc < 0)
		return tx_error(tx, rc);
	*ret_value = v.mv_data;
	*ret_len = v.mv_size - CRC_BYTES;
	return 0;
}

/* After a row was put, or deleted: then value is NULL. */
static void
changed(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	tx->changes++;
	if (key->bytes[0] == ZK_TABLE_LOCK || key->bytes[0] == ZK_TABLE_WAITER)
		tx->news |= ZK_TX_LOCKS;
	else if (key->bytes[0] == ZK_TABLE_SESSION && value == NULL)
		tx->news |= ZK_TX_SESSIONS;
	if (tx->memo != NULL)
		zk_memo_forget(tx->memo, key->bytes[0]);
	zk_env_note(tx, key, value, len);
}

size_t
zk_row_bytes(const struct zk_key *key, size_t len)
{
	return key->len + len + CRC_BYTES;
}

/* Takes an existing row out of the digest; -ENOENT when there is none. */
static int
forget_row(struct zk_tx *tx, const struct zk_key *key)
{
	MDB_val k, v;
	int rc;

	rc = find(tx, key, &k, &v);
	if (rc < 0)
		return rc;
	if (v.mv_size < CRC_BYTES)
		return -ZK_ECORRUPT;
	tx->state.digest -= zk_row_digest(key->bytes, key->len, stored_crc(&v));
	tx->state.row_bytes -= key->len + v.mv_size;
	return 0;
}

/* The row has its place; now its bytes, and what goes with every change. */
static void
finish_put(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len, uint32_t crc, const MDB_val *place)
{
	uint8_t *bytes = place->mv_data;

	if (len > 0)
		memcpy(bytes, value, len);
	zk_put_be32(bytes + len, crc);
	changed(tx, key, value, len);
}

int
zk_row_put(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	const uint32_t crc = row_crc(key->bytes, key->len, value, len);
	MDB_val v = {len + CRC_BYTES, NULL};
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(key->len > 0);

	if (zk_table_is_replicated(key->bytes[0])) {
		rc = forget_row(tx, key);
		if (rc < 0 && rc != -ENOENT)
			return tx_error(tx, rc);
		tx->state.digest += zk_row_digest(key->bytes, key->len, crc);
		tx->state.row_bytes += key->len + v.mv_size;
	}
	rc = place(tx, key, &v, 0);
	if (rc < 0)
		return tx_error(tx, rc);
	finish_put(tx, key, value, len, crc, &v);
	return 0;
}

int
zk_row_add(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len)
{
	MDB_val v = {len + CRC_BYTES, NULL};
	uint32_t crc;
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(key->len > 0);

	rc = place(tx, key, &v, MDB_NOOVERWRITE);
	if (rc == -EEXIST)
		return zk_row_put(tx, key, value, len);
	if (rc < 0)
		return tx_error(tx, rc);
	crc = row_crc(key->bytes, key->len, value, len);
	if (zk_table_is_replicated(key->bytes[0])) {
		tx->state.digest += zk_row_digest(key->bytes, key->len, crc);
		tx->state.row_bytes += zk_row_bytes(key, len);
	}
	finish_put(tx, key, value, len, crc, &v);
	return 0;
}

int
zk_row_delete(struct zk_tx *tx, const struct zk_key *key)
{
	int rc;

	ZK_ASSERT(tx->write);

	if (zk_table_is_replicated(key->bytes[0])) {
		rc = forget_row(tx, key);
		if (rc < 0)
			return tx_error(tx, rc);
	}
	rc = remove_found(tx, key);
	if (rc == 0)
		changed(tx, key, NULL, 0);
	return tx_error(tx, rc);
}

int
zk_scan_begin(struct zk_tx *tx, const struct zk_key *from, size_t prefix_len,
    struct zk_scan *ret_scan)
{
	struct zk_scan scan = {
	    .tx = tx,
	    .prefix_len = prefix_len,
	    .at = *from,
	};
	int rc;

	ZK_ASSERT(prefix_len <= from->len);

	rc = zk_err_from_mdb(mdb_cursor_open(tx->mdb, tx->dbi, &scan.cursor));
	if (rc < 0)
		return tx_error(tx, rc);
	*ret_scan = scan;
	return 0;
}

/*
 * Where rows have changed since the last step, they may have moved: find the
 * place anew by key.
 */
static int
scan_step(struct zk_scan *scan, MDB_val *k, MDB_val *v)
{
	struct zk_key *at = &scan->at;
	int rc;

	if (scan->started && scan->changes == scan->tx->changes)
		return mdb_cursor_get(scan->cursor, k, v, MDB_NEXT);
	*k = key_val(at);
	rc = mdb_cursor_get(scan->cursor, k, v, MDB_SET_RANGE);
	if (rc == MDB_SUCCESS && scan->started && k->mv_size == at->len &&
	    memcmp(k->mv_data, at->bytes, at->len) == 0)
		rc = mdb_cursor_get(scan->cursor, k, v, MDB_NEXT);
	return rc;
}

int
zk_scan_next(struct zk_scan *scan)
{
	MDB_val k, v;
	int rc;

	rc = zk_err_from_mdb(scan_step(scan, &k, &v));
	if (rc < 0)
		return tx_error(scan->tx, rc);
	if (k.mv_size < scan->prefix_len || k.mv_size > ZK_KEY_MAX ||
	    memcmp(k.mv_data, scan->at.bytes, scan->prefix_len) != 0)
		return -ENOENT;
	rc = check_row(&k, &v);
	if (rc < 0)
		return tx_error(scan->tx, rc);
	scan->started = true;
	scan->changes = scan->tx->changes;
	scan->at.len = k.mv_size;
	memcpy(scan->at.bytes, k.mv_data, k.mv_size);
	scan->value = v.mv_data;
	scan->value_len = v.mv_size - CRC_BYTES;
	return 0;
}

int
zk_scan_delete(struct zk_scan *scan)
{
	struct zk_tx *tx = scan->tx;
	uint32_t crc;
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(scan->started && scan->changes == tx->changes);

	crc = zk_get_be32((const uint8_t *)scan->value + scan->value_len);
	if (zk_table_is_replicated(scan->at.bytes[0])) {
		tx->state.digest -=
		    zk_row_digest(scan->at.bytes, scan->at.len, crc);
		tx->state.row_bytes -= zk_row_bytes(&scan->at, scan->value_len);
	}
	rc = zk_err_from_mdb(mdb_cursor_del(scan->cursor, 0));
	if (rc < 0)
		return tx_error(tx, rc);
	changed(tx, &scan->at, NULL, 0);
	/* The cursor is where the next step begins. */
	scan->changes = tx->changes;
	return 0;
}

void
zk_scan_end(struct zk_scan *scan)
{
	if (scan->cursor != NULL)
		mdb_cursor_close(scan->cursor);
	scan->cursor = NULL;
}

int
zk_rows_delete(struct zk_tx *tx, const struct zk_key *prefix)
{
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, prefix, prefix->len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = zk_scan_delete(&scan);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}
