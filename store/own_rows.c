#include "store/own_rows.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/datadir.h"

/*
 * IDENT row: format u32, ensemble 16 bytes, node u64, boots u64, member (u32
 * length and bytes).  STATE row: the fields of struct zk_state in their order.
 * HARD row: term u64, vote u64.  TOPICS_ID row: id u64.  All little-endian.
 */

static struct zk_key
plain_key(enum zk_table table)
{
	struct zk_key key;

	zk_key_init(&key, table);
	return key;
}

int
zk_ident_row_get(struct zk_tx *tx, struct zk_ident *ret_ident)
{
	const struct zk_key key = plain_key(ZK_TABLE_IDENT);
	const void *value, *raw;
	struct zk_dec dec;
	size_t len, name_len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	if (zk_dec_u32(&dec) != ZK_STORE_FORMAT)
		return -ZK_EVERSION;
	raw = zk_dec_raw(&dec, sizeof(ret_ident->ensemble));
	if (raw != NULL)
		memcpy(ret_ident->ensemble, raw, sizeof(ret_ident->ensemble));
	ret_ident->node = zk_dec_u64(&dec);
	ret_ident->boots = zk_dec_u64(&dec);
	raw = zk_dec_bytes(&dec, sizeof(ret_ident->member) - 1, &name_len);
	if (!zk_dec_done(&dec) || raw == NULL)
		return -ZK_ECORRUPT;
	memcpy(ret_ident->member, raw, name_len);
	ret_ident->member[name_len] = '\0';
	ret_ident->fresh = false;
	return 0;
}

int
zk_ident_row_put(struct zk_tx *tx, const struct zk_ident *ident)
{
	const struct zk_key key = plain_key(ZK_TABLE_IDENT);
	uint8_t value[128];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u32(&enc, ZK_STORE_FORMAT);
	zk_enc_raw(&enc, ident->ensemble, sizeof(ident->ensemble));
	zk_enc_u64(&enc, ident->node);
	zk_enc_u64(&enc, ident->boots);
	zk_enc_bytes(&enc, ident->member, strlen(ident->member));
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_state_get(struct zk_tx *tx, struct zk_state *ret_state)
{
	const struct zk_key key = plain_key(ZK_TABLE_STATE);
	const void *value, *raw;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	ret_state->applied_index = zk_dec_u64(&dec);
	ret_state->applied_term = zk_dec_u64(&dec);
	ret_state->time.sec = zk_dec_i64(&dec);
	ret_state->time.nsec = zk_dec_u32(&dec);
	ret_state->digest = zk_dec_u64(&dec);
	ret_state->ino_next = zk_dec_u64(&dec);
	ret_state->nodes = zk_dec_u64(&dec);
	ret_state->row_bytes = zk_dec_u64(&dec);
	raw = zk_dec_raw(&dec, sizeof(ret_state->ensemble));
	if (!zk_dec_done(&dec) || raw == NULL)
		return -ZK_ECORRUPT;
	memcpy(ret_state->ensemble, raw, sizeof(ret_state->ensemble));
	return 0;
}

int
zk_state_row_put(struct zk_tx *tx)
{
	const struct zk_key key = plain_key(ZK_TABLE_STATE);
	const struct zk_state *state = &tx->state;
	uint8_t value[128];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, state->applied_index);
	zk_enc_u64(&enc, state->applied_term);
	zk_enc_i64(&enc, state->time.sec);
	zk_enc_u32(&enc, state->time.nsec);
	zk_enc_u64(&enc, state->digest);
	zk_enc_u64(&enc, state->ino_next);
	zk_enc_u64(&enc, state->nodes);
	zk_enc_u64(&enc, state->row_bytes);
	zk_enc_raw(&enc, state->ensemble, sizeof(state->ensemble));
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_hard_state_get(struct zk_tx *tx, struct zk_hard_state *ret_state)
{
	const struct zk_key key = plain_key(ZK_TABLE_HARD);
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	ret_state->term = zk_dec_u64(&dec);
	ret_state->vote = zk_dec_u64(&dec);
	return zk_dec_done(&dec) ? 0 : -ZK_ECORRUPT;
}

int
zk_hard_state_put(struct zk_tx *tx, const struct zk_hard_state *state)
{
	const struct zk_key key = plain_key(ZK_TABLE_HARD);
	uint8_t value[16];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, state->term);
	zk_enc_u64(&enc, state->vote);
	ZK_ASSERT(!enc.failed);
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_conf_row_put(struct zk_tx *tx, uint64_t index, const void *conf, size_t len)
{
	const struct zk_key key = plain_key(ZK_TABLE_CONF);
	uint8_t value[8 + ZK_CONF_BYTES_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, index);
	zk_enc_raw(&enc, conf, len);
	if (enc.failed)
		return tx->fatal = -ZK_ECORRUPT;
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_conf_row_get(struct zk_tx *tx, void *buf, size_t cap, size_t *ret_len,
    uint64_t *ret_index)
{
	const struct zk_key key = plain_key(ZK_TABLE_CONF);
	const void *value, *conf;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	*ret_index = zk_dec_u64(&dec);
	len = dec.len - dec.pos;
	conf = zk_dec_raw(&dec, len);
	if (dec.failed || len > cap)
		return tx->fatal = -ZK_ECORRUPT;
	memcpy(buf, conf, len);
	*ret_len = len;
	return 0;
}

int
zk_peers_put(struct zk_tx *tx, const void *peers, size_t len)
{
	const struct zk_key key = plain_key(ZK_TABLE_PEERS);

	return zk_row_put(tx, &key, peers, len);
}

int
zk_peers_get(struct zk_tx *tx, void *buf, size_t cap, size_t *ret_len)
{
	const struct zk_key key = plain_key(ZK_TABLE_PEERS);
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	if (len > cap)
		return -ZK_ECORRUPT;
	memcpy(buf, value, len);
	*ret_len = len;
	return 0;
}

int
zk_topics_id_put(struct zk_tx *tx, uint64_t id)
{
	const struct zk_key key = plain_key(ZK_TABLE_TOPICS_ID);
	uint8_t value[8];
	struct zk_enc enc;

	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u64(&enc, id);
	ZK_ASSERT(!enc.failed);
	/* Whoever checks the file before it is used reads no journal. */
	tx->whole = true;
	return zk_row_put(tx, &key, value, enc.len);
}

int
zk_topics_id_get(struct zk_tx *tx, uint64_t *ret_id)
{
	const struct zk_key key = plain_key(ZK_TABLE_TOPICS_ID);
	const void *value;
	struct zk_dec dec;
	size_t len;
	int rc;

	rc = zk_row_get(tx, &key, &value, &len);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, value, len);
	*ret_id = zk_dec_u64(&dec);
	return zk_dec_done(&dec) ? 0 : -ZK_ECORRUPT;
}
