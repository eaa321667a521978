#include <errno.h>

#include "base/err.h"
#include "store/lock.h"
#include "store_rig.h"

/* What each system call would do, one after the other. */

static uint64_t one, two, file, other_file;

static void
setup(void)
{
	rig_init();
	rig_begin();
	one = rig_session("one");
	two = rig_session("two");
	file = rig_file(one, "file");
	other_file = rig_file(one, "other");
}

/* Whatever a test did, the tables must hold together. */
static void
teardown(void)
{
	rig_verify();
	rig_fini();
}

TestSuite(lock, .init = setup, .fini = teardown);

#define PENDING 1
#define SH      ZK_LOCK_SHARED
#define EX      ZK_LOCK_EXCLUSIVE
#define UN      ZK_LOCK_NONE
#define WAIT    ZK_F_WAIT
#define FLOCK   ZK_F_FLOCK

static uint64_t last_fence;

static int
send_lock(const struct zk_command *cmd)
{
	const struct zk_outcome *out = rig_apply(cmd);

	if (out == NULL)
		return PENDING;
	last_fence = out->offset;
	return out->rc;
}

/* A record lock of bytes [off, off + len). */
static int
record(uint64_t session, uint64_t owner, uint32_t type, uint32_t flags,
    uint64_t off, uint64_t len)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .session = session,
	    .flags = flags,
	    .ino = file,
	    .handle = owner + 100,
	    .owner = owner,
	    .lock_type = type,
	    .off = off,
	    .len = len,
	    .pid = (uint32_t)owner,
	};

	return send_lock(&cmd);
}

static int
whole(uint64_t session, uint64_t owner, uint32_t type, uint32_t flags)
{
	return record(session, owner, type, flags, 0, 0);
}

static int
flock_on(uint64_t ino, uint64_t session, uint64_t owner, uint32_t type,
    uint32_t flags)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .session = session,
	    .flags = flags | FLOCK,
	    .ino = ino,
	    .handle = owner + 100,
	    .owner = owner,
	    .lock_type = type,
	};

	return send_lock(&cmd);
}

static int
flock_as(uint64_t session, uint64_t owner, uint32_t type, uint32_t flags)
{
	return flock_on(file, session, owner, type, flags);
}

/* The rc that the last command told to an earlier one, or PENDING. */
static int
told(uint64_t session, uint64_t number)
{
	const struct zk_outcome *out = rig_answer(session, number);

	return out == NULL ? PENDING : out->rc;
}

static int
cancel(uint64_t session, uint64_t number)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK_CANCEL,
	    .session = session,
	    .ino = file,
	    .off = number,
	};

	return rig_apply(&cmd)->rc;
}

Test(lock, an_exclusive_flock_is_held_by_one_in_the_cluster)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 1, EX, 0), -EAGAIN);
	cr_expect_eq(flock_as(two, 1, SH, 0), -EAGAIN);
	cr_expect_eq(flock_as(one, 2, SH, 0), -EAGAIN, "same host, too");
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(flock_as(two, 1, SH, 0), 0);
	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(one, 2, EX, 0), -EAGAIN);
}

Test(lock, flocks_and_record_locks_do_not_see_each_other)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(whole(two, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 1, EX, 0), -EAGAIN);
	cr_expect_eq(whole(one, 1, EX, 0), -EAGAIN);
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(whole(one, 1, EX, 0), -EAGAIN);
}

Test(lock, record_locks_conflict_where_they_overlap)
{
	cr_expect_eq(record(one, 1, EX, 0, 10, 10), 0);
	cr_expect_eq(record(two, 1, EX, 0, 0, 10), 0);
	cr_expect_eq(record(two, 1, EX, 0, 20, 0), 0);
	cr_expect_eq(record(two, 1, SH, 0, 19, 1), -EAGAIN);
	cr_expect_eq(record(one, 1, SH, 0, 10, 5), 0, "half is shared now");
	cr_expect_eq(record(two, 2, SH, 0, 14, 1), 0);
	cr_expect_eq(record(two, 2, SH, 0, 15, 1), -EAGAIN);
	cr_expect_eq(record(one, 1, UN, 0, 0, 0), 0);
	cr_expect_eq(record(two, 2, SH, 0, 15, 1), 0);
}

Test(lock, ranges_beyond_the_largest_offset_are_refused)
{
	cr_expect_eq(record(one, 1, EX, 0, INT64_MAX, 1), 0);
	cr_expect_eq(record(one, 1, EX, 0, INT64_MAX, 2), -EINVAL);
	cr_expect_eq(record(one, 1, EX, 0, (uint64_t)INT64_MAX + 1, 0),
	    -EINVAL);
	cr_expect_eq(record(one, 1, EX, 0, 1, UINT64_MAX), -EINVAL);
	cr_expect_eq(record(one, 1, 0, 0, 0, 0), -EINVAL);
	cr_expect_eq(record(one, 1, 9, 0, 0, 0), -EINVAL);
	cr_expect_eq(flock_on(999, one, 1, EX, 0), -ENOENT);
}

Test(lock, waiters_are_granted_one_at_a_time_in_order)
{
	uint64_t numbers[3];

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	for (uint64_t i = 0; i < 3; i++) {
		cr_expect_eq(flock_as(two, 10 + i, EX, WAIT), PENDING);
		numbers[i] = rig.number;
	}
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, numbers[0]), 0);
	cr_expect_eq(told(two, numbers[1]), PENDING);
	cr_expect_eq(flock_as(two, 10, UN, 0), 0);
	cr_expect_eq(told(two, numbers[1]), 0);
	cr_expect_eq(told(two, numbers[2]), PENDING);
	cr_expect_eq(flock_as(two, 11, UN, 0), 0);
	cr_expect_eq(told(two, numbers[2]), 0);
}

Test(lock, all_sharers_at_the_head_are_granted_together)
{
	uint64_t first, third;

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 10, SH, WAIT), PENDING);
	first = rig.number;
	cr_expect_eq(flock_as(two, 11, SH, WAIT), PENDING);
	cr_expect_eq(flock_as(two, 12, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(two, 13, SH, WAIT), PENDING);
	third = rig.number;
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, first), 0);
	cr_expect_eq(told(two, first + 1), 0);
	cr_expect_eq(told(two, first + 2), PENDING);
	cr_expect_eq(told(two, third), PENDING, "behind the exclusive one");
}

Test(lock, sharers_that_come_later_do_not_starve_an_exclusive_waiter)
{
	uint64_t writer, reader;

	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(two, 10, EX, WAIT), PENDING);
	writer = rig.number;
	cr_expect_eq(flock_as(two, 11, SH, WAIT), PENDING);
	reader = rig.number;
	cr_expect_eq(flock_as(two, 12, SH, 0), 0,
	    "who does not wait is refused by holders only");
	cr_expect_eq(flock_as(two, 12, UN, 0), 0);
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, writer), 0);
	cr_expect_eq(told(two, reader), PENDING);
	cr_expect_eq(flock_as(two, 10, UN, 0), 0);
	cr_expect_eq(told(two, reader), 0);
}

/*
 * The order of waiting must not close a circle that the locks do not: one
 * holds a lock that another waits for, and asks for what a writer waits for.
 */
Test(lock, a_holder_is_not_made_to_wait_behind_waiters)
{
	cr_expect_eq(flock_on(other_file, one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 2, SH, 0), 0);
	cr_expect_eq(flock_as(two, 3, EX, WAIT), PENDING);
	cr_expect_eq(flock_on(other_file, two, 2, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(one, 1, SH, WAIT), 0);
}

Test(lock, a_sole_sharer_becomes_exclusive_past_the_waiters)
{
	cr_expect_eq(whole(one, 1, SH, 0), 0);
	cr_expect_eq(whole(two, 2, EX, WAIT), PENDING);
	cr_expect_eq(whole(one, 1, EX, WAIT), 0);
	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(one, 1, EX, WAIT), 0);
}

Test(lock, a_record_lock_waits_for_its_upgrade_with_the_old_one_kept)
{
	uint64_t number;

	cr_expect_eq(whole(one, 1, SH, 0), 0);
	cr_expect_eq(whole(two, 2, SH, 0), 0);
	cr_expect_eq(whole(one, 1, EX, WAIT), PENDING);
	number = rig.number;
	cr_expect_eq(whole(two, 3, EX, 0), -EAGAIN);
	cr_expect_eq(whole(two, 2, UN, 0), 0);
	cr_expect_eq(told(one, number), 0);
}

/* flock(2): the existing lock is first removed, then a new one established. */
Test(lock, a_flock_that_waits_for_its_conversion_is_given_up)
{
	uint64_t number;

	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(two, 2, SH, 0), 0);
	cr_expect_eq(flock_as(one, 1, EX, WAIT), PENDING);
	number = rig.number;
	cr_expect_eq(flock_as(two, 2, EX, 0), 0, "the other has let go");
	cr_expect_eq(flock_as(two, 2, UN, 0), 0);
	cr_expect_eq(told(one, number), 0);
}

Test(lock, a_conversion_that_fails_loses_the_flock)
{
	uint64_t number;

	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(two, 2, SH, 0), 0);
	cr_expect_eq(flock_as(one, 1, EX, 0), -EAGAIN);
	number = rig.number;
	cr_expect_eq(flock_as(two, 2, EX, 0), 0);

	/* The refusal is kept for a retry. */
	const struct zk_command retry = {
	    .op = ZK_OP_LOCK,
	    .session = one,
	    .number = number,
	    .flags = FLOCK,
	    .ino = file,
	    .owner = 1,
	    .lock_type = EX,
	};
	cr_expect_eq(rig_send(&retry)->rc, -EAGAIN);
}

Test(lock, a_downgrade_lets_waiting_sharers_in)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 2, SH, WAIT), PENDING);
	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(told(two, rig.number - 1), 0);
}

Test(lock, a_second_wait_of_the_new_holder_is_granted_with_it)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(two, 3, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING, "a child's copy");
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, rig.number - 3), 0);
	cr_expect_eq(told(two, rig.number - 2), PENDING);
	cr_expect_eq(told(two, rig.number - 1), 0);
}

Test(lock, a_circle_of_record_locks_is_a_deadlock)
{
	cr_expect_eq(record(one, 1, EX, 0, 0, 1), 0);
	cr_expect_eq(record(two, 2, EX, 0, 1, 1), 0);
	cr_expect_eq(record(two, 3, EX, 0, 2, 1), 0);
	cr_expect_eq(record(one, 1, EX, WAIT, 1, 1), PENDING);
	cr_expect_eq(record(two, 2, EX, WAIT, 2, 1), PENDING);
	cr_expect_eq(record(two, 3, EX, 0, 0, 1), -EAGAIN);
	cr_expect_eq(record(two, 3, EX, WAIT, 0, 1), -EDEADLK);
	cr_expect_eq(record(two, 3, EX, WAIT, 3, 1), 0, "and nothing else is");
}

Test(lock, two_upgrades_are_a_deadlock)
{
	cr_expect_eq(whole(one, 1, SH, 0), 0);
	cr_expect_eq(whole(two, 2, SH, 0), 0);
	cr_expect_eq(whole(one, 1, EX, WAIT), PENDING);
	cr_expect_eq(whole(two, 2, EX, WAIT), -EDEADLK);
}

Test(lock, a_chain_that_does_not_close_is_no_deadlock)
{
	/* Far longer than the search looks. */
	for (uint64_t i = 0; i < 200; i++)
		CHECK(record(one, i, EX, 0, i, 1) == 0, "lock");
	for (uint64_t i = 0; i < 199; i++)
		CHECK(record(one, i, EX, WAIT, i + 1, 1) == PENDING, "%d",
		    (int)i);
	cr_expect_eq(record(two, 1, EX, WAIT, 0, 1), PENDING);
}

Test(lock, a_cancelled_wait_is_answered_once_and_lets_others_pass)
{
	uint64_t first;

	cr_expect_eq(flock_as(one, 1, SH, 0), 0);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	first = rig.number;
	cr_expect_eq(flock_as(two, 3, SH, WAIT), PENDING);
	cr_expect_eq(cancel(two, first), 0);
	cr_expect_eq(told(two, first), -EINTR);
	cr_expect_eq(told(two, first + 1), 0);
	cr_expect_eq(cancel(two, first), 0);
	cr_expect_eq(told(two, first), PENDING, "not a second time");
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, first), PENDING);
}

Test(lock, a_cancel_that_comes_after_the_grant_changes_nothing)
{
	uint64_t number;

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	number = rig.number;
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, number), 0);
	cr_expect_eq(cancel(two, number), 0);
	cr_expect_eq(told(two, number), PENDING);
	cr_expect_eq(flock_as(one, 1, EX, 0), -EAGAIN, "it is held");
}

Test(lock, another_session_cannot_cancel_a_wait)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	cr_expect_eq(cancel(one, rig.number), 0);
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, rig.number - 2), 0);
}

Test(lock, a_retry_of_a_waiting_request_waits_on)
{
	struct zk_command cmd = {
	    .op = ZK_OP_LOCK,
	    .session = two,
	    .flags = FLOCK | WAIT,
	    .ino = file,
	    .owner = 2,
	    .lock_type = EX,
	};

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_null(rig_apply(&cmd));
	cmd.number = rig.number;
	cr_expect_null(rig_send(&cmd));
	rig_verify();
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(told(two, cmd.number), 0);
	cr_expect_eq(rig_send(&cmd)->rc, 0, "and then has its answer");
	cr_expect_eq(flock_as(two, 2, UN, 0), 0);
	cr_expect_eq(flock_as(one, 1, EX, 0), 0, "it was granted once");
}

Test(lock, a_fence_is_the_index_that_granted_and_only_grows)
{
	const struct zk_outcome *out;
	uint64_t fence, first;

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	first = last_fence;
	cr_expect_eq(first, rig.index);
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(last_fence, first, "asked again: the same lock");
	cr_expect_eq(flock_as(two, 2, EX, WAIT), PENDING);
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	out = rig_answer(two, rig.number - 1);
	cr_assert_not_null(out);
	if (out == NULL)
		return;
	cr_expect_eq(out->rc, 0);
	cr_expect_eq(out->offset, rig.index);
	cr_expect_eq(out->attr.ino, file);
	cr_expect_eq(zk_lock_fence(rig.tx, file, two, &fence), 0);
	cr_expect_eq(fence, rig.index);
	cr_expect_eq(zk_lock_fence(rig.tx, file, one, &fence), 0);
	cr_expect_eq(fence, 0);
}

Test(lock, closing_a_file_drops_what_was_locked_through_it)
{
	const struct zk_command release = {
	    .op = ZK_OP_RELEASE,
	    .session = one,
	    .ino = file,
	    .handle = 101,
	};

	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(record(one, 1, EX, 0, 5, 5), 0);
	cr_expect_eq(record(one, 2, EX, 0, 0, 5), 0);
	cr_expect_eq(flock_as(two, 1, EX, WAIT), PENDING);
	cr_expect_eq(rig_apply(&release)->rc, 0);
	cr_expect_eq(told(two, rig.number - 1), 0);
	cr_expect_eq(record(two, 1, EX, 0, 5, 0), 0);
	cr_expect_eq(record(two, 1, EX, 0, 4, 1), -EAGAIN, "another handle's");
}

Test(lock, unlocking_an_owner_leaves_its_other_kind_and_its_waits)
{
	struct zk_command unlock = {
	    .op = ZK_OP_UNLOCK_OWNER,
	    .session = one,
	    .ino = file,
	    .owner = 1,
	};
	uint64_t waiting;

	cr_expect_eq(record(one, 1, EX, 0, 0, 10), 0);
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	cr_expect_eq(record(two, 2, EX, 0, 10, 10), 0);
	cr_expect_eq(record(one, 1, EX, WAIT, 10, 10), PENDING);
	waiting = rig.number;
	cr_expect_eq(rig_apply(&unlock)->rc, 0);
	cr_expect_eq(record(two, 2, EX, 0, 0, 10), 0);
	cr_expect_eq(flock_as(two, 2, EX, 0), -EAGAIN);
	unlock.flags = FLOCK;
	cr_expect_eq(rig_apply(&unlock)->rc, 0);
	cr_expect_eq(flock_as(two, 2, EX, 0), 0);
	cr_expect_eq(record(two, 2, UN, 0, 0, 0), 0);
	cr_expect_eq(told(one, waiting), 0);
}

Test(lock, a_session_that_ends_lets_go_of_everything)
{
	const struct zk_command end = {.op = ZK_OP_SESSION_END, .ino = two};
	uint64_t waiting, theirs;

	cr_expect_eq(flock_as(two, 1, EX, 0), 0);
	cr_expect_eq(flock_on(other_file, two, 1, EX, 0), 0);
	cr_expect_eq(flock_as(two, 9, EX, WAIT), PENDING);
	theirs = rig.number;
	cr_expect_eq(flock_as(one, 1, EX, WAIT), PENDING);
	waiting = rig.number;
	cr_expect_eq(flock_on(other_file, one, 2, SH, WAIT), PENDING);
	(void)rig_send(&end);
	cr_expect_eq(told(one, waiting), 0);
	cr_expect_eq(told(one, waiting + 1), 0);
	cr_expect_eq(told(two, theirs), -ZK_ESESSION);
}

Test(lock, a_file_that_is_gone_answers_its_waiters)
{
	const uint64_t doomed = rig_file(one, "doomed");
	const struct zk_command remove = {
	    .op = ZK_OP_UNLINK,
	    .session = one,
	    .ino = ZK_INO_ROOT,
	    .name = "doomed",
	    .name_len = 6,
	};
	uint8_t ino[8] = {(uint8_t)doomed};
	struct zk_command reap = {
	    .op = ZK_OP_REAP,
	    .session = one,
	    .data = ino,
	    .data_len = sizeof(ino),
	};
	uint64_t waiting;

	cr_assert(doomed < 256);
	cr_expect_eq(flock_on(doomed, one, 1, EX, 0), 0);
	cr_expect_eq(flock_on(doomed, two, 1, EX, WAIT), PENDING);
	waiting = rig.number;
	cr_expect_eq(rig_apply(&remove)->rc, 0);
	cr_expect_eq(flock_on(doomed, one, 2, SH, 0), -EAGAIN, "still open");
	cr_expect_eq(rig_apply(&reap)->rc, 0);
	cr_expect_eq(told(two, waiting), PENDING);
	reap.session = two;
	cr_expect_eq(rig_apply(&reap)->rc, 0);
	cr_expect_eq(told(two, waiting), -ENOENT);
	cr_expect_eq(flock_on(doomed, one, 1, EX, 0), -ENOENT);
}

Test(lock, who_asks_is_told_what_is_in_the_way)
{
	struct zk_command ask = {
	    .op = ZK_OP_LOCK,
	    .session = two,
	    .ino = file,
	    .owner = 1,
	    .lock_type = SH,
	    .off = 12,
	    .len = 1,
	};
	struct zk_lock_blocker blocker;

	cr_expect_eq(record(one, 7, EX, 0, 10, 5), 0);
	cr_expect_eq(record(one, 7, SH, 0, 100, 0), 0);
	cr_assert_eq(zk_lock_find_blocker(rig.tx, &ask, &blocker), 0);
	cr_expect_eq(blocker.type, EX);
	cr_expect_eq(blocker.off, 10);
	cr_expect_eq(blocker.len, 5);
	cr_expect_eq(blocker.pid, 7);
	cr_expect_eq(blocker.session, one);
	ask.off = 15;
	ask.len = 0;
	cr_assert_eq(zk_lock_find_blocker(rig.tx, &ask, &blocker), 0);
	cr_expect_eq(blocker.type, UN);
	ask.lock_type = EX;
	cr_assert_eq(zk_lock_find_blocker(rig.tx, &ask, &blocker), 0);
	cr_expect_eq(blocker.off, 100);
	cr_expect_eq(blocker.len, 0);
	ask.off = UINT64_MAX;
	cr_expect_eq(zk_lock_find_blocker(rig.tx, &ask, &blocker), -EINVAL);
}

Test(lock, too_many_waiters_are_refused)
{
	cr_expect_eq(flock_as(one, 1, EX, 0), 0);
	for (uint64_t i = 0; i < ZK_WAITERS_PER_FILE_MAX; i++)
		CHECK(flock_as(two, 10 + i, EX, WAIT) == PENDING, "%d", (int)i);
	cr_expect_eq(flock_as(one, 2, EX, WAIT), -ENOLCK);
	cr_expect_eq(flock_as(one, 1, UN, 0), 0);
	cr_expect_eq(rig.answer_count, 2, "one is woken, not all");
}
