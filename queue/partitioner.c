#include "queue/partitioner.h"

#include "base/assert.h"

#define MURMUR_SEED  0x9747b28cu
#define MURMUR_MUL   0x5bd1e995u
#define MURMUR_SHIFT 24

uint32_t
zk_murmur2(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint32_t hash = MURMUR_SEED ^ (uint32_t)len;

	for (; len >= 4; len -= 4, p += 4) {
		uint32_t word = (uint32_t)p[0] | (uint32_t)p[1] << 8 |
		    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;

		word *= MURMUR_MUL;
		word ^= word >> MURMUR_SHIFT;
		word *= MURMUR_MUL;
		hash *= MURMUR_MUL;
		hash ^= word;
	}
	if (len > 0) {
		for (size_t i = 0; i < len; i++)
			hash ^= (uint32_t)p[i] << (8 * i);
		hash *= MURMUR_MUL;
	}
	hash ^= hash >> 13;
	hash *= MURMUR_MUL;
	hash ^= hash >> 15;
	return hash;
}

uint32_t
zk_partition_of(const void *key, size_t len, uint32_t partitions)
{
	ZK_ASSERT(partitions > 0);

	/* Kafka takes the sign bit off before the remainder. */
	return (zk_murmur2(key, len) & INT32_MAX) % partitions;
}
