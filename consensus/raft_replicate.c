#include "consensus/raft.h"

#include "base/assert.h"
#include "consensus/raft_impl.h"

/*
 * The leader's side of one follower.
 *
 *  PROBE      where the logs agree is not known: one APPEND at a time.
 *  REPLICATE  it is: APPENDs follow each other without waiting, up to a
 *             number of messages and of bytes.  `next` runs ahead of `match`.
 *  SNAPSHOT   what it needs is no longer in the log: the driver streams a
 *             snapshot; heartbeats only.
 *
 * Any loss shows as a refusal, or as silence for the time of an election:
 * both lead back to PROBE from what is known to match.
 */

#define PROBE_BYTES_MAX (64u * 1024u)

void
zk_raft_progress_reset(struct zk_progress *pr, uint64_t next)
{
	*pr = (struct zk_progress){
	    .state = ZK_PROBE,
	    .next = next,
	    .contact_ms = UINT32_MAX,
	};
}

static void
enter(struct zk_progress *pr, enum zk_progress_state state)
{
	pr->state = (uint8_t)state;
	pr->probing = false;
	pr->asked = false;
	pr->window_count = 0;
	pr->window_bytes = 0;
	pr->retry_ms = 0;
}

static bool
window_is_full(const struct zk_raft *r, const struct zk_progress *pr)
{
	return pr->window_count == ZK_RAFT_WINDOW_MSGS ||
	    pr->window_bytes >= r->window_bytes_max;
}

static void
window_add(struct zk_progress *pr, uint64_t last, uint64_t bytes)
{
	const uint32_t size = bytes < UINT32_MAX / ZK_RAFT_WINDOW_MSGS
	    ? (uint32_t)bytes
	    : UINT32_MAX / ZK_RAFT_WINDOW_MSGS;
	unsigned at;

	ZK_ASSERT(pr->window_count < ZK_RAFT_WINDOW_MSGS);

	at = (pr->window_head + pr->window_count) % ZK_RAFT_WINDOW_MSGS;
	pr->lasts[at] = last;
	pr->sizes[at] = size;
	pr->window_bytes += size;
	pr->window_count++;
}

static void
window_release(struct zk_progress *pr, uint64_t match)
{
	while (pr->window_count > 0 && pr->lasts[pr->window_head] <= match) {
		ZK_ASSERT(pr->window_bytes >= pr->sizes[pr->window_head]);
		pr->window_bytes -= pr->sizes[pr->window_head];
		pr->window_head =
		    (uint8_t)((pr->window_head + 1u) % ZK_RAFT_WINDOW_MSGS);
		pr->window_count--;
	}
}

static void
want_snapshot(struct zk_raft *r, uint32_t slot, struct zk_effects *fx)
{
	struct zk_progress *pr = &r->progress[slot];

	/* Not for one that does not even answer heartbeats. */
	if (pr->contact_ms >= r->election_ms) {
		pr->probing = true;
		return;
	}
	ZK_ASSERT(fx->snapshot_count < ZK_MEMBERS_MAX);
	enter(pr, ZK_SNAPSHOT);
	fx->snapshot_to[fx->snapshot_count++] = r->conf.ids[slot];
}

static void
told_commit(struct zk_raft *r, struct zk_progress *pr, uint64_t last)
{
	const uint64_t told = last < r->commit_index ? last : r->commit_index;

	if (told > pr->commit_sent)
		pr->commit_sent = told;
}

/* A probe may be repeated before it is answered: it is kept small. */
static uint32_t
bytes_to_ask(const struct zk_raft *r, const struct zk_progress *pr)
{
	const uint32_t left = r->window_bytes_max - pr->window_bytes;

	ZK_ASSERT(pr->window_bytes < r->window_bytes_max);

	if (pr->state == ZK_PROBE && r->append_bytes_max > PROBE_BYTES_MAX)
		return PROBE_BYTES_MAX;
	return left < r->append_bytes_max ? left : r->append_bytes_max;
}

bool
zk_raft_send_append(struct zk_raft *r, uint32_t slot, bool empty,
    struct zk_effects *fx)
{
	struct zk_progress *pr = &r->progress[slot];
	struct zk_msg msg = {.type = ZK_MSG_APPEND, .to = r->conf.ids[slot]};

	ZK_ASSERT(r->role == ZK_LEADER);
	ZK_ASSERT(pr->next > pr->match);
	ZK_ASSERT(pr->next <= r->last_index + 1);

	if (pr->state == ZK_SNAPSHOT || pr->asked || pr->probing)
		return false;
	if (window_is_full(r, pr))
		return false;

	msg.index = msg.last = pr->next - 1;
	msg.log_term = zk_raft_term_at(r, msg.index);
	if (msg.index < r->base_index || (msg.index > 0 && msg.log_term == 0)) {
		want_snapshot(r, slot, fx); /* no longer in the log */
		return false;
	}
	msg.commit = r->commit_index;
	msg.after_flush = !zk_raft_term_is_durable(r);
	if (pr->next <= r->last_index) {
		msg.last = zk_raft_run_end(r, pr->next);
		if (msg.last - msg.index > ZK_APPEND_ENTRIES_MAX)
			msg.last = msg.index + ZK_APPEND_ENTRIES_MAX;
		msg.entry_term = zk_raft_term_at(r, pr->next);
		msg.max_bytes = bytes_to_ask(r, pr);
		pr->asked = true;
	} else if (!empty) {
		return false;
	} else {
		told_commit(r, pr, msg.last);
	}
	if (pr->state == ZK_PROBE) {
		pr->probing = true;
		pr->retry_ms = 0;
	}
	zk_raft_emit(r, fx, &msg);
	return true;
}

/* Entries if there are any to send, else the commit index if it is news. */
static void
send_news(struct zk_raft *r, uint32_t slot, struct zk_effects *fx)
{
	struct zk_progress *pr = &r->progress[slot];
	struct zk_msg msg = {
	    .type = ZK_MSG_COMMIT,
	    .to = r->conf.ids[slot],
	    .after_flush = !zk_raft_term_is_durable(r),
	};

	if (zk_raft_send_append(r, slot, false, fx))
		return;
	/* Never beyond what it is known to have. */
	msg.commit = pr->match < r->commit_index ? pr->match : r->commit_index;
	if (msg.commit <= pr->commit_sent)
		return;
	pr->commit_sent = msg.commit;
	zk_raft_emit(r, fx, &msg);
}

void
zk_raft_send_all(struct zk_raft *r, struct zk_effects *fx)
{
	for (uint32_t i = 0; i < r->conf.count; i++) {
		if (r->conf.ids[i] != r->self)
			send_news(r, i, fx);
	}
}

void
zk_raft_heartbeat_all(struct zk_raft *r, struct zk_effects *fx)
{
	ZK_ASSERT(r->role == ZK_LEADER);

	for (uint32_t i = 0; i < r->conf.count; i++) {
		const uint64_t match = r->progress[i].match;
		struct zk_msg msg = {
		    .type = ZK_MSG_HEARTBEAT,
		    .to = r->conf.ids[i],
		    .commit = match < r->commit_index ? match : r->commit_index,
		    .ctx = r->read_attempt,
		    .after_flush = !zk_raft_term_is_durable(r),
		};

		if (r->conf.ids[i] != r->self)
			zk_raft_emit(r, fx, &msg);
	}
}

void
zk_raft_progress_tick(struct zk_raft *r, uint32_t slot, uint32_t elapsed_ms,
    struct zk_effects *fx)
{
	struct zk_progress *pr = &r->progress[slot];
	const bool waits = pr->asked || pr->probing || pr->window_count > 0;

	zk_raft_elapse(&pr->contact_ms, elapsed_ms);
	if (!waits)
		return;
	zk_raft_elapse(&pr->retry_ms, elapsed_ms);
	if (pr->retry_ms < r->election_ms)
		return;
	/* What was in flight is lost, or a snapshot may be tried again. */
	pr->next = pr->match + 1;
	enter(pr, ZK_PROBE);
	(void)zk_raft_send_append(r, slot, true, fx);
}

void
zk_raft_progress_lost(struct zk_raft *r, uint64_t peer)
{
	const int slot = zk_raft_conf_slot(&r->conf, peer);
	struct zk_progress *pr;

	if (slot < 0)
		return;
	pr = &r->progress[slot];
	if (pr->state == ZK_SNAPSHOT)
		return; /* the driver reports on that by itself */
	pr->next = pr->match + 1;
	enter(pr, ZK_PROBE);
	/* Wait for a sign of life. */
	pr->probing = true;
}

/* NULL: we do not lead, or it is no member. */
static struct zk_progress *
heard_from(struct zk_raft *r, uint64_t id)
{
	const int slot = zk_raft_conf_slot(&r->conf, id);

	if (r->role != ZK_LEADER || slot < 0)
		return NULL;
	r->progress[slot].active = true;
	r->progress[slot].contact_ms = 0;
	return &r->progress[slot];
}

static void
on_refusal(struct zk_raft *r, struct zk_progress *pr, const struct zk_msg *m,
    struct zk_effects *fx)
{
	uint64_t same;

	/* Late, or repeated: what it refused is not what we wait for. */
	if (pr->state == ZK_SNAPSHOT || m->index <= pr->match)
		return;
	if (pr->state == ZK_PROBE && m->index != pr->next - 1)
		return;

	/*
	 * Everything of ours after `same` is of a later term than the
	 * follower's entry at hint_index, so cannot be equal to its entries.
	 */
	same = zk_raft_log_floor(r, m->hint_index, m->log_term);
	if (same >= m->index)
		same = m->index - 1;
	if (same < pr->match)
		same = pr->match;
	enter(pr, ZK_PROBE);
	pr->next = same + 1;
	(void)zk_raft_send_append(r, (uint32_t)(pr - r->progress), true, fx);
}

void
zk_raft_on_append_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	struct zk_progress *pr = heard_from(r, m->from);
	uint32_t slot;
	bool answered;

	if (pr == NULL)
		return;
	ZK_ASSERT(m->index <= r->last_index);
	slot = (uint32_t)(pr - r->progress);
	if (m->reject) {
		on_refusal(r, pr, m, fx);
		return;
	}
	if (m->index < pr->match)
		return;

	answered = m->index + 1 >= pr->next;
	pr->retry_ms = 0;
	if (m->index > pr->match)
		pr->match = m->index;
	if (pr->next <= pr->match)
		pr->next = pr->match + 1;
	window_release(pr, pr->match);
	if ((pr->state == ZK_PROBE && answered) ||
	    (pr->state == ZK_SNAPSHOT && pr->match >= r->base_index)) {
		enter(pr, ZK_REPLICATE);
		pr->next = pr->match + 1;
	}
	zk_raft_leader_commit(r, fx);
	if (r->role != ZK_LEADER)
		return;
	send_news(r, slot, fx);
	zk_raft_transfer_advance(r, fx);
}

void
zk_raft_on_heartbeat_reply(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	struct zk_progress *pr = heard_from(r, m->from);

	if (pr == NULL)
		return;
	if (m->ctx > pr->read_acked) {
		pr->read_acked = m->ctx;
		zk_raft_reads_confirm(r, fx);
	}
	/* It is alive and has not answered the probe: another, in time. */
	if (pr->state == ZK_PROBE && pr->retry_ms >= r->heartbeat_ms)
		pr->probing = false;
	/*
	 * An APPEND may have been lost with nothing behind it to show that, and
	 * a probe when nothing has to be sent: who is not known to follow would
	 * never be promoted.
	 */
	if (pr->match < r->last_index || pr->state == ZK_PROBE)
		(void)zk_raft_send_append(r, (uint32_t)(pr - r->progress), true,
		    fx);
}

void
zk_raft_on_sent(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	const int slot = zk_raft_conf_slot(&r->conf, ev->peer);
	struct zk_progress *pr;

	if (r->role != ZK_LEADER || slot < 0 || !r->progress[slot].asked)
		return;
	pr = &r->progress[slot];
	ZK_ASSERT(ev->index >= pr->next - 1);
	ZK_ASSERT(ev->index <= r->last_index);

	pr->asked = false;
	if (ev->index == pr->next - 1)
		return; /* the transport is full: the next heartbeat asks */
	told_commit(r, pr, ev->index);
	if (pr->state != ZK_REPLICATE)
		return;
	if (pr->window_count == 0)
		pr->retry_ms = 0;
	window_add(pr, ev->index, ev->bytes);
	pr->next = ev->index + 1;
	(void)zk_raft_send_append(r, (uint32_t)slot, false, fx);
}

void
zk_raft_on_snapshot_result(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	const int slot = zk_raft_conf_slot(&r->conf, ev->peer);
	struct zk_progress *pr;

	if (r->role != ZK_LEADER || slot < 0)
		return;
	pr = &r->progress[slot];
	if (pr->state != ZK_SNAPSHOT)
		return; /* its own answer was faster */
	if (ev->type == ZK_EV_SNAPSHOT_FAILED) {
		/* The retry timer tries again. */
		pr->probing = true;
		return;
	}
	enter(pr, ZK_PROBE);
	pr->next = (ev->index > pr->match ? ev->index : pr->match) + 1;
	if (pr->next > r->last_index + 1)
		pr->next = r->last_index + 1;
	(void)zk_raft_send_append(r, (uint32_t)slot, true, fx);
}
