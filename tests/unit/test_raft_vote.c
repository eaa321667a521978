#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "consensus/raft.h"

/* Votes, terms and timers of one member of three, event by event. */

static struct zk_raft r;
static struct zk_effects fx;

static struct zk_raft_start
start_of_three(uint64_t seed)
{
	return (struct zk_raft_start){
	    .self = 1,
	    .seed = seed,
	    .election_ms = 1000,
	    .heartbeat_ms = 100,
	    .append_bytes_max = 1 << 20,
	    .window_bytes_max = 4 << 20,
	    .uncommitted_bytes_max = 16 << 20,
	    .conf.conf = {.count = 3, .voter_bits = 7, .ids = {1, 2, 3}},
	};
}

/* Two entries of term 3 in the log, term 5 known, nobody voted for. */
static void
setup(void)
{
	struct zk_raft_start start = start_of_three(1);

	start.term = 5;
	cr_assert_eq(zk_raft_start_entry(&start, 1, 3), 0);
	cr_assert_eq(zk_raft_start_entry(&start, 2, 3), 0);
	cr_assert_eq(zk_raft_init(&r, &start), 0);
}

static int
step_msg(struct zk_msg msg)
{
	struct zk_event ev = {.type = ZK_EV_MSG, .msg = &msg};

	msg.to = 1;
	return zk_raft_step(&r, &ev, &fx);
}

static int
ask(enum zk_msg_type type, uint64_t from, uint64_t term, uint64_t index,
    uint64_t log_term)
{
	return step_msg((struct zk_msg){
	    .type = type,
	    .from = from,
	    .term = term,
	    .index = index,
	    .log_term = log_term,
	});
}

static void
tick(uint32_t ms)
{
	struct zk_event ev = {.type = ZK_EV_TICK, .elapsed_ms = ms};

	cr_assert_eq(zk_raft_step(&r, &ev, &fx), 0);
}

/* Section 3.4: each server votes for at most one candidate in a term. */
Test(raft_vote, second_candidate_of_a_term_is_refused, .init = setup)
{
	cr_assert_eq(ask(ZK_MSG_VOTE, 2, 6, 2, 3), 0);
	cr_expect(fx.hard_state, "a vote is durable before it is sent");
	cr_assert_eq(fx.msg_count, 1);
	cr_expect(fx.msgs[0].after_flush);
	cr_expect_not(fx.msgs[0].reject);
	cr_expect_eq(r.vote, 2);

	cr_assert_eq(ask(ZK_MSG_VOTE, 3, 6, 9, 5), 0);
	cr_expect(fx.msgs[0].reject);
	cr_expect_not(fx.hard_state);
	cr_expect_eq(r.vote, 2);
}

Test(raft_vote, the_same_candidate_gets_the_same_answer, .init = setup)
{
	cr_assert_eq(ask(ZK_MSG_VOTE, 2, 6, 2, 3), 0);
	cr_assert_eq(ask(ZK_MSG_VOTE, 2, 6, 2, 3), 0);
	cr_expect_not(fx.msgs[0].reject);
	cr_expect(fx.msgs[0].after_flush);
}

/* Section 3.6.1: the log decides, its last term before its length. */
Test(raft_vote, only_logs_that_are_not_behind_get_votes)
{
	static const struct {
		const char *label;
		uint64_t index, term;
		bool granted;
	} cases[] = {
	    {"equal", 2, 3, true},
	    {"longer", 3, 3, true},
	    {"shorter", 1, 3, false},
	    {"shorter of a later term", 1, 4, true},
	    {"longer of an earlier term", 9, 2, false},
	    {"empty", 0, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup();
		cr_assert_eq(
		    ask(ZK_MSG_VOTE, 2, 6, cases[i].index, cases[i].term), 0);
		cr_expect_eq(fx.msgs[0].reject, !cases[i].granted, "%s",
		    cases[i].label);
		cr_expect_eq(r.term, 6);
		setup();
		cr_assert_eq(
		    ask(ZK_MSG_PREVOTE, 2, 6, cases[i].index, cases[i].term),
		    0);
		cr_expect_eq(fx.msgs[0].reject, !cases[i].granted, "pre %s",
		    cases[i].label);
		cr_expect_eq(r.term, 5, "a pre-vote changes nothing");
		cr_expect_eq(r.vote, 0);
		cr_expect_not(fx.hard_state);
	}
}

Test(raft_vote, an_older_term_is_told_the_newer, .init = setup)
{
	cr_assert_eq(ask(ZK_MSG_VOTE, 2, 4, 2, 3), 0);
	cr_expect(fx.msgs[0].reject);
	cr_expect_eq(fx.msgs[0].term, 5);
	cr_assert_eq(ask(ZK_MSG_PREVOTE, 2, 5, 2, 3), 0);
	cr_expect(fx.msgs[0].reject, "5 is not after 5");
	cr_assert_eq(
	    step_msg((
	        struct zk_msg){.type = ZK_MSG_HEARTBEAT, .from = 2, .term = 4}),
	    0);
	cr_expect_eq(fx.msgs[0].type, ZK_MSG_HEARTBEAT_REPLY);
	cr_expect_eq(fx.msgs[0].term, 5);
	cr_expect_eq(r.leader, 0);
}

/* Section 4.2.3. */
Test(raft_vote, who_hears_a_leader_lets_nobody_disturb_it, .init = setup)
{
	cr_assert_eq(
	    step_msg((
	        struct zk_msg){.type = ZK_MSG_HEARTBEAT, .from = 2, .term = 5}),
	    0);
	tick(999);
	cr_assert_eq(ask(ZK_MSG_PREVOTE, 3, 6, 9, 5), 0);
	cr_expect(fx.msgs[0].reject);
	cr_assert_eq(ask(ZK_MSG_VOTE, 3, 6, 9, 5), 0);
	cr_expect_eq(fx.msg_count, 0);
	cr_expect_eq(r.term, 5);

	/* Unless the leader itself asked for it, or was silent for long. */
	cr_assert_eq(step_msg((struct zk_msg){.type = ZK_MSG_VOTE,
	                 .from = 3,
	                 .term = 6,
	                 .index = 9,
	                 .log_term = 5,
	                 .transfer = true}),
	    0);
	cr_expect_eq(r.vote, 3);
}

Test(raft_vote, an_unstored_log_does_not_stand, .init = setup)
{
	struct zk_msg append = {
	    .type = ZK_MSG_APPEND,
	    .from = 2,
	    .term = 5,
	    .index = 2,
	    .log_term = 3,
	    .last = 3,
	    .entry_term = 5,
	};
	struct zk_event stored = {
	    .type = ZK_EV_STORED,
	    .index = 3,
	    .term = 5,
	    .durable_term = 5,
	};

	cr_assert_eq(step_msg(append), 0);
	cr_expect_eq(fx.append_first, 3);
	cr_expect_eq(fx.append_last, 3);
	tick(100000);
	cr_expect_eq(r.role, ZK_FOLLOWER);
	cr_assert_eq(zk_raft_step(&r, &stored, &fx), 0);
	tick(0);
	cr_expect_eq(r.role, ZK_PRECANDIDATE);
	cr_expect_eq(fx.msg_count, 2);
	cr_expect_eq(fx.msgs[0].term, 6);
	cr_expect_eq(fx.msgs[0].index, 3);
}

Test(raft_vote, an_error_changes_nothing, .init = setup)
{
	unsigned char before[sizeof(r)], after[sizeof(r)];

	cr_assert_eq(
	    step_msg((
	        struct zk_msg){.type = ZK_MSG_HEARTBEAT, .from = 2, .term = 5}),
	    0);
	memcpy(before, &r, sizeof(r));
	cr_expect_eq(
	    step_msg((
	        struct zk_msg){.type = ZK_MSG_HEARTBEAT, .from = 3, .term = 5}),
	    -EPROTO, "two leaders in one term");
	cr_expect_eq(step_msg((struct zk_msg){.type = ZK_MSG_HEARTBEAT,
	                 .from = 2,
	                 .term = 7,
	                 .commit = 3}),
	    -EPROTO, "we never confirmed entry 3");
	cr_expect_eq(
	    step_msg(
	        (struct zk_msg){.type = ZK_MSG_VOTE, .from = 1, .term = 9}),
	    -EPROTO, "from ourselves");
	cr_expect_eq(step_msg((struct zk_msg){.type = ZK_MSG_VOTE, .from = 2}),
	    -EPROTO, "no term");
	cr_expect_eq(step_msg((struct zk_msg){.from = 2, .term = 9}), -EPROTO);
	memcpy(after, &r, sizeof(r));
	cr_expect_arr_eq(before, after, sizeof(r));
	cr_expect_eq(fx.msg_count, 0);
	cr_expect_not(fx.hard_state);
	cr_expect_not(fx.role_changed);
}

/* Timeouts are spread over [T, 2T), and a seed gives the same ones again. */
Test(raft_vote, election_timeouts_are_spread)
{
	unsigned buckets[10] = {0};

	for (uint64_t seed = 0; seed < 5000; seed++) {
		struct zk_raft_start start = start_of_three(seed);
		struct zk_raft twin;

		cr_assert_eq(zk_raft_init(&r, &start), 0);
		cr_assert_eq(zk_raft_init(&twin, &start), 0);
		cr_assert_eq(r.election_limit_ms, twin.election_limit_ms);
		cr_assert(r.election_limit_ms >= 1000);
		cr_assert(r.election_limit_ms < 2000);
		buckets[(r.election_limit_ms - 1000) / 100]++;
	}
	/* 500 expected in each; six standard deviations are 127. */
	for (unsigned i = 0; i < 10; i++)
		cr_expect(buckets[i] > 370 && buckets[i] < 630, "%u: %u", i,
		    buckets[i]);
}

Test(raft_vote, nobody_stands_before_the_timeout, .init = setup)
{
	tick(999);
	cr_expect_eq(r.role, ZK_FOLLOWER);
	tick(1001);
	cr_expect_eq(r.role, ZK_PRECANDIDATE);
	cr_expect_eq(r.term, 5);
	cr_expect_not(fx.hard_state);
	tick(UINT32_MAX);
	tick(UINT32_MAX);
	cr_expect_eq(r.role, ZK_PRECANDIDATE, "timers do not wrap");
}
