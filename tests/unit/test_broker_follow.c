#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/* A host without a replica that follows where a partition ends. */

static struct zk_partition_spec spec;

static void
four(void)
{
	rig_four(&spec, 100);
}

static void
follow(unsigned id, bool on)
{
	const struct zk_request what = {
	    .kind = on ? ZK_REQUEST_FOLLOW : ZK_REQUEST_UNFOLLOW,
	    .partition = RIG_PART,
	};

	rig_submit(id, &what, NULL, 0, NULL);
}

/* Appends; how long until host 3 knows of it. */
static uint64_t
until_heard(unsigned writer)
{
	const uint64_t end = rig_append_ok(writer, "one\n") + 4;
	const uint64_t from_ms = rig.now_ms;

	for (unsigned i = 0; i < 4000 && rig.hosts[3].info.end < end; i++)
		rig_run(5);
	cr_assert_eq(rig.hosts[3].info.end, end, "never heard");
	return rig.now_ms - from_ms;
}

Test(broker_follow, who_follows_hears_of_appends_at_once, .init = four,
    .fini = rig_fini)
{
	(void)rig_append_ok(0, "zero\n");
	follow(3, true);
	rig_run(100);
	cr_assert_eq(rig.hosts[3].info.end, 5, "what was there");
	cr_assert_not(rig.hosts[3].info.local);
	/* Also after long silence, longer than anything is remembered. */
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_leq(until_heard(i), 20);
		rig_run(100);
		cr_assert_leq(until_heard(i), 20);
		rig_run(i == 1 ? 60000 : 1000);
	}
	cr_assert(rig.hosts[3].info.current);
	follow(3, false);
	rig_run(100);
	cr_assert_not(rig.hosts[3].info.current, "it is old from now on");
	(void)rig_append_ok(1, "one\n");
	rig_run(100);
	(void)rig_append_ok(1, "one\n");
	rig_run(20000);
	cr_assert_lt(rig.hosts[3].info.end, 5 + 8 * 4);
}

Test(broker_follow, to_follow_costs_little, .init = four, .fini = rig_fini)
{
	uint64_t frames, changes;

	follow(3, true);
	rig_run(1000);
	frames = rig.hosts[3].frames;
	rig_run(60000);
	cr_assert_leq(rig.hosts[3].frames - frames, 15, "idle: %" PRIu64,
	    rig.hosts[3].frames - frames);
	frames = rig.hosts[3].frames;
	changes = rig.hosts[3].changes;
	for (unsigned i = 0; i < 100; i++) {
		(void)rig_append_ok(0, "one\n");
		rig_run(5);
	}
	rig_run(100);
	cr_assert_eq(rig.hosts[3].info.end, 400);
	cr_assert_leq(rig.hosts[3].changes - changes, 40, "%u appends",
	    (unsigned)(rig.hosts[3].changes - changes));
	cr_assert_leq(rig.hosts[3].frames - frames, 60);
}

Test(broker_follow, who_follows_goes_on_with_another_leader, .init = four,
    .fini = rig_fini)
{
	unsigned first;

	follow(3, true);
	rig_run(100);
	cr_assert_leq(until_heard(0), 20);
	/* The one who was asked is gone, without a word. */
	first = rig_leader();
	rig_crash(first);
	rig_run(2000);
	cr_assert_leq(until_heard((first + 1) % 3), 6000);
	rig_run(100);
	cr_assert_leq(until_heard((first + 1) % 3), 20);
	rig_open(first);
	rig_set(&spec);
	rig_run(2000);
	/* The connection to who was asked is lost, and what it remembered. */
	first = rig_leader();
	rig_crash(first);
	zk_broker_begin(rig.hosts[3].broker,
	    &(struct zk_broker_time){
	        .wall = rig_time().wall,
	        .mono_ms = rig.now_ms,
	    });
	zk_broker_peer(rig.hosts[3].broker, rig_node(first), false);
	cr_assert_eq(zk_broker_end(rig.hosts[3].broker, &(uint32_t){0}), 0);
	cr_assert_leq(until_heard((first + 1) % 3), 1500);
}

Test(broker_follow, who_follows_goes_along_with_replicas_that_move,
    .init = four, .fini = rig_fini)
{
	follow(3, true);
	rig_run(100);
	cr_assert_leq(until_heard(1), 20);
	/* One moves here: then it is told like any other; and away again. */
	rig_spec(&spec, 7, 14);
	rig_set(&spec);
	rig_run(4000);
	cr_assert(rig.hosts[3].info.local);
	cr_assert_leq(until_heard(1), 200);
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(4000);
	cr_assert_not(rig.hosts[3].info.local);
	cr_assert_leq(until_heard(1), 20);
	/* Who was asked has it no more. */
	rig_spec(&spec, 7, 6);
	rig_set(&spec);
	rig_run(4000);
	cr_assert_leq(until_heard(1), 20);
	rig_run(20000);
	cr_assert_leq(until_heard(2), 20);
}
