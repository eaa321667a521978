#ifndef ZK_BASE_HASH_H
#define ZK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* SplitMix64's finalizer: a cheap bijection that spreads every bit. */
static inline uint64_t
zk_mix64(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	x ^= x >> 31;
	return x;
}

/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): keyed, so that whoever chooses
 * names cannot choose collisions.  key is 16 bytes.  Any thread.
 */
uint64_t zk_siphash(const uint8_t key[16], const void *data, size_t len);

/* Draws the next number of a SplitMix64 sequence; *state is the seed. */
static inline uint64_t
zk_prng_next(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ull;
	return zk_mix64(*state);
}

#endif
