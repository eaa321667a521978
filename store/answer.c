#include "store/answer.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/inode.h"

/*
 * Row: key session, number; value: -rc u32, index u64, offset u64, ino u64,
 * line u32, then the name.
 */

/* At a time: a session may have left many by a program that forgot none. */
#define FORGET_MAX 4096u

int
zk_answer_put(struct zk_tx *tx, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	const struct zk_key key = zk_key2(ZK_TABLE_ANSWER, session, number);
	uint8_t value[4 + 8 + 8 + 8 + 4 + ZK_NAME_MAX];
	struct zk_enc enc;

	ZK_ASSERT(number != 0);
	ZK_ASSERT(outcome->rc <= 0);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u32(&enc, (uint32_t)-outcome->rc);
	zk_enc_u64(&enc, outcome->index);
	zk_enc_u64(&enc, outcome->offset);
	zk_enc_u64(&enc, outcome->attr.ino);
	zk_enc_u32(&enc, outcome->line);
	zk_enc_raw(&enc, outcome->name, outcome->name_len);
	ZK_ASSERT(!enc.failed);
	return zk_row_add(tx, &key, value, enc.len);
}

int
zk_answer_get(struct zk_tx *tx, uint64_t session, uint64_t number,
    struct zk_outcome *ret_outcome)
{
	const struct zk_key key = zk_key2(ZK_TABLE_ANSWER, session, number);
	struct zk_outcome out = {0};
	const void *value, *name;
	struct zk_dec dec;
	uint64_t ino;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	out.rc = -(int)zk_dec_u32(&dec);
	out.index = zk_dec_u64(&dec);
	out.offset = zk_dec_u64(&dec);
	ino = zk_dec_u64(&dec);
	out.line = zk_dec_u32(&dec);
	out.name_len = dec.len - dec.pos;
	name = zk_dec_raw(&dec, out.name_len);
	if (dec.failed || out.name_len > ZK_NAME_MAX)
		return tx->fatal = -ZK_ECORRUPT;
	if (out.name_len > 0)
		memcpy(out.name, name, out.name_len);
	if (ino != 0) {
		rc = zk_inode_attr(tx, ino, &out.attr);
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	*ret_outcome = out;
	return 0;
}

int
zk_answer_forget(struct zk_tx *tx, uint64_t session, uint64_t below)
{
	const struct zk_key first = zk_key2(ZK_TABLE_ANSWER, session, 0);
	struct zk_scan scan;
	uint32_t count = 0;
	int rc;

	rc = zk_scan_begin(tx, &first, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	while (count++ < FORGET_MAX && (rc = zk_scan_next(&scan)) == 0 &&
	    zk_get_be64(scan.at.bytes + 1 + 8) < below) {
		rc = zk_scan_delete(&scan);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_answer_forget_all(struct zk_tx *tx, uint64_t session)
{
	const struct zk_key prefix = zk_key1(ZK_TABLE_ANSWER, session);

	return zk_rows_delete(tx, &prefix);
}
