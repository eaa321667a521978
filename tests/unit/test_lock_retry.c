#include <errno.h>

#include "base/err.h"
#include "store/lock.h"
#include "store_rig.h"

/*
 * Who waits for a lock is answered late, while the other commands of his
 * session are answered, acknowledged and forgotten.
 */

static uint64_t one, two, file;

static void
setup(void)
{
	rig_init();
	rig_begin();
	one = rig_session("one");
	two = rig_session("two");
	file = rig_file(one, "file");
}

static void
teardown(void)
{
	rig_verify();
	rig_fini();
}

TestSuite(lock_retry, .init = setup, .fini = teardown);

/* NULL: it waits. */
static const struct zk_outcome *
lock(uint64_t session, uint64_t number, uint32_t type)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .session = session,
	    .number = number,
	    .flags = ZK_F_FLOCK | ZK_F_WAIT,
	    .ino = file,
	    .handle = session + 100,
	    .owner = session,
	    .lock_type = type,
	};

	return rig_send(&cmd);
}

/* Commands of that session, which says that it has the answers to all. */
static void
go_on(uint64_t session, uint64_t from, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct zk_command cmd = {
		    .op = ZK_OP_NOP,
		    .session = session,
		    .number = from + i,
		    .acked = from + i,
		};

		cr_assert_eq(rig_send(&cmd)->rc, 0);
	}
}

static size_t
answers_of(uint64_t session)
{
	const struct zk_key first = zk_key1(ZK_TABLE_ANSWER, session);
	struct zk_scan scan;
	size_t count = 0;

	cr_assert_eq(zk_scan_begin(rig.tx, &first, first.len, &scan), 0);
	while (zk_scan_next(&scan) == 0)
		count++;
	zk_scan_end(&scan);
	return count;
}

Test(lock_retry, a_request_that_waits_is_not_answered_by_its_late_copy)
{
	const struct zk_outcome *out;

	cr_assert_not_null(lock(one, 1000, ZK_LOCK_EXCLUSIVE));
	cr_assert_null(lock(two, 1000, ZK_LOCK_EXCLUSIVE));
	go_on(two, 1001, 500);
	cr_expect_null(lock(two, 1000, ZK_LOCK_EXCLUSIVE), "it waits still");
	cr_assert_eq(lock(one, 1001, ZK_LOCK_NONE)->rc, 0);
	out = rig_answer(two, 1000);
	cr_assert_not_null(out, "and has it once that is free");
	cr_expect_eq(out->rc, 0);
	/* Then its number is one of those that are over. */
	go_on(two, 1501, 500);
	out = lock(two, 1000, ZK_LOCK_EXCLUSIVE);
	cr_assert_not_null(out);
	cr_expect_eq(out->rc, -ZK_ESESSION);
}

Test(lock_retry, answers_that_came_late_are_forgotten_like_others)
{
	uint64_t number = 1000;
	size_t before;

	go_on(two, number, 500);
	number += 500;
	before = answers_of(two);
	for (int i = 0; i < 150; i++) {
		const uint64_t waits = number++;
		const struct zk_outcome *out;

		cr_assert_not_null(lock(one, waits, ZK_LOCK_EXCLUSIVE));
		cr_assert_null(lock(two, waits, ZK_LOCK_EXCLUSIVE));
		go_on(two, number, 100);
		number += 100;
		cr_assert_eq(lock(one, number, ZK_LOCK_NONE)->rc, 0);
		out = rig_answer(two, waits);
		cr_assert_not_null(out);
		cr_expect_eq(out->rc, 0);
		cr_assert_eq(lock(two, number++, ZK_LOCK_NONE)->rc, 0);
	}
	go_on(two, number, 500);
	cr_expect_leq(answers_of(two), before + 64);
}
