#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "queue/broker_impl.h"

/* A replica's beginning: a new one, and one that is on disk. */

#define HEADS_MIN 16u

static int
heads_grow(struct zk_group *g, uint64_t first, uint64_t index)
{
	uint64_t cap = g->heads_cap == 0 ? HEADS_MIN : g->heads_cap;
	struct zk_head *heads;

	while (index - first >= cap)
		cap *= 2;
	if (cap == g->heads_cap)
		return 0;
	heads = calloc(cap, sizeof(*heads));
	if (heads == NULL)
		return -ENOMEM;
	for (uint64_t i = first; g->heads_cap > 0 && i < index; i++)
		heads[i & (cap - 1)] = g->heads[i & (g->heads_cap - 1)];
	free(g->heads);
	g->heads = heads;
	g->heads_cap = cap;
	return 0;
}

int
zk_group_push_head(struct zk_group *g, const struct zk_pentry *entry,
    uint64_t from)
{
	int rc = heads_grow(g, g->state.commit_index + 1, entry->index);

	if (rc < 0)
		return rc;
	g->heads[entry->index & (g->heads_cap - 1)] = (struct zk_head){
	    .kind = entry->kind,
	    .len = entry->len,
	    .offset = entry->offset,
	    .time = entry->time,
	    .session = entry->session,
	    .number = entry->number,
	    .acked = entry->acked,
	    .from = from,
	};
	return 0;
}

/* The core asks, while it steps, for terms that it remembers no more. */
static uint64_t
term_of(void *arg, uint64_t index)
{
	struct zk_group *g = arg;
	struct zk_pentry entry;
	struct zk_tx *tx;

	if (index <= g->state.base_index)
		return 0;
	if (zk_broker_reader(g->part->broker, &tx) < 0 ||
	    zk_plog_head(tx, g->part->id, index, &entry) < 0)
		return 0;
	return entry.term;
}

/* The terms of the log, found by bisection: it may be long. */
static int
recover_terms(struct zk_group *g, struct zk_tx *tx, uint64_t last,
    struct zk_raft_start *start)
{
	struct zk_pspan span = {.first = g->state.base_index + 1, .last = last};
	struct zk_pentry entry;
	uint64_t next = 0;
	int rc = 0;

	while (rc == 0 && span.first <= last) {
		rc = zk_plog_head(tx, g->part->id, span.first, &entry);
		if (rc == 0)
			rc = zk_plog_find_term(tx, g->part->id, span,
			    entry.term, &next);
		if (rc == 0)
			rc = zk_raft_start_run(start, span.first, next - 1,
			    entry.term);
		span.first = next;
	}
	return rc == -ENOENT ? -ZK_ECORRUPT : rc;
}

/* What is applied, and what comes after that. */
static int
recover_entries(struct zk_group *g, struct zk_tx *tx, uint64_t last)
{
	const uint64_t applied = g->state.commit_index;
	struct zk_pentry entry;
	int rc = 0;

	g->end = g->tail_offset = g->state.base_offset;
	g->tail_time = g->state.time;
	if (applied > g->state.base_index) {
		rc = zk_plog_head(tx, g->part->id, applied, &entry);
		if (rc < 0)
			return rc == -ENOENT ? -ZK_ECORRUPT : rc;
		g->end = g->tail_offset = zk_pentry_end(&entry);
		g->tail_time = entry.time;
	}
	for (uint64_t index = applied + 1; rc == 0 && index <= last; index++) {
		rc = zk_plog_head(tx, g->part->id, index, &entry);
		if (rc == 0)
			rc = zk_group_push_head(g, &entry, 0);
		if (rc == 0 && entry.kind == ZK_PENTRY_DATA)
			rc = zk_writers_logged(&g->writers, entry.session,
			    entry.number);
		if (rc == 0) {
			g->tail_offset = zk_pentry_end(&entry);
			g->tail_time = entry.time;
		}
	}
	return rc == -ENOENT ? -ZK_ECORRUPT : rc;
}

/* Configurations, as far as applied, and after that. */
static void
recover_confs(const struct zk_group *g, struct zk_raft_start *start)
{
	const struct zk_pstate *state = &g->state;
	uint32_t i = 0;

	while (i + 1 < state->conf_count &&
	    state->confs[i + 1].index <= state->commit_index)
		i++;
	start->conf = state->confs[i];
	/* The oldest may stand for one before it. */
	if (start->conf.index > state->commit_index)
		start->conf.index = state->commit_index;
	start->confs = &state->confs[i + 1];
	start->conf_count = state->conf_count - i - 1;
}

static int
recover(struct zk_group *g, struct zk_tx *tx)
{
	struct zk_broker *b = g->part->broker;
	struct zk_raft_start start = {
	    .self = b->options.self,
	    .seed = zk_mix64(b->session ^ g->part->id),
	    .election_ms = b->options.election_ms,
	    .heartbeat_ms = b->options.heartbeat_ms,
	    .append_bytes_max = ZK_GROUP_APPEND_BYTES,
	    .window_bytes_max = ZK_GROUP_WINDOW_BYTES,
	    .uncommitted_bytes_max = ZK_GROUP_PROPOSED_MAX,
	    .base_index = g->state.base_index,
	    .base_term = g->state.base_term,
	    .commit_index = g->state.commit_index,
	    .term_of = term_of,
	    .term_arg = g,
	};
	uint64_t last;
	int rc;

	rc = zk_phard_get(tx, g->part->id, &start.term, &start.vote);
	if (rc == 0 || rc == -ENOENT)
		rc = zk_pfloor_get(tx, g->part->id, &g->floor_term,
		    &g->floor_index);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	rc = zk_plog_last(tx, g->part->id, g->state.base_index, &last);
	if (rc == 0)
		rc = recover_terms(g, tx, last, &start);
	if (rc == 0)
		rc = zk_writers_load(tx, g->part->id, &g->writers);
	if (rc == 0)
		rc = recover_entries(g, tx, last);
	if (rc < 0)
		return rc;
	recover_confs(g, &start);
	return zk_raft_init(&g->raft, &start);
}

int
zk_group_open(struct zk_part *part, const struct zk_pstate *state)
{
	struct zk_broker *b = part->broker;
	struct zk_group *g = calloc(1, sizeof(*g));
	struct zk_tx *tx;
	int rc;

	ZK_ASSERT(part->group == NULL);

	if (g == NULL)
		return -ENOMEM;
	g->part = part;
	g->state = *state;
	zk_writers_init(&g->writers);
	rc = zk_broker_reader(b, &tx);
	if (rc == 0)
		rc = recover(g, tx);
	if (rc < 0) {
		zk_writers_fini(&g->writers);
		free(g->heads);
		free(g);
		return rc;
	}
	if (g->raft.last_index > g->state.commit_index)
		g->found_index = g->raft.last_index;
	part->group = g;
	b->replica_count++;
	part->info_changed = true;
	b->awake_count++;
	b->shares_stale = true;
	zk_broker_touch(part);
	return 0;
}

/* A replica without data; its first state is written in this turn. */
int
zk_group_found(struct zk_part *part, const struct zk_conf *conf)
{
	struct zk_pstate state = {
	    .status = ZK_PART_LIVE,
	    .disk_first = 1,
	    .conf_count = 1,
	    .confs = {{.index = 0, .conf = *conf}},
	};
	struct zk_broker *b = part->broker;
	int rc = zk_broker_tx(b);

	if (rc == 0)
		rc = zk_pstate_put(b->tx, part->id, &state);
	b->wrote = true;
	if (rc == 0)
		rc = zk_group_open(part, &state);
	return rc;
}

void
zk_group_close(struct zk_group *g)
{
	struct zk_broker *b;

	if (g == NULL)
		return;
	b = g->part->broker;
	if (!g->asleep)
		b->awake_count--;
	/* Nothing that is held may be of it. */
	for (size_t i = 0; i < b->held_count; i++)
		if (b->held[i].group == g)
			b->held[i].group = NULL;
	zk_late_forget(g);
	b->shares_stale = true;
	g->part->group = NULL;
	b->replica_count--;
	g->part->info_changed = true;
	zk_writers_fini(&g->writers);
	free(g->heads);
	free(g->syncs);
	free(g);
}
