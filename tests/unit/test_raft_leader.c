#include <criterion/criterion.h>

#include <errno.h>

#include "base/err.h"
#include "base/hash.h"
#include "consensus/raft_impl.h"

/* What a leader counts, against naive twins; proposals and their bounds. */

static struct zk_raft r;
static struct zk_effects fx;

/* A majority has all up to index: try every index. */
static uint64_t
naive_majority(void)
{
	uint64_t best = 0;

	for (uint64_t index = 1; index <= r.last_index; index++) {
		unsigned voters = 0, have = 0;

		for (uint32_t i = 0; i < r.conf.count; i++) {
			uint64_t match = r.conf.ids[i] == r.self
			    ? r.stored_index
			    : r.progress[i].match;

			if ((r.conf.voter_bits >> i & 1) == 0)
				continue;
			voters++;
			have += match >= index;
		}
		if (2 * have > voters)
			best = index;
	}
	return best;
}

Test(raft_leader, majority_index_is_what_counting_says)
{
	uint64_t rng = 42;

	for (unsigned round = 0; round < 20000; round++) {
		const uint32_t count = 1 + zk_prng_next(&rng) % ZK_MEMBERS_MAX;
		unsigned voters = 0;

		r = (struct zk_raft){.self = 1 + zk_prng_next(&rng) % 40};
		r.last_index = 20;
		r.stored_index = zk_prng_next(&rng) % 21;
		r.conf.count = count;
		for (uint32_t i = 0; i < count; i++) {
			r.conf.ids[i] = i + 1;
			r.progress[i].match = zk_prng_next(&rng) % 21;
			if (voters < ZK_VOTERS_MAX &&
			    (i == 0 || zk_prng_next(&rng) % 2 == 0)) {
				r.conf.voter_bits |= 1u << i;
				voters++;
			}
		}
		cr_assert_eq(zk_raft_majority_index(&r), naive_majority());
	}
}

static int
step(struct zk_event ev)
{
	return zk_raft_step(&r, &ev, &fx);
}

static int
propose(uint32_t count, uint64_t bytes)
{
	return step((struct zk_event){
	    .type = ZK_EV_PROPOSE,
	    .count = count,
	    .bytes = bytes,
	});
}

static void
stored(void)
{
	cr_assert_eq(step((struct zk_event){.type = ZK_EV_STORED,
	                 .index = r.last_index,
	                 .term = r.term,
	                 .durable_term = r.term}),
	    0);
}

/* Alone, leader of term 1, the first entry stored and committed. */
static void
setup_alone(void)
{
	struct zk_raft_start start = {
	    .self = 7,
	    .election_ms = 1000,
	    .heartbeat_ms = 100,
	    .append_bytes_max = 1000,
	    .window_bytes_max = 4000,
	    .uncommitted_bytes_max = 1000,
	    .conf.conf = {.count = 1, .voter_bits = 1, .ids = {7}},
	};

	cr_assert_eq(zk_raft_init(&r, &start), 0);
	cr_assert_eq(step((struct zk_event){.type = ZK_EV_TICK}), 0);
	cr_expect_eq(r.role, ZK_LEADER, "nobody to wait for");
	cr_expect(fx.hard_state);
	cr_expect_eq(fx.append_kind, ZK_ENTRY_CONF, "who founded the group");
	cr_expect_eq(fx.commit_index, 0, "not before it is on disk");
	stored();
	cr_expect_eq(fx.commit_index, 1);
}

Test(raft_leader, a_group_of_one_commits_what_it_has_stored,
    .init = setup_alone)
{
	cr_assert_eq(propose(3, 100), 0);
	cr_expect_eq(fx.append_first, 2);
	cr_expect_eq(fx.append_last, 4);
	cr_expect_eq(fx.append_term, 1);
	cr_expect_eq(fx.append_kind, ZK_ENTRY_DATA);
	cr_expect_eq(fx.commit_index, 1);
	/* Of what is in flight only the part that this flush covered. */
	cr_assert_eq(step((struct zk_event){.type = ZK_EV_STORED,
	                 .index = 3,
	                 .term = 1,
	                 .durable_term = 1}),
	    0);
	cr_expect_eq(fx.commit_index, 3);
	stored();
	cr_expect_eq(fx.commit_index, 4);
}

Test(raft_leader, too_much_uncommitted_must_wait, .init = setup_alone)
{
	cr_expect_eq(propose(1, 5000), 0, "one that is too large passes alone");
	cr_expect_eq(propose(1, 1), -EAGAIN);
	cr_expect_eq(r.last_index, 2);
	stored();
	for (unsigned i = 0; i < 6; i++)
		cr_expect_eq(propose(1, 100), 0);
	cr_expect_eq(propose(1, 100), -EAGAIN, "each costs 64 bytes more");
	stored();
	cr_expect_eq(propose(1, 100), 0);
	cr_expect_eq(propose(0, 0), -EINVAL);
	cr_expect_eq(propose(ZK_APPEND_ENTRIES_MAX + 1, 1), -EINVAL);
}

Test(raft_leader, a_group_of_one_reads_at_once, .init = setup_alone)
{
	cr_assert_eq(step((struct zk_event){.type = ZK_EV_READ, .ctx = 5}), 0);
	cr_assert_eq(fx.read_count, 1);
	cr_expect_eq(fx.reads[0].ctx, 5);
	cr_expect_eq(fx.reads[0].index, 1);
}

Test(raft_leader, reads_are_bounded)
{
	struct zk_raft_start start = {
	    .self = 1,
	    .election_ms = 1000,
	    .heartbeat_ms = 100,
	    .append_bytes_max = 1000,
	    .window_bytes_max = 4000,
	    .uncommitted_bytes_max = 1000,
	    .conf.conf = {.count = 3, .voter_bits = 7, .ids = {1, 2, 3}},
	};
	const struct zk_msg heartbeat = {
	    .type = ZK_MSG_HEARTBEAT,
	    .from = 2,
	    .to = 1,
	    .term = 1,
	};

	cr_assert_eq(zk_raft_init(&r, &start), 0);
	cr_expect_eq(step((struct zk_event){.type = ZK_EV_READ}),
	    -ZK_ENOTLEADER);
	cr_assert_eq(
	    step((struct zk_event){.type = ZK_EV_MSG, .msg = &heartbeat}), 0);
	for (uint64_t i = 0; i < ZK_RAFT_READS_MAX; i++)
		cr_assert_eq(
		    step((struct zk_event){.type = ZK_EV_READ, .ctx = i}), 0);
	cr_expect_eq(step((struct zk_event){.type = ZK_EV_READ}), -EAGAIN);
	/* All fail when no answer comes: none is lost. */
	cr_assert_eq(
	    step((struct zk_event){.type = ZK_EV_TICK, .elapsed_ms = 1000}), 0);
	cr_expect_eq(fx.failed_count, ZK_RAFT_READS_MAX);
	cr_expect_eq(step((struct zk_event){.type = ZK_EV_READ}),
	    r.leader == 0 ? -ZK_ENOTLEADER : 0);
}

Test(raft_conf, impossible_members_are_refused)
{
	struct zk_conf conf = {.count = 2, .voter_bits = 3, .ids = {1, 2}};

	cr_expect_eq(zk_raft_conf_check(&conf), 0);
	conf.voter_bits = 7;
	cr_expect_eq(zk_raft_conf_check(&conf), -EINVAL, "a third bit");
	conf.voter_bits = 1;
	conf.ids[1] = 1;
	cr_expect_eq(zk_raft_conf_check(&conf), -EINVAL, "twice");
	conf.ids[1] = 0;
	cr_expect_eq(zk_raft_conf_check(&conf), -EINVAL, "nobody");
	conf = (struct zk_conf){.count = ZK_MEMBERS_MAX + 1};
	cr_expect_eq(zk_raft_conf_check(&conf), -EINVAL);
	conf = (struct zk_conf){.count = 8, .voter_bits = 255};
	for (uint32_t i = 0; i < 8; i++)
		conf.ids[i] = i + 1;
	cr_expect_eq(zk_raft_conf_check(&conf), -EINVAL, "eight voters");
	conf.voter_bits = 127;
	cr_expect_eq(zk_raft_conf_check(&conf), 0);
	conf = (struct zk_conf){.count = ZK_MEMBERS_MAX, .voter_bits = 127};
	for (uint32_t i = 0; i < ZK_MEMBERS_MAX; i++)
		conf.ids[i] = UINT64_MAX - i;
	cr_expect_eq(zk_raft_conf_check(&conf), 0, "a full house");
	cr_expect_eq(zk_raft_conf_slot(&conf, UINT64_MAX - 31), 31);
	cr_expect_eq(zk_raft_conf_slot(&conf, 1), -1);
	cr_expect_not(zk_raft_conf_is_voter(&conf, UINT64_MAX - 31));
	cr_expect(zk_raft_conf_is_voter(&conf, UINT64_MAX));
}
