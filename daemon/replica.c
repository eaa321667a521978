#include "daemon/replica.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/replica_impl.h"

static bool
is_alone(const struct zk_raft *raft)
{
	const struct zk_conf *conf = zk_raft_conf(raft);

	return conf->count == 1 && conf->ids[0] == raft->self;
}

/* A code that no turn survives. */
static int
fail(struct zk_replica *r, int rc)
{
	if (rc < 0 && r->fatal == 0)
		r->fatal = rc;
	return rc;
}

int
zk_replica_tx(struct zk_replica *r)
{
	if (r->tx != NULL)
		return 0;
	return fail(r, zk_store_begin(r->store, &r->tx));
}

int
zk_replica_entry(struct zk_replica *r, uint64_t index,
    struct zk_entry *ret_entry)
{
	if (zk_recent_get(r->recent, index, ret_entry))
		return 0;
	return zk_log_get(r->tx, index, r->payload, ZK_COMMAND_MAX, ret_entry);
}

/* --- Raft's effects ------------------------------------------------------- */

/* The entry that Raft wants at index, wherever it comes from. */
static void
entry_at(struct zk_replica *r, const struct zk_effects *fx, uint64_t index,
    struct zk_entry *ret_entry)
{
	const struct zk_wire_entry *wire;
	struct zk_enc enc;

	*ret_entry = (struct zk_entry){
	    .index = index,
	    .term = fx->append_term,
	    .kind = ZK_PAYLOAD_NOOP,
	    .time = r->now,
	};
	if (r->received != NULL) {
		wire = &r->received[index - r->received_first];
		ret_entry->kind = wire->kind;
		ret_entry->time = wire->time;
		ret_entry->payload = wire->payload;
		ret_entry->payload_len = wire->len;
	} else if (fx->append_kind == ZK_ENTRY_DATA) {
		const size_t i = index - fx->append_first;

		ZK_ASSERT(i < r->proposed_count);
		ret_entry->kind = ZK_PAYLOAD_COMMAND;
		ret_entry->payload = r->proposed[i].data;
		ret_entry->payload_len = r->proposed[i].len;
	} else if (fx->append_kind == ZK_ENTRY_CONF) {
		zk_enc_init(&enc, r->payload, ZK_COMMAND_MAX);
		zk_conf_encode(&enc, zk_raft_conf(&r->raft));
		ZK_ASSERT(!enc.failed);
		ret_entry->kind = ZK_PAYLOAD_CONFIG;
		ret_entry->payload = r->payload;
		ret_entry->payload_len = enc.len;
	}
}

static int
append_entries(struct zk_replica *r, const struct zk_effects *fx)
{
	int rc = zk_replica_tx(r);

	for (uint64_t index = fx->append_first;
	     rc == 0 && index <= fx->append_last; index++) {
		struct zk_entry entry;

		entry_at(r, fx, index, &entry);
		rc = zk_log_append(r->tx, &entry);
		zk_recent_put(r->recent, &entry);
		r->lengths[index % LOG_RING] = (uint32_t)entry.payload_len;
		r->log_bytes += entry.payload_len;
	}
	r->wrote = true;
	return rc;
}

static int
hold(struct zk_replica *r, const struct zk_msg *msg)
{
	if (r->held_count == r->held_cap) {
		const size_t cap = r->held_cap == 0 ? 64 : 2 * r->held_cap;
		void *grown = reallocarray(r->held, cap, sizeof(*r->held));

		if (grown == NULL)
			return -ENOMEM;
		r->held = grown;
		r->held_cap = cap;
	}
	r->held[r->held_count++] = *msg;
	return 0;
}

static int
make_durable(struct zk_replica *r, const struct zk_effects *fx)
{
	int rc = 0;

	if (fx->hard_state) {
		const struct zk_hard_state hard = {
		    .term = r->raft.term,
		    .vote = r->raft.vote,
		};

		rc = zk_replica_tx(r);
		if (rc == 0)
			rc = zk_hard_state_put(r->tx, &hard);
		r->wrote = true;
	}
	if (rc == 0 && fx->install)
		rc = zk_replica_snapshot_install(r, fx->log_reset);
	if (rc == 0 && fx->truncate_from != 0) {
		r->counts.truncations++;
		rc = zk_replica_tx(r);
		if (rc == 0)
			rc = zk_log_truncate(r->tx, fx->truncate_from);
		zk_recent_clear(r->recent);
		r->wrote = true;
	}
	if (rc == 0 && fx->append_first != 0)
		rc = append_entries(r, fx);
	return rc;
}

/*
 * Messages may ask for entries, and sending those is an event with effects of
 * its own: so the list grows while it is worked through.
 */
static int
pass_on(struct zk_replica *r, const struct zk_effects *fx)
{
	struct zk_msg msgs[ZK_OUTBOX_MAX];
	const size_t count = fx->msg_count;
	int rc = 0;

	memcpy(msgs, fx->msgs, count * sizeof(msgs[0]));
	for (size_t i = 0; i < fx->read_count; i++) {
		if (r->read_count < READS_MAX)
			r->reads[r->read_count++] = fx->reads[i];
		else
			r->options.sink.barrier(r->options.sink.arg,
			    fx->reads[i].ctx, false);
	}
	for (size_t i = 0; i < fx->failed_count; i++)
		r->options.sink.barrier(r->options.sink.arg, fx->failed[i],
		    false);
	for (size_t i = 0; i < fx->snapshot_count; i++)
		zk_replica_snapshot_ask(r, fx->snapshot_to[i]);
	for (size_t i = 0; rc == 0 && i < count; i++)
		rc = msgs[i].after_flush ? hold(r, &msgs[i])
		    : zk_replica_put_off(r, &msgs[i])
		    ? 0
		    : zk_replica_send(r, &msgs[i]);
	return rc;
}

int
zk_replica_step(struct zk_replica *r, const struct zk_event *event)
{
	int rc;

	if (r->fatal < 0)
		return r->fatal;
	rc = zk_raft_step(&r->raft, event, &r->fx);
	if (rc < 0)
		return rc;
	r->members = r->members || r->fx.conf_changed;
	rc = make_durable(r, &r->fx);
	if (rc == 0)
		rc = pass_on(r, &r->fx);
	return fail(r, rc);
}

/* --- events --------------------------------------------------------------- */

void
zk_replica_begin(struct zk_replica *r, struct zk_stamp now)
{
	ZK_ASSERT(r->tx == NULL);
	ZK_ASSERT(r->held_count == 0);

	r->now = now;
	r->fatal = 0;
	r->wrote = false;
	r->replaced = r->members = false;
	r->lead = 0;
	r->raft_before = r->raft;
	r->log_first_before = r->log_first;
	r->log_bytes_before = r->log_bytes;
}

int
zk_replica_tick(struct zk_replica *r, uint32_t elapsed_ms)
{
	const struct zk_event event = {
	    .type = ZK_EV_TICK,
	    .elapsed_ms = elapsed_ms,
	};

	zk_replica_snapshot_tick(r, elapsed_ms);
	return zk_replica_step(r, &event);
}

int
zk_replica_propose(struct zk_replica *r, const struct zk_bytes *commands,
    size_t count)
{
	struct zk_event event = {
	    .type = ZK_EV_PROPOSE,
	    .count = (uint32_t)count,
	};
	int rc;

	ZK_ASSERT(count > 0);
	ZK_ASSERT(count <= ZK_TURN_COMMANDS_MAX);

	for (size_t i = 0; i < count; i++)
		event.bytes += commands[i].len;
	r->proposed = commands;
	r->proposed_count = count;
	rc = zk_replica_step(r, &event);
	r->proposed = NULL;
	r->proposed_count = 0;
	return rc;
}

int
zk_replica_barrier(struct zk_replica *r, uint64_t ctx)
{
	const struct zk_event event = {.type = ZK_EV_READ, .ctx = ctx};

	return zk_replica_step(r, &event);
}

int
zk_replica_peer_met(struct zk_replica *r, uint64_t peer)
{
	const struct zk_event event = {.type = ZK_EV_PEER_MET, .peer = peer};

	return zk_replica_step(r, &event);
}

int
zk_replica_peer_lost(struct zk_replica *r, uint64_t peer)
{
	const struct zk_event event = {.type = ZK_EV_PEER_LOST, .peer = peer};

	return zk_replica_step(r, &event);
}

int
zk_replica_change(struct zk_replica *r, enum zk_conf_op op, uint64_t peer)
{
	const struct zk_event event = {
	    .type = ZK_EV_CONF,
	    .conf_op = op,
	    .peer = peer,
	};

	return zk_replica_step(r, &event);
}

int
zk_replica_transfer(struct zk_replica *r, uint64_t to)
{
	const struct zk_event event = {.type = ZK_EV_TRANSFER, .peer = to};

	return zk_replica_step(r, &event);
}

/* --- the end of a turn ---------------------------------------------------- */

static int
step_stored(struct zk_replica *r)
{
	const struct zk_event event = {
	    .type = ZK_EV_STORED,
	    .index = r->raft.last_index,
	    .term = zk_raft_term_at(&r->raft, r->raft.last_index),
	    .durable_term = r->raft.term,
	};

	return zk_replica_step(r, &event);
}

/*
 * Nothing of this turn has happened.  What was said before the flush holds
 * nevertheless, but for one thing: a leader's entries are with others, and are
 * not here.
 */
static void
undo(struct zk_replica *r)
{
	zk_raft_undo(&r->raft, &r->raft_before, &r->fx);
	zk_recent_clear(r->recent);
	for (size_t i = 0; i < r->fx.failed_count; i++)
		r->options.sink.barrier(r->options.sink.arg, r->fx.failed[i],
		    false);
	r->log_first = r->log_first_before;
	r->log_bytes = r->log_bytes_before;
	r->held_count = 0;
	r->answer_count = 0;
	zk_news_drop(&r->news);
	zk_replica_snapshot_undo(r);
}

/* The disk is full: the others go on without us until there is room. */
static int
resign(struct zk_replica *r)
{
	const struct zk_event event = {.type = ZK_EV_RESIGN};

	int rc;

	r->fatal = 0;
	r->wrote = false;
	rc = zk_replica_step(r, &event);
	ZK_ASSERT(!r->wrote);
	if (r->tx != NULL)
		zk_store_abort(r->tx); /* it has read */
	r->tx = NULL;
	return rc;
}

static int
commit(struct zk_replica *r)
{
	struct zk_tx *tx = r->tx;
	const uint64_t applied = tx != NULL ? tx->state.applied_index : 0;
	int rc;

	if (tx == NULL)
		return 0;
	r->tx = NULL;
	if (!r->wrote && applied == r->applied) {
		zk_store_abort(tx);
		return 0;
	}
	/* The log alone is nothing that readers look at. */
	if (applied == r->applied && !is_alone(&r->raft))
		return zk_store_commit_later(tx);
	/*
	 * Of several, what is applied is durable with a majority: whoever waits
	 * for it need not wait for the flush of what came since.
	 */
	rc = is_alone(&r->raft) ? zk_store_commit(tx)
	                        : zk_store_commit_ahead(tx);
	if (rc == 0)
		r->applied = applied;
	return rc;
}

static void
tell(struct zk_replica *r)
{
	const struct zk_replica_sink *sink = &r->options.sink;
	size_t kept = 0;

	if (r->replaced)
		sink->replaced(sink->arg);
	if (r->replaced || r->members)
		sink->members(sink->arg, r->lead);
	zk_news_tell(&r->news, sink->changed, sink->arg);
	for (size_t i = 0; i < r->answer_count; i++) {
		const struct zk_answer *a = &r->answers[i];

		if (a->waits)
			sink->waits(sink->arg, a->session, a->number);
		else
			sink->answered(sink->arg, a->session, a->number,
			    &a->outcome);
	}
	r->answer_count = 0;
	for (size_t i = 0; i < r->read_count; i++) {
		if (r->reads[i].index <= r->applied)
			sink->barrier(sink->arg, r->reads[i].ctx, true);
		else
			r->reads[kept++] = r->reads[i];
	}
	r->read_count = kept;
}

static int
send_held(struct zk_replica *r)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->held_count; i++)
		rc = zk_replica_send(r, &r->held[i]);
	r->held_count = 0;
	return rc;
}

/*
 * A leader waits for what a follower is to store: that comes first, and what is
 * committed is applied in a turn right after.
 */
static bool
applies_next(struct zk_replica *r, bool stored)
{
	r->applies_next = !r->applies_next && stored &&
	    r->raft.role == ZK_FOLLOWER && r->raft.commit_index > r->applied;
	return r->applies_next;
}

/*
 * To apply some entries takes as long as a flush: so a group of one, which
 * waits for both, does them at once.  Of several, who waits for an entry has
 * not to wait for the flush of what came since, and is asked to say so soon.
 */
static bool
flushes_beside(const struct zk_replica *r)
{
	return r->tx != NULL && r->wrote && is_alone(&r->raft) &&
	    r->raft.commit_index >= r->applied + FLUSH_BESIDE_MIN;
}

/* A turn takes its time from here on: for what it applies, and for the disk. */
static void
push(struct zk_replica *r)
{
	if (r->options.sink.push != NULL)
		r->options.sink.push(r->options.sink.arg);
}

/* After the commit: who waits for it, then the flush of what it did not need. */
static int
flush_rest(struct zk_replica *r)
{
	if (!zk_store_is_ahead(r->store))
		return 0;
	tell(r);
	r->options.sink.told(r->options.sink.arg);
	push(r);
	return fail(r, zk_store_flush(r->store));
}

int
zk_replica_end(struct zk_replica *r, bool *ret_more)
{
	const bool alone = is_alone(&r->raft);
	const bool stored = r->wrote;
	bool beside;
	int rc = r->fatal;

	push(r);
	/*
	 * The flush that makes this turn durable comes at its end, and of a
	 * group of one nobody hears before it.  So Raft may be told now, and
	 * what that commits is applied in the same transaction: either all of
	 * it is on disk, or none.
	 */
	if (rc == 0 && alone && stored)
		rc = step_stored(r);
	beside = flushes_beside(r);
	/* What this removes from the log is in the same flush. */
	if (rc == 0 && beside)
		rc = zk_replica_trim(r);
	if (rc == 0 && beside)
		rc = zk_store_begin_flush(r->tx);
	if (rc == 0 && !applies_next(r, stored) && !r->applies_later)
		rc = zk_replica_apply(r);
	if (rc == 0 && !beside)
		rc = zk_replica_trim(r);
	if (rc < 0) {
		if (r->tx != NULL)
			zk_store_abort(r->tx);
		r->tx = NULL;
		if (zk_store_broken(r->store) < 0)
			return zk_store_broken(r->store);
	} else {
		rc = commit(r);
	}
	if (rc < 0) {
		undo(r);
		r->counts.disk_full += rc == -ENOSPC;
		/* Alone before this turn, and in it: nobody has heard a thing. */
		if (rc == -ENOSPC && !(alone && is_alone(&r->raft)) &&
		    resign(r) < 0)
			return r->fatal;
		return rc;
	}
	rc = flush_rest(r);
	if (rc < 0)
		return rc;
	/* Told after the flush, Raft asks for nothing that needs another. */
	r->wrote = false;
	if (!alone && stored)
		rc = step_stored(r);
	if (rc == 0)
		rc = zk_replica_snapshot_pump(r);
	if (rc == 0)
		rc = send_held(r);
	ZK_ASSERT(!r->wrote);
	if (r->tx != NULL)
		zk_store_abort(r->tx);
	r->tx = NULL;
	tell(r);
	*ret_more = r->applied < r->raft.commit_index && !r->applies_later;
	return rc;
}

const struct zk_raft *
zk_replica_raft(const struct zk_replica *r)
{
	return &r->raft;
}

const struct zk_replica_counts *
zk_replica_counts(const struct zk_replica *r)
{
	return &r->counts;
}

/* Of a turn that is undone, too: what is applied again gives the same. */
void
zk_replica_note_digest(struct zk_replica *r)
{
	const struct zk_state *state = &r->tx->state;
	const size_t i = state->applied_index % DIGEST_RING;

	r->digests[i].index = state->applied_index;
	r->digests[i].digest = state->digest;
}

bool
zk_replica_digest(const struct zk_replica *r, uint64_t index,
    uint64_t *ret_digest)
{
	const size_t i = index % DIGEST_RING;

	if (index == 0 || r->digests[i].index != index)
		return false;
	*ret_digest = r->digests[i].digest;
	return true;
}

uint64_t
zk_replica_applied(const struct zk_replica *r)
{
	return r->applied;
}
