#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/* When others hear that something is committed. */

static unsigned lead, one, other; /* hosts */

static void
three(void)
{
	struct zk_partition_spec spec;
	struct zk_partition_info info;

	rig.linger_ms = 10;
	rig_init(3);
	for (unsigned id = 0; id < 3; id++)
		rig_open(id);
	rig_spec(&spec, 7, 7);
	rig_set(&spec);
	rig_run(300);
	(void)rig_append_ok(0, "first\n");
	/* Until leadership has gone to where it belongs. */
	rig_run(1000);
	cr_assert_eq(zk_broker_info(rig.hosts[0].broker, RIG_PART, &info), 0);
	lead = (unsigned)info.leader - 1;
	one = (lead + 1) % 3;
	other = (lead + 2) % 3;
}

static size_t
seen_by(unsigned id)
{
	struct zk_partition_info info;

	cr_assert_eq(zk_broker_info(rig.hosts[id].broker, RIG_PART, &info), 0);
	return info.end;
}

static void
read_at_end(unsigned id)
{
	char buf[8];
	size_t len;

	cr_assert_eq(zk_broker_read(rig.hosts[id].broker, RIG_PART, seen_by(id),
	                 buf, sizeof(buf), &len),
	    0);
	cr_assert_eq(len, 0);
}

Test(broker_late, what_is_not_known_here_is_asked_for, .init = three,
    .fini = rig_fini)
{
	struct zk_request what = {
	    .kind = ZK_REQUEST_RECORD,
	    .partition = RIG_PART,
	};
	struct rig_done done;

	(void)rig_append_ok(lead, "second\n");
	cr_expect_lt(seen_by(one), 13);
	what.offset = 13;
	rig_submit(one, &what, NULL, 0, &done);
	rig_wait(&done);
	cr_expect_eq(done.rc, 0);
	cr_expect_eq(done.offset, 13);
	/* Behind what anybody knows: the end. */
	what.offset = 1000;
	for (unsigned id = 0; id < 3; id++) {
		rig_submit(id, &what, NULL, 0, &done);
		rig_wait(&done);
		cr_expect_eq(done.rc, 0);
		cr_expect_eq(done.offset, 13);
	}
}

Test(broker_late, waits_where_nobody_does, .init = three, .fini = rig_fini)
{
	const size_t before = seen_by(one);
	uint64_t frames;

	(void)rig_append_ok(lead, "second\n");
	frames = rig.hosts[lead].frames;
	cr_expect_eq(seen_by(one), before);
	rig_run(5);
	cr_expect_eq(seen_by(one), before);
	cr_expect_leq(rig.hosts[lead].frames, frames + 2,
	    "but for signs of life");
	rig_run(10);
	cr_expect_eq(seen_by(one), before + 7, "but not for long");
	cr_expect_eq(seen_by(other), before + 7);
}

Test(broker_late, goes_with_what_follows, .init = three, .fini = rig_fini)
{
	const size_t before = seen_by(one);

	(void)rig_append_ok(lead, "second\n");
	(void)rig_append_ok(lead, "third\n");
	cr_expect_eq(seen_by(one), before + 7);
	cr_expect_eq(seen_by(other), before + 7);
}

Test(broker_late, writer_sees_what_he_wrote, .init = three, .fini = rig_fini)
{
	for (unsigned id = 0; id < 3; id++) {
		const uint64_t offset = rig_append_ok(id, "mine\n");

		cr_expect_geq(seen_by(id), offset + 5, "host %u", id);
	}
}

Test(broker_late, who_reads_at_the_end_hears_at_once, .init = three,
    .fini = rig_fini)
{
	size_t end;

	read_at_end(one);
	(void)rig_append_ok(lead, "tells that there is a reader\n");
	rig_run(50);
	end = seen_by(one);
	(void)rig_append_ok(lead, "x\n");
	rig_run(5);
	cr_expect_eq(seen_by(one), end + 2);
	cr_expect_eq(seen_by(other), end, "nobody reads here");
}
