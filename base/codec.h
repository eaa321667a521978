#ifndef ZK_BASE_CODEC_H
#define ZK_BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

void zk_enc_init(struct zk_enc *enc, void *buf, size_t cap);
void zk_enc_u8(struct zk_enc *enc, uint8_t value);
void zk_enc_u16(struct zk_enc *enc, uint16_t value);
void zk_enc_u32(struct zk_enc *enc, uint32_t value);
void zk_enc_u64(struct zk_enc *enc, uint64_t value);
void zk_enc_i64(struct zk_enc *enc, int64_t value);
void zk_enc_raw(struct zk_enc *enc, const void *data, size_t len);
/* A u32 length, then the bytes. */
void zk_enc_bytes(struct zk_enc *enc, const void *data, size_t len);

void zk_dec_init(struct zk_dec *dec, const void *buf, size_t len);
uint8_t zk_dec_u8(struct zk_dec *dec);
uint16_t zk_dec_u16(struct zk_dec *dec);
uint32_t zk_dec_u32(struct zk_dec *dec);
uint64_t zk_dec_u64(struct zk_dec *dec);
int64_t zk_dec_i64(struct zk_dec *dec);
/* len bytes inside the buffer, or NULL. */
const void *zk_dec_raw(struct zk_dec *dec, size_t len);
/* What zk_enc_bytes wrote; NULL and 0 when it is longer than max. */
const void *zk_dec_bytes(struct zk_dec *dec, size_t max, size_t *ret_len);
/* True when nothing failed and nothing is left over. */
bool zk_dec_done(const struct zk_dec *dec);

/* Big-endian, for keys that must sort by value. */
void zk_put_be64(uint8_t *p, uint64_t value);
uint64_t zk_get_be64(const uint8_t *p);
void zk_put_be32(uint8_t *p, uint32_t value);
uint32_t zk_get_be32(const uint8_t *p);

#endif
