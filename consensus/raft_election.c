#include "consensus/raft.h"

#include "base/assert.h"
#include "base/hash.h"
#include "consensus/raft_impl.h"

/*
 * Terms, votes and roles (sections 3.4, 9.6).
 *
 *   follower --timeout--> precandidate --majority--> candidate --> leader
 *
 * A precandidate changes nothing that lasts: it asks whether it would be
 * elected.  Members that hear from a leader say no, so one that was cut off
 * cannot depose a healthy leader on its return.  In turn a leader that does
 * not hear from a majority steps down, else those who still hear it would
 * say no for ever.  The two belong together.
 *
 * A vote is forgotten only with its term: whatever the change of role.
 */

void
zk_raft_reset_timer(struct zk_raft *r)
{
	r->election_elapsed_ms = 0;
	r->election_limit_ms = r->election_ms +
	    (uint32_t)(zk_prng_next(&r->seed) % r->election_ms);
}

bool
zk_raft_in_lease(const struct zk_raft *r)
{
	if (r->role == ZK_LEADER)
		return true;
	return r->leader != 0 && r->election_elapsed_ms < r->election_ms;
}

void
zk_raft_follow(struct zk_raft *r, uint64_t term, uint64_t leader,
    struct zk_effects *fx)
{
	const bool was_follower = r->role == ZK_FOLLOWER;

	ZK_ASSERT(term >= r->term);
	ZK_ASSERT(leader != r->self);

	if (term != r->term || leader != r->leader || !was_follower)
		zk_raft_reads_fail(r, fx);
	if (term > r->term) {
		r->term = term;
		r->vote = 0;
		fx->hard_state = true;
	}
	r->role = ZK_FOLLOWER;
	r->leader = leader;
	r->granted = 0;
	r->refused = 0;
	r->transfer_to = 0;
	/*
	 * A mere higher term is no leader: it must not put off the election
	 * that a better candidate here is about to call.
	 */
	if (!was_follower || leader != 0)
		zk_raft_reset_timer(r);
}

/*
 * Section 4.2.2: the change that takes our vote may be known to us alone, and
 * our longer log then keeps all others from being elected.  Until it is
 * committed we may have to lead once more, without counting ourselves.
 */
static bool
may_lead(const struct zk_raft *r)
{
	if (zk_raft_conf_is_voter(&r->conf, r->self))
		return true;
	return r->conf_index > r->commit_index &&
	    zk_raft_conf_is_voter(&r->conf_before, r->self);
}

/* Our own word in an election must not rest on entries still in flight. */
static bool
can_campaign(const struct zk_raft *r)
{
	return r->role != ZK_LEADER && may_lead(r) &&
	    r->stored_index == r->last_index &&
	    zk_raft_log_has_room(r, r->last_index + 1, r->term + 1);
}

static uint32_t
own_bit(const struct zk_raft *r)
{
	const int slot = zk_raft_conf_slot(&r->conf, r->self);

	if (slot < 0)
		return 0;
	return r->conf.voter_bits & 1u << slot;
}

static void
ask_voters(const struct zk_raft *r, const struct zk_msg *what,
    struct zk_effects *fx)
{
	for (uint32_t i = 0; i < r->conf.count; i++) {
		struct zk_msg msg = *what;

		if ((r->conf.voter_bits >> i & 1) == 0 ||
		    r->conf.ids[i] == r->self)
			continue;
		msg.to = r->conf.ids[i];
		msg.index = r->last_index;
		msg.log_term = zk_raft_last_term(r);
		msg.after_flush = true;
		zk_raft_emit(r, fx, &msg);
	}
}

void
zk_raft_campaign(struct zk_raft *r, bool transfer, struct zk_effects *fx)
{
	ZK_ASSERT(can_campaign(r));

	zk_raft_reads_fail(r, fx);
	r->role = ZK_CANDIDATE;
	r->term++;
	r->vote = r->self;
	r->leader = 0;
	r->granted = own_bit(r);
	r->refused = 0;
	fx->hard_state = true;
	zk_raft_reset_timer(r);
	ask_voters(r,
	    &(struct zk_msg){.type = ZK_MSG_VOTE, .transfer = transfer}, fx);
	if (zk_raft_bits_win(&r->conf, r->granted))
		zk_raft_lead(r, fx);
}

static void
precampaign(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(can_campaign(r));

	zk_raft_reads_fail(r, fx);
	r->role = ZK_PRECANDIDATE;
	r->leader = 0;
	r->granted = own_bit(r);
	r->refused = 0;
	zk_raft_reset_timer(r);
	if (zk_raft_bits_win(&r->conf, r->granted)) {
		zk_raft_campaign(r, false, fx);
		return;
	}
	ask_voters(r,
	    &(struct zk_msg){.type = ZK_MSG_PREVOTE, .term = r->term + 1}, fx);
}

void
zk_raft_tick_follower(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx)
{
	bool alone;

	ZK_ASSERT(r->role != ZK_LEADER);

	zk_raft_elapse(&r->election_elapsed_ms, elapsed_ms);
	zk_raft_reads_tick(r, elapsed_ms, fx);
	if (!can_campaign(r))
		return;
	/* Nobody to wait for. */
	alone = r->conf.voter_bits == own_bit(r);
	if (alone || r->election_elapsed_ms >= r->election_limit_ms)
		precampaign(r, fx);
}

uint32_t
zk_raft_election_in(const struct zk_raft *r)
{
	if (r->election_elapsed_ms >= r->election_limit_ms || !can_campaign(r))
		return 0;
	return r->election_limit_ms - r->election_elapsed_ms;
}

/* Stand for election within range_ms, if not sooner anyway. */
static void
hasten(struct zk_raft *r, uint32_t range_ms)
{
	const uint32_t jitter_ms =
	    (uint32_t)(zk_prng_next(&r->seed) % range_ms);
	uint32_t limit_ms = r->election_elapsed_ms;

	zk_raft_elapse(&limit_ms, jitter_ms);
	if (limit_ms < r->election_limit_ms)
		r->election_limit_ms = limit_ms;
}

void
zk_raft_leader_lost(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_FOLLOWER);

	zk_raft_reads_fail(r, fx);
	r->leader = 0;
	hasten(r, r->election_ms / 2);
}

/*
 * The time-out waits for the word of a leader.  Where there was none, what
 * was missing may have been just this voter: when all start at once, say.
 * Should it know a leader it refuses the pre-vote, and nothing comes of it.
 */
void
zk_raft_peer_met(struct zk_raft *r, uint64_t peer)
{
	const int slot = zk_raft_conf_slot(&r->conf, peer);

	if (slot < 0 || (r->conf.voter_bits >> slot & 1) == 0)
		return;
	if (r->leader == 0 &&
	    (r->role == ZK_FOLLOWER || r->role == ZK_PRECANDIDATE))
		hasten(r, r->election_ms / 4);
}

/* Section 3.6.1: a candidate's log must not be behind ours. */
static bool
is_up_to_date(const struct zk_raft *r, const struct zk_msg *m)
{
	const uint64_t last_term = zk_raft_last_term(r);

	return m->log_term > last_term ||
	    (m->log_term == last_term && m->index >= r->last_index);
}

void
zk_raft_on_prevote(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	const bool granted =
	    m->term > r->term && is_up_to_date(r, m) && !zk_raft_in_lease(r);
	struct zk_msg reply = {
	    .type = ZK_MSG_PREVOTE_REPLY,
	    .to = m->from,
	    .term = granted ? m->term : r->term,
	    .reject = !granted,
	    .after_flush = true,
	};

	zk_raft_emit(r, fx, &reply);
}

void
zk_raft_on_vote(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	bool free_to_vote;
	struct zk_msg reply = {
	    .type = ZK_MSG_VOTE_REPLY,
	    .to = m->from,
	    .reject = true,
	    .after_flush = true,
	};

	ZK_ASSERT(m->term <= r->term);

	/* A term that has a leader needs no second vote. */
	free_to_vote = r->vote == 0 && r->leader == 0;
	if (m->term == r->term && r->vote == m->from) {
		reply.reject = false; /* asked twice, answered twice */
	} else if (m->term == r->term && free_to_vote && is_up_to_date(r, m)) {
		ZK_ASSERT(r->role == ZK_FOLLOWER || r->role == ZK_PRECANDIDATE);
		zk_raft_follow(r, r->term, 0, fx);
		zk_raft_reset_timer(r);
		r->vote = m->from;
		fx->hard_state = true;
		reply.reject = false;
	}
	zk_raft_emit(r, fx, &reply);
}

void
zk_raft_on_vote_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	const bool pre = m->type == ZK_MSG_PREVOTE_REPLY;
	const uint64_t term = pre && !m->reject ? r->term + 1 : r->term;
	const int slot = zk_raft_conf_slot(&r->conf, m->from);

	if (r->role != (pre ? ZK_PRECANDIDATE : ZK_CANDIDATE))
		return;
	/* Answers to an older attempt, and of members without a vote. */
	if (m->term != term || slot < 0)
		return;
	if (m->reject)
		r->refused |= 1u << slot;
	else
		r->granted |= 1u << slot;

	if (zk_raft_bits_win(&r->conf, r->granted)) {
		if (pre)
			zk_raft_campaign(r, false, fx);
		else
			zk_raft_lead(r, fx);
	} else if (zk_raft_bits_win(&r->conf, r->refused)) {
		zk_raft_follow(r, r->term, 0, fx);
	}
}

void
zk_raft_on_timeout_now(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	/* Section 3.10.  One that is late, or not for a voter, is nothing. */
	if (m->from != r->leader || !can_campaign(r))
		return;
	zk_raft_campaign(r, true, fx);
}
