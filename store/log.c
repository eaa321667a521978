#include "store/log.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "base/limits.h"
#include "store/memo.h"

/*
 * An entry is one row or more.  Key: index, part u32.  Part 0: term u64, kind
 * u8, time i64 u32, the payload's length u32, then the payload's first bytes;
 * parts 1 and on: the bytes that follow.  All parts of an entry but the last
 * hold ZK_LOG_PART_BYTES of the payload.
 */
#define HEAD_BYTES (8u + 1 + 8 + 4 + 4)
#define KEY_BYTES  (1u + 8 + 4)

static struct zk_key
log_key(uint64_t index, uint32_t part)
{
	struct zk_key key = zk_key1(ZK_TABLE_LOG, index);

	zk_key_u32(&key, part);
	return key;
}

static bool
kind_is_known(uint8_t kind)
{
	return kind >= ZK_PAYLOAD_COMMAND && kind <= ZK_PAYLOAD_CONFIG;
}

/* --- the ends of the log -------------------------------------------------- */

/* A row of the log before or at which the cursor stands; -ENOENT. */
static int
index_at(struct zk_tx *tx, const MDB_val *key, uint64_t *ret_index)
{
	const uint8_t *bytes = key->mv_data;

	if (key->mv_size < 1 || bytes[0] != ZK_TABLE_LOG)
		return -ENOENT;
	if (key->mv_size != KEY_BYTES)
		return tx->fatal = -ZK_ECORRUPT;
	*ret_index = zk_get_be64(bytes + 1);
	return 0;
}

static int
first_index(struct zk_tx *tx, MDB_cursor *cursor, uint64_t *ret_index)
{
	struct zk_key from = log_key(0, 0);
	MDB_val key = {from.len, from.bytes}, value;
	int rc;

	rc = zk_err_from_mdb(
	    mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
	return rc < 0 ? rc : index_at(tx, &key, ret_index);
}

static int
last_index(struct zk_tx *tx, MDB_cursor *cursor, uint64_t *ret_index)
{
	struct zk_key from;
	MDB_val key, value;
	int rc;

	zk_key_init(&from, ZK_TABLE_LOG + 1);
	key = (MDB_val){from.len, from.bytes};
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	rc = mdb_cursor_get(cursor, &key, &value,
	    rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
	rc = zk_err_from_mdb(rc);
	return rc < 0 ? rc : index_at(tx, &key, ret_index);
}

int
zk_log_bounds(struct zk_tx *tx, uint64_t *ret_first, uint64_t *ret_last)
{
	uint64_t first = 0, last = 0;
	MDB_cursor *cursor;
	int rc;

	rc = zk_err_from_mdb(mdb_cursor_open(tx->mdb, tx->dbi, &cursor));
	if (rc == 0) {
		rc = first_index(tx, cursor, &first);
		if (rc == 0)
			rc = last_index(tx, cursor, &last);
		mdb_cursor_close(cursor);
	}
	if (rc < 0 && rc != -ENOENT)
		return tx->fatal = rc;
	if (rc == 0 && (first == 0 || first > last))
		return tx->fatal = -ZK_ECORRUPT;
	*ret_first = first;
	*ret_last = last;
	return 0;
}

/* --- writing -------------------------------------------------------------- */

static int
put_part(struct zk_tx *tx, const struct zk_entry *entry, uint32_t part)
{
	const struct zk_key key = log_key(entry->index, part);
	const size_t at = (size_t)part * ZK_LOG_PART_BYTES;
	const size_t rest = entry->payload_len - at;
	uint8_t value[HEAD_BYTES + ZK_LOG_PART_BYTES];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	if (part == 0) {
		zk_enc_u64(&enc, entry->term);
		zk_enc_u8(&enc, (uint8_t)entry->kind);
		zk_enc_i64(&enc, entry->time.sec);
		zk_enc_u32(&enc, entry->time.nsec);
		zk_enc_u32(&enc, (uint32_t)entry->payload_len);
	}
	if (rest > 0)
		zk_enc_raw(&enc, (const uint8_t *)entry->payload + at,
		    rest < ZK_LOG_PART_BYTES ? rest : ZK_LOG_PART_BYTES);
	ZK_ASSERT(!enc.failed);
	return zk_row_add(tx, &key, value, enc.len);
}

int
zk_log_append(struct zk_tx *tx, const struct zk_entry *entry)
{
	uint64_t first, last = tx->memo != NULL ? tx->memo->log_last : 0;
	uint32_t part = 0;
	int rc = 0;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(entry->index > 0);
	ZK_ASSERT(kind_is_known((uint8_t)entry->kind));
	ZK_ASSERT(entry->payload_len <= ZK_COMMAND_MAX);

	if (last == 0)
		rc = zk_log_bounds(tx, &first, &last);
	if (rc < 0)
		return rc;
	ZK_ASSERT(last == 0 || entry->index == last + 1);

	do {
		rc = put_part(tx, entry, part++);
	} while (
	    rc == 0 && (size_t)part * ZK_LOG_PART_BYTES < entry->payload_len);
	if (rc == 0 && tx->memo != NULL)
		tx->memo->log_last = entry->index;
	return rc;
}

/* --- reading -------------------------------------------------------------- */

static int
get_head(struct zk_tx *tx, uint64_t index, struct zk_entry *ret_entry,
    struct zk_dec *ret_dec)
{
	const struct zk_key key = log_key(index, 0);
	struct zk_entry entry = {.index = index};
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
	entry.payload_len = zk_dec_u32(ret_dec);
	if (ret_dec->failed || !kind_is_known(kind) ||
	    entry.payload_len > ZK_COMMAND_MAX)
		return tx->fatal = -ZK_ECORRUPT;
	entry.kind = (enum zk_payload_kind)kind;
	*ret_entry = entry;
	return 0;
}

/* Takes what one part must hold; it must hold exactly that. */
static int
take_part(struct zk_dec *dec, uint8_t *buf, size_t rest, size_t *ret_len)
{
	const size_t len = rest < ZK_LOG_PART_BYTES ? rest : ZK_LOG_PART_BYTES;
	const void *data = zk_dec_raw(dec, len);

	if (!zk_dec_done(dec))
		return -ZK_ECORRUPT;
	if (len > 0)
		memcpy(buf, data, len);
	*ret_len = len;
	return 0;
}

static int
get_parts(struct zk_tx *tx, const struct zk_entry *entry, struct zk_dec *head,
    uint8_t *buf)
{
	struct zk_dec dec = *head;
	size_t done = 0, len;
	uint32_t part = 0;

	for (;;) {
		struct zk_key key;
		const void *value;
		int rc;

		rc = take_part(&dec, buf + done, entry->payload_len - done,
		    &len);
		if (rc < 0)
			return tx->fatal = rc;
		done += len;
		if (done == entry->payload_len)
			return 0;
		key = log_key(entry->index, ++part);
		rc = zk_row_get(tx, &key, &value, &len);
		if (rc == -ENOENT) /* an entry with a piece missing */
			return tx->fatal = -ZK_ECORRUPT;
		if (rc < 0)
			return rc;
		zk_dec_init(&dec, value, len);
	}
}

int
zk_log_get(struct zk_tx *tx, uint64_t index, void *buf, size_t cap,
    struct zk_entry *ret_entry)
{
	struct zk_entry entry;
	struct zk_dec head;
	int rc;

	rc = get_head(tx, index, &entry, &head);
	if (rc < 0)
		return rc;
	if (entry.payload_len > cap)
		return -ERANGE;
	rc = get_parts(tx, &entry, &head, buf);
	if (rc < 0)
		return rc;
	entry.payload = buf;
	*ret_entry = entry;
	return 0;
}

int
zk_log_terms(struct zk_tx *tx, zk_log_term_fn fn, void *arg)
{
	struct zk_entry entry;
	uint64_t first, last;
	struct zk_dec head;
	int rc;

	rc = zk_log_bounds(tx, &first, &last);
	if (rc < 0 || last == 0)
		return rc;
	/* By index, not by row: what is missing must be noticed. */
	for (uint64_t index = first; index <= last; index++) {
		rc = get_head(tx, index, &entry, &head);
		if (rc == -ENOENT)
			rc = tx->fatal = -ZK_ECORRUPT;
		if (rc < 0)
			return rc;
		fn(arg, index, entry.term);
	}
	return 0;
}

/* --- deleting ------------------------------------------------------------- */

static int
delete_entry(struct zk_tx *tx, uint64_t index)
{
	const struct zk_key prefix = zk_key1(ZK_TABLE_LOG, index);

	return zk_rows_delete(tx, &prefix);
}

int
zk_log_truncate(struct zk_tx *tx, uint64_t index)
{
	uint64_t first, last;
	int rc;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(index > 0);

	rc = zk_log_bounds(tx, &first, &last);
	if (rc < 0 || last == 0)
		return rc;
	if (index < first)
		index = first;
	/* From the end, so that what is left is a log at each step. */
	for (uint64_t at = last; rc == 0 && at >= index; at--)
		rc = delete_entry(tx, at);
	return rc;
}

int
zk_log_trim(struct zk_tx *tx, uint64_t index, uint32_t max)
{
	const struct zk_key from = log_key(0, 0);
	uint64_t last = 0;
	uint32_t count = 0;
	struct zk_scan scan;
	int rc;

	ZK_ASSERT(tx->write);

	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		const uint64_t at = zk_get_be64(scan.at.bytes + 1);

		count += at != last; /* rows of one entry are neighbours */
		last = at;
		if (at >= index || count > max)
			break;
		rc = scan.at.len == KEY_BYTES ? zk_scan_delete(&scan)
		                              : (tx->fatal = -ZK_ECORRUPT);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}
