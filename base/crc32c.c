#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The polynomial 0x1EDC6F41, bit-reversed. */
#define CRC32C_POLY 0x82f63b78u

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void
table_fill(void)
{
	for (uint32_t byte = 0; byte < 256; byte++) {
		uint32_t crc = byte;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ ((crc & 1) ? CRC32C_POLY : 0);
		table[byte] = crc;
	}
}

uint32_t
zk_crc32c_portable(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;

	(void)pthread_once(&table_once, table_fill);
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = (crc >> 8) ^ table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

#if defined(__x86_64__)
/*
 * The instruction takes three cycles, but one can begin in each: so three
 * lanes of a long input go side by side.  A lane's sum is put before that of
 * the next by the table of what a lane of zeros makes of it, a byte of the sum
 * at a time (M. Adler's crc32c.c has the idea).
 */
#define LANE_BYTES 1024u
#define SSE42      __attribute__((target("sse4.2")))

static uint32_t past_lane[4][256];
static pthread_once_t past_lane_once = PTHREAD_ONCE_INIT;

SSE42 static void
past_lane_fill(void)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t *row = past_lane[bit / 8];
		const unsigned first = 1u << bit % 8;
		uint64_t acc = (uint64_t)1 << bit;

		for (size_t i = 0; i < LANE_BYTES / 8; i++)
			acc = __builtin_ia32_crc32di(acc, 0);
		/* Those before this one are there, and sums are linear. */
		for (unsigned i = 0; i < first; i++)
			row[first + i] = row[i] ^ (uint32_t)acc;
	}
}

static uint64_t
shift_lane(uint64_t acc)
{
	return past_lane[0][acc & 0xff] ^ past_lane[1][acc >> 8 & 0xff] ^
	    past_lane[2][acc >> 16 & 0xff] ^ past_lane[3][acc >> 24 & 0xff];
}

static uint64_t
word_at(const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

SSE42 static uint64_t
three_lanes(uint64_t acc, const uint8_t *p)
{
	uint64_t second = 0, third = 0;

	for (size_t i = 0; i < LANE_BYTES; i += 8) {
		acc = __builtin_ia32_crc32di(acc, word_at(p + i));
		second =
		    __builtin_ia32_crc32di(second, word_at(p + LANE_BYTES + i));
		third = __builtin_ia32_crc32di(third,
		    word_at(p + 2ul * LANE_BYTES + i));
	}
	return shift_lane(shift_lane(acc) ^ second) ^ third;
}

SSE42 static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t acc = ~crc;

	if (len >= 3ul * LANE_BYTES)
		(void)pthread_once(&past_lane_once, past_lane_fill);
	for (; len >= 3ul * LANE_BYTES; p += 3ul * LANE_BYTES) {
		acc = three_lanes(acc, p);
		len -= 3ul * LANE_BYTES;
	}
	for (; len >= 8; len -= 8, p += 8)
		acc = __builtin_ia32_crc32di(acc, word_at(p));
	for (; len > 0; len--, p++)
		acc = __builtin_ia32_crc32qi((uint32_t)acc, *p);
	return ~(uint32_t)acc;
}

/*
 * Carry-less products of 64 bytes at a time (Gopal et al., "Fast CRC Computation
 * for Generic Polynomials Using PCLMULQDQ", Intel 2009): what is D bits before
 * something else counts there as its halves times x^(D + 31) and x^(D - 33), the
 * polynomial's remainders of which are the two constants of a distance.
 */
#define FOLD_BYTES 256u
#define WIDE                                                                   \
	__attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

static const uint64_t by_2048[2] = {0xdcb17aa4, 0xb9e02b86};
static const uint64_t by_512[2] = {0x740eef02, 0x9e4addf8};
static const uint64_t by_128[2] = {0xf20c0dfe, 0x493c7d27};

WIDE static __m512i
keys(const uint64_t by[2])
{
	return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)by));
}

/* acc, which is so far before next, put together with it. */
WIDE static __m512i
fold(__m512i acc, __m512i key, __m512i next)
{
	return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(acc, key, 0),
	    _mm512_clmulepi64_epi128(acc, key, 0x11), next, 0x96);
}

/* Four lanes side by side; len is a multiple of FOLD_BYTES, and not 0. */
WIDE static uint32_t
crc32c_folded(uint32_t acc, const uint8_t *p, size_t len)
{
	const __m512i key = keys(by_2048), next = keys(by_512);
	const __m128i last = _mm_loadu_si128((const __m128i *)by_128);
	__m512i lanes[4];
	__m128i sum;

	for (size_t i = 0; i < 4; i++)
		lanes[i] = _mm512_loadu_si512(p + i * 64);
	lanes[0] = _mm512_xor_si512(lanes[0],
	    _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)acc)));
	for (size_t at = FOLD_BYTES; at < len; at += FOLD_BYTES)
		for (size_t i = 0; i < 4; i++)
			lanes[i] = fold(lanes[i], key,
			    _mm512_loadu_si512(p + at + i * 64));
	for (size_t i = 1; i < 4; i++)
		lanes[i] = fold(lanes[i - 1], next, lanes[i]);
	_mm512_storeu_si512(lanes, lanes[3]);
	sum = ((const __m128i *)lanes)[0];
	for (size_t i = 1; i < 4; i++)
		sum = _mm_xor_si128(((const __m128i *)lanes)[i],
		    _mm_xor_si128(_mm_clmulepi64_si128(sum, last, 0),
		        _mm_clmulepi64_si128(sum, last, 0x11)));
	return (uint32_t)__builtin_ia32_crc32di(
	    __builtin_ia32_crc32di(0, (uint64_t)_mm_extract_epi64(sum, 0)),
	    (uint64_t)_mm_extract_epi64(sum, 1));
}

static uint32_t
crc32c_wide(uint32_t crc, const void *data, size_t len)
{
	const size_t folded = len / FOLD_BYTES * FOLD_BYTES;

	if (folded > 0)
		crc = ~crc32c_folded(~crc, data, folded);
	return crc32c_sse42(crc, (const uint8_t *)data + folded, len - folded);
}

static bool
is_wide(void)
{
	return __builtin_cpu_supports("avx512f") &&
	    __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("vpclmulqdq") &&
	    __builtin_cpu_supports("pclmul");
}
#endif

uint32_t
zk_crc32c_narrow(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
#endif
	return zk_crc32c_portable(crc, data, len);
}

uint32_t
zk_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (len >= FOLD_BYTES && is_wide())
		return crc32c_wide(crc, data, len);
#endif
	return zk_crc32c_narrow(crc, data, len);
}
