#ifndef ZK_BASE_CODEC_H
#define ZK_BASE_CODEC_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"

/*
 * Bounded little-endian encoding into, and decoding out of, a caller's
 * buffer.  An error sticks: after the first overrun every further call does
 * nothing (a decoder returns zeros), and one check of `failed` at the end is
 * enough.  Plain values; no allocation.  One thread at a time per value.
 */
struct zk_enc {
	uint8_t *buf;
	size_t len, cap;
	bool failed;
};

struct zk_dec {
	const uint8_t *buf;
	size_t pos, len;
	bool failed;
};

static inline void
zk_enc_init(struct zk_enc *enc, void *buf, size_t cap)
{
	*enc = (struct zk_enc){.buf = buf, .cap = cap};
}

/* Inline, as those below: rows and entries are made of little else. */
static inline void
zk_enc_raw(struct zk_enc *enc, const void *data, size_t len)
{
	ZK_ASSERT(enc->len <= enc->cap);

	if (enc->failed || len > enc->cap - enc->len) {
		enc->failed = true;
		return;
	}
	if (len > 0) {
		ZK_ASSERT(enc->buf && data);
		memcpy(enc->buf + enc->len, data, len);
	}
	enc->len += len;
}

static inline void
zk_enc_u8(struct zk_enc *enc, uint8_t value)
{
	zk_enc_raw(enc, &value, sizeof(value));
}

static inline void
zk_enc_u16(struct zk_enc *enc, uint16_t value)
{
	const uint16_t le = htole16(value);

	zk_enc_raw(enc, &le, sizeof(le));
}

static inline void
zk_enc_u32(struct zk_enc *enc, uint32_t value)
{
	const uint32_t le = htole32(value);

	zk_enc_raw(enc, &le, sizeof(le));
}

static inline void
zk_enc_u64(struct zk_enc *enc, uint64_t value)
{
	const uint64_t le = htole64(value);

	zk_enc_raw(enc, &le, sizeof(le));
}

static inline void
zk_enc_i64(struct zk_enc *enc, int64_t value)
{
	zk_enc_u64(enc, (uint64_t)value);
}

/* A u32 length, then the bytes. */
void zk_enc_bytes(struct zk_enc *enc, const void *data, size_t len);

static inline void
zk_dec_init(struct zk_dec *dec, const void *buf, size_t len)
{
	*dec = (struct zk_dec){.buf = buf, .len = len};
}

/* len bytes inside the buffer, or NULL. */
static inline const void *
zk_dec_raw(struct zk_dec *dec, size_t len)
{
	const uint8_t *p;

	ZK_ASSERT(dec->pos <= dec->len);

	if (dec->failed || len > dec->len - dec->pos) {
		dec->failed = true;
		return NULL;
	}
	p = dec->buf + dec->pos;
	dec->pos += len;
	return p;
}

static inline uint8_t
zk_dec_u8(struct zk_dec *dec)
{
	const uint8_t *p = zk_dec_raw(dec, 1);

	return p != NULL ? *p : 0;
}

static inline uint16_t
zk_dec_u16(struct zk_dec *dec)
{
	const void *p = zk_dec_raw(dec, sizeof(uint16_t));
	uint16_t le = 0;

	if (p != NULL)
		memcpy(&le, p, sizeof(le));
	return le16toh(le);
}

static inline uint32_t
zk_dec_u32(struct zk_dec *dec)
{
	const void *p = zk_dec_raw(dec, sizeof(uint32_t));
	uint32_t le = 0;

	if (p != NULL)
		memcpy(&le, p, sizeof(le));
	return le32toh(le);
}

static inline uint64_t
zk_dec_u64(struct zk_dec *dec)
{
	const void *p = zk_dec_raw(dec, sizeof(uint64_t));
	uint64_t le = 0;

	if (p != NULL)
		memcpy(&le, p, sizeof(le));
	return le64toh(le);
}

static inline int64_t
zk_dec_i64(struct zk_dec *dec)
{
	return (int64_t)zk_dec_u64(dec);
}

/* What zk_enc_bytes wrote; NULL and 0 when it is longer than max. */
const void *zk_dec_bytes(struct zk_dec *dec, size_t max, size_t *ret_len);

/* True when nothing failed and nothing is left over. */
static inline bool
zk_dec_done(const struct zk_dec *dec)
{
	return !dec->failed && dec->pos == dec->len;
}

/* Big-endian, for keys that must sort by value. */
static inline void
zk_put_be64(uint8_t *p, uint64_t value)
{
	const uint64_t be = htobe64(value);

	memcpy(p, &be, sizeof(be));
}

static inline uint64_t
zk_get_be64(const uint8_t *p)
{
	uint64_t be;

	memcpy(&be, p, sizeof(be));
	return be64toh(be);
}

static inline void
zk_put_be32(uint8_t *p, uint32_t value)
{
	const uint32_t be = htobe32(value);

	memcpy(p, &be, sizeof(be));
}

static inline uint32_t
zk_get_be32(const uint8_t *p)
{
	uint32_t be;

	memcpy(&be, p, sizeof(be));
	return be32toh(be);
}

#endif
