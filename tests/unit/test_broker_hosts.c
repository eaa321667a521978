#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/* Several hosts: replicas, leaders, moves. */

static struct zk_partition_spec spec;

static void
three_of(unsigned hosts)
{
	rig_init(hosts);
	for (unsigned id = 0; id < hosts; id++)
		rig_open(id);
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(100);
}

static void
three(void)
{
	three_of(3);
}

/* Three replicas and a host without one. */
static void
four(void)
{
	three_of(4);
}

Test(broker_hosts, the_preferred_leader_leads_at_once, .init = three,
    .fini = rig_fini)
{
	cr_assert_eq(rig_leader(), 0);
	cr_assert_leq(rig.now_ms, 1000100 + 50);
}

Test(broker_hosts, every_replica_has_what_was_answered, .init = three,
    .fini = rig_fini)
{
	for (unsigned id = 0; id < 3; id++) {
		(void)rig_append_ok(id, "a record\n");
		cr_assert_eq(strlen(rig_content(id)), 9ull * (id + 1),
		    "the writer's host has it already");
	}
	rig_run(200);
	for (unsigned id = 0; id < 3; id++)
		cr_assert_eq(strlen(rig_content(id)), 27);
}

Test(broker_hosts, a_host_without_a_replica_appends_and_asks, .init = four,
    .fini = rig_fini)
{
	struct zk_request what = {
	    .kind = ZK_REQUEST_READ,
	    .partition = RIG_PART,
	    .offset = 4,
	    .want = 100,
	};
	struct rig_done done;
	char buf[10];
	size_t len;

	(void)rig_append_ok(3, "one\n");
	(void)rig_append_ok(3, "two\n");
	cr_assert_eq(zk_broker_read(rig.hosts[3].broker, RIG_PART, 0, buf,
	                 sizeof(buf), &len),
	    -EREMOTE);
	rig_submit(3, &what, NULL, 0, &done);
	rig_wait(&done);
	cr_assert_eq(done.rc, 0);
	cr_assert_eq(done.len, 4);
	cr_assert_eq(memcmp(done.bytes, "two\n", 4), 0);
	cr_assert_eq(done.info.end, 8);
	cr_assert_eq(done.info.leader, rig_node(0));
	what.kind = ZK_REQUEST_RECORD;
	what.offset = 2;
	rig_submit(3, &what, NULL, 0, &done);
	rig_wait(&done);
	cr_assert_eq(done.offset, 4);
}

Test(broker_hosts, who_watches_hears_of_appends, .init = four, .fini = rig_fini)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_WATCH,
	    .partition = RIG_PART,
	};

	rig_submit(3, &what, NULL, 0, NULL);
	rig_run(100);
	(void)rig_append_ok(0, "one\n");
	rig_run(50);
	cr_assert_eq(rig.hosts[3].info.end, 4);
	cr_assert(rig.hosts[3].info.known);
	cr_assert_not(rig.hosts[3].info.local);
}

/* It may have left already, and then it would hear of nothing any more. */
Test(broker_hosts, who_is_to_leave_is_not_read_from, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info;
	uint64_t end = 0;

	(void)rig_leader();
	rig_spec(&spec, 7, 1);
	rig_set(&spec);
	rig_run(5);
	for (unsigned i = 0; i < 60; i++) {
		end = rig_append_ok(0, "one\n") + 4;
		cr_assert_eq(
		    zk_broker_info(rig.hosts[2].broker, RIG_PART, &info), 0);
		cr_assert(!info.local || info.end == end,
		    "it tells an end of before");
		rig_run(20);
	}
	cr_assert_not(info.local);
}

Test(broker_hosts, a_lost_leader_is_replaced_and_nothing_is_lost, .init = three,
    .fini = rig_fini)
{
	struct rig_done done[20];
	unsigned first;

	(void)rig_append_ok(1, "before\n");
	first = rig_leader();
	rig_crash(first);
	for (unsigned i = 0; i < 20; i++)
		rig_append((first + 1) % 3, "during\n", &done[i]);
	for (unsigned i = 0; i < 20; i++) {
		rig_wait(&done[i]);
		cr_assert_eq(done[i].rc, 0);
		cr_assert_eq(done[i].offset, 7 + 7 * i, "once, in order");
	}
	rig_open(first);
	rig_set_on(first, &spec);
	rig_run(1000);
	cr_assert_eq(strlen(rig_content(first)), 7 + 140);
}

static bool
is_local(unsigned id)
{
	struct zk_partition_info info;

	cr_assert_eq(zk_broker_info(rig.hosts[id].broker, RIG_PART, &info), 0);
	return info.local;
}

static void
only_one_comes_back(unsigned one)
{
	for (unsigned id = 0; id < 3; id++)
		if (rig.hosts[id].broker != NULL)
			rig_crash(id);
	rig_open(one);
	rig_set_on(one, &spec);
	rig_run(20);
}

/* An end that was told before must not seem to go back. */
Test(broker_hosts, who_comes_back_tells_no_end_before_it_knows, .init = three,
    .fini = rig_fini)
{
	char byte;
	size_t len;

	for (unsigned i = 0; i < 5; i++)
		(void)rig_append_ok(1, "a record\n");
	only_one_comes_back(1);
	cr_expect_not(is_local(1));
	cr_expect_eq(
	    zk_broker_read(rig.hosts[1].broker, RIG_PART, 0, &byte, 1, &len),
	    -EREMOTE);
	rig_open(0);
	rig_set_on(0, &spec);
	rig_run(2000);
	cr_expect(is_local(1));
	cr_expect_eq(strlen(rig_content(1)), 45);
	(void)rig_append_ok(1, "a record\n");
	only_one_comes_back(1);
	cr_expect_not(is_local(1));
	rig_run(6000);
	cr_expect(is_local(1), "what it knows is better than nothing");
}

Test(broker_hosts, the_preferred_leader_leads_again_when_it_is_back,
    .init = three, .fini = rig_fini)
{
	(void)rig_append_ok(1, "before\n");
	rig_crash(0);
	(void)rig_append_ok(1, "during\n");
	cr_assert_neq(rig_leader(), 0);
	rig_open(0);
	rig_set_on(0, &spec);
	rig_run(20000);
	cr_assert_eq(rig_leader(), 0);
	(void)rig_append_ok(1, "after\n");
}

Test(broker_hosts, without_a_majority_writers_wait_and_time_out, .init = three,
    .fini = rig_fini)
{
	struct rig_done done;
	const unsigned first = rig_leader();

	rig_crash((first + 1) % 3);
	rig_crash((first + 2) % 3);
	rig_append(first, "one\n", &done);
	rig_run(9000);
	cr_assert_not(done.done);
	rig_wait(&done);
	cr_assert_eq(done.rc, -ETIMEDOUT);
}

Test(broker_hosts, an_answer_that_was_lost_is_given_again, .init = four,
    .fini = rig_fini)
{
	struct rig_done done;
	uint64_t repeated = 0;

	(void)rig_append_ok(3, "one\n");
	rig_append(3, "two\n", &done);
	rig_turn(3);
	rig_turn(0);
	rig_turn(1);
	rig_turn(2);
	rig.hosts[3].cut = true; /* the answer does not arrive */
	rig_run(300);
	cr_assert_not(done.done);
	rig.hosts[3].cut = false;
	rig_wait(&done);
	cr_assert_eq(done.rc, 0);
	cr_assert_eq(done.offset, 4);
	cr_assert_eq(rig_append_ok(3, "three\n"), 8);
	for (unsigned id = 0; id < 3; id++)
		repeated += zk_broker_counts(rig.hosts[id].broker)->repeated;
	cr_assert_gt(repeated, 0);
	cr_assert_str_eq(rig_content(0), "one\ntwo\nthree\n");
}

Test(broker_hosts, idle_groups_are_silent, .init = three, .fini = rig_fini)
{
	struct zk_broker_usage usage;
	uint64_t frames, messages, bytes;

	for (uint64_t id = 1000; id < 1300; id++) {
		spec.id = id;
		rig_set(&spec);
	}
	rig_run(3000);
	zk_broker_usage(rig.hosts[1].broker, &usage);
	cr_assert_eq(usage.replicas, 301);
	cr_assert_eq(usage.awake, 0, "%zu are awake", (size_t)usage.awake);
	frames = rig.hosts[0].frames;
	bytes = rig.hosts[0].bytes;
	messages = zk_broker_counts(rig.hosts[0].broker)->messages;
	rig_run(6000);
	frames = rig.hosts[0].frames - frames;
	bytes = rig.hosts[0].bytes - bytes;
	cr_assert_leq(frames, 2 * 6000 / 60 + 2,
	    "one to each in each interval, not %zu", (size_t)frames);
	cr_assert_leq(bytes, frames * 32);
	cr_assert_eq(zk_broker_counts(rig.hosts[0].broker)->messages, messages);
}

Test(broker_hosts, sleepers_wake_when_their_leader_dies, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info;
	uint64_t start;

	rig_run(3000);
	rig_crash(0);
	start = rig.now_ms;
	do {
		rig_run(5);
		cr_assert_eq(
		    zk_broker_info(rig.hosts[1].broker, RIG_PART, &info), 0);
	} while (info.leader == 0 || info.leader == rig_node(0));
	cr_assert_leq(rig.now_ms - start, 1000);
	(void)rig_append_ok(1, "on\n");
}

/* --- moves ---------------------------------------------------------------- */

Test(broker_hosts, a_replica_moves, .init = four, .fini = rig_fini)
{
	struct zk_broker_usage usage;
	struct zk_partition_info info;

	for (int i = 0; i < 30; i++)
		(void)rig_append_ok(0, "a record\n");
	rig_spec(&spec, 7, 8 | 6); /* from host 0 to host 3 */
	rig_set(&spec);
	for (int i = 0; i < 30; i++)
		(void)rig_append_ok(0, "a record\n");
	rig_run(20000);
	cr_assert_eq(strlen(rig_content(3)), 540);
	cr_assert_eq(zk_broker_info(rig.hosts[3].broker, RIG_PART, &info), 0);
	cr_assert_eq(info.replica_count, 3);
	for (unsigned i = 0; i < 3; i++)
		cr_assert_neq(info.replicas[i], rig_node(0));
	zk_broker_usage(rig.hosts[0].broker, &usage);
	cr_assert_eq(usage.replicas, 0, "its data is deleted");
	(void)rig_append_ok(0, "from outside\n");

	/* And back, as a new one. */
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(20000);
	cr_assert_eq(strlen(rig_content(0)), 553);
	zk_broker_usage(rig.hosts[3].broker, &usage);
	cr_assert_eq(usage.replicas, 0);
}

Test(broker_hosts, all_replicas_move_at_once, .init = four, .fini = rig_fini)
{
	rig_spec(&spec, 1, 1);
	spec.id = RIG_PART + 1;
	rig_set(&spec);
	rig_run(100);
	for (int i = 0; i < 30; i++) {
		const struct zk_request what = {
		    .kind = ZK_REQUEST_APPEND,
		    .partition = RIG_PART + 1,
		};
		struct rig_done done;

		rig_submit(2, &what, "a record\n", 9, &done);
		rig_wait(&done);
		cr_assert_eq(done.rc, 0);
	}
	rig_spec(&spec, 1, 8);
	spec.id = RIG_PART + 1;
	rig_set(&spec);
	rig_run(30000);
	{
		struct zk_partition_info info;

		cr_assert_eq(
		    zk_broker_info(rig.hosts[3].broker, RIG_PART + 1, &info),
		    0);
		cr_assert(info.local);
		cr_assert_eq(info.end, 270);
		cr_assert_eq(info.replica_count, 1);
		cr_assert_eq(info.leader, rig_node(3));
	}
}

/* --- retention ------------------------------------------------------------ */

static void
fill(unsigned id, unsigned batches)
{
	static char big[50000];
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	};

	memset(big, 'x', sizeof(big));
	for (size_t at = 99; at < sizeof(big); at += 100)
		big[at] = '\n';
	for (unsigned i = 0; i < batches; i++) {
		struct rig_done done;

		rig_submit(id, &what, big, sizeof(big), &done);
		rig_wait(&done);
		cr_assert_eq(done.rc, 0);
	}
}

Test(broker_hosts, retention_by_size_reuses_space, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info[3];
	struct zk_broker_usage usage;
	char buf[10];
	size_t len;

	spec.retention_bytes = 1000000;
	rig_set(&spec);
	fill(0, 600); /* 30 MB */
	rig_run(3000);
	for (unsigned id = 0; id < 3; id++) {
		cr_assert_eq(
		    zk_broker_info(rig.hosts[id].broker, RIG_PART, &info[id]),
		    0);
		cr_assert_eq(info[id].end, 30000000);
		cr_assert_eq(info[id].start % 50000, 0, "whole batches");
		cr_assert_leq(info[id].end - info[id].start, 1125000);
		cr_assert_geq(info[id].end - info[id].start, 900000);
		cr_assert_eq(info[id].start, info[0].start);
		zk_broker_usage(rig.hosts[id].broker, &usage);
		cr_assert_leq(usage.file_bytes, 8u << 20, "%zu",
		    (size_t)usage.file_bytes);
		cr_assert_eq(zk_broker_read(rig.hosts[id].broker, RIG_PART,
		                 info[id].start - 1, buf, sizeof(buf), &len),
		    -ENODATA);
		cr_assert_eq(zk_broker_read(rig.hosts[id].broker, RIG_PART,
		                 info[id].start, buf, sizeof(buf), &len),
		    0);
		cr_assert_eq(len, sizeof(buf));
	}
}

Test(broker_hosts, retention_by_time_takes_the_old, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info;

	spec.retention_ms = 20000;
	rig_set(&spec);
	(void)rig_append_ok(0, "old\n");
	rig_run(15000);
	(void)rig_append_ok(0, "young\n");
	rig_run(8000);
	cr_assert_eq(zk_broker_info(rig.hosts[1].broker, RIG_PART, &info), 0);
	cr_assert_eq(info.start, 4);
	cr_assert_eq(info.end, 10);
	cr_assert_str_eq(rig_content(1), "young\n");
	rig_crash(1);
	rig_open(1);
	rig_set_on(1, &spec);
	rig_run(2000);
	cr_assert_str_eq(rig_content(1), "young\n");
	rig_run(30000);
	cr_assert_eq(zk_broker_info(rig.hosts[1].broker, RIG_PART, &info), 0);
	cr_assert_eq(info.start, 10);
	cr_assert_eq(rig_append_ok(1, "new\n"), 10);
}

Test(broker_hosts, retention_that_is_made_shorter_acts_soon, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info;

	spec.retention_ms = 7ull * 24 * 3600 * 1000;
	rig_set(&spec);
	(void)rig_append_ok(0, "old\n");
	rig_run(15000);
	spec.retention_ms = 5000;
	rig_set(&spec);
	rig_run(3000);
	cr_assert_eq(zk_broker_info(rig.hosts[1].broker, RIG_PART, &info), 0);
	cr_assert_eq(info.start, 4);
}

Test(broker_hosts, one_far_behind_begins_where_the_log_begins, .init = three,
    .fini = rig_fini)
{
	struct zk_partition_info info;

	spec.retention_bytes = 300000;
	rig_set(&spec);
	fill(0, 4);
	rig_crash(2);
	fill(0, 60);
	rig_run(3000);
	rig_open(2);
	rig_set_on(2, &spec);
	rig_run(5000);
	cr_assert_eq(zk_broker_info(rig.hosts[2].broker, RIG_PART, &info), 0);
	cr_assert_eq(info.end, 64ull * 50000);
	cr_assert_gt(info.start, 50ull * 50000);
	cr_assert_gt(zk_broker_counts(rig.hosts[2].broker)->snapshots, 0);
	fill(2, 2);
}

/* --- a full disk ---------------------------------------------------------- */

Test(broker_hosts, a_full_disk_of_one_does_not_stop_the_others,
    .fini = rig_fini)
{
	rig_init(3);
	rig.hosts[0].map_bytes = 20u << 20;
	for (unsigned id = 0; id < 3; id++)
		rig_open(id);
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(100);
	fill(1, 800); /* 40 MB: too much for host 0, which leads */
	cr_assert_neq(rig_leader(), 0);
}

Test(broker_hosts, a_full_disk_of_all_is_enospc_and_recovers, .fini = rig_fini)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	};
	static char big[100000];
	struct rig_done done = {.rc = 0};
	unsigned taken = 0;

	rig_init(3);
	for (unsigned id = 0; id < 3; id++) {
		rig.hosts[id].map_bytes = 20u << 20;
		rig_open(id);
	}
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(100);
	memset(big, 'y', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	for (; taken < 1000; taken++) {
		rig_submit(1, &what, big, sizeof(big), &done);
		rig_wait(&done);
		if (done.rc != 0)
			break;
	}
	cr_assert_eq(done.rc, -ENOSPC, "%s after %u", zk_err_text(done.rc),
	    taken);
	spec.retention_bytes = 200000;
	rig_set(&spec);
	rig_run(5000);
	rig_submit(1, &what, big, sizeof(big), &done);
	rig_wait(&done);
	cr_assert_eq(done.rc, 0, "%s", zk_err_text(done.rc));
	cr_assert_eq(done.offset, taken * sizeof(big));
}

/*
 * One who left has given its log up, and what it had answered for with it.
 * When it is to come back it makes no majority with one who was away meanwhile
 * and believes in the old members.
 */
Test(broker_hosts, who_left_is_no_voter_before_it_has_what_it_had, .init = four,
    .fini = rig_fini)
{
	struct rig_done done;

	(void)rig_append_ok(0, "one\n");
	rig_run(500);
	rig.hosts[2].cut = true;
	(void)rig_append_ok(0, "two\n");
	rig_spec(&spec, 7, 1 | 4 | 8);
	rig_set(&spec);
	rig_run(20000);
	(void)rig_append_ok(0, "three\n");
	cr_assert_str_eq(rig_content(3), "one\ntwo\nthree\n");

	/* All who know better are away. */
	rig_crash(0);
	rig_crash(3);
	rig.hosts[2].cut = false;
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_append(2, "never\n", &done);
	rig_run(15000);
	cr_assert(done.done);
	cr_assert_eq(done.rc, -ETIMEDOUT);

	rig_open(0);
	rig_open(3);
	rig_set(&spec);
	rig_run(20000);
	for (unsigned id = 0; id < 3; id++)
		cr_expect_str_eq(rig_content(id), "one\ntwo\nthree\n", "%u: %s",
		    id, rig_content(id));
}

/* What the tree says does not count on who lives. */
Test(broker_hosts, nobody_goes_whom_a_majority_needs, .init = three,
    .fini = rig_fini)
{
	(void)rig_append_ok(0, "one\n");
	rig_run(1000);
	rig_crash(2);
	(void)rig_append_ok(0, "two\n");
	rig_run(5000);
	rig_spec(&spec, 7, 4);
	rig_set(&spec);
	rig_run(20000);
	(void)rig_append_ok(0, "three\n");
	(void)rig_append_ok(1, "four\n");
	rig_open(2);
	rig_set_on(2, &spec);
	rig_run(20000);
	cr_assert_str_eq(rig_content(2), "one\ntwo\nthree\nfour\n");
	cr_assert_eq(rig_leader(), 2);
	rig_crash(0);
	rig_crash(1);
	(void)rig_append_ok(2, "five\n");
}
