#include "ctl/latency.h"

#include "base/assert.h"

#define SUB_BITS 4u
#define SUB      (1u << SUB_BITS)

/* Below 16 each has a class; then 16 for each power of two. */
static size_t
class_of(uint64_t ns)
{
	unsigned top;

	if (ns < SUB)
		return (size_t)ns;
	top = 63u - (unsigned)__builtin_clzll(ns);
	return (size_t)(top - SUB_BITS + 1) * SUB +
	    (size_t)(ns >> (top - SUB_BITS) & (SUB - 1));
}

/* The largest of a class. */
static uint64_t
end_of(size_t i)
{
	const unsigned shift = (unsigned)(i / SUB) - 1;

	if (i < SUB)
		return i;
	return ((uint64_t)(SUB + i % SUB) << shift) +
	    (((uint64_t)1 << shift) - 1);
}

void
zk_latency_add(struct zk_latency *latency, uint64_t ns)
{
	const size_t i = class_of(ns);

	ZK_ASSERT(i < ZK_LATENCY_CLASSES);

	latency->classes[i]++;
	latency->count++;
	if (ns > latency->max_ns)
		latency->max_ns = ns;
}

void
zk_latency_merge(struct zk_latency *latency, const struct zk_latency *other)
{
	for (size_t i = 0; i < ZK_LATENCY_CLASSES; i++)
		latency->classes[i] += other->classes[i];
	latency->count += other->count;
	if (other->max_ns > latency->max_ns)
		latency->max_ns = other->max_ns;
}

uint64_t
zk_latency_quantile(const struct zk_latency *latency, unsigned thousandths)
{
	const uint64_t want = (latency->count * thousandths + 999) / 1000;
	uint64_t seen = 0;

	ZK_ASSERT(thousandths <= 1000);

	for (size_t i = 0; i < ZK_LATENCY_CLASSES; i++) {
		seen += latency->classes[i];
		if (seen >= want && seen > 0)
			return end_of(i) < latency->max_ns ? end_of(i)
			                                   : latency->max_ns;
	}
	return 0;
}
