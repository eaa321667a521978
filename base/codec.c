#include "base/codec.h"

#include <string.h>

#include "base/assert.h"

void
zk_enc_init(struct zk_enc *enc, void *buf, size_t cap)
{
	*enc = (struct zk_enc){.buf = buf, .cap = cap};
}

void
zk_enc_raw(struct zk_enc *enc, const void *data, size_t len)
{
	ZK_ASSERT(enc->len <= enc->cap);

	if (enc->failed || len > enc->cap - enc->len) {
		enc->failed = true;
		return;
	}
	if (len > 0)
		memcpy(enc->buf + enc->len, data, len);
	enc->len += len;
}

static void
enc_le(struct zk_enc *enc, uint64_t value, size_t width)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < width; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	zk_enc_raw(enc, bytes, width);
}

void
zk_enc_u8(struct zk_enc *enc, uint8_t value)
{
	enc_le(enc, value, 1);
}

void
zk_enc_u16(struct zk_enc *enc, uint16_t value)
{
	enc_le(enc, value, 2);
}

void
zk_enc_u32(struct zk_enc *enc, uint32_t value)
{
	enc_le(enc, value, 4);
}

void
zk_enc_u64(struct zk_enc *enc, uint64_t value)
{
	enc_le(enc, value, 8);
}

void
zk_enc_i64(struct zk_enc *enc, int64_t value)
{
	enc_le(enc, (uint64_t)value, 8);
}

void
zk_enc_bytes(struct zk_enc *enc, const void *data, size_t len)
{
	if (len > UINT32_MAX) {
		enc->failed = true;
		return;
	}
	zk_enc_u32(enc, (uint32_t)len);
	zk_enc_raw(enc, data, len);
}

void
zk_dec_init(struct zk_dec *dec, const void *buf, size_t len)
{
	*dec = (struct zk_dec){.buf = buf, .len = len};
}

const void *
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

static uint64_t
dec_le(struct zk_dec *dec, size_t width)
{
	const uint8_t *p = zk_dec_raw(dec, width);
	uint64_t value = 0;

	if (p == NULL)
		return 0;
	for (size_t i = 0; i < width; i++)
		value |= (uint64_t)p[i] << (8 * i);
	return value;
}

uint8_t
zk_dec_u8(struct zk_dec *dec)
{
	return (uint8_t)dec_le(dec, 1);
}

uint16_t
zk_dec_u16(struct zk_dec *dec)
{
	return (uint16_t)dec_le(dec, 2);
}

uint32_t
zk_dec_u32(struct zk_dec *dec)
{
	return (uint32_t)dec_le(dec, 4);
}

uint64_t
zk_dec_u64(struct zk_dec *dec)
{
	return dec_le(dec, 8);
}

int64_t
zk_dec_i64(struct zk_dec *dec)
{
	return (int64_t)dec_le(dec, 8);
}

const void *
zk_dec_bytes(struct zk_dec *dec, size_t max, size_t *ret_len)
{
	size_t len = zk_dec_u32(dec);
	const void *p;

	*ret_len = 0;
	if (len > max)
		dec->failed = true;
	p = zk_dec_raw(dec, len);
	if (p != NULL)
		*ret_len = len;
	return p;
}

bool
zk_dec_done(const struct zk_dec *dec)
{
	return !dec->failed && dec->pos == dec->len;
}

static void
put_be(uint8_t *p, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++)
		p[i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

static uint64_t
get_be(const uint8_t *p, size_t width)
{
	uint64_t value = 0;

	for (size_t i = 0; i < width; i++)
		value = value << 8 | p[i];
	return value;
}

void
zk_put_be64(uint8_t *p, uint64_t value)
{
	put_be(p, value, 8);
}

uint64_t
zk_get_be64(const uint8_t *p)
{
	return get_be(p, 8);
}

void
zk_put_be32(uint8_t *p, uint32_t value)
{
	put_be(p, value, 4);
}

uint32_t
zk_get_be32(const uint8_t *p)
{
	return (uint32_t)get_be(p, 4);
}
