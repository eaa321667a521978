#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "daemon/replica_impl.h"

/*
 * Snapshots between members (Ongaro 2014, section 5.1; here the receiver
 * pulls by its acknowledgements, and the state is read from a transaction,
 * not from a file).  The sender keeps a few parts on their way and goes back
 * to the first that is not acknowledged, after silence or when told of a gap.
 *
 * Only the leader of the receiver's term is listened to; a sender that leads
 * no more forgets what it sends.
 */

/* In election time-outs: send again; give up without progress. */
#define RESEND_AFTER  2u
#define GIVE_UP_AFTER 10u

/*
 * The sender's read transaction makes its file grow with what is changed
 * meanwhile.  So long it may last, and longer by a second for each MiB: a
 * slow link gets its snapshot, too.
 */
#define SENDING_MS_MAX 60000u

#define PART_HEAD_BYTES (1u + 8 + 8 + 4 + 1 + 4)

_Static_assert(PART_HEAD_BYTES + ZK_SNAPSHOT_PART_MAX <= APPEND_FRAME_MAX,
    "a part fits a frame");

static void
enc_head(const struct zk_replica *r, struct zk_enc *enc,
    enum zk_snapshot_kind kind, uint64_t stream)
{
	zk_enc_init(enc, r->frame, APPEND_FRAME_MAX);
	zk_enc_u8(enc, (uint8_t)kind);
	zk_enc_u64(enc, r->raft.term);
	zk_enc_u64(enc, stream);
}

static void
send_ack(struct zk_replica *r, uint64_t to, uint64_t stream,
    enum zk_snapshot_verdict verdict)
{
	const struct zk_replica_sink *sink = &r->options.sink;
	struct zk_enc enc;

	enc_head(r, &enc, ZK_SNAPSHOT_ACK, stream);
	zk_enc_u32(&enc, r->receiving.next);
	zk_enc_u8(&enc, (uint8_t)verdict);
	ZK_ASSERT(!enc.failed);
	sink->send(sink->arg, to, false, r->frame, enc.len);
}

/* --- the sender ----------------------------------------------------------- */

static struct zk_sending *
find_sending(struct zk_replica *r, uint64_t peer)
{
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
		if (r->sending[i].peer == peer)
			return &r->sending[i];
	return NULL;
}

static void
sending_end(struct zk_sending *s)
{
	if (s->tx != NULL)
		zk_read_end(s->tx);
	*s = (struct zk_sending){0};
}

void
zk_replica_snapshot_ask(struct zk_replica *r, uint64_t peer)
{
	struct zk_sending *s = find_sending(r, peer);

	ZK_ASSERT(peer != 0);

	if (s == NULL)
		s = find_sending(r, 0);
	if (s != NULL) {
		/* Begun after the flush, so that it is not older than the log. */
		sending_end(s);
		s->peer = peer;
	} else if (r->turned_away_count < ZK_MEMBERS_MAX) {
		r->turned_away[r->turned_away_count++] = peer;
	}
}

uint64_t
zk_replica_snapshot_pins(const struct zk_replica *r)
{
	uint64_t lowest = UINT64_MAX;

	for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
		const struct zk_sending *s = &r->sending[i];

		if (s->tx != NULL && s->head.state.applied_index < lowest)
			lowest = s->head.state.applied_index;
	}
	return lowest;
}

static int
begin(struct zk_replica *r, struct zk_sending *s)
{
	int rc;

	rc = zk_read_begin(r->store, &s->tx);
	if (rc < 0)
		return rc;
	rc = zk_snapshot_head(s->tx, &s->head);
	if (rc < 0)
		return rc;
	s->stream = zk_prng_next(&r->options.seed) | 1;
	s->end = UINT32_MAX;
	zk_snapshot_start(&s->places[0]);
	return 0;
}

static void
send_offer(struct zk_replica *r, struct zk_sending *s)
{
	const struct zk_replica_sink *sink = &r->options.sink;
	struct zk_enc enc;

	enc_head(r, &enc, ZK_SNAPSHOT_OFFER, s->stream);
	zk_snapshot_head_encode(&enc, &s->head);
	ZK_ASSERT(!enc.failed);
	sink->send(sink->arg, s->peer, true, r->frame, enc.len);
	s->silent_ms = 0;
}

/* Part s->next, and where the one after it begins. */
static int
send_part(struct zk_replica *r, struct zk_sending *s)
{
	const struct zk_replica_sink *sink = &r->options.sink;
	const uint32_t places = SNAPSHOT_WINDOW + 1;
	struct zk_snapshot_place place = s->places[s->next % places];
	struct zk_enc enc;
	size_t len;
	int rc;

	rc = zk_snapshot_read(s->tx, &place, r->options.snapshot_part,
	    r->frame + PART_HEAD_BYTES, &len);
	if (rc < 0)
		return rc;
	enc_head(r, &enc, ZK_SNAPSHOT_PART, s->stream);
	zk_enc_u32(&enc, s->next);
	zk_enc_u8(&enc, place.end ? 1 : 0);
	zk_enc_u32(&enc, (uint32_t)len);
	ZK_ASSERT(!enc.failed);
	ZK_ASSERT(enc.len == PART_HEAD_BYTES);
	sink->send(sink->arg, s->peer, true, r->frame, enc.len + len);
	s->silent_ms = 0;
	s->next++;
	if (s->next <= s->known) {
		r->counts.snapshot_resends++;
		return 0;
	}
	s->known = s->next;
	s->places[s->known % places] = place;
	if (place.end)
		s->end = s->known;
	return 0;
}

static uint64_t
age_max(const struct zk_sending *s)
{
	return SENDING_MS_MAX + s->head.state.row_bytes / ZK_MIB * 1000;
}

/*
 * Parts [acked, next) are on their way; those below `known` + 1 have a place.
 * -ETIMEDOUT: given up.
 */
static int
go_on(struct zk_replica *r, struct zk_sending *s)
{
	const uint32_t election_ms = r->options.election_ms;
	int rc = 0;

	if (s->tx == NULL) {
		rc = begin(r, s);
		if (rc == 0)
			send_offer(r, s);
		return rc;
	}
	if (s->idle_ms > GIVE_UP_AFTER * election_ms || s->age_ms > age_max(s))
		return -ETIMEDOUT;
	if (s->silent_ms >= RESEND_AFTER * election_ms) {
		if (!s->offered)
			send_offer(r, s);
		s->next = s->acked;
	}
	if (!s->offered)
		return 0;
	while (
	    rc == 0 && s->next < s->end && s->next - s->acked < SNAPSHOT_WINDOW)
		rc = send_part(r, s);
	/* All acknowledged, and the last word is missing: ask for it. */
	if (rc == 0 && s->acked == s->end &&
	    s->silent_ms >= RESEND_AFTER * election_ms)
		send_offer(r, s);
	return rc;
}

static int
tell_raft(struct zk_replica *r, uint64_t peer, uint64_t index)
{
	const struct zk_event event = {
	    .type = index != 0 ? ZK_EV_SNAPSHOT_DONE : ZK_EV_SNAPSHOT_FAILED,
	    .peer = peer,
	    .index = index,
	};

	if (index != 0)
		r->counts.snapshots_sent++;
	else
		r->counts.snapshots_failed++;
	return zk_replica_step(r, &event);
}

static int
pump(struct zk_replica *r, struct zk_sending *s)
{
	const uint64_t peer = s->peer;
	uint64_t index = 0;
	int rc = 0;

	if (s->verdict < ZK_VERDICT_DONE)
		rc = go_on(r, s);
	if (rc == 0 && s->verdict < ZK_VERDICT_DONE)
		return 0;
	/* What is broken in our own tree stops us; the rest may pass. */
	if (rc == -ZK_ECORRUPT)
		return rc;
	if (s->verdict == ZK_VERDICT_DONE)
		index = s->head.state.applied_index;
	sending_end(s);
	return tell_raft(r, peer, index);
}

int
zk_replica_snapshot_pump(struct zk_replica *r)
{
	struct zk_receiving *in = &r->receiving;
	int rc = 0;

	if (in->acknowledge) {
		in->acknowledge = false;
		send_ack(r, in->from, in->done, ZK_VERDICT_DONE);
	}
	for (size_t i = 0; rc == 0 && i < SNAPSHOTS_MAX; i++) {
		struct zk_sending *s = &r->sending[i];

		if (s->peer != 0 && r->raft.role != ZK_LEADER)
			sending_end(s);
		else if (s->peer != 0)
			rc = pump(r, s);
	}
	while (rc == 0 && r->turned_away_count > 0)
		rc = tell_raft(r, r->turned_away[--r->turned_away_count], 0);
	return rc;
}

static int
on_ack(struct zk_replica *r, uint64_t from, uint64_t stream, struct zk_dec *dec)
{
	struct zk_sending *s = find_sending(r, from);
	const uint32_t next = zk_dec_u32(dec);
	const uint8_t verdict = zk_dec_u8(dec);

	if (!zk_dec_done(dec) || verdict > ZK_VERDICT_REFUSED)
		return -EPROTO;
	if (s == NULL || s->tx == NULL || s->stream != stream)
		return 0; /* of one that is over */
	if (verdict >= ZK_VERDICT_DONE) {
		s->verdict = (enum zk_snapshot_verdict)verdict;
		return 0;
	}
	if (next > s->known)
		return -EPROTO;
	if (!s->offered || next > s->acked)
		s->idle_ms = s->silent_ms = 0;
	s->offered = true;
	if (next > s->acked)
		s->acked = next;
	if (s->next < s->acked)
		s->next = s->acked;
	/* Once for each place: parts that overtake each other tell it, too. */
	if (verdict == ZK_VERDICT_GAP && next == s->acked &&
	    s->rewound != next + 1) {
		s->rewound = next + 1;
		s->next = next;
	}
	return 0;
}

/* --- the receiver --------------------------------------------------------- */

static void
receiving_end(struct zk_receiving *in)
{
	zk_spool_close(in->spool);
	in->spool = NULL;
	in->stream = 0;
}

static int
on_offer(struct zk_replica *r, uint64_t from, uint64_t stream,
    struct zk_dec *dec)
{
	struct zk_receiving *in = &r->receiving;
	struct zk_snapshot_head head;
	int rc;

	rc = zk_snapshot_head_decode(dec, &head);
	if (rc < 0)
		return rc;
	if (!zk_dec_done(dec) || head.state.applied_term > r->raft.term)
		return -EPROTO;
	if (!zk_raft_wants_snapshot(&r->raft, head.state.applied_index)) {
		send_ack(r, from, stream, ZK_VERDICT_DONE);
		return 0;
	}
	/* As if it had been lost on the way. */
	if (r->options.sink.replacing != NULL &&
	    !r->options.sink.replacing(r->options.sink.arg, false))
		return 0;
	if (in->spool == NULL || in->stream != stream) {
		receiving_end(in);
		rc = zk_spool_open(r->store, &head, &in->spool);
		if (rc == -EPROTO)
			return rc;
		if (rc < 0) {
			send_ack(r, from, stream, ZK_VERDICT_REFUSED);
			return 0;
		}
		in->from = from;
		in->stream = stream;
		in->next = 0;
		in->idle_ms = 0;
	}
	send_ack(r, from, stream, ZK_VERDICT_MORE);
	return 0;
}

/* All is here: hand it to Raft, which says what becomes of it. */
static int
offer_to_raft(struct zk_replica *r)
{
	struct zk_receiving *in = &r->receiving;
	const struct zk_snapshot_head *head = zk_spool_head(in->spool);
	struct zk_conf conf;
	const struct zk_event event = {
	    .type = ZK_EV_INSTALL,
	    .index = head->state.applied_index,
	    .term = head->state.applied_term,
	    .conf = &conf,
	    .conf_index = head->conf_index,
	};
	struct zk_dec dec;
	int rc;

	zk_dec_init(&dec, head->conf, head->conf_len);
	rc = zk_conf_decode(&dec, &conf);
	if (rc == 0 && !zk_dec_done(&dec))
		rc = -EPROTO;
	if (rc == 0)
		rc = zk_spool_check(in->spool);
	if (rc == 0)
		rc = zk_replica_step(r, &event);
	return rc;
}

static int
on_last_part(struct zk_replica *r)
{
	struct zk_receiving *in = &r->receiving;
	const uint64_t from = in->from, stream = in->stream;
	int rc = offer_to_raft(r);

	receiving_end(in);
	if (rc == 0) {
		in->done = stream;
		in->acknowledge = true;
	} else if (rc == -EALREADY) {
		send_ack(r, from, stream, ZK_VERDICT_DONE);
		rc = 0;
	}
	return rc;
}

/* In make_durable(): the spooled snapshot becomes the tree. */
int
zk_replica_snapshot_install(struct zk_replica *r, bool log_reset)
{
	struct zk_entry base = {.kind = ZK_PAYLOAD_NOOP};
	const struct zk_state *state;
	int rc;

	ZK_ASSERT(r->receiving.spool != NULL);

	state = &zk_spool_head(r->receiving.spool)->state;
	base.index = state->applied_index;
	base.term = state->applied_term;
	base.time = state->time;
	rc = zk_replica_tx(r);
	if (rc == 0)
		rc = zk_spool_install(r->receiving.spool, r->tx);
	if (rc == 0)
		zk_replica_note_digest(r);
	/* The first entry of the log stands for all before it. */
	if (rc == 0 && log_reset) {
		rc = zk_log_truncate(r->tx, 1);
		zk_recent_clear(r->recent);
		if (rc == 0)
			rc = zk_log_append(r->tx, &base);
		r->log_bytes = 0;
		r->lengths[base.index % LOG_RING] = 0;
	} else if (rc == 0) {
		rc = zk_log_trim(r->tx, base.index, UINT32_MAX);
		for (uint64_t i = r->log_first; i < base.index; i++)
			zk_replica_forget_length(r, i);
	}
	r->log_first = base.index;
	r->wrote = r->replaced = true;
	r->counts.snapshots_installed++;
	r->counts.locks++;
	r->counts.sessions++;
	/*
	 * Readers have the tree before until the commit.  What they ask for
	 * between this and that is not looked at: so it is the last thing.
	 */
	if (rc == 0 && r->options.sink.replacing != NULL)
		(void)r->options.sink.replacing(r->options.sink.arg, true);
	return rc;
}

static int
on_part(struct zk_replica *r, uint64_t from, uint64_t stream,
    struct zk_dec *dec)
{
	struct zk_receiving *in = &r->receiving;
	const uint32_t number = zk_dec_u32(dec);
	const uint8_t last = zk_dec_u8(dec);
	size_t len;
	const void *part = zk_dec_bytes(dec, ZK_SNAPSHOT_PART_MAX, &len);
	int rc;

	if (part == NULL || !zk_dec_done(dec) || last > 1)
		return -EPROTO;
	if (in->spool == NULL || in->stream != stream) {
		/* Installed before the answer was lost, or never heard of. */
		if (!in->acknowledge)
			send_ack(r, from, stream,
			    stream == in->done ? ZK_VERDICT_DONE
			                       : ZK_VERDICT_REFUSED);
		return 0;
	}
	if (number != in->next) {
		send_ack(r, from, stream,
		    number > in->next ? ZK_VERDICT_GAP : ZK_VERDICT_MORE);
		return 0;
	}
	in->idle_ms = 0;
	rc = zk_spool_add(in->spool, part, len);
	if (rc < 0) {
		send_ack(r, from, stream, ZK_VERDICT_REFUSED);
		receiving_end(in);
		return rc == -EPROTO ? rc : 0;
	}
	in->next++;
	if (last == 1)
		return on_last_part(r);
	send_ack(r, from, stream, ZK_VERDICT_MORE);
	return 0;
}

/* --- both ----------------------------------------------------------------- */

int
zk_replica_snapshot_receive(struct zk_replica *r, uint64_t from,
    struct zk_dec *dec)
{
	const uint8_t kind = zk_dec_u8(dec);
	const uint64_t term = zk_dec_u64(dec);
	const uint64_t stream = zk_dec_u64(dec);

	if (dec->failed || kind < ZK_SNAPSHOT_OFFER || kind > ZK_SNAPSHOT_ACK ||
	    stream == 0)
		return -EPROTO;
	/* Of another term, or before its leader is known: it comes again. */
	if (term != r->raft.term)
		return 0;
	if (kind == ZK_SNAPSHOT_ACK)
		return r->raft.role == ZK_LEADER ? on_ack(r, from, stream, dec)
		                                 : 0;
	if (r->raft.role == ZK_LEADER)
		return -EPROTO;
	if (r->raft.leader != from)
		return 0;
	return kind == ZK_SNAPSHOT_OFFER ? on_offer(r, from, stream, dec)
	                                 : on_part(r, from, stream, dec);
}

static void
elapse(uint32_t *timer_ms, uint32_t elapsed_ms)
{
	*timer_ms = elapsed_ms < UINT32_MAX - *timer_ms ? *timer_ms + elapsed_ms
	                                                : UINT32_MAX;
}

void
zk_replica_snapshot_tick(struct zk_replica *r, uint32_t elapsed_ms)
{
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
		elapse(&r->sending[i].age_ms, elapsed_ms);
		elapse(&r->sending[i].idle_ms, elapsed_ms);
		elapse(&r->sending[i].silent_ms, elapsed_ms);
	}
	elapse(&r->receiving.idle_ms, elapsed_ms);
	/* Who sent it has given it up by now: its room is wanted. */
	if (r->receiving.spool != NULL &&
	    r->receiving.idle_ms > GIVE_UP_AFTER * r->options.election_ms)
		receiving_end(&r->receiving);
}

/* The turn is undone, and with it what it may have installed. */
void
zk_replica_snapshot_undo(struct zk_replica *r)
{
	if (!r->receiving.acknowledge)
		return;
	r->receiving.acknowledge = false;
	r->receiving.done = 0;
}

void
zk_replica_snapshot_close(struct zk_replica *r)
{
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++)
		sending_end(&r->sending[i]);
	receiving_end(&r->receiving);
}
