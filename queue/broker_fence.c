#include <errno.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * A batch is appended in a session of the tree, or not at all.  This host gives
 * up first: its clock tells it when its lease is over, before the others can
 * end the session.  What it has sent before may be late, and the leader's tree
 * may be, so a message with batches has a pass: u64 session, u64 boot and u64
 * clock of the leader's host as that has told them last, u64 how long the lease
 * still lasted when the message was sent, in milliseconds.  It was sent after
 * the leader told its clock; so by that clock the session lasts for so long
 * after that time at least, and until then, and no longer, the leader takes it
 * up.  One that is later, or has been told no clock yet, is told one, and sends
 * again.  (The lease is counted as shorter than it is, for clocks that go at
 * different rates.)  Of a session that ends before its lease the tree tells.
 *
 * What was taken up in time comes before all that is taken up later, so before
 * what another appends who holds the lock by then.  Replicas do what the leader
 * decided and look at no tree.
 */

uint64_t
zk_fence_own(struct zk_broker *b)
{
	const struct zk_broker_sessions *sessions = &b->options.sessions;
	uint64_t left_ms;
	const uint64_t own = sessions->own(sessions->arg, &left_ms);

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

/* --- passes --------------------------------------------------------------- */

void
zk_pass_encode(struct zk_broker *b, uint64_t to, uint64_t holder,
    struct zk_enc *enc)
{
	const struct zk_broker_sessions *sessions = &b->options.sessions;
	const struct zk_host *host = zk_host_find(b, to);
	uint64_t left_ms = 0;

	ZK_ASSERT(host != NULL);

	if (holder != 0 && sessions->own != NULL &&
	    sessions->own(sessions->arg, &left_ms) != holder)
		left_ms = 0;
	zk_enc_u64(enc, holder);
	zk_enc_u64(enc, host->clock.boot);
	zk_enc_u64(enc, host->clock.ms);
	zk_enc_u64(enc, left_ms);
}

void
zk_pass_decode(struct zk_dec *dec, struct zk_pass *ret_pass)
{
	ret_pass->holder = zk_dec_u64(dec);
	ret_pass->clock.boot = zk_dec_u64(dec);
	ret_pass->clock.ms = zk_dec_u64(dec);
	ret_pass->left_ms = zk_dec_u64(dec);
}

static bool
is_late(const struct zk_broker *b, const struct zk_pass *pass)
{
	return pass->clock.boot != b->session ||
	    pass->clock.ms > zk_broker_now(b) ||
	    zk_broker_now(b) - pass->clock.ms >= pass->left_ms;
}

enum zk_verdict
zk_fence_judge(struct zk_broker *b, uint64_t from, const struct zk_pass *pass)
{
	const struct zk_broker_sessions *sessions = &b->options.sessions;
	const uint64_t now = zk_broker_now(b);
	struct zk_host *host = zk_host_get(b, from);
	const bool late = is_late(b, pass);
	int over;

	if (pass->holder == 0 || sessions->is_over == NULL)
		return ZK_SAY_DONE;
	over = sessions->is_over(sessions->arg, pass->holder);
	if (over != 0)
		return over > 0 ? ZK_SAY_OVER : ZK_SAY_BUSY;
	/* Also now and then who has no replica here, before it gets late. */
	if (host != NULL &&
	    (late || now - host->told_ms >= b->options.heartbeat_ms))
		zk_host_tell_alive(b, host);
	b->counts.late += late;
	return late ? ZK_SAY_LATE : ZK_SAY_DONE;
}
