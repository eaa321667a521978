#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * Retention.  The leader says in an entry, TRIM, after which entry the
 * partition begins from now on, so that it begins at the same offset on all
 * replicas.  Each then deletes what is before that in small lots, at its own
 * pace.  An entry TRIM has no payload: its session is the index of the last
 * entry that goes, its number that entry's term, and its acked the offset
 * after it.
 */

/*
 * Not for every record: a hundredth of the time, and an eighth of the size,
 * may be more, within bounds.
 */
#define SLACK_MS_MAX    600000u
#define SLACK_BYTES_MAX (16ull * ZK_MIB)

/* How often it is looked for what is too old, at least. */
#define LOOK_MS_MAX 30000u

static struct zk_pspan
applied_span(const struct zk_group *g)
{
	return (struct zk_pspan){
	    .first = g->state.base_index + 1,
	    .last = g->state.commit_index,
	    .start = g->state.base_offset,
	    .end = g->end,
	};
}

static bool
is_too_large(const struct zk_group *g)
{
	const uint64_t keep = g->part->spec.retention_bytes;
	const uint64_t slack =
	    keep / 8 < SLACK_BYTES_MAX ? keep / 8 : SLACK_BYTES_MAX;

	return keep > 0 && g->end - g->state.base_offset > keep + slack;
}

bool
zk_group_outgrew(const struct zk_group *g)
{
	return zk_group_leads(g) && !g->trimming && is_too_large(g);
}

/* The last entry that goes for the size; 0: none.  The newest stays. */
static int
last_by_size(struct zk_group *g, struct zk_tx *tx, uint64_t *ret_index)
{
	const uint64_t keep = g->part->spec.retention_bytes;
	const struct zk_pspan span = applied_span(g);
	uint64_t newest, index;
	int rc;

	*ret_index = 0;
	if (!is_too_large(g))
		return 0;
	rc = zk_plog_find_offset(tx, g->part->id, span, g->end - 1, &newest);
	if (rc == 0)
		rc = zk_plog_find_offset(tx, g->part->id, span,
		    g->end - keep - 1, &index);
	if (rc == 0)
		*ret_index = index < newest ? index : newest - 1;
	return rc;
}

static struct zk_stamp
before(struct zk_stamp now, uint64_t ms)
{
	const int64_t sec = (int64_t)(ms / 1000);
	const uint32_t nsec = (uint32_t)(ms % 1000) * 1000000u;
	struct zk_stamp stamp = {.sec = now.sec - sec, .nsec = now.nsec};

	if (stamp.nsec < nsec) {
		stamp.sec--;
		stamp.nsec += 1000000000u;
	}
	stamp.nsec -= nsec;
	return stamp;
}

static int
last_by_time(struct zk_group *g, struct zk_tx *tx, uint64_t *ret_index)
{
	const uint64_t keep = g->part->spec.retention_ms;
	const uint64_t slack =
	    keep / 100 < SLACK_MS_MAX ? keep / 100 : SLACK_MS_MAX;
	const struct zk_stamp now = g->part->broker->now.wall;
	const uint64_t now_ms = zk_broker_now(g->part->broker);
	struct zk_pspan span = applied_span(g);
	struct zk_pentry oldest = {0};
	uint64_t index;
	int rc;

	*ret_index = 0;
	if (keep == 0 || g->end == g->state.base_offset ||
	    keep / 1000 >= (uint64_t)INT32_MAX || now_ms < g->look_ms)
		return 0;
	g->look_ms = now_ms + (slack < LOOK_MS_MAX ? slack : LOOK_MS_MAX);
	rc = zk_plog_find_offset(tx, g->part->id, span, g->state.base_offset,
	    &span.first);
	if (rc == 0)
		rc = zk_plog_head(tx, g->part->id, span.first, &oldest);
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	if (zk_stamp_compare(oldest.time, before(now, keep + slack)) >= 0)
		return 0;
	rc =
	    zk_plog_find_time(tx, g->part->id, span, before(now, keep), &index);
	*ret_index = index - 1;
	return rc;
}

static int
propose_trim(struct zk_group *g, struct zk_tx *tx, uint64_t index)
{
	const struct zk_event event = {.type = ZK_EV_PROPOSE, .count = 1};
	struct zk_broker *b = g->part->broker;
	struct zk_pentry last;
	int rc;

	rc = zk_plog_head(tx, g->part->id, index, &last);
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ECORRUPT : rc;
	b->trim_index = index;
	b->trim_term = last.term;
	b->trim_offset = zk_pentry_end(&last);
	zk_group_wake(g);
	rc = zk_group_step(g, &event);
	b->trim_index = 0;
	g->trimming = rc == 0;
	return b->fatal;
}

int
zk_group_retain(struct zk_group *g)
{
	const struct zk_partition_spec *spec = &g->part->spec;
	uint64_t by_size = 0, by_time = 0, index;
	struct zk_tx *tx;
	int rc;

	if (!zk_group_leads(g) || g->trimming || spec->id == 0 ||
	    (spec->retention_ms == 0 && spec->retention_bytes == 0))
		return 0;
	rc = zk_broker_reader(g->part->broker, &tx);
	if (rc == 0)
		rc = last_by_size(g, tx, &by_size);
	if (rc == 0)
		rc = last_by_time(g, tx, &by_time);
	if (rc < 0)
		return zk_broker_fail(g->part->broker, rc);
	index = by_size > by_time ? by_size : by_time;
	if (index <= g->state.base_index)
		return 0;
	return zk_broker_fail(g->part->broker, propose_trim(g, tx, index));
}

int
zk_group_trimmed(struct zk_group *g, const struct zk_head *head)
{
	struct zk_event event = {.type = ZK_EV_COMPACTED};
	struct zk_pstate *state = &g->state;

	g->trimming = false;
	if (head->session <= state->base_index ||
	    head->session > state->commit_index)
		return 0;
	ZK_ASSERT(head->acked <= g->end);

	g->part->broker->counts.retained += head->session - state->base_index;
	state->base_index = head->session;
	state->base_term = head->number;
	state->base_offset = head->acked;
	while (state->conf_count > 1 &&
	    state->confs[1].index <= state->base_index) {
		for (uint32_t i = 1; i < state->conf_count; i++)
			state->confs[i - 1] = state->confs[i];
		state->conf_count--;
	}
	g->part->info_changed = true;
	g->part->broker->trash = true;
	event.index = state->base_index + 1;
	event.term = state->base_term;
	return zk_group_step(g, &event);
}
