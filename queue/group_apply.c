#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * Applying: what is committed can be read and its writers are answered.
 * Nothing is written; what this changes is on disk with the next state.
 */

static int
apply_data(struct zk_group *g, uint64_t index, const struct zk_head *head)
{
	const struct zk_pentry entry = {
	    .index = index,
	    .kind = head->kind,
	    .time = head->time,
	    .offset = head->offset,
	    .session = head->session,
	    .number = head->number,
	    .acked = head->acked,
	    .len = head->len,
	};

	ZK_ASSERT(head->offset == g->end);

	g->end += head->len;
	g->state.time = head->time;
	g->part->info_changed = true;
	if (head->from != 0)
		zk_late_answered(g, head->from, index);
	if (head->from != 0)
		zk_append_tell(g->part, head->from, head->session, head->number,
		    ZK_SAY_DONE, head->offset);
	return zk_writers_committed(&g->writers, &entry);
}

int
zk_group_apply(struct zk_group *g)
{
	struct zk_broker *b = g->part->broker;
	int rc = 0;

	while (rc == 0 && g->state.commit_index < g->raft.commit_index) {
		const uint64_t index = g->state.commit_index + 1;
		const struct zk_head head = *zk_group_head(g, index);

		g->state.commit_index = index;
		g->unsaved++;
		if (head.kind == ZK_PENTRY_DATA)
			rc = apply_data(g, index, &head);
		else if (head.kind == ZK_PENTRY_TRIM)
			rc = zk_group_trimmed(g, &head);
	}
	if (g->state.commit_index >= g->found_index ||
	    g->state.commit_index == g->raft.last_index)
		zk_group_now_known(g);
	return zk_broker_fail(b, rc);
}
