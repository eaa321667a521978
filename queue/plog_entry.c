#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "queue/plog.h"

/*
 * An entry is one row or more.  Key: partition, index, part u32.  Part 0: term
 * u64, kind u8, time i64 u32, offset u64, session u64, number u64, acked u64,
 * the payload's length u32, then the payload if it is short.  A longer one is
 * in parts 1 and on, of ZK_LOG_PART_BYTES each but for the last, so that
 * looking for an entry reads short rows only.
 */
#define KEY_BYTES (1u + 8 + 8 + 4)

/* A row of this fits a leaf of LMDB's: it asks for two in a page. */
#define INLINE_MAX 1856u

_Static_assert(INLINE_MAX + ZK_PENTRY_HEAD_BYTES + KEY_BYTES + 4 + 8 <= 2032,
    "no page of its own for a short entry");

static struct zk_key
entry_key(uint64_t id, uint64_t index, uint32_t part)
{
	struct zk_key key = zk_key2(ZK_TABLE_GROUP_LOG, id, index);

	zk_key_u32(&key, part);
	return key;
}

/* Parts beside the head. */
static uint32_t
parts_of(uint32_t len)
{
	if (len <= INLINE_MAX)
		return 0;
	return (len + ZK_LOG_PART_BYTES - 1) / ZK_LOG_PART_BYTES;
}

int
zk_plog_append(struct zk_tx *tx, uint64_t id, const struct zk_pentry *entry)
{
	const uint32_t parts = parts_of(entry->len);
	struct zk_key key = entry_key(id, entry->index, 0);
	uint8_t value[ZK_PENTRY_HEAD_BYTES + INLINE_MAX];
	struct zk_enc enc;
	int rc;

	ZK_ASSERT(entry->index > 0);
	ZK_ASSERT(entry->len <= ZK_BATCH_MAX);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, entry->term);
	zk_enc_u8(&enc, (uint8_t)entry->kind);
	zk_enc_i64(&enc, entry->time.sec);
	zk_enc_u32(&enc, entry->time.nsec);
	zk_enc_u64(&enc, entry->offset);
	zk_enc_u64(&enc, entry->session);
	zk_enc_u64(&enc, entry->number);
	zk_enc_u64(&enc, entry->acked);
	zk_enc_u32(&enc, entry->len);
	if (parts == 0 && entry->len > 0)
		zk_enc_raw(&enc, entry->payload, entry->len);
	ZK_ASSERT(!enc.failed);
	rc = zk_row_put(tx, &key, value, enc.len);
	for (uint32_t part = 0; rc == 0 && part < parts; part++) {
		const uint32_t at = part * ZK_LOG_PART_BYTES;
		const uint32_t rest = entry->len - at;

		key = entry_key(id, entry->index, part + 1);
		rc = zk_row_put(tx, &key, (const uint8_t *)entry->payload + at,
		    rest < ZK_LOG_PART_BYTES ? rest : ZK_LOG_PART_BYTES);
	}
	return rc;
}

static int
get_head(struct zk_tx *tx, uint64_t id, uint64_t index,
    struct zk_pentry *ret_entry, struct zk_dec *ret_dec)
{
	const struct zk_key key = entry_key(id, index, 0);
	struct zk_pentry entry = {.index = index};
	const void *value;
	uint8_t kind;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(ret_dec, value, len);
	entry.term = zk_dec_u64(ret_dec);
	kind = zk_dec_u8(ret_dec);
	entry.time.sec = zk_dec_i64(ret_dec);
	entry.time.nsec = zk_dec_u32(ret_dec);
	entry.offset = zk_dec_u64(ret_dec);
	entry.session = zk_dec_u64(ret_dec);
	entry.number = zk_dec_u64(ret_dec);
	entry.acked = zk_dec_u64(ret_dec);
	entry.len = zk_dec_u32(ret_dec);
	if (ret_dec->failed || kind < ZK_PENTRY_DATA ||
	    kind > ZK_PENTRY_KIND_LAST || entry.len > ZK_BATCH_MAX ||
	    ret_dec->len - ret_dec->pos !=
	        (parts_of(entry.len) == 0 ? entry.len : 0))
		return tx->fatal = -ZK_ECORRUPT;
	entry.kind = (enum zk_pentry_kind)kind;
	*ret_entry = entry;
	return 0;
}

int
zk_plog_head(struct zk_tx *tx, uint64_t id, uint64_t index,
    struct zk_pentry *ret_entry)
{
	struct zk_dec dec;

	return get_head(tx, id, index, ret_entry, &dec);
}

static int
get_part(struct zk_tx *tx, uint64_t id, const struct zk_pentry *entry,
    uint32_t part, const uint8_t **ret_bytes)
{
	const struct zk_key key = entry_key(id, entry->index, part + 1);
	const uint32_t rest = entry->len - part * ZK_LOG_PART_BYTES;
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == 0 &&
	    len != (rest < ZK_LOG_PART_BYTES ? rest : ZK_LOG_PART_BYTES))
		rc = -ZK_ECORRUPT;
	if (rc < 0) /* also one that is not there */
		return tx->fatal = rc == -ENOENT ? -ZK_ECORRUPT : rc;
	*ret_bytes = value;
	return 0;
}

int
zk_plog_bytes(struct zk_tx *tx, uint64_t id, const struct zk_pentry *entry,
    uint32_t at, void *buf, size_t len)
{
	uint8_t *to = buf;
	struct zk_pentry again;
	struct zk_dec dec;
	int rc;

	ZK_ASSERT(len <= entry->len);
	ZK_ASSERT(at <= entry->len - len);

	if (len == 0)
		return 0;
	if (parts_of(entry->len) == 0) {
		rc = get_head(tx, id, entry->index, &again, &dec);
		if (rc < 0)
			return rc;
		memcpy(to, dec.buf + dec.pos + at, len);
		return 0;
	}
	while (len > 0) {
		const uint32_t part = at / ZK_LOG_PART_BYTES;
		const uint32_t skip = at % ZK_LOG_PART_BYTES;
		const uint8_t *bytes;
		size_t take = ZK_LOG_PART_BYTES - skip;

		rc = get_part(tx, id, entry, part, &bytes);
		if (rc < 0)
			return rc;
		if (take > len)
			take = len;
		memcpy(to, bytes + skip, take);
		to += take;
		at += (uint32_t)take;
		len -= take;
	}
	return 0;
}

int
zk_plog_last(struct zk_tx *tx, uint64_t id, uint64_t after, uint64_t *ret_index)
{
	struct zk_key past = entry_key(id, UINT64_MAX, UINT32_MAX);
	MDB_val key = {past.len, past.bytes}, value;
	const uint8_t *bytes;
	MDB_cursor *cursor;
	int rc;

	*ret_index = 0;
	rc = zk_err_from_mdb(mdb_cursor_open(tx->mdb, tx->dbi, &cursor));
	if (rc < 0)
		return tx->fatal = rc;
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	rc = zk_err_from_mdb(mdb_cursor_get(cursor, &key, &value,
	    rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV));
	bytes = key.mv_data;
	if (rc == 0 && key.mv_size == KEY_BYTES &&
	    memcmp(bytes, past.bytes, 1 + 8) == 0 &&
	    zk_get_be64(bytes + 1 + 8) > after)
		*ret_index = zk_get_be64(bytes + 1 + 8);
	mdb_cursor_close(cursor);
	return rc < 0 && rc != -ENOENT ? (tx->fatal = rc) : 0;
}

/* --- deleting ------------------------------------------------------------- */

static int
delete_entry(struct zk_tx *tx, uint64_t id, uint64_t index, uint32_t *ret_rows)
{
	struct zk_pentry entry;
	int rc;

	rc = zk_plog_head(tx, id, index, &entry);
	if (rc < 0)
		return rc;
	*ret_rows = 1 + parts_of(entry.len);
	for (uint32_t part = *ret_rows; rc == 0 && part > 0; part--) {
		const struct zk_key key = entry_key(id, index, part - 1);

		rc = zk_row_delete(tx, &key);
	}
	return rc == -ENOENT ? (tx->fatal = -ZK_ECORRUPT) : rc;
}

int
zk_plog_truncate(struct zk_tx *tx, uint64_t id, uint64_t first, uint64_t last)
{
	uint32_t rows = 0;
	int rc = 0;

	for (uint64_t index = last; rc == 0 && index >= first; index--)
		rc = delete_entry(tx, id, index, &rows);
	return rc == -ENOENT ? (tx->fatal = -ZK_ECORRUPT) : rc;
}

/* The first entry from *index on, or UINT64_MAX. */
static int
next_index(struct zk_tx *tx, uint64_t id, uint64_t *index)
{
	const struct zk_key from = entry_key(id, *index, 0);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0 && scan.at.len != KEY_BYTES)
		rc = tx->fatal = -ZK_ECORRUPT;
	*index = rc == 0 ? zk_get_be64(scan.at.bytes + 1 + 8) : UINT64_MAX;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_plog_trim(struct zk_tx *tx, uint64_t id, uint64_t first, uint64_t last,
    uint32_t max_rows, uint64_t *ret_next)
{
	uint32_t done = 0, rows = 0;
	int rc = 0;

	while (rc == 0 && first <= last && done < max_rows) {
		rc = delete_entry(tx, id, first, &rows);
		/* A replica that began anew in the middle has a gap there. */
		if (rc == -ENOENT) {
			rc = next_index(tx, id, &first);
			continue;
		}
		first++;
		done += rows;
	}
	*ret_next = first <= last ? first : last + 1;
	return rc;
}
