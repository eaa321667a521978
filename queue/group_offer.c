#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * Batches that a writer offers to this replica.  The leader takes up those
 * that are next in the writer's order; of the others it says what is the
 * matter.
 */

/* Leadership is not given away for a full disk more often than this. */
#define FULL_TRY_MS 2000u

/* One is enough for the writer to send all again, but not to give them up. */
static void
refuse(struct zk_group *g, uint64_t from, uint64_t session,
    const struct zk_offer *offers, size_t count, enum zk_verdict verdict)
{
	if (verdict != ZK_SAY_FULL)
		count = 1;
	for (size_t i = 0; i < count; i++)
		zk_append_tell(g->part, from, session, offers[i].number,
		    verdict, 0);
}

/* It is under way already; the answer goes to whoever asked last. */
static void
repeat(struct zk_group *g, uint64_t from, uint64_t session, uint64_t number)
{
	for (uint64_t index = g->raft.last_index; index > g->state.commit_index;
	     index--) {
		struct zk_head *head = zk_group_head(g, index);

		if (head->kind == ZK_PENTRY_DATA && head->session == session &&
		    head->number == number) {
			head->from = from;
			return;
		}
	}
}

/* What is taken up now could not be committed: most disks are full. */
static bool
quorum_has_room(struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	unsigned voters = 0, room = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		const struct zk_host *host =
		    zk_host_find(g->part->broker, conf->ids[i]);

		if ((conf->voter_bits >> i & 1) == 0)
			continue;
		voters++;
		/* Of one that is not heard nobody knows. */
		room += host == NULL || !host->alive || host->room;
	}
	return room > voters / 2;
}

/* A voter that has all, or nearly, and a disk with room; 0: none. */
static uint64_t
who_has_room(struct zk_group *g)
{
	const struct zk_conf *conf = zk_raft_conf(&g->raft);
	uint64_t best = 0, best_match = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		const struct zk_host *host =
		    zk_host_find(g->part->broker, conf->ids[i]);
		struct zk_member_status status;

		if (host == NULL || !host->alive || !host->room ||
		    zk_raft_member_status(&g->raft, i, &status) < 0 ||
		    !status.voter || status.match <= best_match)
			continue;
		best = conf->ids[i];
		best_match = status.match;
	}
	return best;
}

/*
 * Our disk is full.  Another member's may not be: then that one should lead.
 * If there is none, or it does not come to that, the writers are told.
 */
static enum zk_verdict
when_full(struct zk_group *g)
{
	const struct zk_event event = {
	    .type = ZK_EV_TRANSFER,
	    .peer = who_has_room(g),
	};
	const uint64_t now = zk_broker_now(g->part->broker);

	if (g->raft.transfer_to != 0)
		return ZK_SAY_BUSY;
	if (event.peer == 0 ||
	    (g->full_ms != 0 && now - g->full_ms < FULL_TRY_MS))
		return ZK_SAY_FULL;
	g->full_ms = now;
	zk_group_wake(g);
	return zk_group_step(g, &event) == 0 ? ZK_SAY_BUSY : ZK_SAY_FULL;
}

static void
propose(struct zk_group *g, uint64_t from, uint64_t session, uint64_t acked,
    const struct zk_offer *offers, size_t count)
{
	struct zk_event event = {
	    .type = ZK_EV_PROPOSE,
	    .count = (uint32_t)count,
	};
	struct zk_broker *b = g->part->broker;
	int rc;

	if (!b->room || !quorum_has_room(g)) {
		refuse(g, from, session, offers, count,
		    b->room ? ZK_SAY_FULL : when_full(g));
		return;
	}
	for (size_t i = 0; i < count; i++)
		event.bytes += offers[i].len;
	b->proposed = offers;
	b->proposed_count = count;
	b->proposed_first = 0;
	b->proposed_session = session;
	b->proposed_acked = acked;
	b->proposed_from = from;
	zk_group_wake(g);
	rc = zk_group_step(g, &event);
	b->proposed = NULL;
	b->proposed_count = 0;
	if (rc == -EAGAIN)
		refuse(g, from, session, offers, count, ZK_SAY_BUSY);
	else if (rc == -ZK_ENOTLEADER)
		refuse(g, from, session, offers, count, ZK_SAY_NOTLEADER);
}

/* The first of them is not next: what is it then? */
static void
explain(struct zk_group *g, uint64_t from, uint64_t session,
    const struct zk_offer *offer, enum zk_writer_verdict verdict,
    uint64_t offset)
{
	struct zk_broker *b = g->part->broker;

	if (verdict == ZK_WRITER_GAP) {
		zk_append_tell(g->part, from, session, offer->number,
		    ZK_SAY_GAP, 0);
		return;
	}
	b->counts.repeated++;
	if (verdict == ZK_WRITER_DONE)
		zk_append_tell(g->part, from, session, offer->number,
		    ZK_SAY_DONE, offset);
	else if (verdict == ZK_WRITER_PENDING)
		repeat(g, from, session, offer->number);
}

void
zk_group_offer(struct zk_group *g, uint64_t from, uint64_t session,
    uint64_t acked, const struct zk_offer *offers, size_t count)
{
	size_t first = 0, next = 1;

	if (!zk_group_leads(g)) {
		refuse(g, from, session, offers, count, ZK_SAY_NOTLEADER);
		return;
	}
	/* What was sent before comes first. */
	for (; first < count; first++) {
		uint64_t offset = 0;
		const enum zk_writer_verdict verdict = zk_writers_judge(
		    &g->writers, session, offers[first].number, acked, &offset);

		if (verdict == ZK_WRITER_NEXT)
			break;
		explain(g, from, session, &offers[first], verdict, offset);
		if (verdict == ZK_WRITER_GAP)
			return;
	}
	if (first == count)
		return;
	/* Then those that follow each other, but for some given up. */
	next = first + 1;
	while (next < count && offers[next].number > offers[next - 1].number &&
	    (offers[next].number - 1 == offers[next - 1].number ||
	        offers[next].number - 1 <= acked) &&
	    offers[next].number - acked <= ZK_WRITER_WINDOW)
		next++;
	propose(g, from, session, acked, &offers[first], next - first);
	if (next < count)
		zk_append_tell(g->part, from, session, offers[next].number,
		    ZK_SAY_GAP, 0);
}

int
zk_group_on_forward(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t session = zk_dec_u64(dec);
	const uint64_t sending = zk_dec_u64(dec);
	const uint64_t acked = zk_dec_u64(dec);
	enum zk_verdict verdict = ZK_SAY_UNKNOWN;
	uint64_t before = 0;
	struct zk_pass pass;
	uint32_t count;

	zk_pass_decode(dec, &pass);
	count = zk_dec_u32(dec);
	if (dec->failed || count == 0 || count > ZK_OFFERS_MAX || session == 0)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t number = zk_dec_u64(dec);
		size_t len;
		const uint8_t *bytes = zk_dec_bytes(dec, ZK_BATCH_MAX, &len);

		if (dec->failed || len == 0 || bytes[len - 1] != '\n' ||
		    number <= before)
			return -EPROTO;
		b->offers[i] = (struct zk_offer){number, bytes, (uint32_t)len};
		before = number;
	}
	if (part == NULL) {
		/* Told of it later than others: it will be sent again. */
		return 0;
	}
	b->sending = sending;
	if (part->group != NULL)
		verdict = zk_group_leads(part->group)
		    ? zk_fence_judge(b, from, &pass)
		    : ZK_SAY_NOTLEADER;
	if (verdict != ZK_SAY_DONE)
		zk_append_tell(part, from, session, b->offers[0].number,
		    verdict, 0);
	else
		zk_group_offer(part->group, from, session, acked, b->offers,
		    count);
	return b->fatal;
}
