#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/queue_rig.h"

/* Who asks for all that was answered for gets it, wherever he is. */

static struct zk_partition_spec spec;

static void
four(void)
{
	rig_four(&spec, 2000);
}

static void
ask(unsigned id, struct rig_done *done)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_SYNC,
	    .partition = RIG_PART,
	};

	rig_submit(id, &what, NULL, 0, done);
}

/* Asked by this host, it ends there: reading here shows that, or asks. */
static void
ends_at(unsigned id, uint64_t end)
{
	struct zk_partition_info info;
	struct rig_done done;
	int rc;

	ask(id, &done);
	rig_wait(&done);
	cr_assert_eq(done.rc, 0, "host %u: %s", id, zk_err_text(done.rc));
	cr_assert_eq(done.info.end, end, "host %u", id);
	rc = zk_broker_info(rig.hosts[id].broker, RIG_PART, &info);
	cr_assert(rc == -EREMOTE || info.end == end, "host %u", id);
}

Test(broker_sync, every_host_is_told, .init = four, .fini = rig_fini)
{
	uint64_t end = 0;

	for (unsigned id = 0; id < 4; id++)
		ends_at(id, 0);
	for (unsigned writer = 0; writer < 4; writer++) {
		end = rig_append_ok(writer, "one\n") + 4;
		for (unsigned id = 0; id < 4; id++)
			ends_at(id, end);
		/* Also when all sleep. */
		rig_run(20000);
		for (unsigned id = 0; id < 4; id++)
			ends_at(id, end);
	}
}

Test(broker_sync, a_replica_that_lags_is_not_read, .init = four,
    .fini = rig_fini)
{
	const unsigned leader = rig_leader(), lags = (leader + 1) % 3;
	struct zk_partition_info info;
	uint64_t end;

	(void)rig_append_ok(3, "one\n");
	rig_run(1000);
	/* What it is sent is on its way: it knows nothing of this one. */
	rig.hosts[lags].cut = true;
	end = rig_append_ok(3, "two\n") + 4;
	cr_assert_eq(zk_broker_info(rig.hosts[lags].broker, RIG_PART, &info),
	    0);
	cr_assert_eq(info.end, end - 4, "it lags");
	rig.hosts[lags].cut = false;
	ends_at(lags, end);
}

Test(broker_sync, one_who_was_deposed_does_not_tell, .init = four,
    .fini = rig_fini)
{
	const unsigned old = rig_leader();
	struct rig_done done;
	uint64_t end;

	(void)rig_append_ok(3, "one\n");
	rig_run(1000);
	rig.hosts[old].cut = true;
	ask(old, &done);
	rig_run(50);
	end = rig_append_ok(3, "two\n") + 4;
	cr_assert_not(done.done, "alone it cannot know");
	rig.hosts[old].cut = false;
	rig_wait(&done);
	cr_assert_eq(done.rc, 0);
	cr_assert_eq(done.info.end, end);
	ends_at(old, end);
}

Test(broker_sync, without_a_majority_time_runs_out, .init = four,
    .fini = rig_fini)
{
	const unsigned leader = rig_leader();
	struct rig_done here, elsewhere;

	rig.hosts[(leader + 1) % 3].cut = true;
	rig.hosts[(leader + 2) % 3].cut = true;
	ask(leader, &here);
	ask(3, &elsewhere);
	rig_wait(&here);
	rig_wait(&elsewhere);
	cr_assert_eq(here.rc, -ETIMEDOUT);
	cr_assert_eq(elsewhere.rc, -ETIMEDOUT);
	/* And nothing is left of it. */
	rig.hosts[(leader + 1) % 3].cut = false;
	rig.hosts[(leader + 2) % 3].cut = false;
	for (unsigned id = 0; id < 4; id++)
		ends_at(id, 0);
}

/* More than are asked for at one time. */
Test(broker_sync, many_at_once, .init = four, .fini = rig_fini)
{
	static struct rig_done done[400];

	(void)rig_append_ok(3, "one\n");
	for (unsigned i = 0; i < 400; i++)
		ask(i % 4, &done[i]);
	for (unsigned i = 0; i < 400; i++) {
		rig_wait(&done[i]);
		cr_assert_eq(done[i].rc, 0, "%u: %s", i,
		    zk_err_text(done[i].rc));
		cr_assert_eq(done[i].info.end, 4);
	}
}

Test(broker_sync, without_a_majority_what_is_known_is_read_everywhere,
    .fini = rig_fini)
{
	const struct zk_request info = {
	    .kind = ZK_REQUEST_INFO,
	    .partition = RIG_PART,
	};
	const struct zk_request read = {
	    .kind = ZK_REQUEST_READ,
	    .partition = RIG_PART,
	    .want = 100,
	};
	struct rig_done done;
	uint64_t began;

	rig_init(4);
	for (unsigned id = 0; id < 4; id++)
		rig_open(id);
	rig_spec(&spec, 3, 3);
	rig_set(&spec);
	(void)rig_append_ok(0, "one\n");
	rig_run(1000);
	rig_crash(1);
	rig_run(5000);
	/* One that was asked before, one that was not. */
	for (unsigned id = 2; id < 4; id++) {
		began = rig.now_ms;
		rig_submit(id, &info, NULL, 0, &done);
		rig_wait(&done);
		cr_assert_eq(done.rc, 0, "%s", zk_err_text(done.rc));
		cr_assert_eq(done.info.end, 4);
		cr_assert_eq(done.info.leader, 0);
		cr_assert_leq(rig.now_ms - began, 4000);
		rig_submit(id, &read, NULL, 0, &done);
		rig_wait(&done);
		cr_assert_eq(done.rc, 0, "%s", zk_err_text(done.rc));
		cr_assert_eq(done.len, 4);
	}
	/* What was answered for is missed, also then. */
	rig_open(1);
	rig_set_on(1, &spec);
	(void)rig_append_ok(3, "two\n");
	rig_submit(3, &info, NULL, 0, &done);
	rig_wait(&done);
	cr_assert_eq(done.rc, 0);
	cr_assert_eq(done.info.end, 8);
	cr_assert_neq(done.info.leader, 0);
}
