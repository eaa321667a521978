#include "consensus/raft.h"

#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "consensus/raft_impl.h"

/*
 * A leader's own affairs: its term's first entry, proposals, what is
 * committed, when to stop being leader.
 */

/* Coarse cost of an entry beside its bytes, so that empty ones count. */
#define ENTRY_OVERHEAD_BYTES 64u

void
zk_raft_append_own(struct zk_raft *r, uint32_t count, enum zk_entry_kind kind,
    struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_LEADER);
	ZK_ASSERT(fx->append_first == 0);
	ZK_ASSERT(count > 0);

	fx->append_first = r->last_index + 1;
	fx->append_last = r->last_index + count;
	fx->append_term = r->term;
	fx->append_kind = kind;
	zk_raft_log_append(r, fx->append_last, r->term);
	zk_raft_send_all(r, fx);
}

void
zk_raft_lead(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_CANDIDATE);
	ZK_ASSERT(r->vote == r->self);

	r->role = ZK_LEADER;
	r->leader = r->self;
	r->heartbeat_elapsed_ms = 0;
	r->quorum_elapsed_ms = 0;
	r->stall_ms = 0;
	r->transfer_to = 0;
	r->pending[0].bytes = 0;
	r->pending[1].bytes = 0;
	for (uint32_t i = 0; i < r->conf.count; i++)
		zk_raft_progress_reset(&r->progress[i], r->last_index + 1);
	/*
	 * Section 3.6.2: entries of older terms are only committed by one of
	 * this term on top of them; section 6.4: until then the leader does
	 * not know what is committed.
	 */
	if (r->last_index > 0) {
		zk_raft_append_own(r, 1, ZK_ENTRY_NOOP, fx);
		return;
	}
	/*
	 * A log that is read from its beginning must tell who the members
	 * are: one who joins later was not there when the group was founded.
	 */
	ZK_ASSERT(r->conf_index == 0);
	r->conf_before = r->conf;
	r->conf_index = 1;
	zk_raft_append_own(r, 1, ZK_ENTRY_CONF, fx);
}

static bool
has_quorum_contact(const struct zk_raft *r)
{
	uint32_t active = 0;

	for (uint32_t i = 0; i < r->conf.count; i++) {
		if (r->progress[i].active || r->conf.ids[i] == r->self)
			active |= 1u << i;
	}
	return zk_raft_bits_win(&r->conf, active);
}

static void
forget_contacts(struct zk_raft *r)
{
	for (uint32_t i = 0; i < r->conf.count; i++)
		r->progress[i].active = false;
}

/* True: still leader. */
static bool
tick_quorum(struct zk_raft *r, uint32_t elapsed_ms, struct zk_effects *fx)
{
	const bool alone = r->conf.count == 1 && r->conf.ids[0] == r->self;

	/*
	 * A leader whose disk hangs answers heartbeats and gets nothing done,
	 * and nobody would depose it.
	 */
	if (r->stored_index < r->last_index)
		zk_raft_elapse(&r->stall_ms, elapsed_ms);
	else
		r->stall_ms = 0;
	if (!alone && r->stall_ms / 2 >= r->election_ms) {
		zk_raft_follow(r, r->term, 0, fx);
		return false;
	}

	zk_raft_elapse(&r->quorum_elapsed_ms, elapsed_ms);
	if (r->quorum_elapsed_ms < r->election_ms)
		return true;
	r->quorum_elapsed_ms = 0;
	/*
	 * Longer than any other waits for a leader, we were not there: what
	 * was heard before says nothing about now.
	 */
	if (elapsed_ms / 2 >= r->election_ms)
		forget_contacts(r);
	if (!has_quorum_contact(r)) {
		zk_raft_follow(r, r->term, 0, fx);
		return false;
	}
	forget_contacts(r);
	return true;
}

void
zk_raft_tick_leader(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_LEADER);

	if (!tick_quorum(r, elapsed_ms, fx))
		return;
	if (r->transfer_to != 0) {
		zk_raft_elapse(&r->transfer_ms, elapsed_ms);
		if (r->transfer_ms >= r->election_ms)
			r->transfer_to = 0;
	}
	for (uint32_t i = 0; i < r->conf.count; i++) {
		if (r->conf.ids[i] != r->self)
			zk_raft_progress_tick(r, i, elapsed_ms, fx);
	}
	zk_raft_elapse(&r->heartbeat_elapsed_ms, elapsed_ms);
	if (r->heartbeat_elapsed_ms >= r->heartbeat_ms) {
		r->heartbeat_elapsed_ms = 0;
		zk_raft_heartbeat_all(r, fx);
	}
}

/*
 * Uncommitted bytes are kept in two heaps: the older one is let go when its
 * last entry is committed, and the younger one takes its place.
 */
static void
release_pending(struct zk_raft *r)
{
	while (r->pending[0].bytes != 0 &&
	    r->pending[0].last_index <= r->commit_index) {
		r->pending[0] = r->pending[1];
		r->pending[1].bytes = 0;
	}
}

int
zk_raft_propose(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	const uint64_t total = r->pending[0].bytes + r->pending[1].bytes;
	uint64_t bytes;
	unsigned heap;

	if (r->role != ZK_LEADER)
		return -ZK_ENOTLEADER;
	if (ev->count == 0 || ev->count > ZK_APPEND_ENTRIES_MAX ||
	    ev->bytes >= ZK_INDEX_MAX)
		return -EINVAL;
	if (r->transfer_to != 0)
		return -EAGAIN;
	/* One that is larger than the bound must pass alone, or never. */
	bytes = ev->bytes + (uint64_t)ev->count * ENTRY_OVERHEAD_BYTES;
	if (total > 0 && total + bytes > r->uncommitted_bytes_max)
		return -EAGAIN;

	heap = r->pending[0].bytes == 0 ? 0 : 1;
	r->pending[heap].bytes += bytes;
	r->pending[heap].last_index = r->last_index + ev->count;
	zk_raft_append_own(r, ev->count, ZK_ENTRY_DATA, fx);
	return 0;
}

uint64_t
zk_raft_majority_index(const struct zk_raft *r)
{
	uint64_t have[ZK_VOTERS_MAX] = {0};
	unsigned count = 0;

	for (uint32_t i = 0; i < r->conf.count; i++) {
		uint64_t match = r->progress[i].match;
		unsigned at;

		if ((r->conf.voter_bits >> i & 1) == 0)
			continue;
		/* Our own copy counts when it is on disk, not before. */
		if (r->conf.ids[i] == r->self)
			match = r->stored_index;
		ZK_ASSERT(count < ZK_VOTERS_MAX);
		for (at = count++; at > 0 && have[at - 1] < match; at--)
			have[at] = have[at - 1];
		have[at] = match;
	}
	ZK_ASSERT(count > 0);
	return have[zk_raft_quorum(&r->conf) - 1];
}

/* Hands the group to the member that is furthest, and stops. */
static void
leave(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(!zk_raft_conf_is_voter(&r->conf, r->self));

	(void)zk_raft_transfer(r, 0, fx);
	zk_raft_follow(r, r->term, 0, fx);
}

void
zk_raft_leader_commit(struct zk_raft *r, struct zk_effects *fx)
{
	const uint64_t index = zk_raft_majority_index(r);
	const bool first = zk_raft_term_at(r, r->commit_index) != r->term;

	ZK_ASSERT(r->role == ZK_LEADER);

	/*
	 * Section 3.6.2: only entries of this term are committed by counting
	 * their copies.
	 */
	if (index <= r->commit_index || zk_raft_term_at(r, index) != r->term)
		return;
	zk_raft_commit_to(r, index);
	release_pending(r);
	zk_raft_send_all(r, fx);
	if (first)
		zk_raft_reads_start(r, fx);
	/* Section 4.2.2: a leader that removed itself leaves only now. */
	if (r->conf_index <= r->commit_index &&
	    !zk_raft_conf_is_voter(&r->conf, r->self))
		leave(r, fx);
}

void
zk_raft_leader_stored(struct zk_raft *r, struct zk_effects *fx)
{
	r->stall_ms = 0;
	zk_raft_leader_commit(r, fx);
}

static uint64_t
furthest_voter(const struct zk_raft *r)
{
	uint64_t best = 0;
	uint64_t best_match = 0;

	for (uint32_t i = 0; i < r->conf.count; i++) {
		const struct zk_progress *pr = &r->progress[i];

		if ((r->conf.voter_bits >> i & 1) == 0 ||
		    r->conf.ids[i] == r->self ||
		    pr->contact_ms >= r->election_ms)
			continue;
		if (pr->match > best_match) {
			best = r->conf.ids[i];
			best_match = pr->match;
		}
	}
	return best;
}

void
zk_raft_transfer_advance(struct zk_raft *r, struct zk_effects *fx)
{
	const int slot = zk_raft_conf_slot(&r->conf, r->transfer_to);
	struct zk_msg msg = {.type = ZK_MSG_TIMEOUT_NOW, .to = r->transfer_to};

	if (r->transfer_to == 0 || r->transfer_sent)
		return;
	ZK_ASSERT(slot >= 0);
	if (r->progress[slot].match != r->last_index)
		return;
	r->transfer_sent = true;
	zk_raft_emit(r, fx, &msg);
}

int
zk_raft_transfer(struct zk_raft *r, uint64_t to, struct zk_effects *fx)
{
	if (r->role != ZK_LEADER)
		return -ZK_ENOTLEADER;
	if (to == 0)
		to = furthest_voter(r);
	if (to == 0 || to == r->self || !zk_raft_conf_is_voter(&r->conf, to))
		return -EINVAL;

	r->transfer_to = to;
	r->transfer_ms = 0;
	r->transfer_sent = false;
	zk_raft_transfer_advance(r, fx);
	return 0;
}
