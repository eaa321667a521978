#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "daemon/member_impl.h"
#include "store/session.h"

/*
 * Clocks of hosts run at different rates, by far less than this: a holder
 * counts its lease as shorter by one part in 32.
 */
#define RATE_MARGIN_SHIFT 5

/* Flags of a question. */
#define PING_ROOM  1u
#define PING_KEEPS 2u

/* The holder asks this often within one lease. */
#define PINGS_PER_LEASE 6u

static void
set_state(struct zk_member *m, enum zk_member_state state)
{
	if (m->state == state)
		return;
	m->state = state;
	m->options.sink.state_changed(m->options.sink.arg, state);
}

/* --- the holder ----------------------------------------------------------- */

uint64_t
zk_member_lease_end(const struct zk_member *m)
{
	const uint64_t timeout = m->options.session_timeout_ms;

	if (zk_member_alone(m))
		return UINT64_MAX;

	return m->lease_from_ms + timeout - (timeout >> RATE_MARGIN_SHIFT);
}

void
zk_member_next_incarnation(struct zk_member *m)
{
	m->incarnation++;
	m->token = ZK_TOKEN_BIT | zk_mix64(m->options.seed + m->incarnation);
}

void
zk_member_open_session(struct zk_member *m)
{
	const struct zk_ident *ident = zk_store_ident(m->options.store);
	const struct zk_command cmd = {
	    .op = ZK_OP_SESSION_OPEN,
	    .handle = m->incarnation,
	    .ino2 = ident->node,
	    .len = m->options.session_timeout_ms,
	    .name = ident->member,
	    .name_len = strlen(ident->member),
	};
	struct zk_item_list items;
	struct zk_item *item;

	ZK_ASSERT(m->session == 0);

	/* Without memory now, the next turn tries again. */
	if (zk_item_new(&cmd, NULL, NULL, &item) < 0)
		return;
	m->opening = true;
	m->lease_from_ms = m->now.mono_ms;
	zk_item_list_init(&items);
	zk_item_list_add(&items, item);
	zk_member_submit(m, &items);
}

void
zk_member_take_session(struct zk_member *m,
    const struct zk_member_legacy *legacy)
{
	/* Later sessions of this start come after it all the same. */
	if (legacy->session == 0)
		return;
	m->session = legacy->session;
	m->incarnation = legacy->incarnation;
	m->last_number = legacy->last_number;
	m->lease_from_ms = legacy->lease_from_ms;
}

void
zk_member_leave(const struct zk_member *m, struct zk_member_legacy *ret_legacy)
{
	*ret_legacy = (struct zk_member_legacy){
	    .session = m->session,
	    .incarnation = m->incarnation,
	    .last_number = m->last_number,
	    .lease_from_ms = m->lease_from_ms,
	};
}

void
zk_member_session_opened(struct zk_member *m, uint64_t session)
{
	/* The leader counts from when it applied what was asked for before. */
	m->opening = false;
	if (m->now.mono_ms >= zk_member_lease_end(m)) {
		/* It took so long that it may be over already. */
		zk_member_lose_session(m);
		return;
	}
	m->session = session;
	set_state(m, ZK_STATE_CONNECTED);
}

/*
 * The lease may have ended: from now on nothing of this session is done any
 * more, and what was under way is not known to have happened.
 */
void
zk_member_lose_session(struct zk_member *m)
{
	struct zk_item *item;

	while ((item = zk_item_list_pop(&m->queued)) != NULL) {
		item->outcome.rc = item->tries > 0 ? -ETIMEDOUT : -EROFS;
		zk_item_list_add(&m->answered, item);
	}
	while ((item = zk_item_list_pop(&m->inflight)) != NULL) {
		item->outcome.rc = -ETIMEDOUT;
		zk_item_list_add(&m->answered, item);
	}
	while ((item = zk_item_list_pop(&m->waiting)) != NULL) {
		item->outcome.rc = -ESTALE;
		zk_item_list_add(&m->answered, item);
	}
	m->session = 0;
	m->opening = false;
	zk_member_next_incarnation(m);
	set_state(m, ZK_STATE_LOST);
}

static void
ping(struct zk_member *m, uint64_t leader)
{
	const uint64_t applied = zk_replica_applied(m->replica);
	uint64_t digest = 0;
	uint8_t frame[64];
	struct zk_enc enc;
	const bool known = zk_replica_digest(m->replica, applied, &digest);

	zk_enc_init(&enc, frame, sizeof(frame));
	zk_enc_u8(&enc, ZK_KIND_PING);
	zk_enc_u64(&enc, m->session);
	zk_enc_u64(&enc, m->now.mono_ms);
	m->told_room = zk_member_has_room(m);
	m->told_keeps = zk_member_keeps(m);
	zk_enc_u8(&enc,
	    (m->told_room ? PING_ROOM : 0) | (m->told_keeps ? PING_KEEPS : 0));
	zk_enc_u64(&enc, known ? applied : 0);
	zk_enc_u64(&enc, digest);
	m->options.sink.send(m->options.sink.arg, leader, ZK_MEMBER_FAST, frame,
	    enc.len);
	m->ping_ms = m->now.mono_ms;
}

int
zk_member_on_pong(struct zk_member *m, struct zk_dec *dec)
{
	const uint64_t session = zk_dec_u64(dec);
	const uint64_t sent_ms = zk_dec_u64(dec);

	if (zk_member_decode_views(m, dec) < 0)
		return -EPROTO;
	if (session != m->session || session == 0 || sent_ms > m->now.mono_ms)
		return 0;
	if (sent_ms > m->lease_from_ms)
		m->lease_from_ms = sent_ms;
	set_state(m, ZK_STATE_CONNECTED);
	return 0;
}

static uint32_t
ping_interval(const struct zk_member *m)
{
	return m->options.session_timeout_ms / PINGS_PER_LEASE;
}

/* --- the leader ----------------------------------------------------------- */

static struct zk_lease *
find_lease(struct zk_member *m, uint64_t session)
{
	for (size_t i = 0; i < m->lease_count; i++)
		if (m->leases[i].session == session)
			return &m->leases[i];
	return NULL;
}

static void
add_lease(struct zk_member *m, const struct zk_session *session)
{
	struct zk_lease *lease = find_lease(m, session->id);

	if (lease != NULL)
		return;
	if (m->lease_count == m->lease_cap) {
		const size_t cap = m->lease_cap == 0 ? 16 : 2 * m->lease_cap;
		void *grown = reallocarray(m->leases, cap, sizeof(*lease));

		if (grown == NULL)
			return; /* seen again at the next turn */
		m->leases = grown;
		m->lease_cap = cap;
	}
	lease = &m->leases[m->lease_count++];
	*lease = (struct zk_lease){
	    .session = session->id,
	    .timeout_ms = session->timeout_ms,
	    .until_ms = m->now.mono_ms + session->timeout_ms,
	};
}

/* Sessions come and go through the log: look at those there are. */
static void
refresh_leases(struct zk_member *m)
{
	struct zk_session session;
	uint64_t after = 0;
	size_t kept = 0;
	struct zk_tx *tx;

	if (zk_read_begin(m->options.store, &tx) < 0)
		return;
	for (size_t i = 0; i < m->lease_count; i++)
		if (zk_session_get(tx, m->leases[i].session, &session) == 0)
			m->leases[kept++] = m->leases[i];
	m->lease_count = kept;
	while (zk_session_next(tx, after, &session) == 0) {
		after = session.id;
		add_lease(m, &session);
	}
	zk_read_end(tx);
}

int
zk_member_on_ping(struct zk_member *m, uint64_t from, struct zk_dec *dec)
{
	const uint64_t session = zk_dec_u64(dec);
	const uint64_t sent_ms = zk_dec_u64(dec);
	const uint8_t flags = zk_dec_u8(dec);
	const uint64_t index = zk_dec_u64(dec);
	const uint64_t digest = zk_dec_u64(dec);
	struct zk_lease *lease;

	if (!zk_dec_done(dec) || flags > (PING_ROOM | PING_KEEPS))
		return -EPROTO;
	zk_member_note_room(m, from, (flags & PING_ROOM) != 0);
	zk_member_note_keeps(m, from, (flags & PING_KEEPS) != 0);
	zk_member_note_digest(m, from, index, digest);
	lease = zk_member_leads(m) && m->leading == zk_member_raft(m)->term
	    ? find_lease(m, session)
	    : NULL;
	/* No lease, no answer: the holder finds out by itself. */
	if (lease == NULL || lease->ending)
		return 0;
	lease->until_ms = m->now.mono_ms + lease->timeout_ms;
	lease->asker = from;
	lease->sent_ms = sent_ms;
	lease->round = 0;
	return 0;
}

static void
pong(struct zk_member *m, const struct zk_lease *lease)
{
	uint8_t frame[ZK_PONG_BYTES_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, frame, sizeof(frame));
	zk_enc_u8(&enc, ZK_KIND_PONG);
	zk_enc_u64(&enc, lease->session);
	zk_enc_u64(&enc, lease->sent_ms);
	zk_member_encode_views(m, &enc);
	m->options.sink.send(m->options.sink.arg, lease->asker, ZK_MEMBER_FAST,
	    frame, enc.len);
}

static void
propose_end(struct zk_member *m, struct zk_lease *lease)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_SESSION_END,
	    .ino = lease->session,
	};
	uint8_t buf[64];
	struct zk_bytes bytes = {.data = buf};

	if (zk_command_encode(&cmd, buf, sizeof(buf), &bytes.len) < 0 ||
	    zk_replica_propose(m->replica, &bytes, 1) < 0)
		return;
	lease->ending = true;
	m->counts.sessions_ended++;
}

/*
 * A member can lead for a while in which others follow another one already,
 * which gives every session a lease in full when it begins.  What we say of
 * leases must not outlast that one: so holders are answered, and our own
 * session goes on, only when a majority has confirmed, after the question,
 * that we lead.  Whoever is elected then is elected later.
 */
static void
begin_round(struct zk_member *m)
{
	const uint64_t round = m->round + 1;
	bool wanted = m->session != 0 &&
	    m->now.mono_ms - m->lease_from_ms >= ping_interval(m);

	for (size_t i = 0; i < m->lease_count; i++)
		wanted = wanted || m->leases[i].asker != 0;
	if (!wanted || m->in_round)
		return;
	m->round = round;
	m->round_from_ms = m->now.mono_ms;
	m->in_round = true;
	for (size_t i = 0; i < m->lease_count; i++)
		m->leases[i].round = round;
	if (zk_replica_barrier(m->replica, ZK_ROUND_BIT | round) < 0)
		m->in_round = false; /* the next turn tries again */
}

static void
tick_leader(struct zk_member *m)
{
	if (m->leading != zk_member_raft(m)->term) {
		/* Every lease anew, in full: what was said to others is lost. */
		m->leading = zk_member_raft(m)->term;
		m->lease_count = 0;
	}
	refresh_leases(m);
	for (size_t i = 0; i < m->lease_count; i++) {
		struct zk_lease *lease = &m->leases[i];

		if (lease->session == m->session)
			lease->until_ms = m->now.mono_ms + lease->timeout_ms;
		else if (!lease->ending && m->now.mono_ms >= lease->until_ms)
			propose_end(m, lease);
	}
	begin_round(m);
}

void
zk_member_on_round(struct zk_member *m, uint64_t round, bool reached)
{
	if (round == m->round)
		m->in_round = false;
	if (!reached)
		return;
	for (size_t i = 0; i < m->lease_count; i++) {
		struct zk_lease *lease = &m->leases[i];

		if (lease->asker == 0 || lease->round != round)
			continue;
		pong(m, lease);
		lease->asker = 0;
	}
	if (m->session == 0 || round != m->round)
		return;
	if (m->round_from_ms > m->lease_from_ms)
		m->lease_from_ms = m->round_from_ms;
	set_state(m, ZK_STATE_CONNECTED);
}

/* --- both ----------------------------------------------------------------- */

void
zk_member_tick_session(struct zk_member *m)
{
	const uint64_t leader = zk_member_raft(m)->leader;
	const uint32_t interval = ping_interval(m);

	if (zk_member_leads(m))
		tick_leader(m);
	else
		m->leading = 0;
	if (m->session == 0) {
		if (!m->opening && leader != 0)
			zk_member_open_session(m);
		return;
	}
	if (zk_member_leads(m) && zk_member_alone(m)) {
		m->lease_from_ms = m->now.mono_ms;
		set_state(m, ZK_STATE_CONNECTED);
		return;
	}
	if (m->now.mono_ms >= zk_member_lease_end(m)) {
		zk_member_lose_session(m);
		return;
	}
	if (m->now.mono_ms - m->lease_from_ms >= 3ull * interval)
		set_state(m, ZK_STATE_SUSPENDED);
	/*
	 * That its disk is full the leader must hear while there is reserve;
	 * and it may be waiting for what others had to take over.
	 */
	if (leader != 0 && !zk_member_leads(m) &&
	    (m->now.mono_ms - m->ping_ms >= interval ||
	        m->told_room != zk_member_has_room(m) ||
	        m->told_keeps != zk_member_keeps(m)))
		ping(m, leader);
}

uint32_t
zk_member_session_wait(const struct zk_member *m)
{
	const uint64_t end = zk_member_lease_end(m);

	if (zk_member_alone(m))
		return UINT32_MAX;
	/* Who gives up late may be too late. */
	if (m->session != 0 && end > m->now.mono_ms &&
	    end - m->now.mono_ms < ping_interval(m))
		return (uint32_t)(end - m->now.mono_ms);
	return ping_interval(m);
}
