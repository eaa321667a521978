#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/hash.h"

/* RFC 3720, appendix B.4, gives these. */
Test(crc32c, agrees_with_the_published_vectors)
{
	uint8_t zeros[32] = {0}, ones[32];

	memset(ones, 0xff, sizeof(ones));
	cr_expect_eq(zk_crc32c(0, zeros, 32), 0x8a9136aau);
	cr_expect_eq(zk_crc32c(0, ones, 32), 0x62a8ab43u);
	cr_expect_eq(zk_crc32c(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, hardware_and_table_agree_and_can_be_continued)
{
	uint8_t data[257];
	uint64_t seed = 1;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)zk_prng_next(&seed);
	for (size_t len = 0; len <= sizeof(data); len++) {
		const uint32_t whole = zk_crc32c(0, data, len);
		const uint32_t part = zk_crc32c(0, data, len / 3);

		cr_assert_eq(whole, zk_crc32c_portable(0, data, len));
		cr_assert_eq(whole,
		    zk_crc32c(part, data + len / 3, len - len / 3));
	}
}

/* Where the hardware goes through several parts of it at once. */
Test(crc32c, long_input_is_the_same_in_one_piece_and_in_many)
{
	static uint8_t data[20000];
	uint64_t seed = 2;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)zk_prng_next(&seed);
	for (unsigned i = 0; i < 300; i++) {
		const size_t at = zk_prng_next(&seed) % 64;
		const size_t len = zk_prng_next(&seed) % (sizeof(data) - at);
		const uint32_t from = (uint32_t)zk_prng_next(&seed);

		const uint32_t crc = zk_crc32c_portable(from, data + at, len);

		cr_assert_eq(zk_crc32c(from, data + at, len), crc, "%zu", len);
		cr_assert_eq(zk_crc32c_narrow(from, data + at, len), crc, "%zu",
		    len);
	}
	for (size_t len = 240; len < 3090; len++) {
		const uint32_t crc = zk_crc32c_portable(~0u, data, len);

		cr_assert_eq(zk_crc32c(~0u, data, len), crc, "%zu", len);
		cr_assert_eq(zk_crc32c_narrow(~0u, data, len), crc, "%zu", len);
	}
}

/* The reference implementation's vectors: key 00..0f, input 00, 01, ... */
Test(siphash, agrees_with_the_reference_vectors)
{
	uint8_t key[16], input[15];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 15; i++)
		input[i] = i;
	cr_expect_eq(zk_siphash(key, input, 0), 0x726fdb47dd0e0e31ull);
	cr_expect_eq(zk_siphash(key, input, 1), 0x74f839c593dc67fdull);
	cr_expect_eq(zk_siphash(key, input, 8), 0x93f5f5799a932462ull);
	cr_expect_eq(zk_siphash(key, input, 15), 0xa129ca6149be45e5ull);
}

Test(codec, what_is_encoded_is_decoded)
{
	uint8_t buf[64];
	struct zk_enc enc;
	struct zk_dec dec;
	const void *bytes;
	size_t len;

	zk_enc_init(&enc, buf, sizeof(buf));
	zk_enc_u8(&enc, 1);
	zk_enc_u16(&enc, 0x1234);
	zk_enc_u32(&enc, 0x12345678);
	zk_enc_u64(&enc, UINT64_MAX - 1);
	zk_enc_i64(&enc, -5);
	zk_enc_bytes(&enc, "abc", 3);
	cr_assert_not(enc.failed);

	zk_dec_init(&dec, buf, enc.len);
	cr_expect_eq(zk_dec_u8(&dec), 1);
	cr_expect_eq(zk_dec_u16(&dec), 0x1234);
	cr_expect_eq(zk_dec_u32(&dec), 0x12345678);
	cr_expect_eq(zk_dec_u64(&dec), UINT64_MAX - 1);
	cr_expect_eq(zk_dec_i64(&dec), -5);
	bytes = zk_dec_bytes(&dec, 3, &len);
	cr_assert_eq(len, 3);
	cr_expect_eq(memcmp(bytes, "abc", 3), 0);
	cr_expect(zk_dec_done(&dec));
}

Test(codec, an_overrun_sticks_and_reads_nothing)
{
	uint8_t buf[4] = {0xff, 0xff, 0xff, 0x7f};
	struct zk_enc enc;
	struct zk_dec dec;
	size_t len;

	zk_enc_init(&enc, buf, 2);
	zk_enc_u32(&enc, 7);
	zk_enc_u8(&enc, 7);
	cr_expect(enc.failed);
	cr_expect_eq(enc.len, 0);

	buf[0] = 0xff;
	zk_dec_init(&dec, buf, sizeof(buf));
	cr_expect_null(zk_dec_bytes(&dec, 16, &len));
	cr_expect_eq(len, 0);
	cr_expect(dec.failed);
	cr_expect_eq(zk_dec_u8(&dec), 0);
	cr_expect_not(zk_dec_done(&dec));
}

Test(codec, big_endian_keys_sort_by_value)
{
	uint8_t a[8], b[8];

	zk_put_be64(a, 255);
	zk_put_be64(b, 256);
	cr_expect(memcmp(a, b, 8) < 0);
	cr_expect_eq(zk_get_be64(b), 256);
}
