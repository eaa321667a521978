#ifndef ZK_BASE_CLOCK_H
#define ZK_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds of clocks that nobody sets.  Any thread. */

static inline uint64_t
zk_clock_read_ms(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* For what this process waits for.  It stands still while the host sleeps. */
static inline uint64_t
zk_clock_ms(void)
{
	return zk_clock_read_ms(CLOCK_MONOTONIC);
}

/*
 * For leases, which others count while this host sleeps: who has been suspended
 * to disk or to memory must not take his for good when he wakes up.  Not for
 * pthread_cond_timedwait(3): it has another origin.
 */
static inline uint64_t
zk_clock_lease_ms(void)
{
	return zk_clock_read_ms(CLOCK_BOOTTIME);
}

#endif
