#include "store/group_row.h"

#include <errno.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"

/*
 * Share row: key group, number u32; value: format u8 = 1, then ino, committed,
 * owner, since and want, each u64; format 2, where the record there has been
 * tried: tries u32 besides.
 *
 * Member row: key group, joined; value: session u64, handle u64.  Seat row:
 * key session, handle; value: group u64, joined u64.
 */
#define SHARE_FORMAT       1u
#define SHARE_FORMAT_TRIED 2u

static struct zk_key
share_key(uint64_t group, uint32_t number)
{
	struct zk_key key = zk_key1(ZK_TABLE_SHARE, group);

	zk_key_u32(&key, number);
	return key;
}

int
zk_share_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_share *ret_share)
{
	struct zk_share share;
	struct zk_dec dec;
	uint8_t format;

	if (key->len != 1 + 8 + 4)
		return -ZK_ECORRUPT;
	share.group = zk_get_be64(key->bytes + 1);
	share.number = zk_get_be32(key->bytes + 1 + 8);
	zk_dec_init(&dec, value, len);
	format = zk_dec_u8(&dec);
	if (format != SHARE_FORMAT && format != SHARE_FORMAT_TRIED)
		return -ZK_ECORRUPT;
	share.ino = zk_dec_u64(&dec);
	share.committed = zk_dec_u64(&dec);
	share.owner = zk_dec_u64(&dec);
	share.since = zk_dec_u64(&dec);
	share.want = zk_dec_u64(&dec);
	share.tries = format == SHARE_FORMAT ? 0 : zk_dec_u32(&dec);
	if (!zk_dec_done(&dec))
		return -ZK_ECORRUPT;
	*ret_share = share;
	return 0;
}

int
zk_share_get(struct zk_tx *tx, uint64_t group, uint32_t number,
    struct zk_share *ret_share)
{
	const struct zk_key key = share_key(group, number);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc == 0) {
		rc = zk_share_decode(&key, value, len, ret_share);
		if (rc < 0)
			tx->fatal = rc;
	}
	return rc;
}

int
zk_share_put(struct zk_tx *tx, const struct zk_share *share)
{
	const struct zk_key key = share_key(share->group, share->number);
	uint8_t value[1 + 5 * 8 + 4];
	struct zk_enc enc;

	ZK_ASSERT(share->ino != 0);

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u8(&enc, share->tries == 0 ? SHARE_FORMAT : SHARE_FORMAT_TRIED);
	zk_enc_u64(&enc, share->ino);
	zk_enc_u64(&enc, share->committed);
	zk_enc_u64(&enc, share->owner);
	zk_enc_u64(&enc, share->since);
	zk_enc_u64(&enc, share->want);
	if (share->tries > 0)
		zk_enc_u32(&enc, share->tries);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_share_next(struct zk_tx *tx, uint64_t group, uint32_t number,
    struct zk_share *ret_share)
{
	const struct zk_key from = share_key(group, number);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0) {
		rc = zk_share_decode(&scan.at, scan.value, scan.value_len,
		    ret_share);
		if (rc < 0)
			tx->fatal = rc;
	}
	zk_scan_end(&scan);
	return rc;
}

/* --- members -------------------------------------------------------------- */

static int
pair_decode(struct zk_tx *tx, const void *value, size_t len, uint64_t *ret_a,
    uint64_t *ret_b)
{
	struct zk_dec dec;

	zk_dec_init(&dec, value, len);
	*ret_a = zk_dec_u64(&dec);
	*ret_b = zk_dec_u64(&dec);
	return zk_dec_done(&dec) ? 0 : (tx->fatal = -ZK_ECORRUPT);
}

static int
pair_put(struct zk_tx *tx, const struct zk_key *key, uint64_t a, uint64_t b)
{
	uint8_t value[16];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, a);
	zk_enc_u64(&enc, b);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, key, value, enc.len);
}

int
zk_member_row_put(struct zk_tx *tx, const struct zk_group_member *m)
{
	const struct zk_key member =
	    zk_key2(ZK_TABLE_MEMBER, m->group, m->joined);
	const struct zk_key seat =
	    zk_key2(ZK_TABLE_SEAT, m->session, m->handle);
	int rc;

	rc = pair_put(tx, &member, m->session, m->handle);
	return rc < 0 ? rc : pair_put(tx, &seat, m->group, m->joined);
}

int
zk_member_row_delete(struct zk_tx *tx, const struct zk_group_member *m)
{
	const struct zk_key member =
	    zk_key2(ZK_TABLE_MEMBER, m->group, m->joined);
	const struct zk_key seat =
	    zk_key2(ZK_TABLE_SEAT, m->session, m->handle);
	int rc;

	rc = zk_row_delete(tx, &member);
	return rc < 0 ? rc : zk_row_delete(tx, &seat);
}

int
zk_group_member_next(struct zk_tx *tx, uint64_t group, uint64_t after,
    struct zk_group_member *ret_member)
{
	const struct zk_key from = zk_key2(ZK_TABLE_MEMBER, group, after + 1);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1 + 8, &scan);
	if (rc < 0)
		return rc;
	rc = zk_scan_next(&scan);
	if (rc == 0) {
		ret_member->group = group;
		ret_member->joined = zk_get_be64(scan.at.bytes + 1 + 8);
		rc = pair_decode(tx, scan.value, scan.value_len,
		    &ret_member->session, &ret_member->handle);
	}
	zk_scan_end(&scan);
	return rc;
}

int
zk_group_seat(struct zk_tx *tx, uint64_t session, uint64_t handle,
    struct zk_group_member *ret_member)
{
	const struct zk_key key = zk_key2(ZK_TABLE_SEAT, session, handle);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	ret_member->session = session;
	ret_member->handle = handle;
	return pair_decode(tx, value, len, &ret_member->group,
	    &ret_member->joined);
}
