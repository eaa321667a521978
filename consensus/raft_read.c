#include "consensus/raft.h"

#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "consensus/raft_impl.h"

/*
 * Linearizable reads without a clock (section 6.4).  A leader notes its
 * commit index, proves by a round of heartbeats sent afterwards that it still
 * is the leader, and only then lets the read go ahead.  A follower asks the
 * leader for such an index.
 *
 * Every attempt has a number of its own, from a counter that starts at random
 * in each process: an answer to an earlier attempt of the same read, or to an
 * earlier life of this member, can never pass for one to this attempt.
 * Heartbeats carry the newest number; who echoes it confirms all up to it.
 */

static struct zk_read_wait *
free_slot(struct zk_raft *r)
{
	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		if (r->reads[i].attempt == 0)
			return &r->reads[i];
	}
	return NULL;
}

static void
answer(struct zk_raft *r, struct zk_read_wait *wait, struct zk_effects *fx)
{
	struct zk_msg reply = {
	    .type = ZK_MSG_READ_REPLY,
	    .to = wait->from,
	    .index = wait->index,
	    .ctx = wait->ctx,
	};

	ZK_ASSERT(wait->attempt != 0);
	ZK_ASSERT(fx->read_count < ZK_RAFT_READS_MAX);

	if (wait->from == r->self)
		fx->reads[fx->read_count++] = (struct zk_read){
		    .ctx = wait->ctx,
		    .index = wait->index,
		};
	else
		zk_raft_emit(r, fx, &reply);
	wait->attempt = 0;
}

static void
fail(struct zk_raft *r, struct zk_read_wait *wait, struct zk_effects *fx)
{
	ZK_ASSERT(wait->attempt != 0);
	ZK_ASSERT(fx->failed_count < ZK_RAFT_READS_MAX);

	/* Other members notice for themselves that the leader is gone. */
	if (wait->from == r->self)
		fx->failed[fx->failed_count++] = wait->ctx;
	wait->attempt = 0;
}

void
zk_raft_reads_fail(struct zk_raft *r, struct zk_effects *fx)
{
	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		if (r->reads[i].attempt != 0)
			fail(r, &r->reads[i], fx);
	}
}

void
zk_raft_reads_confirm(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_LEADER);

	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct zk_read_wait *wait = &r->reads[i];
		uint32_t confirmed = 0;

		if (wait->attempt == 0 || wait->index == 0)
			continue;
		for (uint32_t k = 0; k < r->conf.count; k++) {
			if (r->conf.ids[k] == r->self ||
			    r->progress[k].read_acked >= wait->attempt)
				confirmed |= 1u << k;
		}
		if (zk_raft_bits_win(&r->conf, confirmed))
			answer(r, wait, fx);
	}
}

void
zk_raft_reads_start(struct zk_raft *r, struct zk_effects *fx)
{
	bool any = false;

	ZK_ASSERT(zk_raft_term_at(r, r->commit_index) == r->term);

	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct zk_read_wait *wait = &r->reads[i];

		if (wait->attempt == 0 || wait->index != 0)
			continue;
		wait->index = r->commit_index;
		wait->attempt = ++r->read_attempt;
		any = true;
	}
	if (!any)
		return;
	zk_raft_heartbeat_all(r, fx);
	zk_raft_reads_confirm(r, fx);
}

/* -EAGAIN when too many wait. */
static int
lead_read(struct zk_raft *r, uint64_t from, uint64_t ctx, struct zk_effects *fx)
{
	struct zk_read_wait *wait = free_slot(r);

	ZK_ASSERT(r->role == ZK_LEADER);

	if (wait == NULL)
		return -EAGAIN;
	*wait = (struct zk_read_wait){
	    .ctx = ctx,
	    .from = from,
	    .attempt = ++r->read_attempt,
	};
	/*
	 * A new leader has everything that is committed, but only learns how
	 * far that goes when an entry of its own term is.
	 */
	if (zk_raft_term_at(r, r->commit_index) == r->term)
		wait->index = r->commit_index;
	if (wait->index == 0)
		return 0;
	if (zk_raft_quorum(&r->conf) > 1 ||
	    !zk_raft_conf_is_voter(&r->conf, r->self))
		zk_raft_heartbeat_all(r, fx);
	zk_raft_reads_confirm(r, fx);
	return 0;
}

int
zk_raft_read(struct zk_raft *r, uint64_t ctx, struct zk_effects *fx)
{
	struct zk_read_wait *wait;
	struct zk_msg msg = {
	    .type = ZK_MSG_READ,
	    .to = r->leader,
	    .after_flush = !zk_raft_term_is_durable(r),
	};

	if (r->role == ZK_LEADER)
		return lead_read(r, r->self, ctx, fx);
	if (r->leader == 0)
		return -ZK_ENOTLEADER;
	wait = free_slot(r);
	if (wait == NULL)
		return -EAGAIN;
	*wait = (struct zk_read_wait){
	    .ctx = ctx,
	    .from = r->self,
	    .attempt = ++r->read_attempt,
	};
	msg.ctx = wait->attempt;
	zk_raft_emit(r, fx, &msg);
	return 0;
}

void
zk_raft_on_read(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	struct zk_msg refusal = {
	    .type = ZK_MSG_READ_REPLY,
	    .to = m->from,
	    .reject = true,
	    .ctx = m->ctx,
	    .after_flush = !zk_raft_term_is_durable(r),
	};

	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		const struct zk_read_wait *wait = &r->reads[i];

		if (wait->attempt != 0 && wait->from == m->from &&
		    wait->ctx == m->ctx)
			return; /* repeated on the way */
	}
	if (r->role != ZK_LEADER || lead_read(r, m->from, m->ctx, fx) < 0)
		zk_raft_emit(r, fx, &refusal);
}

void
zk_raft_on_read_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	if (r->role == ZK_LEADER || m->from != r->leader)
		return;
	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct zk_read_wait *wait = &r->reads[i];

		if (wait->attempt == 0 || wait->attempt != m->ctx)
			continue;
		wait->index = m->index;
		if (m->reject)
			fail(r, wait, fx);
		else
			answer(r, wait, fx);
		return;
	}
}

void
zk_raft_reads_tick(struct zk_raft *r, uint32_t elapsed_ms,
    struct zk_effects *fx)
{
	ZK_ASSERT(r->role != ZK_LEADER);

	for (unsigned i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct zk_read_wait *wait = &r->reads[i];

		if (wait->attempt == 0)
			continue;
		zk_raft_elapse(&wait->age_ms, elapsed_ms);
		if (wait->age_ms >= r->election_ms)
			fail(r, wait, fx); /* the question or answer got lost */
	}
}
