#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/*
 * Batches whose session is over.  Of each batch it is asked what its writer was
 * told, and whether it is in the log at the end.
 */

static unsigned lead, writer; /* hosts */

static void
run(void)
{
	struct zk_partition_spec spec;
	struct zk_partition_info info;

	rig_init(3);
	for (unsigned id = 0; id < 3; id++) {
		rig_open(id);
		rig.hosts[id].session = 10 + id;
	}
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(300);
	(void)rig_append_ok(0, "first\n");
	/* Until leadership has gone to where it belongs. */
	rig_run(1000);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, RIG_PART, &info), 0);
	lead = (unsigned)info.leader - 1;
	writer = (lead + 1) % 3;
}

/* Its clock says so; the others find out later. */
static void
lose_session(unsigned id)
{
	rig.hosts[id].session = 0;
}

static void
all_know_that_it_is_over(unsigned id)
{
	for (unsigned other = 0; other < 3; other++)
		rig.hosts[other].over = 10 + id;
}

static void
begin_anew(unsigned id)
{
	rig.hosts[id].session = 100 + id;
}

Test(broker_fence, sent_and_lost_is_not_sent_again, .init = run,
    .fini = rig_fini)
{
	struct rig_done done;

	rig.hosts[writer].cut = true;
	rig_append(writer, "late\n", &done);
	rig_run(100);
	cr_assert_not(done.done);
	lose_session(writer);
	rig_run(100);
	cr_assert(done.done);
	cr_expect_eq(done.rc, -ETIMEDOUT);
	rig.hosts[writer].cut = false;
	rig_run(2000);
	cr_expect_str_eq(rig_content(lead), "first\n");
	begin_anew(writer);
	cr_expect_eq(rig_append_ok(writer, "next\n"), 6);
}

Test(broker_fence, sent_to_nobody_certainly_did_not_happen, .init = run,
    .fini = rig_fini)
{
	struct rig_done done[2];

	for (unsigned id = 0; id < 3; id++)
		rig.hosts[id].cut = true;
	/* Until nobody leads as far as it knows. */
	rig_run(2000);
	rig_append(writer, "never\n", &done[0]);
	lose_session(writer);
	rig_append(writer, "nobody\n", NULL);
	rig_run(50);
	cr_assert(done[0].done);
	cr_expect_eq(done[0].rc, -EROFS);
	/* Of a session that was over before it came to us. */
	rig.hosts[writer].session = 7;
	rig_append(writer, "old\n", &done[1]);
	begin_anew(writer);
	rig_run(50);
	cr_assert(done[1].done);
	cr_expect_eq(done[1].rc, -EROFS);
	for (unsigned id = 0; id < 3; id++)
		rig.hosts[id].cut = false;
	(void)rig_append_ok(writer, "next\n");
	rig_run(1000);
	/* What belongs to no session is appended in any. */
	cr_expect_str_eq(rig_content(writer), "first\nnobody\nnext\n");
}

Test(broker_fence, a_leader_takes_up_nothing_that_comes_late, .init = run,
    .fini = rig_fini)
{
	struct rig_done done;

	rig.hosts[writer].held = true;
	rig_append(writer, "late\n", &done);
	rig_run(20);
	lose_session(writer);
	rig_run(50);
	cr_assert(done.done);
	cr_expect_eq(done.rc, -ETIMEDOUT);
	all_know_that_it_is_over(writer);
	(void)rig_append_ok(lead, "other\n");
	rig.hosts[writer].held = false;
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\nother\n");
	begin_anew(writer);
	(void)rig_append_ok(writer, "next\n");
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\nother\nnext\n");
}

/* It may be that a writer does not know yet. */
Test(broker_fence, a_writer_hears_of_it_from_the_leader, .init = run,
    .fini = rig_fini)
{
	struct rig_done done[2];

	all_know_that_it_is_over(writer);
	rig_append(writer, "one\n", &done[0]);
	rig_append(writer, "two\n", &done[1]);
	rig_wait(&done[0]);
	rig_wait(&done[1]);
	cr_expect_eq(done[0].rc, -EROFS);
	cr_expect_eq(done[1].rc, -EROFS);
	begin_anew(writer);
	(void)rig_append_ok(writer, "next\n");
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\nnext\n");
}

Test(broker_fence, own_leader_takes_up_nothing_either, .init = run,
    .fini = rig_fini)
{
	const struct zk_request old = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	    .holder = 10 + lead,
	};
	struct rig_done done;

	begin_anew(lead);
	rig_submit(lead, &old, "late\n", 5, &done);
	rig_wait(&done);
	cr_expect_eq(done.rc, -EROFS);
	(void)rig_append_ok(lead, "next\n");
	cr_expect_str_eq(rig_content(lead), "first\nnext\n");
}

/* The tree of whoever leads may lag; clocks do not. */
Test(broker_fence, what_is_late_is_not_taken_up_by_one_who_knows_nothing,
    .init = run, .fini = rig_fini)
{
	struct rig_done done;

	rig.hosts[writer].held = true;
	rig_append(writer, "late\n", &done);
	rig_run(20);
	lose_session(writer);
	rig_run(RIG_LEASE_MS);
	cr_assert(done.done);
	cr_expect_eq(done.rc, -ETIMEDOUT);
	(void)rig_append_ok((lead + 2) % 3, "other\n");
	rig.hosts[writer].held = false;
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\nother\n");
	begin_anew(writer);
	(void)rig_append_ok(writer, "next\n");
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\nother\nnext\n");
}

Test(broker_fence, what_is_late_is_sent_again_while_the_session_lasts,
    .init = run, .fini = rig_fini)
{
	struct rig_done done[2];

	rig.hosts[writer].held = true;
	rig_append(writer, "one\n", &done[0]);
	rig_append(writer, "two\n", &done[1]);
	rig_run(3 * RIG_LEASE_MS);
	rig.hosts[writer].held = false;
	rig_wait(&done[0]);
	rig_wait(&done[1]);
	cr_expect_eq(done[0].rc, 0);
	cr_expect_eq(done[1].rc, 0);
	rig_run(500);
	cr_expect_str_eq(rig_content(lead), "first\none\ntwo\n");
}

/* It shares no group with the leader, and hears from it only when it asks. */
Test(broker_fence, who_has_no_replica_appends_whenever_it_likes,
    .fini = rig_fini)
{
	struct zk_partition_spec spec;
	uint64_t frames;

	rig_init(3);
	for (unsigned id = 0; id < 3; id++) {
		rig_open(id);
		rig.hosts[id].session = 10 + id;
	}
	rig_spec(&spec, 3, 3);
	rig_set(&spec);
	rig_run(1000);
	(void)rig_append_ok(2, "one\n");
	rig_run(10 * RIG_LEASE_MS);
	(void)rig_append_ok(2, "two\n");
	frames = rig.hosts[2].frames;
	for (unsigned i = 0; i < 20; i++) {
		(void)rig_append_ok(2, "more\n");
		rig_run(RIG_LEASE_MS / 2);
	}
	/* Nothing of that had to be sent again. */
	cr_expect_eq(rig.hosts[2].frames - frames, 20);
	/* Another run of the leader has another clock. */
	rig_crash(0);
	rig_crash(1);
	rig_open(0);
	rig_open(1);
	rig_set_on(0, &spec);
	rig_set_on(1, &spec);
	(void)rig_append_ok(2, "last\n");
}
