#include <errno.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * Batches of this host on their way to the leader of their partition, which
 * may be here.  They are numbered when they are submitted and stay in that
 * order: `flight` was sent, `queued` comes after it.  Whenever something may
 * have been lost, or another leads, all of flight is sent again.
 */

/* No answer for so long: another host may know better. */
#define RESEND_MS 600u
#define BUSY_MS   10u
#define GAP_MS    2u
#define NOBODY_MS 20u
/* A replica that lags is not waited for longer. */
#define UNSEEN_MS 300u

#define ANSWER_HEAD (8u + 8 + 1 + 8 + 8 + 4)

/*
 * Of so many messages it is known whether a batch was in them and not refused;
 * a bit for each.  The last bit is for those that are not kept apart any more.
 */
#define SENDINGS 63u

/* --- lists ---------------------------------------------------------------- */

void
zk_part_busy(struct zk_part *part)
{
	if (part->busy)
		return;
	part->busy = true;
	part->next_busy = part->broker->busy;
	part->broker->busy = part;
}

/* All of flight will be sent again. */
static void
requeue(struct zk_part *part)
{
	struct zk_request_list list = part->flight;

	part->aimed = 0;
	if (list.first == NULL)
		return;
	zk_request_list_init(&part->flight);
	zk_request_list_join(&list, &part->queued);
	zk_request_list_init(&part->queued);
	zk_request_list_join(&part->queued, &list);
	zk_broker_touch(part);
}

/* Takes the request of that number out of the list, or returns NULL. */
static struct zk_request *
take(struct zk_request_list *list, uint64_t number)
{
	struct zk_request **at = &list->first, *request;

	/* In the order of their numbers. */
	while (*at != NULL && (*at)->number < number)
		at = &(*at)->next;
	request = *at;
	if (request == NULL || request->number != number)
		return NULL;
	*at = request->next;
	if (*at == NULL)
		list->last = at;
	list->count--;
	list->bytes -= request->len;
	request->next = NULL;
	return request;
}

/* --- where to ------------------------------------------------------------- */

uint64_t
zk_part_aim(struct zk_part *part)
{
	const struct zk_partition_spec *spec = &part->spec;
	const struct zk_group *g = part->group;
	const uint64_t self = part->broker->options.self;
	uint64_t node;

	if (g != NULL && zk_group_is_readable(g))
		return g->raft.leader;
	if (part->leader != 0)
		return part->leader;
	if (spec->replica_count == 0)
		return 0;
	node = spec->replicas[part->rotate % spec->replica_count];
	if (node == self)
		node = spec->replicas[(part->rotate + 1) % spec->replica_count];
	return node != self ? node : 0;
}

void
zk_append_retarget(struct zk_part *part)
{
	if (part->flight.first == NULL && part->queued.first == NULL)
		return;
	part->hold_ms = 0;
	if (zk_part_aim(part) != part->aimed)
		requeue(part);
	zk_broker_touch(part);
}

void
zk_part_hear_leader(struct zk_part *part, uint64_t from, uint64_t leader,
    uint64_t term)
{
	struct zk_broker *b = part->broker;

	if (part->leader == from)
		part->leader = 0;
	if (leader != 0 && leader != from && leader != b->options.self &&
	    term >= part->leader_term) {
		part->leader = leader;
		part->leader_term = term;
		part->info_changed = true;
		return;
	}
	part->rotate++;
	part->hold_ms = zk_broker_now(b) + NOBODY_MS;
}

/* --- answers -------------------------------------------------------------- */

/* If it is not here, then from now on this is not where to read. */
static void
tell_done(struct zk_part *part, struct zk_request *request)
{
	const uint64_t end = request->reply.offset + request->len;

	if (part->told < end) {
		part->told = end;
		part->info_changed = true;
		zk_broker_touch(part);
	}
	zk_broker_answer(part->broker, request, 0);
}

static void
done(struct zk_part *part, struct zk_request *request, uint64_t offset)
{
	const uint64_t end = offset + request->len;
	struct zk_broker *b = part->broker;
	const struct zk_group *g = part->group;

	b->counts.appends++;
	request->reply.offset = offset;
	if (part->seen < end)
		part->seen = end;
	/* What was answered can be read where it was written. */
	if (g == NULL || !zk_group_is_readable(g) || g->end >= end) {
		tell_done(part, request);
		return;
	}
	if (request->deadline_ms > zk_broker_now(b) + UNSEEN_MS)
		request->deadline_ms = zk_broker_now(b) + UNSEEN_MS;
	zk_request_list_add(&part->unseen, request);
}

void
zk_append_seen(struct zk_part *part)
{
	const struct zk_group *g = part->group;
	struct zk_request_list list = part->unseen;
	struct zk_request *request;

	if (list.first == NULL)
		return;
	zk_request_list_init(&part->unseen);
	while ((request = zk_request_list_pop(&list)) != NULL) {
		if (g != NULL && zk_group_is_readable(g) &&
		    g->end < request->reply.offset + request->len)
			zk_request_list_add(&part->unseen, request);
		else
			tell_done(part, request);
	}
}

/*
 * No room there.  One that was sent elsewhere before, and not refused there,
 * may be in another leader's log.
 */
static void
refused_for_room(struct zk_part *part, uint64_t number)
{
	struct zk_broker *b = part->broker;
	struct zk_request *request = part->flight.first;

	while (request != NULL && request->number != number)
		request = request->next;
	if (request == NULL)
		return;
	if (request->asked > 0) {
		part->hold_ms = zk_broker_now(b) + BUSY_MS;
		requeue(part);
		return;
	}
	request = take(&part->flight, number);
	zk_broker_answer(b, request, -ENOSPC);
}

static uint64_t
sending_bit(uint64_t sending)
{
	return 1ull << (sending % SENDINGS);
}

/*
 * Of that message it, and what came after it, is not taken up.  Other messages
 * with the same batches may be; only what all of them have refused is certainly
 * in no log.
 */
static void
was_refused(const struct zk_part *part, const struct zk_request_list *list,
    const struct zk_answered *said)
{
	if (part->sending - said->sending >= SENDINGS)
		return; /* too old, or none: its bit is another's */
	for (struct zk_request *request = list->first; request != NULL;
	     request = request->next)
		if (request->number == said->number ||
		    (request->number > said->number &&
		        said->verdict != ZK_SAY_FULL))
			request->asked &= ~sending_bit(said->sending);
}

static bool
is_in_flight(const struct zk_part *part, uint64_t number)
{
	return part->flight.first != NULL &&
	    number >= part->flight.first->number && number <= part->last_number;
}

void
zk_append_answered(struct zk_part *part, const struct zk_answered *said)
{
	const uint64_t number = said->number;
	struct zk_broker *b = part->broker;
	struct zk_request *request;

	if (said->verdict == ZK_SAY_DONE) {
		request = take(&part->flight, number);
		if (request == NULL)
			request = take(&part->queued, number);
		part->progress_ms = zk_broker_now(b);
		if (request != NULL)
			done(part, request, said->offset);
		return;
	}
	was_refused(part, &part->flight, said);
	was_refused(part, &part->queued, said);
	/* Of what was sent to somebody else before. */
	if (said->from != part->aimed || !is_in_flight(part, number))
		return;
	switch (said->verdict) {
	case ZK_SAY_FULL:
		refused_for_room(part, number);
		return;
	case ZK_SAY_GAP:
		part->hold_ms = zk_broker_now(b) + GAP_MS;
		break;
	case ZK_SAY_BUSY:
		part->hold_ms = zk_broker_now(b) + BUSY_MS;
		break;
	case ZK_SAY_OVER:
		zk_fence_told(part, number);
		return;
	case ZK_SAY_NOTLEADER:
	case ZK_SAY_UNKNOWN:
		zk_part_hear_leader(part, said->from, said->leader, said->term);
		break;
	case ZK_SAY_LATE: /* we have been told its clock, too */
	case ZK_SAY_DONE:
	default:
		break;
	}
	requeue(part);
}

/* Adds one more number to the ANSWER that the frame ends with. */
static bool
extend_answer(struct zk_out *out, uint64_t id, uint64_t session,
    uint64_t sending, enum zk_verdict verdict, const uint64_t answer[2])
{
	struct zk_dec dec;
	struct zk_enc enc;
	uint32_t count;

	if (out->answers_at == 0 || out->cap - out->len < 16 ||
	    out->len + 16 > ZK_FAST_FRAME_MAX)
		return false;
	zk_dec_init(&dec, out->bytes + out->answers_at, out->len);
	if (zk_dec_u64(&dec) != id || zk_dec_u64(&dec) != session ||
	    zk_dec_u64(&dec) != sending || zk_dec_u8(&dec) != (uint8_t)verdict)
		return false;
	(void)zk_dec_u64(&dec);
	(void)zk_dec_u64(&dec);
	count = zk_dec_u32(&dec);
	zk_enc_init(&enc, out->bytes + out->answers_at + dec.pos - 4, 4);
	zk_enc_u32(&enc, count + 1);
	zk_enc_init(&enc, out->bytes + out->len, 16);
	zk_enc_u64(&enc, answer[0]);
	zk_enc_u64(&enc, answer[1]);
	out->len += 16;
	return true;
}

void
zk_append_tell(struct zk_part *part, uint64_t to, uint64_t session,
    uint64_t number, enum zk_verdict verdict, uint64_t offset)
{
	const struct zk_group *g = part->group;
	const uint64_t leader = g != NULL ? g->raft.leader : 0;
	const uint64_t term = g != NULL ? g->raft.term : 0;
	const uint64_t answer[2] = {number, offset};
	struct zk_broker *b = part->broker;
	const uint64_t sending = verdict == ZK_SAY_DONE ? 0 : b->sending;
	struct zk_host *host;
	struct zk_enc enc;
	size_t at;

	if (to == b->options.self) {
		const struct zk_answered said = {
		    .verdict = verdict,
		    .from = to,
		    .sending = sending,
		    .number = number,
		    .offset = offset,
		    .leader = leader,
		    .term = term,
		};

		if (session == b->session)
			zk_append_answered(part, &said);
		return;
	}
	host = zk_host_get(b, to);
	if (host == NULL ||
	    extend_answer(&host->out[ZK_BROKER_FAST], part->id, session,
	        sending, verdict, answer))
		return;
	if (!zk_host_begin(part, to, ZK_BROKER_FAST, ZK_TELL_ANSWER,
	        ANSWER_HEAD + 16, &enc))
		return;
	at = enc.len - 8;
	zk_enc_u64(&enc, session);
	zk_enc_u64(&enc, sending);
	zk_enc_u8(&enc, (uint8_t)verdict);
	zk_enc_u64(&enc, leader);
	zk_enc_u64(&enc, term);
	zk_enc_u32(&enc, 1);
	zk_enc_u64(&enc, number);
	zk_enc_u64(&enc, offset);
	zk_host_commit(b, to, ZK_BROKER_FAST, &enc);
	host->out[ZK_BROKER_FAST].answers_at = at;
}

int
zk_append_on_answer(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t session = zk_dec_u64(dec);
	const uint64_t sending = zk_dec_u64(dec);
	const uint8_t verdict = zk_dec_u8(dec);
	struct zk_answered said = {.from = from, .sending = sending};
	uint32_t count;

	said.leader = zk_dec_u64(dec);
	said.term = zk_dec_u64(dec);
	count = zk_dec_u32(dec);
	if (dec->failed || verdict < ZK_SAY_DONE || verdict > ZK_SAY_LAST ||
	    count > ZK_FAST_FRAME_MAX / 16)
		return -EPROTO;
	said.verdict = (enum zk_verdict)verdict;
	for (uint32_t i = 0; i < count; i++) {
		said.number = zk_dec_u64(dec);
		said.offset = zk_dec_u64(dec);
		if (dec->failed)
			return -EPROTO;
		if (part == NULL || session != b->session)
			continue;
		zk_append_answered(part, &said);
		zk_broker_touch(part);
	}
	return 0;
}

/* --- sending -------------------------------------------------------------- */

void
zk_append_submit(struct zk_broker *b, struct zk_request *request)
{
	struct zk_part *part = zk_part_find(b, request->partition);

	if (part == NULL || part->spec.id == 0) {
		zk_broker_answer(b, request, -ENOENT);
		return;
	}
	if (!zk_fence_allows(b, request->holder)) {
		zk_broker_answer(b, request, -EROFS);
		return;
	}
	request->number = ++part->last_number;
	request->asked = 0;
	zk_request_list_add(&part->queued, request);
	zk_part_busy(part);
	zk_broker_touch(part);
}

static void
forward(struct zk_part *part, uint64_t to, uint64_t holder, uint64_t acked,
    size_t count)
{
	struct zk_broker *b = part->broker;
	size_t size = 8 + 8 + 8 + ZK_PASS_BYTES + 4;
	struct zk_enc enc;

	for (size_t i = 0; i < count; i++)
		size += 8 + 4 + b->offers[i].len;
	/* What cannot be sent is sent again, like what was lost. */
	if (!zk_host_begin(part, to, ZK_BROKER_BULK, ZK_TELL_FORWARD, size,
	        &enc))
		return;
	zk_enc_u64(&enc, b->session);
	zk_enc_u64(&enc, part->sending);
	zk_enc_u64(&enc, acked);
	zk_pass_encode(b, to, holder, &enc);
	zk_enc_u32(&enc, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		zk_enc_u64(&enc, b->offers[i].number);
		zk_enc_bytes(&enc, b->offers[i].bytes, b->offers[i].len);
	}
	zk_host_commit(b, to, ZK_BROKER_BULK, &enc);
}

static uint64_t
acked_of(const struct zk_part *part)
{
	const struct zk_request *first = part->flight.first != NULL
	    ? part->flight.first
	    : part->queued.first;

	return first->number - 1;
}

/* The window of the writer, and of the network. */
static bool
fits_flight(const struct zk_part *part, uint64_t acked)
{
	const struct zk_request *request = part->queued.first;

	return request != NULL && request->number - acked <= ZK_WRITER_WINDOW &&
	    (part->flight.count == 0 ||
	        part->flight.bytes + request->len <= ZK_FORWARD_FLIGHT_MAX);
}

bool
zk_append_can_send(struct zk_part *part)
{
	return part->queued.first != NULL &&
	    part->hold_ms <= zk_broker_now(part->broker) &&
	    zk_part_aim(part) != 0 && fits_flight(part, acked_of(part));
}

/* Moves what goes into one message into flight and b->offers; how many. */
static size_t
gather(struct zk_part *part, uint64_t acked)
{
	struct zk_broker *b = part->broker;
	const uint64_t holder = part->queued.first->holder;
	const uint64_t bit = sending_bit(++part->sending);
	struct zk_request *request;
	size_t count = 0, bytes = 0;

	while (count < ZK_OFFERS_MAX && fits_flight(part, acked) &&
	    part->queued.first->holder == holder &&
	    (count == 0 ||
	        bytes + part->queued.first->len <= ZK_FORWARD_BYTES_MAX)) {
		request = zk_request_list_pop(&part->queued);
		zk_request_list_add(&part->flight, request);
		b->offers[count++] = (struct zk_offer){
		    .number = request->number,
		    .bytes = request->bytes,
		    .len = (uint32_t)request->len,
		};
		b->counts.resent += request->asked != 0;
		if ((request->asked & bit) != 0)
			request->asked |= 1ull << SENDINGS;
		request->asked |= bit;
		bytes += request->len;
	}
	return count;
}

void
zk_append_pump(struct zk_part *part)
{
	struct zk_broker *b = part->broker;
	const uint64_t aim = zk_part_aim(part);

	if (part->flight.first != NULL && aim != part->aimed)
		requeue(part);
	while (part->queued.first != NULL && aim != 0 &&
	    part->hold_ms <= zk_broker_now(b) &&
	    zk_fence_allows(b, part->queued.first->holder)) {
		const uint64_t holder = part->queued.first->holder;
		const uint64_t acked = acked_of(part);
		const size_t count = gather(part, acked);

		if (count == 0)
			break;
		part->aimed = aim;
		part->progress_ms = zk_broker_now(b);
		b->sending = part->sending;
		if (aim == b->options.self)
			zk_group_offer(part->group, aim, b->session, acked,
			    b->offers, count);
		else
			forward(part, aim, holder, acked, count);
	}
}

/* --- time ----------------------------------------------------------------- */

static void
expire(struct zk_part *part, struct zk_request_list *list, int rc)
{
	struct zk_broker *b = part->broker;

	while (
	    list->first != NULL && list->first->deadline_ms <= zk_broker_now(b))
		zk_broker_answer(b, zk_request_list_pop(list), rc);
}

/* Sent, and nothing heard since. */
static void
resend(struct zk_part *part)
{
	struct zk_broker *b = part->broker;

	if (part->flight.first == NULL ||
	    zk_broker_now(b) - part->progress_ms < RESEND_MS)
		return;
	/* Our own log does not lose them. */
	if (part->aimed == b->options.self && part->group != NULL &&
	    zk_group_leads(part->group))
		return;
	part->leader = 0;
	part->rotate++;
	part->progress_ms = zk_broker_now(b);
	requeue(part);
}

void
zk_append_tick(struct zk_broker *b)
{
	struct zk_part **at = &b->busy, *part;

	while ((part = *at) != NULL) {
		expire(part, &part->flight, -ETIMEDOUT);
		expire(part, &part->queued, -ETIMEDOUT);
		while (part->unseen.first != NULL &&
		    part->unseen.first->deadline_ms <= zk_broker_now(b))
			tell_done(part, zk_request_list_pop(&part->unseen));
		resend(part);
		if (part->flight.first != NULL || part->queued.first != NULL ||
		    part->unseen.first != NULL || part->asks.first != NULL ||
		    part->watch_count > 0) {
			at = &part->next_busy;
			continue;
		}
		part->busy = false;
		*at = part->next_busy;
	}
}

void
zk_append_fail(struct zk_part *part, int rc)
{
	struct zk_broker *b = part->broker;
	struct zk_request_list *const lists[] = {&part->flight, &part->queued};
	struct zk_request *request;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		while ((request = zk_request_list_pop(lists[i])) != NULL)
			zk_broker_answer(b, request, rc);
	while ((request = zk_request_list_pop(&part->unseen)) != NULL)
		zk_broker_answer(b, request, 0);
}
