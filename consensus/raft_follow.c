#include "consensus/raft.h"

#include <errno.h>

#include "base/assert.h"
#include "consensus/raft_impl.h"

/*
 * The follower's log (section 3.5).  What is committed here is never compared
 * nor cut again: every leader of a later term has it (section 3.6.3), so an
 * APPEND that begins there, however old and even if the entry before it has
 * been compacted, simply matches.
 */

void
zk_raft_commit_to(struct zk_raft *r, uint64_t index)
{
	ZK_ASSERT(index <= r->last_index);

	if (index > r->commit_index)
		r->commit_index = index;
}

static bool
prev_matches(const struct zk_raft *r, const struct zk_msg *m)
{
	if (m->index <= r->commit_index)
		return true;
	return m->index <= r->last_index &&
	    zk_raft_term_at(r, m->index) == m->log_term;
}

/* The first entry of m that is not here; m->last + 1 if all are. */
static uint64_t
first_new(const struct zk_raft *r, const struct zk_msg *m)
{
	uint64_t first = m->index + 1;

	if (first <= r->commit_index)
		first = r->commit_index + 1;
	if (first > m->last)
		return m->last + 1;
	return zk_raft_log_mismatch(r, first, m->last, m->entry_term);
}

int
zk_raft_check_append(const struct zk_raft *r, const struct zk_event *ev)
{
	const struct zk_msg *m = ev->msg;
	uint64_t first, last, known;

	/* An entry that would contradict a committed one, as far as known. */
	known = m->index >= r->forgot_index && m->index <= r->commit_index
	    ? zk_raft_term_at(r, m->index)
	    : 0;
	if (known != 0 && known != m->log_term)
		return -EPROTO;
	first = (m->index > r->forgot_index ? m->index : r->forgot_index) + 1;
	last = m->last < r->commit_index ? m->last : r->commit_index;
	if (first <= last &&
	    zk_raft_log_mismatch(r, first, last, m->entry_term) <= last)
		return -EPROTO;

	if (!prev_matches(r, m))
		return 0;
	first = first_new(r, m);
	ZK_ASSERT(first > r->commit_index || first > m->last);
	if (first <= m->last && !zk_raft_conf_can_rollback(r, first))
		return -EPROTO;
	return 0;
}

static void
refuse(struct zk_raft *r, const struct zk_msg *m, struct zk_effects *fx)
{
	struct zk_msg reply = {
	    .type = ZK_MSG_APPEND_REPLY,
	    .to = m->from,
	    .reject = true,
	    .index = m->index,
	    .after_flush = true,
	};

	/* Whole terms that the leader cannot have are skipped at once. */
	reply.hint_index = zk_raft_log_floor(r, m->index - 1, m->log_term);
	if (reply.hint_index < r->commit_index)
		reply.hint_index = r->commit_index;
	reply.log_term = zk_raft_term_at(r, reply.hint_index);
	zk_raft_emit(r, fx, &reply);
}

static void
take_entries(struct zk_raft *r, const struct zk_event *ev, uint64_t first,
    struct zk_effects *fx)
{
	const struct zk_msg *m = ev->msg;

	if (first <= r->last_index) {
		fx->truncate_from = first;
		zk_raft_conf_rollback(r, first);
		zk_raft_log_truncate(r, first);
	}
	fx->append_first = first;
	fx->append_last = m->last;
	fx->append_term = m->entry_term;
	fx->append_kind = ZK_ENTRY_DATA;
	zk_raft_log_append(r, m->last, m->entry_term);
	for (size_t i = 0; i < ev->conf_count; i++) {
		if (ev->confs[i].index >= first)
			zk_raft_conf_adopt(r, &ev->confs[i].conf,
			    ev->confs[i].index);
	}
}

void
zk_raft_on_append(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	const struct zk_msg *m = ev->msg;
	struct zk_msg reply = {
	    .type = ZK_MSG_APPEND_REPLY,
	    .to = m->from,
	    .after_flush = true,
	};
	uint64_t first;

	ZK_ASSERT(r->role == ZK_FOLLOWER);
	ZK_ASSERT(r->leader == m->from);

	if (!prev_matches(r, m)) {
		refuse(r, m, fx);
		return;
	}
	first = first_new(r, m);
	if (first <= m->last) {
		/* Silence: the leader asks again, and tells what committed. */
		if (!zk_raft_log_has_room(r, first, m->entry_term))
			return;
		take_entries(r, ev, first, fx);
	}
	/* What is beyond m->last here may not be the leader's. */
	zk_raft_commit_to(r, m->commit < m->last ? m->commit : m->last);
	reply.index = m->last > r->commit_index ? m->last : r->commit_index;
	zk_raft_emit(r, fx, &reply);
}

void
zk_raft_on_heartbeat(struct zk_raft *r, const struct zk_msg *m,
    struct zk_effects *fx)
{
	struct zk_msg reply = {
	    .type = ZK_MSG_HEARTBEAT_REPLY,
	    .to = m->from,
	    .ctx = m->ctx,
	    .after_flush = !zk_raft_term_is_durable(r),
	};

	ZK_ASSERT(r->role == ZK_FOLLOWER);

	zk_raft_commit_to(r, m->commit);
	if (m->type == ZK_MSG_HEARTBEAT)
		zk_raft_emit(r, fx, &reply);
}

/* The configurations that are in force with a snapshot of conf below. */
static void
install_conf(struct zk_raft *r, const struct zk_event *ev, bool log_kept)
{
	if (log_kept && r->conf_index > ev->index) {
		/* The newest is in what is left of the log: stays in force. */
		r->conf_before = *ev->conf;
		r->conf_before_index = ev->conf_index;
		return;
	}
	r->conf = *ev->conf;
	r->conf_index = ev->conf_index;
	r->conf_before = *ev->conf;
	r->conf_before_index = ev->conf_index;
}

int
zk_raft_install(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	bool keep;
	struct zk_msg reply = {
	    .type = ZK_MSG_APPEND_REPLY,
	    .index = ev->index,
	    .after_flush = true,
	};

	if (ev->index == 0 || ev->index >= ZK_INDEX_MAX || ev->term == 0 ||
	    ev->term >= ZK_INDEX_MAX || ev->conf_index > ev->index)
		return -EPROTO;
	if (zk_raft_conf_check(ev->conf) < 0 || ev->conf->voter_bits == 0)
		return -EPROTO;
	if (!zk_raft_wants_snapshot(r, ev->index))
		return -EALREADY;
	if (r->role == ZK_LEADER && ev->term <= r->term)
		return -EALREADY; /* what is agreed is in a leader's log */

	if (ev->term > r->term)
		zk_raft_follow(r, ev->term, 0, fx);
	else if (r->role != ZK_FOLLOWER)
		zk_raft_follow(r, r->term, 0, fx);
	keep = zk_raft_term_at(r, ev->index) == ev->term;
	install_conf(r, ev, keep);
	fx->install = true;
	fx->log_reset = !keep;
	if (keep) {
		r->commit_index = ev->index;
		zk_raft_log_compact(r, ev->index, ev->term);
	} else {
		r->run_count = 0;
		r->base_index = r->forgot_index = ev->index;
		r->base_term = r->forgot_term = ev->term;
		r->last_index = ev->index;
		r->stored_index = 0;
		r->commit_index = ev->index;
	}
	reply.to = r->leader;
	if (r->leader != 0)
		zk_raft_emit(r, fx, &reply);
	return 0;
}
