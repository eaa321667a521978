#include "base/crc32c.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

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
__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t acc = ~crc;

	for (; len >= 8; len -= 8, p += 8) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		acc = __builtin_ia32_crc32di(acc, word);
	}
	for (; len > 0; len--, p++)
		acc = __builtin_ia32_crc32qi((uint32_t)acc, *p);
	return ~(uint32_t)acc;
}
#endif

uint32_t
zk_crc32c(uint32_t crc, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, data, len);
#endif
	return zk_crc32c_portable(crc, data, len);
}
