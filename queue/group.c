#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * One replica of one partition: carries out what Raft asks for.  The log is
 * the partition: applying an entry moves the end that can be read, and nothing
 * else is written for it.
 *
 * So that nothing is flushed twice, what is applied is remembered on disk only
 * now and then, with something else that is written.  After a start it is
 * found out again.
 */

/* Write the state when so much was applied since, and something is written. */
#define SAVE_ENTRIES 256u

/* So long after a start nobody may come any more. */
#define FOUND_MS 5000u

bool
zk_group_is_alone(const struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);

	return conf->count == 1 && conf->ids[0] == g->raft.self;
}

bool
zk_group_is_readable(const struct zk_group *g)
{
	return g->found_index == 0 &&
	    zk_raft_conf_is_voter(zk_raft_conf(&g->raft), g->raft.self);
}

void
zk_group_now_known(struct zk_group *g)
{
	if (g->found_index == 0)
		return;
	g->found_index = 0;
	g->part->info_changed = true;
	zk_broker_touch(g->part);
}

struct zk_head *
zk_group_head(struct zk_group *g, uint64_t index)
{
	ZK_ASSERT(index > g->state.commit_index);
	ZK_ASSERT(index <= g->raft.last_index);

	return &g->heads[index & (g->heads_cap - 1)];
}

void
zk_group_wake(struct zk_group *g)
{
	g->idle_ticks = 0;
	if (!g->asleep)
		return;
	g->asleep = false;
	g->part->broker->awake_count++;
}

/* --- what Raft wants written ---------------------------------------------- */

/* The entry of ours that Raft wants at index. */
static void
own_entry(struct zk_group *g, const struct zk_effects *fx, uint64_t index,
    struct zk_pentry *entry)
{
	struct zk_broker *b = g->part->broker;
	struct zk_enc enc;

	entry->kind = ZK_PENTRY_NOOP;
	entry->time = b->now.wall;
	/* Times never go back, whatever the clock does. */
	if (zk_stamp_compare(entry->time, g->tail_time) < 0)
		entry->time = g->tail_time;
	if (fx->append_kind == ZK_ENTRY_CONF) {
		entry->kind = ZK_PENTRY_CONF;
		zk_enc_init(&enc, b->conf_bytes, sizeof(b->conf_bytes));
		zk_conf_encode(&enc, zk_raft_conf(&g->raft));
		ZK_ASSERT(!enc.failed);
		entry->payload = b->conf_bytes;
		entry->len = (uint32_t)enc.len;
	} else if (fx->append_kind == ZK_ENTRY_DATA && b->trim_index != 0) {
		entry->kind = ZK_PENTRY_TRIM;
		entry->session = b->trim_index;
		entry->number = b->trim_term;
		entry->acked = b->trim_offset;
	} else if (fx->append_kind == ZK_ENTRY_DATA) {
		const size_t i = index - fx->append_first;

		ZK_ASSERT(i < b->proposed_count);
		b->proposed_first = fx->append_first;
		entry->kind = ZK_PENTRY_DATA;
		entry->session = b->proposed_session;
		entry->acked = b->proposed_acked;
		entry->number = b->proposed[i].number;
		entry->payload = b->proposed[i].bytes;
		entry->len = b->proposed[i].len;
	}
}

/* Configurations are remembered apart: see struct zk_pstate. */
static int
note_conf(struct zk_group *g, const struct zk_pentry *entry)
{
	struct zk_pstate *state = &g->state;
	struct zk_conf_entry *conf;
	struct zk_dec dec;

	/* The next one stands for the oldest: it is committed, too. */
	if (state->conf_count == ZK_PCONFS_MAX) {
		memmove(state->confs, state->confs + 1,
		    (ZK_PCONFS_MAX - 1) * sizeof(state->confs[0]));
		state->conf_count--;
	}
	conf = &state->confs[state->conf_count++];
	conf->index = entry->index;
	zk_dec_init(&dec, entry->payload, entry->len);
	g->state_due = true;
	g->part->broker->shares_stale = true;
	return zk_conf_decode(&dec, &conf->conf) < 0 ? -ZK_ECORRUPT : 0;
}

static int
append_one(struct zk_group *g, const struct zk_pentry *entry, uint64_t from)
{
	struct zk_broker *b = g->part->broker;
	int rc;

	if (entry->offset != g->tail_offset)
		return -ZK_ECORRUPT; /* this log is not the leader's */
	rc = zk_plog_append(b->tx, g->part->id, entry);
	b->stored_rows += 1 + entry->len / ZK_LOG_PART_BYTES;
	if (rc == 0)
		rc = zk_group_push_head(g, entry, from);
	if (rc == 0 && entry->kind == ZK_PENTRY_CONF)
		rc = note_conf(g, entry);
	if (rc == 0 && entry->kind == ZK_PENTRY_DATA)
		rc = zk_writers_logged(&g->writers, entry->session,
		    entry->number);
	g->tail_offset = zk_pentry_end(entry);
	g->tail_time = entry->time;
	return rc;
}

static int
append_entries(struct zk_group *g, const struct zk_effects *fx)
{
	struct zk_broker *b = g->part->broker;
	int rc = zk_broker_tx(b);

	for (uint64_t index = fx->append_first;
	     rc == 0 && index <= fx->append_last; index++) {
		struct zk_pentry entry = {.index = index};
		uint64_t from = 0;

		if (b->received != NULL) {
			entry = b->received[index - b->received_first];
			entry.index = index;
		} else {
			own_entry(g, fx, index, &entry);
			entry.offset = g->tail_offset;
			if (entry.kind == ZK_PENTRY_DATA)
				from = b->proposed_from;
		}
		entry.term = fx->append_term;
		rc = append_one(g, &entry, from);
	}
	return rc;
}

/* What the log ends with, now that it ends before `from`. */
static int
find_tail(struct zk_group *g, uint64_t from)
{
	struct zk_pentry entry;
	int rc;

	if (from - 1 == g->state.base_index) {
		g->tail_offset = g->state.base_offset;
		g->tail_time = g->state.time;
		return 0;
	}
	rc = zk_plog_head(g->part->broker->tx, g->part->id, from - 1, &entry);
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	g->tail_offset = zk_pentry_end(&entry);
	g->tail_time = entry.time;
	return 0;
}

static int
cut_log(struct zk_group *g, uint64_t from, uint64_t last)
{
	struct zk_broker *b = g->part->broker;
	struct zk_pstate *state = &g->state;
	int rc;

	ZK_ASSERT(from > state->commit_index);

	if (g->found_index >= from)
		g->found_index = from - 1;
	b->counts.truncations++;
	rc = zk_broker_tx(b);
	if (rc == 0)
		rc = zk_plog_truncate(b->tx, g->part->id, from, last);
	if (rc == 0)
		rc = find_tail(g, from);
	while (state->conf_count > 1 &&
	    state->confs[state->conf_count - 1].index >= from) {
		state->conf_count--;
		g->state_due = b->shares_stale = true;
	}
	zk_writers_rewind(&g->writers);
	for (uint64_t i = state->commit_index + 1; rc == 0 && i < from; i++) {
		const struct zk_head *head = &g->heads[i & (g->heads_cap - 1)];

		if (head->kind == ZK_PENTRY_DATA)
			rc = zk_writers_logged(&g->writers, head->session,
			    head->number);
	}
	return rc;
}

/* Raft has taken up a snapshot; group_snapshot.c has noted which. */
static int
install(struct zk_group *g, bool log_reset, uint64_t last)
{
	struct zk_broker *b = g->part->broker;
	struct zk_pstate *state = &g->state;
	int rc = zk_broker_tx(b);

	b->counts.snapshots++;
	if (rc == 0 && log_reset && last > state->base_index)
		rc = zk_plog_truncate(b->tx, g->part->id, state->base_index + 1,
		    last);
	if (log_reset) {
		state->conf_count = 1;
		g->tail_offset = state->base_offset;
		g->tail_time = g->state.time;
		zk_writers_rewind(&g->writers);
	}
	g->end = state->base_offset;
	state->commit_index = state->base_index;
	g->state_due = true;
	g->part->info_changed = true;
	b->shares_stale = true;
	return rc;
}

static int
make_durable(struct zk_group *g, const struct zk_effects *fx, uint64_t last)
{
	struct zk_broker *b = g->part->broker;
	int rc = 0;

	if (fx->hard_state || fx->install || fx->truncate_from != 0 ||
	    fx->append_first != 0) {
		g->wrote = true;
		zk_broker_touch(g->part);
	}
	if (fx->hard_state) {
		rc = zk_broker_tx(b);
		if (rc == 0)
			rc = zk_phard_put(b->tx, g->part->id, g->raft.term,
			    g->raft.vote);
	}
	if (rc == 0 && fx->install)
		rc = install(g, fx->log_reset, last);
	if (rc == 0 && fx->truncate_from != 0)
		rc = cut_log(g, fx->truncate_from, last);
	if (rc == 0 && fx->append_first != 0)
		rc = append_entries(g, fx);
	if (g->wrote)
		b->wrote = true;
	return rc;
}

/* --- steps ---------------------------------------------------------------- */

static int
hold(struct zk_group *g, const struct zk_msg *msg)
{
	struct zk_broker *b = g->part->broker;

	if (b->held_count == b->held_cap) {
		const size_t cap = b->held_cap == 0 ? 64 : 2 * b->held_cap;
		void *held = reallocarray(b->held, cap, sizeof(*b->held));

		if (held == NULL)
			return -ENOMEM;
		b->held = held;
		b->held_cap = cap;
	}
	b->held[b->held_count++] = (struct zk_held){.group = g, .msg = *msg};
	return 0;
}

/* Sending entries is an event with effects of its own, hence the copy. */
static int
pass_on(struct zk_group *g, const struct zk_effects *fx)
{
	struct zk_msg msgs[ZK_OUTBOX_MAX];
	uint64_t snapshot_to[ZK_MEMBERS_MAX];
	const size_t count = fx->msg_count;
	const size_t snapshot_count = fx->snapshot_count;
	int rc = 0;

	memcpy(msgs, fx->msgs, count * sizeof(msgs[0]));
	memcpy(snapshot_to, fx->snapshot_to,
	    snapshot_count * sizeof(snapshot_to[0]));
	for (size_t i = 0; rc == 0 && i < count; i++) {
		if (zk_late_take(g, &msgs[i]))
			continue;
		rc = msgs[i].after_flush ? hold(g, &msgs[i])
		                         : zk_group_send(g, &msgs[i]);
	}
	for (size_t i = 0; i < snapshot_count; i++)
		zk_group_snapshot(g, snapshot_to[i]);
	return rc;
}

int
zk_group_step(struct zk_group *g, const struct zk_event *event)
{
	struct zk_broker *b = g->part->broker;
	const uint64_t last = g->raft.last_index;
	const bool led = zk_group_leads(g);
	int rc;

	if (b->fatal < 0)
		return b->fatal;
	rc = zk_raft_step(&g->raft, event, &b->fx);
	if (rc < 0)
		return rc;
	if (b->fx.role_changed || b->fx.commit_index > g->state.commit_index)
		zk_broker_touch(g->part);
	if (b->fx.role_changed) {
		b->counts.elections += !led && zk_group_leads(g);
		zk_group_wake(g);
		zk_append_retarget(g->part);
		g->part->info_changed = true;
		g->trimming = false;
	}
	if (b->fx.conf_changed)
		g->part->info_changed = true;
	zk_sync_told(g, &b->fx);
	rc = make_durable(g, &b->fx, last);
	if (rc == 0)
		rc = pass_on(g, &b->fx);
	return zk_broker_fail(b, rc);
}

bool
zk_group_is_behind(const struct zk_group *g, uint64_t term, uint64_t index)
{
	return term < g->floor_term ||
	    (term == g->floor_term && index < g->floor_index);
}

int
zk_group_tick(struct zk_group *g, uint32_t elapsed_ms)
{
	const struct zk_event event = {
	    .type = ZK_EV_TICK,
	    .elapsed_ms = elapsed_ms,
	};

	/* Without a majority what is known can be read, at least. */
	g->found_ms += elapsed_ms < FOUND_MS ? elapsed_ms : FOUND_MS;
	if (g->found_ms >= FOUND_MS)
		zk_group_now_known(g);
	/* Time makes candidates. */
	if (zk_group_is_behind(g, zk_raft_term_at(&g->raft, g->raft.last_index),
	        g->raft.last_index))
		return 0;
	return zk_group_step(g, &event);
}

int
zk_group_stored(struct zk_group *g)
{
	const struct zk_event event = {
	    .type = ZK_EV_STORED,
	    .index = g->raft.last_index,
	    .term = zk_raft_term_at(&g->raft, g->raft.last_index),
	    .durable_term = g->raft.term,
	};

	return zk_group_step(g, &event);
}

int
zk_group_save(struct zk_group *g)
{
	struct zk_broker *b = g->part->broker;
	int rc;

	if (!g->state_due && (!g->wrote || g->unsaved < SAVE_ENTRIES))
		return 0;
	rc = zk_broker_tx(b);
	if (rc == 0)
		rc = zk_pstate_put(b->tx, g->part->id, &g->state);
	if (rc == 0)
		rc = zk_writers_save(b->tx, g->part->id, &g->writers);
	g->state_due = false;
	g->unsaved = 0;
	b->wrote = true;
	return zk_broker_fail(b, rc);
}
