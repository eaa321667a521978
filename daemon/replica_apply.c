#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/replica_impl.h"
#include "store/apply.h"

static struct zk_answer *
new_answer(struct zk_replica *r)
{
	if (r->answer_count == r->answer_cap) {
		const size_t cap = r->answer_cap == 0 ? 64 : 2 * r->answer_cap;
		void *grown =
		    reallocarray(r->answers, cap, sizeof(*r->answers));

		if (grown == NULL) {
			r->fatal = -ENOMEM;
			return NULL;
		}
		r->answers = grown;
		r->answer_cap = cap;
	}
	return &r->answers[r->answer_count++];
}

static void
on_change(void *arg, const struct zk_change *change)
{
	struct zk_replica *r = arg;

	if (zk_news_add(&r->news, change) < 0)
		r->fatal = -ENOMEM;
}

static void
on_answer(void *arg, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	struct zk_answer *answer = new_answer(arg);

	if (answer == NULL)
		return;
	answer->session = session;
	answer->number = number;
	answer->waits = false;
	answer->outcome = *outcome;
}

static void
on_waits(void *arg, uint64_t session, uint64_t number)
{
	struct zk_answer *answer = new_answer(arg);

	if (answer == NULL)
		return;
	answer->session = session;
	answer->number = number;
	answer->waits = true;
}

static void
on_members(void *arg, uint64_t lead)
{
	struct zk_replica *r = arg;

	r->members = true;
	if (lead != 0)
		r->lead = lead;
}

static void
note_news(struct zk_replica *r)
{
	r->counts.locks += (r->tx->news & ZK_TX_LOCKS) != 0;
	r->counts.sessions += (r->tx->news & ZK_TX_SESSIONS) != 0;
	r->tx->news = 0;
}

int
zk_replica_apply(struct zk_replica *r)
{
	const struct zk_apply_sink sink = {
	    .arg = r,
	    .change = on_change,
	    .answer = on_answer,
	    .waits = on_waits,
	    .members = on_members,
	};
	const struct zk_history_limits limits = {
	    .rows = HISTORY_ROWS,
	    .bytes = HISTORY_BYTES,
	};
	const uint64_t commit = r->raft.commit_index;
	/* A snapshot that this turn has installed counts. */
	uint64_t stop,
	    index = r->tx != NULL ? r->tx->state.applied_index : r->applied;
	int rc = 0;

	if (commit == index)
		return 0;
	stop = commit - index > APPLY_ENTRIES_MAX ? index + APPLY_ENTRIES_MAX
	                                          : commit;
	rc = zk_replica_tx(r);
	while (rc == 0 && index < stop) {
		struct zk_entry entry;

		rc = zk_replica_entry(r, ++index, &entry);
		if (rc == 0)
			rc = zk_apply(r->tx, &entry, &sink);
		if (rc == 0)
			zk_replica_note_digest(r);
		note_news(r);
		if (rc == 0)
			rc = r->fatal;
	}
	/* A committed entry that is not here is a hole in the log. */
	if (rc == -ENOENT)
		rc = -ZK_ECORRUPT;
	return rc == 0 ? zk_history_trim(r->tx, &limits) : rc;
}

/* A log longer than the ring is counted coarsely, and never below nothing. */
void
zk_replica_forget_length(struct zk_replica *r, uint64_t index)
{
	const uint32_t len = r->lengths[index % LOG_RING];

	r->log_bytes -= len < r->log_bytes ? len : r->log_bytes;
}

/*
 * What is applied everywhere is kept for a while, for those who lag.  The
 * newest entry stays: it tells the term of what came before the next.
 */
int
zk_replica_trim(struct zk_replica *r)
{
	const uint32_t keep = r->options.log_keep;
	const uint32_t lot = keep < LOG_LOT ? keep : LOG_LOT;
	struct zk_event event = {.type = ZK_EV_COMPACTED};
	uint64_t last, below = r->log_first;
	int rc;

	if (r->tx == NULL ||
	    (r->raft.last_index - below < keep + lot / 2 &&
	        r->log_bytes <= LOG_KEEP_MAX))
		return 0;
	last = r->tx->state.applied_index;
	if (zk_replica_snapshot_pins(r) < last && r->log_bytes < LOG_PINNED_MAX)
		last = zk_replica_snapshot_pins(r);
	/* A crash takes the tree back to there. */
	if (zk_store_durable_index(r->store) < last)
		last = zk_store_durable_index(r->store);
	while (below < last && below - r->log_first < lot &&
	    (last - below > keep || r->log_bytes > LOG_KEEP_MAX)) {
		zk_replica_forget_length(r, below);
		below++;
	}
	if (below == r->log_first)
		return 0;
	event.index = below;
	event.term = zk_raft_term_at(&r->raft, below - 1);
	rc = zk_log_trim(r->tx, below, lot);
	if (rc < 0)
		return rc;
	r->log_first = below;
	return zk_replica_step(r, &event);
}
