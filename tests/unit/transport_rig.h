#ifndef ZK_TESTS_UNIT_TRANSPORT_RIG_H
#define ZK_TESTS_UNIT_TRANSPORT_RIG_H

/* Three members, a, b and c, for each test.  Include it once a test file. */

#include <criterion/criterion.h>

#define RIG_CHECK(cond, ...) cr_assert(cond, __VA_ARGS__)
#include "tests/transport/rig.h"

static struct member members[3];
#define A (&members[0])
#define B (&members[1])
#define C (&members[2])

static void
setup(void)
{
	rig_init(A, "a", 1);
	rig_init(B, "b", 2);
	rig_init(C, "c", 3);
}

static void
teardown(void)
{
	rig_close(A);
	rig_close(B);
	rig_close(C);
}

__attribute__((unused)) static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* Sends a frame that begins with number; waits when the queue is full. */
__attribute__((unused)) static void
send_numbered(struct member *from, struct member *to, unsigned lane,
    uint64_t number, size_t len)
{
	static uint8_t buf[ZK_FRAME_BULK_MAX];
	int rc;

	memcpy(buf, &number, sizeof(number));
	while ((rc = rig_send(from, to, lane, buf, len)) == -EAGAIN)
		(void)sched_yield();
	cr_assert_eq(rc, 0, "send: %d", rc);
}

#endif
