#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/* One host: the group of one. */

static struct zk_partition_spec spec;

static void
one_host(void)
{
	rig_init(1);
	rig_open(0);
	rig_spec(&spec, 1, 1);
	rig_set(&spec);
	rig_turn(0);
}

Test(broker, what_was_answered_can_be_read, .init = one_host, .fini = rig_fini)
{
	struct rig_done done;

	rig_append(0, "one\n", &done);
	rig_turn(0);
	cr_assert(done.done, "one turn is enough");
	cr_assert_eq(done.rc, 0);
	cr_assert_eq(done.offset, 0);
	cr_assert_eq(rig_append_ok(0, "two\nthree\n"), 4);
	cr_assert_str_eq(rig_content(0), "one\ntwo\nthree\n");
	cr_assert_eq(rig.hosts[0].info.end, 14);
	cr_assert_eq(rig.hosts[0].info.leader, rig_node(0));
}

Test(broker, a_start_finds_what_was_answered, .init = one_host,
    .fini = rig_fini)
{
	for (int i = 0; i < 100; i++)
		(void)rig_append_ok(0, "a record\n");
	rig_crash(0);
	rig_open(0);
	rig_set(&spec);
	rig_turn(0);
	cr_assert_eq(strlen(rig_content(0)), 900);
	cr_assert_eq(rig_append_ok(0, "more\n"), 900);
}

Test(broker, several_batches_of_a_turn_keep_their_order, .init = one_host,
    .fini = rig_fini)
{
	struct rig_done done[50];
	char text[16];

	for (int i = 0; i < 50; i++) {
		(void)snprintf(text, sizeof(text), "%03d\n", i);
		rig_append(0, text, &done[i]);
	}
	rig_turn(0);
	for (unsigned i = 0; i < 50; i++) {
		cr_assert(done[i].done);
		cr_assert_eq(done[i].offset, 4ull * i);
	}
	cr_assert_eq(zk_broker_counts(rig.hosts[0].broker)->flushes, 2,
	    "one for the group, one for all of them");
}

Test(broker, a_batch_that_is_not_records_is_refused, .init = one_host,
    .fini = rig_fini)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	};
	struct zk_request *request;

	cr_assert_eq(zk_request_new(&what, "no newline", 10, &request),
	    -EINVAL);
	cr_assert_eq(zk_request_new(&what, "", 0, &request), -EINVAL);
}

Test(broker, an_unknown_partition_is_enoent, .init = one_host, .fini = rig_fini)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = 5,
	};
	struct zk_partition_info info;
	struct rig_done done;

	rig_submit(0, &what, "x\n", 2, &done);
	rig_turn(0);
	cr_assert(done.done);
	cr_assert_eq(done.rc, -ENOENT);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, 5, &info), -ENOENT);
}

/* Parts of entries, and reads that begin and end anywhere. */
Test(broker, reads_of_any_piece_agree, .init = one_host, .fini = rig_fini)
{
	static char all[1 << 20], got[1 << 20];
	const size_t sizes[] = {1, 2, 100, 1855, 1856, 1857, 16320, 16321,
	    40000, 65536, 300000};
	size_t end = 0, len;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct zk_request what = {
		    .kind = ZK_REQUEST_APPEND,
		    .partition = RIG_PART,
		};
		struct rig_done done;

		for (size_t at = 0; at + 1 < sizes[i]; at++)
			all[end + at] = (char)(at % 77 == 76
			        ? '\n'
			        : "abcdefghijklmnopqrstuvwxyz"[(end + at) %
			              26]);
		all[end + sizes[i] - 1] = '\n';
		rig_submit(0, &what, all + end, sizes[i], &done);
		rig_turn(0);
		cr_assert_eq(done.rc, 0);
		cr_assert_eq(done.offset, end);
		end += sizes[i];
	}
	for (size_t at = 0; at < end; at += 1 + at / 7)
		for (size_t want = 1; want < end; want *= 5) {
			const size_t due = want < end - at ? want : end - at;

			cr_assert_eq(zk_broker_read(rig.hosts[0].broker,
			                 RIG_PART, at, got, want, &len),
			    0);
			if (len != due || memcmp(got, all + at, len) != 0)
				cr_assert(false, "%zu bytes at %zu", want, at);
		}
	cr_assert_eq(
	    zk_broker_read(rig.hosts[0].broker, RIG_PART, end, got, 9, &len),
	    0);
	cr_assert_eq(len, 0, "nothing at the end");
}

Test(broker, records_and_times_are_found, .init = one_host, .fini = rig_fini)
{
	struct zk_broker *b = rig.hosts[0].broker;
	const struct zk_stamp before = rig_time().wall;
	struct zk_stamp between;
	uint64_t offset;

	(void)rig_append_ok(0, "aaaa\nbb\n");
	rig_run(5000);
	between = rig_time().wall;
	rig_run(5000);
	(void)rig_append_ok(0, "cccc\n");
	cr_assert_eq(zk_broker_find_time(b, RIG_PART, before, &offset), 0);
	cr_assert_eq(offset, 0);
	cr_assert_eq(zk_broker_find_time(b, RIG_PART, between, &offset), 0);
	cr_assert_eq(offset, 8);
	cr_assert_eq(zk_broker_find_time(b, RIG_PART, rig_time().wall, &offset),
	    0);
	rig_run(1000);
	cr_assert_eq(zk_broker_find_time(b, RIG_PART, rig_time().wall, &offset),
	    0);
	cr_assert_eq(offset, 13, "the end");
	for (uint64_t at = 0; at <= 13; at++) {
		const uint64_t due = at == 0 ? 0
		    : at <= 5                ? 5
		    : at <= 8                ? 8
		                             : 13;

		cr_assert_eq(zk_broker_find_record(b, RIG_PART, at, &offset),
		    0);
		cr_assert_eq(offset, due, "%d: %d", (int)at, (int)offset);
	}
}

Test(broker, a_dropped_partition_is_gone_and_its_space_reused, .init = one_host,
    .fini = rig_fini)
{
	static char big[200000];
	const struct zk_request append = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = RIG_PART,
	};
	struct zk_partition_info info;
	struct zk_broker_usage usage;
	struct rig_done done;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\n';
	for (uint64_t id = 1; id < 40; id++) {
		const struct zk_request drop = {
		    .kind = ZK_REQUEST_DROP,
		    .partition = id,
		};
		struct zk_request what = append;

		spec.id = what.partition = id;
		rig_set(&spec);
		for (int i = 0; i < 10; i++)
			rig_submit(0, &what, big, sizeof(big), NULL);
		rig_turn(0);
		rig_turn(0);
		rig_submit(0, &drop, NULL, 0, &done);
		rig_run(200);
		cr_assert(done.done);
		cr_assert_eq(done.rc, 0);
		cr_assert_eq(zk_broker_info(rig.hosts[0].broker, id, &info),
		    -ENOENT);
	}
	zk_broker_usage(rig.hosts[0].broker, &usage);
	cr_assert_eq(usage.partitions, 1);
	cr_assert_lt(usage.file_bytes, 16u << 20, "%zu",
	    (size_t)usage.file_bytes);
}

Test(broker, what_the_tree_no_longer_has_is_pruned, .init = one_host,
    .fini = rig_fini)
{
	const struct zk_request prune = {.kind = ZK_REQUEST_PRUNE};
	struct zk_partition_info info;

	(void)rig_append_ok(0, "one\n");
	rig_crash(0);
	rig_open(0);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, RIG_PART, &info), 0);
	rig_submit(0, &prune, NULL, 0, NULL);
	rig_run(100);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, RIG_PART, &info),
	    -ENOENT);
	rig_crash(0);
	rig_open(0);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, RIG_PART, &info),
	    -ENOENT);
}

/* Retention keeps up with whatever comes, however small it is. */
Test(broker, retention_is_as_fast_as_writers, .init = one_host,
    .fini = rig_fini)
{
	static struct rig_done done[800];
	struct zk_partition_info info;
	struct zk_broker_usage usage;
	char text[512];

	memset(text, 'x', sizeof(text));
	memcpy(text + sizeof(text) - 2, "\n", 2);
	spec.retention_bytes = 1000000;
	rig_set(&spec);
	for (int turn = 0; turn < 100; turn++) {
		for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
			rig_append(0, text, &done[i]);
		rig.now_ms += 2;
		rig_turn(0);
		cr_assert(done[0].done && done[0].rc == 0);
		cr_assert_eq(
		    zk_broker_info(rig.hosts[0].broker, RIG_PART, &info), 0);
		cr_assert_leq(info.end - info.start, 2000000, "turn %d", turn);
	}
	cr_assert_eq(info.end, 100ull * 800 * 511);
	zk_broker_usage(rig.hosts[0].broker, &usage);
	cr_assert_leq(usage.file_bytes, 8u << 20, "%zu bytes",
	    (size_t)usage.file_bytes);
}
