#ifndef ZK_CTL_LATENCY_H
#define ZK_CTL_LATENCY_H

#include <stddef.h>
#include <stdint.h>

/*
 * How long things took, counted in classes that are at most a sixteenth wide:
 * of one size, however many there were.  Begin with zeros.
 */
#define ZK_LATENCY_CLASSES ((size_t)(64 - 3) * 16)

struct zk_latency {
	uint64_t count, max_ns;
	uint64_t classes[ZK_LATENCY_CLASSES];
};

void zk_latency_add(struct zk_latency *latency, uint64_t ns);
void zk_latency_merge(struct zk_latency *latency,
    const struct zk_latency *other);
/* What so many of a thousand did not exceed; 0 of none. */
uint64_t zk_latency_quantile(const struct zk_latency *latency,
    unsigned thousandths);

#endif
