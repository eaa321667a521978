/*
 * Who is connected: handshakes, and which of them become sessions.  All of it
 * runs on the manager.
 */

#include "consensus/transport_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/hash.h"

/* So long it is left to the lower name to dial. */
#define PATIENCE_MS 1000u

/* Connections without a word, until that is told. */
#define MUTE_MAX 5u

static uint64_t
jitter(struct zk_transport *t)
{
	return ZK_RETRY_MIN_MS +
	    zk_prng_next(&t->prng) % (ZK_RETRY_MAX_MS - ZK_RETRY_MIN_MS);
}

static void
add_conn(struct zk_transport *t, struct conn *conn)
{
	conn->next = t->conns;
	t->conns = conn;
}

static bool
is_stranger(const struct conn *conn)
{
	return conn->slot == NULL && conn->phase != CONN_DEAD;
}

/* --- sessions ------------------------------------------------------------- */

/* Leaves the slot in place. */
static void
end_session(struct zk_transport *t, struct slot *slot, const char *reason)
{
	const bool was_up = slot->state == SLOT_UP;
	const uint64_t peer = slot->peer.node;

	if (slot->state == SLOT_DOWN)
		return;
	(void)pthread_mutex_lock(&t->lock);
	slot->state = SLOT_DOWN;
	slot->down_ms = t->now_ms;
	memset(slot->conns, 0, sizeof(slot->conns));
	(void)pthread_mutex_unlock(&t->lock);
	/* With those of its lanes that are not through yet. */
	for (struct conn *c = t->conns; c != NULL; c = c->next)
		if (c->slot == slot && c->session == slot->session &&
		    c->phase != CONN_DEAD)
			zk_conn_shut(c);
	/* At once, unless that is how it keeps failing. */
	slot->retry_ms = t->now_ms + jitter(t);
	if (was_up && t->now_ms >= slot->up_ms + ZK_SESSION_SHORT_MS)
		slot->retry_ms = t->now_ms;
	if (was_up) {
		(void)atomic_fetch_sub(&t->peers_up, 1);
		t->callbacks.peer_down(t->callbacks.arg, peer, reason);
	}
}

/* Who is not listed has a place only while it is connected. */
static void
release(struct zk_transport *t, struct slot *slot)
{
	if (slot->listed || slot->state != SLOT_DOWN)
		return;
	(void)pthread_mutex_lock(&t->lock);
	slot->used = false;
	(void)pthread_mutex_unlock(&t->lock);
}

void
zk_session_end(struct zk_transport *t, struct slot *slot, const char *reason)
{
	end_session(t, slot, reason);
	release(t, slot);
}

static void
session_up(struct zk_transport *t, struct slot *slot)
{
	struct zk_transport_peer_info info = {
	    .identity = slot->peer,
	    .dialed = slot->dialed,
	};

	for (unsigned i = 0; i < t->lanes; i++)
		if (zk_conn_prepare_frames(slot->conns[i], slot->peer.node) <
		    0) {
			zk_session_end(t, slot, "no memory");
			return;
		}
	(void)snprintf(info.address, sizeof(info.address), "%s",
	    slot->conns[0]->address);
	for (unsigned i = 0; i < t->lanes; i++) {
		struct conn *conn = slot->conns[i];

		atomic_store(&conn->heard_ms, t->now_ms);
		(void)pthread_mutex_lock(&conn->lock);
		conn->sent_ms = t->now_ms;
		(void)pthread_mutex_unlock(&conn->lock);
	}
	(void)pthread_mutex_lock(&t->lock);
	slot->state = SLOT_UP;
	(void)pthread_mutex_unlock(&t->lock);
	slot->up_ms = t->now_ms;
	slot->mute = 0;
	(void)atomic_fetch_add(&t->peers_up, 1);
	(void)atomic_fetch_add(&t->sessions, 1);
	t->callbacks.peer_up(t->callbacks.arg, &info);
	for (unsigned i = 0; i < t->lanes; i++) {
		slot->conns[i]->phase = CONN_FRAMES;
		zk_conn_read_frames(slot->conns[i]);
	}
}

/* A lane of slot's session is through. */
static void
lane_up(struct zk_transport *t, struct slot *slot, struct conn *conn)
{
	bool all = true;

	ZK_ASSERT(slot->state == SLOT_OPENING);
	ZK_ASSERT(slot->conns[conn->lane] == NULL);
	conn->phase = CONN_READY;
	(void)pthread_mutex_lock(&t->lock);
	slot->conns[conn->lane] = conn;
	(void)pthread_mutex_unlock(&t->lock);
	for (unsigned i = 0; i < t->lanes; i++)
		if (slot->conns[i] == NULL)
			all = false;
	if (all)
		session_up(t, slot);
}

static void
session_open(struct zk_transport *t, struct slot *slot, struct conn *conn)
{
	(void)pthread_mutex_lock(&t->lock);
	slot->state = SLOT_OPENING;
	slot->peer = conn->auth.peer;
	(void)pthread_mutex_unlock(&t->lock);
	slot->dialed = conn->dialed;
	slot->session = conn->session;
	slot->deadline_ms = t->now_ms + t->handshake_ms;
	zk_transport_wake_at(t, slot->deadline_ms);
	lane_up(t, slot, conn);
}

/* --- handshakes ----------------------------------------------------------- */

static int
start_handshake(struct conn *conn, const char *wants)
{
	struct zk_transport *t = conn->t;
	uint8_t nonce[ZK_AUTH_NONCE_BYTES];
	struct zk_auth_out out = {0};
	struct zk_identity self;

	if (getrandom(nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
		return -1;
	(void)pthread_mutex_lock(&t->lock);
	self = t->self;
	(void)pthread_mutex_unlock(&t->lock);
	self.lane = conn->lane;
	self.lanes = (uint8_t)t->lanes;
	self.session = conn->session;
	(void)snprintf(self.wants, sizeof(self.wants), "%s", wants);
	zk_auth_init(&conn->auth, t->version, &t->key, &self, nonce,
	    conn->dialed ? &out : NULL);
	conn->phase = CONN_HANDSHAKE;
	if (zk_conn_send_raw(conn, out.bytes, out.len) < 0)
		return -1;
	zk_conn_read_message(conn);
	return 0;
}

void
zk_session_drop(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	struct slot *slot = conn->slot;

	zk_conn_shut(conn);
	if (slot == NULL) {
		(void)atomic_fetch_sub(&t->strangers, 1);
	} else if (slot->attempt == conn) {
		slot->attempt = NULL;
		slot->retry_ms = t->now_ms + jitter(t);
	}
}

static void
turn_away(struct conn *conn, enum zk_refusal reason, bool by_peer)
{
	/* That both dialed, or dialed twice, is nothing to tell of. */
	if (reason != ZK_REFUSED_DUPLICATE && reason != ZK_REFUSED_SESSION)
		zk_transport_report(conn, reason, by_peer);
	zk_session_drop(conn);
	/* What was refused once will be for a while. */
	if (conn->slot != NULL && reason != ZK_REFUSED_DUPLICATE)
		conn->slot->retry_ms = conn->t->now_ms + ZK_RETRY_REFUSED_MS;
}

/* We dialed, and both sides are proved. */
static void
dialed_done(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	struct slot *slot = conn->slot;
	enum zk_refusal reason;

	if (conn != slot->attempt) {
		if (zk_slot_has_lane(slot, conn))
			lane_up(t, slot, conn);
		else
			zk_session_drop(conn);
		return;
	}
	reason = zk_slot_judge(t, slot, &conn->auth.peer, true);
	if (reason != ZK_REFUSED_NOT) {
		turn_away(conn, reason, false);
		return;
	}
	slot->attempt = NULL;
	end_session(t, slot, "connected anew");
	session_open(t, slot, conn);
	/* The other lanes, now that we know it is worth it. */
	for (unsigned lane = 1; lane < t->lanes; lane++) {
		struct conn *next = zk_conn_new(t, lane);

		if (next == NULL)
			break;
		next->slot = slot;
		next->dialed = true;
		next->session = slot->session;
		(void)snprintf(next->address, sizeof(next->address), "%s",
		    slot->address);
		add_conn(t, next);
		if (zk_net_dial(next) < 0)
			zk_conn_break(next, "cannot be dialed");
	}
}

/* Somebody dialed us and has proved who it is. */
static void
judge_stranger(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	const struct zk_identity *peer = &conn->auth.peer;
	struct slot *slot = zk_slot_of_name(t, peer->name);
	enum zk_refusal reason;
	struct zk_auth_out out;

	conn->lane = peer->lane;
	conn->out_bytes_max = t->queue_bytes[conn->lane];
	conn->session = peer->session;
	if (conn->lane != 0) {
		reason = zk_slot_has_lane(slot, conn) ? ZK_REFUSED_NOT
		                                      : ZK_REFUSED_SESSION;
	} else {
		reason = zk_slot_judge(t, slot, peer, false);
		if (reason == ZK_REFUSED_NOT && slot == NULL &&
		    (slot = zk_slot_new(t, peer->name)) == NULL)
			reason = ZK_REFUSED_FULL;
	}
	zk_auth_judge(&conn->auth, reason, &out);
	if (zk_conn_send_raw(conn, out.bytes, out.len) < 0) {
		zk_session_drop(conn);
		if (slot != NULL)
			release(t, slot);
		return;
	}
	if (reason != ZK_REFUSED_NOT) {
		turn_away(conn, reason, false);
		return;
	}
	(void)atomic_fetch_sub(&t->strangers, 1);
	if (conn->lane != 0) {
		conn->slot = slot;
		lane_up(t, slot, conn);
		return;
	}
	end_session(t, slot, "connected anew");
	conn->slot = slot;
	session_open(t, slot, conn);
}

static void
step_message(struct conn *conn)
{
	struct slot *slot = conn->slot;
	struct zk_auth *auth = &conn->auth;
	struct zk_auth_out out;
	int rc;

	rc = zk_auth_step(auth, conn->message, conn->message_len, &out);
	/* It dialed us while we dialed it, and its session is up. */
	if (rc == 0 && auth->state == ZK_AUTH_WELCOME && conn->lane == 0 &&
	    slot->state == SLOT_UP && !slot->dialed &&
	    slot->peer.incarnation == auth->peer.incarnation) {
		zk_session_drop(conn);
		return;
	}
	if (zk_conn_send_raw(conn, out.bytes, out.len) < 0) {
		zk_session_drop(conn);
		return;
	}
	if (rc < 0) {
		turn_away(conn, auth->reason, auth->told);
		return;
	}
	if (auth->state == ZK_AUTH_JUDGE)
		judge_stranger(conn);
	else if (auth->state == ZK_AUTH_DONE)
		dialed_done(conn);
	else
		zk_conn_read_message(conn);
}

/* --- strangers ------------------------------------------------------------ */

/*
 * Makes room among those that have proved nothing: the oldest of the host
 * that has the most of them, so that one host cannot keep the others out.
 */
static void
evict_stranger(struct zk_transport *t)
{
	struct conn *victim = NULL;
	unsigned most = 0;

	for (struct conn *c = t->conns; c != NULL; c = c->next) {
		unsigned same = 0;

		if (!is_stranger(c))
			continue;
		for (struct conn *d = t->conns; d != NULL; d = d->next)
			if (is_stranger(d) && strcmp(c->host, d->host) == 0)
				same++;
		/* The list begins with the newest. */
		if (same >= most) {
			most = same;
			victim = c;
		}
	}
	if (victim == NULL)
		return;
	(void)atomic_fetch_add(&t->evicted, 1);
	zk_session_drop(victim);
}

void
zk_session_accept(struct zk_transport *t, nng_stream *stream)
{
	struct conn *conn = zk_conn_new(t, 0);

	(void)atomic_fetch_add(&t->accepted, 1);
	if (conn == NULL) {
		nng_stream_close(stream);
		nng_stream_free(stream);
		return;
	}
	conn->stream = stream;
	zk_net_remote(stream, conn->address, sizeof(conn->address), conn->host,
	    sizeof(conn->host));
	if (atomic_load(&t->strangers) >= ZK_TRANSPORT_STRANGERS_MAX)
		evict_stranger(t);
	(void)atomic_fetch_add(&t->strangers, 1);
	add_conn(t, conn);
	zk_transport_wake_at(t, conn->deadline_ms);
	if (start_handshake(conn, "") < 0)
		zk_session_drop(conn);
}

/* --- what the manager looks at in each round ------------------------------ */

/*
 * Who speaks TLS and who does not part like this: what one says is no message
 * to the other.  Once it may have been a member that ended.
 */
static void
count_mute(struct conn *conn, bool mute)
{
	struct slot *slot = conn->slot;

	if (slot == NULL || conn != slot->attempt)
		return;
	mute = mute && conn->auth.state == ZK_AUTH_CHALLENGE;
	slot->mute = mute ? slot->mute + 1 : 0;
	if (slot->mute >= MUTE_MAX)
		zk_transport_report(conn, ZK_REFUSED_MUTE, false);
}

static void
lost(struct conn *conn, const char *why, bool tls, bool mute)
{
	struct slot *slot = conn->slot;

	count_mute(conn, mute);
	if (tls && conn->phase == CONN_HANDSHAKE)
		zk_transport_report(conn, ZK_REFUSED_TLS, false);
	if (slot != NULL && slot->state != SLOT_DOWN &&
	    conn->session == slot->session && conn != slot->attempt)
		zk_session_end(conn->t, slot, why);
	else
		zk_session_drop(conn);
}

void
zk_session_step_conn(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	bool dial_done, message_ready, tls, mute;
	const char *broken;

	(void)pthread_mutex_lock(&conn->lock);
	broken = conn->broken;
	tls = conn->broken_tls;
	mute = conn->broken_mute;
	dial_done = conn->dial_done;
	message_ready = conn->message_ready;
	conn->dial_done = conn->message_ready = false;
	(void)pthread_mutex_unlock(&conn->lock);

	if (broken != NULL) {
		lost(conn, broken, tls, mute);
		return;
	}
	if (conn->phase == CONN_FRAMES) {
		zk_conn_tend(conn);
		return;
	}
	if (conn->phase == CONN_DIALING && dial_done) {
		if (zk_net_dial_take(conn) < 0 ||
		    start_handshake(conn, conn->slot->name) < 0) {
			lost(conn, "cannot be dialed", false, false);
			return;
		}
		zk_net_dial_stop(conn);
	}
	if (conn->phase == CONN_HANDSHAKE && message_ready) {
		step_message(conn);
		return;
	}
	if (conn->phase == CONN_READY)
		return;
	if (t->now_ms < conn->deadline_ms) {
		zk_transport_wake_at(t, conn->deadline_ms);
		return;
	}
	if (conn->phase == CONN_HANDSHAKE && !conn->dialed)
		zk_transport_report(conn, ZK_REFUSED_TIMEOUT, false);
	lost(conn, "did not prove itself in time", false, false);
}

/* From when on we dial: 0: at once, UINT64_MAX: never. */
static uint64_t
dial_from(const struct zk_transport *t, const struct slot *slot)
{
	if (!slot->listed || slot->address[0] == '\0')
		return UINT64_MAX;
	if (t->dial_all || !t->is_listening ||
	    strcmp(t->self.name, slot->name) < 0)
		return 0;
	/* It may not know us, or not reach us. */
	return slot->down_ms + PATIENCE_MS;
}

void
zk_session_step_slot(struct zk_transport *t, struct slot *slot)
{
	struct conn *conn;
	uint64_t from;

	if (!slot->used)
		return;
	if (slot->state == SLOT_OPENING && t->now_ms >= slot->deadline_ms)
		zk_session_end(t, slot, "did not come up in time");
	if (slot->state == SLOT_OPENING)
		zk_transport_wake_at(t, slot->deadline_ms);
	from = dial_from(t, slot);
	if (slot->state != SLOT_DOWN || slot->attempt != NULL ||
	    from == UINT64_MAX)
		return;
	if (from < slot->retry_ms)
		from = slot->retry_ms;
	if (t->now_ms < from) {
		zk_transport_wake_at(t, from);
		return;
	}
	slot->retry_ms = t->now_ms + jitter(t);
	zk_transport_wake_at(t, slot->retry_ms);
	conn = zk_conn_new(t, 0);
	if (conn == NULL)
		return;
	conn->slot = slot;
	conn->dialed = true;
	(void)snprintf(conn->address, sizeof(conn->address), "%s",
	    slot->address);
	conn->session = zk_prng_next(&t->prng);
	slot->attempt = conn;
	add_conn(t, conn);
	zk_transport_wake_at(t, conn->deadline_ms);
	if (zk_net_dial(conn) < 0)
		zk_session_drop(conn);
}
