#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * A replica serves reads as far as it knows, and may be behind; so may the
 * leader that it knows of.  Who wants all that was answered for asks any
 * replica, which has Raft find out: the leader is asked for its commit index,
 * and tells it when a majority has confirmed that it still leads.
 */

struct sync {
	uint64_t ctx; /* Raft's name for it; 0: free */
	uint64_t from, number;
	uint64_t index; /* all before it; when told */
	bool told, failed;
};

struct zk_syncs {
	uint64_t last_ctx;
	uint32_t count;
	struct sync rows[ZK_RAFT_READS_MAX];
};

static void
remove_row(struct zk_syncs *syncs, struct sync *sync)
{
	ZK_ASSERT(sync->ctx != 0);
	ZK_ASSERT(syncs->count > 0);

	sync->ctx = 0;
	syncs->count--;
}

/* That of the question, else a free one, else NULL. */
static struct sync *
row_for(struct zk_syncs *syncs, uint64_t from, uint64_t number)
{
	struct sync *unused = NULL;

	for (uint32_t i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct sync *sync = &syncs->rows[i];

		if (sync->ctx == 0)
			unused = sync;
		else if (sync->from == from && sync->number == number)
			return sync;
	}
	return unused;
}

static struct sync *
find_ctx(struct zk_syncs *syncs, uint64_t ctx)
{
	for (uint32_t i = 0; i < ZK_RAFT_READS_MAX; i++)
		if (syncs->rows[i].ctx == ctx)
			return &syncs->rows[i];
	return NULL;
}

int
zk_sync_begin(struct zk_group *g, uint64_t from, uint64_t number)
{
	struct zk_event event = {.type = ZK_EV_READ};
	struct sync *sync;
	int rc;

	if (!zk_group_is_readable(g))
		return -ZK_ENOTLEADER;
	if (g->syncs == NULL)
		g->syncs = calloc(1, sizeof(*g->syncs));
	if (g->syncs == NULL)
		return -ENOMEM;
	sync = row_for(g->syncs, from, number);
	if (sync == NULL)
		return -EAGAIN;
	/* Time has to pass, so that one that is lost fails. */
	zk_group_wake(g);
	if (sync->ctx != 0)
		return 0;
	event.ctx = ++g->syncs->last_ctx;
	g->syncs->count++;
	*sync = (struct sync){event.ctx, from, number, 0, false, false};
	rc = zk_group_step(g, &event);
	if (rc < 0)
		remove_row(g->syncs, sync);
	return rc;
}

void
zk_sync_told(struct zk_group *g, const struct zk_effects *fx)
{
	struct sync *sync;

	for (size_t i = 0; g->syncs != NULL && i < fx->read_count; i++) {
		sync = find_ctx(g->syncs, fx->reads[i].ctx);
		if (sync == NULL)
			continue;
		sync->told = true;
		sync->index = fx->reads[i].index;
	}
	for (size_t i = 0; g->syncs != NULL && i < fx->failed_count; i++) {
		sync = find_ctx(g->syncs, fx->failed[i]);
		if (sync != NULL)
			sync->failed = true;
	}
	if (fx->read_count > 0 || fx->failed_count > 0)
		zk_broker_touch(g->part);
}

void
zk_sync_finish(struct zk_part *part)
{
	const struct zk_group *g = part->group;

	if (g == NULL || !zk_sync_waits(g))
		return;
	for (uint32_t i = 0; i < ZK_RAFT_READS_MAX; i++) {
		struct sync *sync = &g->syncs->rows[i];
		const struct sync was = *sync;

		if (was.ctx == 0 || (!was.told && !was.failed) ||
		    (was.told && was.index > g->state.commit_index))
			continue;
		remove_row(g->syncs, sync);
		zk_ask_synced(part, was.from, was.number,
		    was.told ? 0 : -ZK_ENOTLEADER);
	}
}

bool
zk_sync_waits(const struct zk_group *g)
{
	return g->syncs != NULL && g->syncs->count > 0;
}

uint64_t
zk_sync_aim(struct zk_part *part, struct zk_request *request)
{
	const struct zk_partition_spec *spec = &part->spec;
	const uint64_t self = part->broker->options.self;
	uint64_t to = part->leader;

	/* The replica here may be cut off from the leader, or with it. */
	if (part->group != NULL && request->asked++ % 2 == 0 &&
	    zk_sync_begin(part->group, self, request->number) == 0) {
		request->asked_ms = zk_broker_now(part->broker);
		return 0;
	}
	for (uint32_t i = 0; i < spec->replica_count && (to == 0 || to == self);
	     i++)
		to = spec->replicas[(part->rotate + i) % spec->replica_count];
	return to;
}

void
zk_sync_seen(struct zk_part *part, uint64_t end)
{
	if (part->seen < end)
		part->seen = end;
	if (part->told < end)
		part->told = end;
	part->info_changed = true;
	zk_broker_touch(part);
}
