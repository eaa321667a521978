#include "consensus/raft.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "consensus/raft_impl.h"

/*
 * One event in, effects out.  Everything that can be wrong with an event is
 * found before the first change: an error leaves no trace.
 */

void
zk_raft_emit(const struct zk_raft *r, struct zk_effects *fx, struct zk_msg *msg)
{
	ZK_ASSERT(fx->msg_count < ZK_OUTBOX_MAX);
	ZK_ASSERT(msg->to != 0);
	ZK_ASSERT(msg->to != r->self);

	msg->from = r->self;
	if (msg->term == 0)
		msg->term = r->term;
	fx->msgs[fx->msg_count++] = *msg;
}

bool
zk_raft_term_is_durable(const struct zk_raft *r)
{
	return r->durable_term == r->term;
}

void
zk_raft_elapse(uint32_t *timer_ms, uint32_t elapsed_ms)
{
	if (*timer_ms > UINT32_MAX - elapsed_ms)
		*timer_ms = UINT32_MAX;
	else
		*timer_ms += elapsed_ms;
}

static bool
start_is_sane(const struct zk_raft_start *start)
{
	return start->self != 0 && start->election_ms >= 2 &&
	    start->election_ms <= UINT32_MAX / 4 && start->heartbeat_ms > 0 &&
	    start->heartbeat_ms < start->election_ms &&
	    start->append_bytes_max > 0 &&
	    start->window_bytes_max >= start->append_bytes_max &&
	    start->uncommitted_bytes_max > 0;
}

static int
init_confs(struct zk_raft *r, const struct zk_raft_start *start)
{
	if (zk_raft_conf_check(&start->conf.conf) < 0 ||
	    start->conf.index > r->commit_index)
		return -ZK_ECORRUPT;
	r->conf = r->conf_before = start->conf.conf;
	r->conf_index = r->conf_before_index = start->conf.index;
	for (size_t i = 0; i < start->conf_count; i++) {
		const struct zk_conf_entry *entry = &start->confs[i];

		if (entry->index <= r->conf_index ||
		    entry->index > r->last_index ||
		    zk_raft_conf_check(&entry->conf) < 0 ||
		    entry->conf.voter_bits == 0)
			return -ZK_ECORRUPT;
		zk_raft_conf_adopt(r, &entry->conf, entry->index);
	}
	return 0;
}

int
zk_raft_init(struct zk_raft *r, const struct zk_raft_start *start)
{
	int rc;

	if (!start_is_sane(start))
		return -EINVAL;
	memset(r, 0, sizeof(*r));
	r->self = start->self;
	r->term = r->durable_term = start->term;
	r->vote = start->vote;
	r->role = ZK_FOLLOWER;
	r->election_ms = start->election_ms;
	r->heartbeat_ms = start->heartbeat_ms;
	r->append_bytes_max = start->append_bytes_max;
	r->window_bytes_max = start->window_bytes_max;
	r->uncommitted_bytes_max = start->uncommitted_bytes_max;
	r->seed = start->seed;
	r->read_attempt = zk_prng_next(&r->seed) % (ZK_INDEX_MAX / 2);

	r->base_index = start->base_index;
	r->base_term = start->base_term;
	r->run_count = start->run_count;
	memcpy(r->runs, start->runs, sizeof(r->runs));
	r->last_index =
	    start->run_count > 0 ? start->last_index : start->base_index;
	r->stored_index = r->last_index;
	r->term_of = start->term_of;
	r->term_arg = start->term_arg;
	r->forgot_index = r->base_index;
	r->forgot_term = r->base_term;
	if (start->forgot_index > 0) {
		r->forgot_index = start->forgot_index;
		r->forgot_term = start->forgot_term;
	}
	/* Without lookups only what was committed has ever been forgotten. */
	if (r->term_of == NULL) {
		r->base_index = r->forgot_index;
		r->base_term = r->forgot_term;
	}
	r->commit_index = start->commit_index > r->base_index
	    ? start->commit_index
	    : r->base_index;

	if (r->last_index >= ZK_INDEX_MAX || r->term >= ZK_INDEX_MAX)
		return -ZK_ECORRUPT;
	if (r->commit_index > r->last_index || zk_raft_last_term(r) > r->term)
		return -ZK_ECORRUPT;
	if ((r->base_index == 0) != (r->base_term == 0) ||
	    (r->term == 0 && r->vote != 0))
		return -ZK_ECORRUPT;
	rc = init_confs(r, start);
	if (rc < 0)
		return rc;
	zk_raft_reset_timer(r);
	return 0;
}

/* --- messages: what no correct peer sends ------------------------------- */

static bool
fields_are_sane(const struct zk_msg *m)
{
	if (m->term == 0 || m->term >= ZK_INDEX_MAX ||
	    m->index >= ZK_INDEX_MAX || m->last >= ZK_INDEX_MAX ||
	    m->commit >= ZK_INDEX_MAX || m->ctx >= ZK_INDEX_MAX)
		return false;
	switch (m->type) {
	case ZK_MSG_PREVOTE:
	case ZK_MSG_VOTE:
		return m->log_term < m->term &&
		    (m->index == 0) == (m->log_term == 0);
	case ZK_MSG_APPEND:
		if (m->last < m->index ||
		    m->last - m->index > ZK_APPEND_ENTRIES_MAX ||
		    (m->index == 0) != (m->log_term == 0))
			return false;
		if (m->last == m->index)
			return m->log_term <= m->term;
		return m->entry_term <= m->term && m->entry_term > 0 &&
		    m->entry_term >= m->log_term;
	case ZK_MSG_APPEND_REPLY:
		return !m->reject ||
		    (m->hint_index < m->index && m->log_term <= m->term);
	case ZK_MSG_PREVOTE_REPLY:
	case ZK_MSG_VOTE_REPLY:
	case ZK_MSG_HEARTBEAT:
	case ZK_MSG_HEARTBEAT_REPLY:
	case ZK_MSG_COMMIT:
	case ZK_MSG_TIMEOUT_NOW:
	case ZK_MSG_READ:
	case ZK_MSG_READ_REPLY:
		return true;
	default:
		return false;
	}
}

static bool
confs_are_sane(const struct zk_event *ev)
{
	uint64_t after = ev->msg->index;

	if (ev->conf_count > 0 && ev->msg->type != ZK_MSG_APPEND)
		return false;
	for (size_t i = 0; i < ev->conf_count; i++) {
		const struct zk_conf_entry *entry = &ev->confs[i];

		if (entry->index <= after || entry->index > ev->msg->last)
			return false;
		if (zk_raft_conf_check(&entry->conf) < 0 ||
		    entry->conf.voter_bits == 0)
			return false;
		after = entry->index;
	}
	return true;
}

static bool
is_from_leader(const struct zk_msg *m)
{
	return m->type == ZK_MSG_APPEND || m->type == ZK_MSG_HEARTBEAT ||
	    m->type == ZK_MSG_COMMIT;
}

static int
check_msg(const struct zk_raft *r, const struct zk_event *ev)
{
	const struct zk_msg *m = ev->msg;

	if (m->from == 0 || m->from == r->self || m->to != r->self)
		return -EPROTO;
	if (!fields_are_sane(m) || !confs_are_sane(ev))
		return -EPROTO;
	if (m->term < r->term)
		return 0;

	/* Two leaders in one term. */
	if (is_from_leader(m) && m->term == r->term && r->leader != 0 &&
	    r->leader != m->from)
		return -EPROTO;
	if (m->type == ZK_MSG_APPEND)
		return zk_raft_check_append(r, ev);
	/* The leader speaks of what we confirmed to have. */
	if (is_from_leader(m) && m->commit > r->last_index)
		return -EPROTO;
	if (r->role != ZK_LEADER || m->term != r->term)
		return 0;
	if (m->type == ZK_MSG_APPEND_REPLY && m->index > r->last_index)
		return -EPROTO;
	if (m->type == ZK_MSG_HEARTBEAT_REPLY && m->ctx > r->read_attempt)
		return -EPROTO;
	return 0;
}

/* --- messages: terms, then the rest -------------------------------------- */

/* False: the message ends here. */
static bool
meet_higher_term(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	switch (m->type) {
	case ZK_MSG_PREVOTE:
		return true; /* the term is only asked about */
	case ZK_MSG_PREVOTE_REPLY:
		if (m->reject)
			break;
		return true; /* our own question's */
	case ZK_MSG_VOTE:
		/* Section 4.2.3: who hears a leader lets nobody disrupt it. */
		if (!m->transfer && zk_raft_in_lease(r))
			return false;
		break;
	case ZK_MSG_APPEND:
	case ZK_MSG_HEARTBEAT:
	case ZK_MSG_COMMIT:
		return true; /* it becomes our leader below */
	case ZK_MSG_VOTE_REPLY:
	case ZK_MSG_APPEND_REPLY:
	case ZK_MSG_HEARTBEAT_REPLY:
	case ZK_MSG_TIMEOUT_NOW:
	case ZK_MSG_READ:
	case ZK_MSG_READ_REPLY:
	default:
		break;
	}
	zk_raft_follow(r, m->term, 0, fx);
	return true;
}

/*
 * Who is behind is told so.  That includes a leader: nobody else could tell
 * it, for our vote requests may be ignored where it is still heard.
 */
static void
meet_lower_term(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	struct zk_msg reply = {
	    .to = m->from,
	    .after_flush = !zk_raft_term_is_durable(r),
	};

	if (is_from_leader(m)) {
		reply.type = ZK_MSG_HEARTBEAT_REPLY;
	} else if (m->type == ZK_MSG_PREVOTE) {
		reply.type = ZK_MSG_PREVOTE_REPLY;
		reply.reject = true;
	} else if (m->type == ZK_MSG_VOTE) {
		reply.type = ZK_MSG_VOTE_REPLY;
		reply.reject = true;
	} else {
		return;
	}
	zk_raft_emit(r, fx, &reply);
}

static void
handle_msg(struct zk_raft *r, const struct zk_event *ev, struct zk_effects *fx)
{
	const struct zk_msg *m = ev->msg;

	if (is_from_leader(m))
		zk_raft_follow(r, m->term, m->from, fx);
	switch (m->type) {
	case ZK_MSG_PREVOTE:
		zk_raft_on_prevote(r, m, fx);
		break;
	case ZK_MSG_VOTE:
		zk_raft_on_vote(r, m, fx);
		break;
	case ZK_MSG_PREVOTE_REPLY:
	case ZK_MSG_VOTE_REPLY:
		zk_raft_on_vote_reply(r, m, fx);
		break;
	case ZK_MSG_APPEND:
		zk_raft_on_append(r, ev, fx);
		break;
	case ZK_MSG_APPEND_REPLY:
		zk_raft_on_append_reply(r, m, fx);
		break;
	case ZK_MSG_HEARTBEAT:
	case ZK_MSG_COMMIT:
		zk_raft_on_heartbeat(r, m, fx);
		break;
	case ZK_MSG_HEARTBEAT_REPLY:
		zk_raft_on_heartbeat_reply(r, m, fx);
		break;
	case ZK_MSG_TIMEOUT_NOW:
		zk_raft_on_timeout_now(r, m, fx);
		break;
	case ZK_MSG_READ:
		zk_raft_on_read(r, m, fx);
		break;
	case ZK_MSG_READ_REPLY:
		zk_raft_on_read_reply(r, m, fx);
		break;
	default:
		ZK_ASSERT(m->type == 0); /* fields_are_sane() knew it */
	}
}

static int
step_msg(struct zk_raft *r, const struct zk_event *ev, struct zk_effects *fx)
{
	const struct zk_msg *m = ev->msg;
	int rc = check_msg(r, ev);

	if (rc < 0)
		return rc;
	if (m->term < r->term) {
		meet_lower_term(r, m, fx);
		return 0;
	}
	if (m->term > r->term && !meet_higher_term(r, m, fx))
		return 0;
	handle_msg(r, ev, fx);
	return 0;
}

/* --- the driver's events ------------------------------------------------- */

static void
step_stored(struct zk_raft *r, const struct zk_event *ev, struct zk_effects *fx)
{
	ZK_ASSERT(ev->durable_term <= r->term);

	if (ev->durable_term > r->durable_term)
		r->durable_term = ev->durable_term;
	/* An entry that was truncated meanwhile has another term now. */
	if (ev->index <= r->stored_index || ev->index > r->last_index ||
	    zk_raft_term_at(r, ev->index) != ev->term)
		return;
	r->stored_index = ev->index;
	if (r->role == ZK_LEADER)
		zk_raft_leader_stored(r, fx);
}

static int
step_compacted(struct zk_raft *r, const struct zk_event *ev)
{
	ZK_ASSERT(ev->index > 0);
	ZK_ASSERT(ev->index - 1 <= r->commit_index);

	if (ev->index - 1 > r->base_index)
		zk_raft_log_compact(r, ev->index - 1, ev->term);
	return 0;
}

static int
step_event(struct zk_raft *r, const struct zk_event *ev, struct zk_effects *fx)
{
	switch (ev->type) {
	case ZK_EV_TICK:
		if (r->role == ZK_LEADER)
			zk_raft_tick_leader(r, ev->elapsed_ms, fx);
		else
			zk_raft_tick_follower(r, ev->elapsed_ms, fx);
		return 0;
	case ZK_EV_MSG:
		return step_msg(r, ev, fx);
	case ZK_EV_PROPOSE:
		return zk_raft_propose(r, ev, fx);
	case ZK_EV_CONF:
		return zk_raft_conf_change(r, ev, fx);
	case ZK_EV_STORED:
		step_stored(r, ev, fx);
		return 0;
	case ZK_EV_SENT:
		zk_raft_on_sent(r, ev, fx);
		return 0;
	case ZK_EV_READ:
		return zk_raft_read(r, ev->ctx, fx);
	case ZK_EV_TRANSFER:
		return zk_raft_transfer(r, ev->peer, fx);
	case ZK_EV_RESIGN:
		if (r->role != ZK_FOLLOWER)
			zk_raft_follow(r, r->term, 0, fx);
		return 0;
	case ZK_EV_PEER_LOST:
		if (r->role == ZK_LEADER)
			zk_raft_progress_lost(r, ev->peer);
		else if (r->role == ZK_FOLLOWER && r->leader != 0 &&
		    r->leader == ev->peer)
			zk_raft_leader_lost(r, fx);
		return 0;
	case ZK_EV_PEER_MET:
		zk_raft_peer_met(r, ev->peer);
		return 0;
	case ZK_EV_SNAPSHOT_DONE:
	case ZK_EV_SNAPSHOT_FAILED:
		zk_raft_on_snapshot_result(r, ev, fx);
		return 0;
	case ZK_EV_INSTALL:
		return zk_raft_install(r, ev, fx);
	case ZK_EV_COMPACTED:
		return step_compacted(r, ev);
	default:
		return -EINVAL;
	}
}

/* What must hold between any two events. */
static void
check_self(const struct zk_raft *r)
{
	ZK_ASSERT(r->base_index <= r->commit_index);
	ZK_ASSERT(r->base_index <= r->forgot_index);
	ZK_ASSERT(r->forgot_index <= r->last_index);
	ZK_ASSERT(r->commit_index <= r->last_index);
	ZK_ASSERT(r->stored_index <= r->last_index);
	ZK_ASSERT(r->durable_term <= r->term);
	ZK_ASSERT(zk_raft_last_term(r) <= r->term);
	ZK_ASSERT(r->run_count <= ZK_RUNS_MAX);
	ZK_ASSERT(r->conf_index <= r->last_index);
	ZK_ASSERT((r->role == ZK_LEADER) == (r->leader == r->self));
	ZK_ASSERT(r->role < ZK_CANDIDATE || r->vote == r->self);
}

static void
effects_clear(struct zk_effects *fx, const struct zk_raft *r)
{
	fx->hard_state = false;
	fx->install = fx->log_reset = false;
	fx->truncate_from = 0;
	fx->append_first = fx->append_last = fx->append_term = 0;
	fx->append_kind = ZK_ENTRY_DATA;
	fx->msg_count = 0;
	fx->commit_index = r->commit_index;
	fx->read_count = fx->failed_count = 0;
	fx->snapshot_count = 0;
	fx->role_changed = fx->conf_changed = false;
}

int
zk_raft_step(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *ret_fx)
{
	const uint64_t term = r->term;
	const uint64_t leader = r->leader;
	const uint64_t commit_index = r->commit_index;
	const uint64_t conf_index = r->conf_index;
	const enum zk_role role = r->role;
	int rc;

	check_self(r);
	effects_clear(ret_fx, r);
	rc = step_event(r, ev, ret_fx);
	check_self(r);
	ZK_ASSERT(r->term >= term);
	ZK_ASSERT(r->commit_index >= commit_index);
	ZK_ASSERT(rc == 0 || ret_fx->msg_count == 0);
	ZK_ASSERT((r->term == term) || ret_fx->hard_state);

	ret_fx->commit_index = r->commit_index;
	ret_fx->role_changed =
	    r->role != role || r->term != term || r->leader != leader;
	ret_fx->conf_changed = r->conf_index != conf_index ||
	    (ret_fx->truncate_from != 0 && ret_fx->truncate_from <= conf_index);
	return rc;
}

void
zk_raft_undo(struct zk_raft *r, const struct zk_raft *before,
    struct zk_effects *ret_fx)
{
	const uint64_t attempt = r->read_attempt;

	effects_clear(ret_fx, r);
	zk_raft_reads_fail(r, ret_fx);
	*r = *before;
	/* Answered meanwhile, or failed just now; and no number twice. */
	memset(r->reads, 0, sizeof(r->reads));
	r->read_attempt = attempt;
}

bool
zk_raft_wants_snapshot(const struct zk_raft *r, uint64_t index)
{
	return index > r->commit_index;
}

uint64_t
zk_raft_all_have(const struct zk_raft *r)
{
	uint64_t lowest = r->commit_index;

	for (uint32_t i = 0; r->role == ZK_LEADER && i < r->conf.count; i++) {
		if (r->conf.ids[i] != r->self && r->progress[i].match < lowest)
			lowest = r->progress[i].match;
	}
	return lowest;
}

int
zk_raft_member_status(const struct zk_raft *r, uint32_t slot,
    struct zk_member_status *ret_status)
{
	const struct zk_progress *pr;

	if (slot >= r->conf.count)
		return -EINVAL;
	if (r->role != ZK_LEADER)
		return -ZK_ENOTLEADER;
	pr = &r->progress[slot];
	*ret_status = (struct zk_member_status){
	    .id = r->conf.ids[slot],
	    .match = pr->match,
	    .voter = (r->conf.voter_bits >> slot & 1) != 0,
	    .active = pr->contact_ms < r->election_ms,
	    .state = (enum zk_progress_state)pr->state,
	    .contact_ms = pr->contact_ms,
	};
	if (ret_status->id == r->self) {
		ret_status->match = r->stored_index;
		ret_status->active = true;
		ret_status->state = ZK_REPLICATE;
		ret_status->contact_ms = 0;
	}
	return 0;
}
