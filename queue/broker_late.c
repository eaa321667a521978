#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * How far a log is committed is told with the entries that follow.  When none
 * do Raft has it told by itself: a frame to each follower for each record of
 * somebody who writes one after the other, and a third of all frames.  So it
 * waits for a moment, for something else that is to be sent there, unless
 * somebody there waits: who reads at the end, or a writer who has been
 * answered and is to see what he wrote.
 *
 * Nothing depends on when it is told: a follower that does not know yet is
 * behind, as ever, and the heartbeat tells all the same.
 */

/* Who reads at the end says so again after this long. */
#define EAGER_MS 250u

static struct zk_late *
late_of(const struct zk_group *g, uint64_t node)
{
	const int slot = zk_raft_conf_slot(zk_raft_conf(&g->raft), node);

	return g->late == NULL || slot < 0 ? NULL : &g->late[slot];
}

bool
zk_late_take(struct zk_group *g, const struct zk_msg *msg)
{
	struct zk_broker *b = g->part->broker;
	struct zk_late *late;

	if (b->options.linger_ms == 0 || msg->type != ZK_MSG_COMMIT)
		return false;
	if (g->late == NULL)
		g->late = calloc(ZK_MEMBERS_MAX, sizeof(*g->late));
	late = late_of(g, msg->to);
	if (late == NULL)
		return false;
	late->msg = *msg;
	if (!late->waits)
		late->since_ms = zk_broker_now(b);
	late->waits = true;
	if (!g->in_late) {
		g->in_late = true;
		g->next_late = b->late;
		b->late = g;
	}
	return true;
}

void
zk_late_sent(struct zk_group *g, const struct zk_msg *append)
{
	struct zk_late *late = late_of(g, append->to);

	if (late == NULL || append->type != ZK_MSG_APPEND)
		return;
	late->told = append->commit;
	if (late->waits && late->msg.commit <= append->commit)
		late->waits = false;
}

void
zk_late_answered(struct zk_group *g, uint64_t node, uint64_t index)
{
	struct zk_late *late = late_of(g, node);

	if (late != NULL)
		late->answered = index;
}

void
zk_late_forget(struct zk_group *g)
{
	struct zk_group **at = &g->part->broker->late;

	while (g->in_late && *at != g)
		at = &(*at)->next_late;
	if (g->in_late)
		*at = g->next_late;
	free(g->late);
	g->late = NULL;
	g->in_late = false;
}

static bool
has_reader(const struct zk_part *part, uint64_t node)
{
	for (uint32_t i = 0; i < part->watcher_count; i++)
		if (part->watchers[i].node == node &&
		    part->watchers[i].until_ms >= zk_broker_now(part->broker))
			return true;
	return false;
}

static bool
is_due(const struct zk_group *g, const struct zk_late *late)
{
	struct zk_broker *b = g->part->broker;
	const struct zk_host *host = zk_host_find(b, late->msg.to);

	if (host == NULL || host->out[ZK_BROKER_FAST].len > 0 ||
	    host->out[ZK_BROKER_BULK].len > 0)
		return true;
	return late->answered > late->told ||
	    zk_broker_now(b) - late->since_ms >= b->options.linger_ms ||
	    has_reader(g->part, late->msg.to);
}

/* True: some of it waits on. */
static bool
send_group(struct zk_group *g)
{
	bool waits = false;

	for (unsigned i = 0; i < ZK_MEMBERS_MAX; i++) {
		struct zk_late *late = &g->late[i];

		if (!late->waits)
			continue;
		if (!is_due(g, late)) {
			waits = true;
			continue;
		}
		late->waits = false;
		late->told = late->msg.commit;
		/* Of a term that is over it says nothing. */
		if (late->msg.term == g->raft.term)
			(void)zk_broker_fail(g->part->broker,
			    zk_group_send(g, &late->msg));
	}
	return waits;
}

void
zk_late_send(struct zk_broker *b)
{
	struct zk_group **at = &b->late, *g;

	while ((g = *at) != NULL) {
		ZK_ASSERT(g->late != NULL);
		if (send_group(g)) {
			at = &g->next_late;
			continue;
		}
		*at = g->next_late;
		g->in_late = false;
	}
}

void
zk_late_ask(struct zk_part *part)
{
	struct zk_broker *b = part->broker;
	const struct zk_group *g = part->group;
	struct zk_enc enc;
	bool found;

	if (b->options.linger_ms == 0 || g == NULL || zk_group_leads(g) ||
	    g->raft.leader == 0 ||
	    (part->eager_ms != 0 &&
	        zk_broker_now(b) - part->eager_ms < EAGER_MS))
		return;
	(void)pthread_mutex_lock(&b->lock);
	found = part->read_at_end;
	part->read_at_end = false;
	(void)pthread_mutex_unlock(&b->lock);
	if (!found ||
	    !zk_host_begin(part, g->raft.leader, ZK_BROKER_FAST, ZK_TELL_WATCH,
	        0, &enc))
		return;
	zk_host_commit(b, g->raft.leader, ZK_BROKER_FAST, &enc);
	part->eager_ms = zk_broker_now(b);
}
