#include <errno.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * A batch is appended in a session of the tree, or not at all.  This host gives
 * up first: its clock tells it when its lease is over, before the others can
 * end the session.  What it has sent before may be late; so a leader looks at
 * the tree, too, before it takes something up.  Replicas do what the leader
 * decided and look at no tree.
 */

uint64_t
zk_fence_own(struct zk_broker *b)
{
	const struct zk_broker_sessions *sessions = &b->options.sessions;
	const uint64_t own = sessions->own(sessions->arg);

	return own == b->holder_over ? 0 : own;
}

bool
zk_fence_allows(struct zk_broker *b, uint64_t holder)
{
	return holder == 0 || b->options.sessions.own == NULL ||
	    holder == zk_fence_own(b);
}

static void
give_up(struct zk_broker *b, struct zk_request *request)
{
	/* What all that it was sent to have refused is in no log. */
	zk_broker_answer(b, request, request->asked > 0 ? -ETIMEDOUT : -EROFS);
}

/* Those of other sessions than that one. */
static void
give_up_others(struct zk_broker *b, struct zk_request_list *list,
    uint64_t holder)
{
	struct zk_request_list old = *list;
	struct zk_request *request;

	if (old.first == NULL)
		return;
	zk_request_list_init(list);
	while ((request = zk_request_list_pop(&old)) != NULL) {
		if (request->holder == 0 || request->holder == holder)
			zk_request_list_add(list, request);
		else
			give_up(b, request);
	}
}

void
zk_fence_look(struct zk_broker *b)
{
	uint64_t own;

	if (b->options.sessions.own == NULL)
		return;
	own = zk_fence_own(b);
	if (own == b->holder)
		return;
	b->holder = own;
	for (struct zk_part *part = b->busy; part != NULL;
	     part = part->next_busy) {
		give_up_others(b, &part->flight, own);
		give_up_others(b, &part->queued, own);
	}
}

void
zk_fence_told(struct zk_part *part, uint64_t number)
{
	const struct zk_request *request = part->flight.first;
	struct zk_broker *b = part->broker;

	while (request != NULL && request->number < number)
		request = request->next;
	if (request == NULL || request->number != number)
		return;
	b->holder_over = request->holder;
	zk_fence_look(b);
}

enum zk_verdict
zk_fence_judge(struct zk_broker *b, uint64_t holder)
{
	const struct zk_broker_sessions *sessions = &b->options.sessions;
	int over;

	if (holder == 0 || sessions->is_over == NULL)
		return ZK_SAY_DONE;
	over = sessions->is_over(sessions->arg, holder);
	if (over < 0)
		return ZK_SAY_BUSY;
	return over > 0 ? ZK_SAY_OVER : ZK_SAY_DONE;
}
