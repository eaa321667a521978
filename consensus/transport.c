#include "consensus/transport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <mbedtls/platform_util.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "consensus/transport_impl.h"

#define LANES_DEFAULT        2u
#define KEEPALIVE_DEFAULT_MS 250u
#define SILENCE_DEFAULT_MS   1500u
#define HANDSHAKE_DEFAULT_MS 2000u
#define TIMES_MAX_MS         600000u

_Static_assert(ZK_TRANSPORT_BULK_QUEUE_BYTES >=
        ZK_FRAME_HEAD_BYTES + ZK_FRAME_BULK_MAX,
    "a queue holds the largest frame");
_Static_assert(ZK_TRANSPORT_FAST_QUEUE_BYTES >=
        ZK_FRAME_HEAD_BYTES + ZK_FRAME_FAST_MAX,
    "a queue holds the largest frame");

/* --- time, and waking ----------------------------------------------------- */

uint64_t
zk_transport_now(void)
{
	return zk_clock_ms();
}

uint64_t
zk_transport_now_coarse(void)
{
	return zk_clock_read_ms(CLOCK_MONOTONIC_COARSE);
}

void
zk_transport_wake(struct zk_transport *t)
{
	(void)pthread_mutex_lock(&t->lock);
	t->woken = true;
	(void)pthread_cond_signal(&t->cond);
	(void)pthread_mutex_unlock(&t->lock);
}

void
zk_transport_wake_at(struct zk_transport *t, uint64_t at_ms)
{
	if (at_ms < t->wake_ms)
		t->wake_ms = at_ms;
}

void
zk_transport_report(const struct conn *conn, enum zk_refusal reason,
    bool by_peer)
{
	const struct zk_transport_callbacks *to = &conn->t->callbacks;
	const struct zk_auth *auth = &conn->auth;
	/* Who has not said it is whom we dialed. */
	const struct zk_transport_refusal refusal = {
	    .address = conn->address,
	    .name =
	        auth->peer.name[0] != '\0' ? auth->peer.name : auth->self.wants,
	    .reason = reason,
	    .by_peer = by_peer,
	};

	(void)atomic_fetch_add(&conn->t->refused, 1);
	if (to->refused != NULL)
		to->refused(to->arg, &refusal);
}

/* --- the manager ---------------------------------------------------------- */

static void
free_dead(struct zk_transport *t)
{
	struct conn **link = &t->conns;

	while (*link != NULL) {
		struct conn *conn = *link;

		if (conn->phase != CONN_DEAD) {
			link = &conn->next;
			continue;
		}
		*link = conn->next;
		zk_conn_free(conn);
	}
}

/*
 * The whole process was stopped, or starved, or the machine slept: what the
 * peers sent meanwhile is still to be read, so their silence means nothing.
 */
static void
forgive_silence(struct zk_transport *t)
{
	for (struct conn *conn = t->conns; conn != NULL; conn = conn->next)
		atomic_store(&conn->heard_ms, t->now_ms);
}

/* Waits until there is something to do; false: it is to stop. */
static bool
wait_for_work(struct zk_transport *t, struct slot **ret_peers)
{
	const struct timespec until = {
	    .tv_sec = (time_t)(t->wake_ms / 1000),
	    .tv_nsec = (long)(t->wake_ms % 1000) * 1000000,
	};
	bool go_on;
	int rc = 0;

	(void)pthread_mutex_lock(&t->lock);
	while (!t->woken && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&t->cond, &t->lock, &until);
	t->woken = false;
	*ret_peers = t->new_peers;
	t->new_peers = NULL;
	go_on = !t->stopping;
	(void)pthread_mutex_unlock(&t->lock);
	return go_on;
}

static void *
manage(void *arg)
{
	struct zk_transport *t = arg;
	struct slot *peers;

	t->wake_ms = zk_transport_now();
	while (wait_for_work(t, &peers)) {
		t->now_ms = zk_transport_now();
		if (t->now_ms >= t->wake_ms + ZK_STALL_MS)
			forgive_silence(t);
		t->wake_ms = t->now_ms + TIMES_MAX_MS;
		if (peers != NULL)
			zk_slot_set_peers(t, peers);
		free(peers);
		zk_net_accept_step(t);
		/* New ones are put before those that are still to be seen. */
		for (struct conn *c = t->conns; c != NULL; c = c->next)
			if (c->phase != CONN_DEAD)
				zk_session_step_conn(c);
		for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++)
			zk_session_step_slot(t, &t->slots[i]);
		free_dead(t);
	}
	free(peers);
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++)
		zk_session_end(t, &t->slots[i], "stopping");
	for (struct conn *c = t->conns; c != NULL; c = c->next)
		if (c->phase != CONN_DEAD)
			zk_conn_shut(c);
	free_dead(t);
	return NULL;
}

/* --- opening and closing -------------------------------------------------- */

static bool
name_is_good(const char *name)
{
	const size_t len = name != NULL ? strlen(name) : 0;

	if (len < 1 || len > ZK_AUTH_NAME_MAX)
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			return false;
	return true;
}

static uint32_t
given_or(uint32_t given, uint32_t otherwise)
{
	return given != 0 ? given : otherwise;
}

static int
check_options(const struct zk_transport_options *o)
{
	const bool tls = o->tls_cert != NULL;

	if (!name_is_good(o->name) || o->node == 0)
		return -EINVAL;
	if (tls != (o->tls_key != NULL) || tls != (o->tls_ca != NULL))
		return -EINVAL;
	if (o->listen != NULL && !zk_net_address_is_good(o->listen))
		return -EINVAL;
	if (o->lanes > ZK_LANES_MAX || o->keepalive_ms > TIMES_MAX_MS ||
	    o->silence_ms > TIMES_MAX_MS || o->handshake_ms > TIMES_MAX_MS)
		return -EINVAL;
	if (o->fast_queue_bytes != 0 &&
	    o->fast_queue_bytes < ZK_FRAME_HEAD_BYTES + ZK_FRAME_FAST_MAX)
		return -EINVAL;
	if (o->bulk_queue_bytes != 0 &&
	    o->bulk_queue_bytes < ZK_FRAME_HEAD_BYTES + ZK_FRAME_BULK_MAX)
		return -EINVAL;
	if (o->callbacks.received == NULL || o->callbacks.peer_up == NULL ||
	    o->callbacks.peer_down == NULL)
		return -EINVAL;
	if (o->key == NULL)
		return o->insecure ? 0 : -ENOKEY;
	if (o->key_len < ZK_AUTH_KEY_MIN || o->key_len > ZK_AUTH_KEY_MAX)
		return -EINVAL;
	return 0;
}

static void
take_options(struct zk_transport *t, const struct zk_transport_options *o)
{
	t->callbacks = o->callbacks;
	(void)snprintf(t->self.name, sizeof(t->self.name), "%s", o->name);
	t->self.node = o->node;
	t->self.incarnation = o->incarnation;
	t->self.features = o->features;
	memcpy(t->self.ensemble, o->ensemble, sizeof(t->self.ensemble));
	if (o->key != NULL) {
		t->key.len = o->key_len;
		memcpy(t->key.bytes, o->key, o->key_len);
	}
	t->version = o->version;
	t->lanes = given_or(o->lanes, LANES_DEFAULT);
	t->dial_all = o->dial_all;
	t->is_listening = o->listen != NULL;
	t->keepalive_ms = given_or(o->keepalive_ms, KEEPALIVE_DEFAULT_MS);
	t->silence_ms = given_or(o->silence_ms, SILENCE_DEFAULT_MS);
	t->handshake_ms = given_or(o->handshake_ms, HANDSHAKE_DEFAULT_MS);
	for (unsigned i = 0; i < ZK_LANES_MAX; i++)
		t->queue_bytes[i] = zk_frame_body_max(i) == ZK_FRAME_FAST_MAX
		    ? given_or(o->fast_queue_bytes,
		          ZK_TRANSPORT_FAST_QUEUE_BYTES)
		    : given_or(o->bulk_queue_bytes,
		          ZK_TRANSPORT_BULK_QUEUE_BYTES);
	if (o->listen != NULL)
		(void)snprintf(t->listen_url, sizeof(t->listen_url), "%s%s",
		    o->tls_ca != NULL ? "tls+tcp://" : "tcp://", o->listen);
}

static int
init_sync(struct zk_transport *t)
{
	pthread_condattr_t attr;
	int rc;

	rc = pthread_mutex_init(&t->lock, NULL);
	if (rc == 0)
		rc = pthread_condattr_init(&attr);
	if (rc == 0) {
		(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		rc = pthread_cond_init(&t->cond, &attr);
		(void)pthread_condattr_destroy(&attr);
	}
	return -rc;
}

int
zk_transport_open(const struct zk_transport_options *options,
    struct zk_transport **ret_transport)
{
	struct zk_transport *t;
	int rc;

	rc = check_options(options);
	if (rc < 0)
		return rc;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	rc = init_sync(t);
	if (rc < 0) {
		free(t);
		return rc;
	}
	take_options(t, options);
	if (getrandom(&t->prng, sizeof(t->prng), 0) != (ssize_t)sizeof(t->prng))
		rc = -EIO;
	if (rc == 0 && options->tls_ca != NULL)
		rc = zk_net_tls_load(t, options);
	if (rc == 0 && t->is_listening)
		rc = zk_net_listen(t);
	if (rc < 0) {
		zk_transport_close(t);
		return rc;
	}
	*ret_transport = t;
	return 0;
}

int
zk_transport_start(struct zk_transport *t)
{
	int rc;

	ZK_ASSERT(!t->has_manager);
	rc = -pthread_create(&t->manager, NULL, manage, t);
	t->has_manager = rc == 0;
	return rc;
}

void
zk_transport_stop(struct zk_transport *t)
{
	if (t->has_manager) {
		(void)pthread_mutex_lock(&t->lock);
		t->stopping = true;
		(void)pthread_mutex_unlock(&t->lock);
		zk_transport_wake(t);
		(void)pthread_join(t->manager, NULL);
		t->has_manager = false;
	}
	zk_net_listen_stop(t);
}

static void
free_secret(char *text)
{
	if (text != NULL)
		mbedtls_platform_zeroize(text, strlen(text));
	free(text);
}

void
zk_transport_close(struct zk_transport *t)
{
	if (t == NULL)
		return;
	zk_transport_stop(t);
	ZK_ASSERT(t->conns == NULL);
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++)
		if (t->slots[i].tls != NULL)
			nng_tls_config_free(t->slots[i].tls);
	free_secret(t->cert_pem);
	free_secret(t->key_pem);
	free_secret(t->ca_pem);
	free(t->new_peers);
	mbedtls_platform_zeroize(&t->key, sizeof(t->key));
	(void)pthread_cond_destroy(&t->cond);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

/* --- for everybody -------------------------------------------------------- */

uint16_t
zk_transport_port(const struct zk_transport *t)
{
	return t->port;
}

void
zk_transport_set_ensemble(struct zk_transport *t,
    const uint8_t ensemble[ZK_ENSEMBLE_BYTES])
{
	(void)pthread_mutex_lock(&t->lock);
	memcpy(t->self.ensemble, ensemble, sizeof(t->self.ensemble));
	(void)pthread_mutex_unlock(&t->lock);
}

static int
fill_slot(struct slot *slot, const struct zk_transport_peer *peer)
{
	if (!name_is_good(peer->name))
		return -EINVAL;
	if (peer->address != NULL && !zk_net_address_is_good(peer->address))
		return -EINVAL;
	slot->used = true;
	slot->wanted_node = peer->node;
	(void)snprintf(slot->name, sizeof(slot->name), "%s", peer->name);
	(void)snprintf(slot->address, sizeof(slot->address), "%s",
	    peer->address != NULL ? peer->address : "");
	return 0;
}

int
zk_transport_set_peers(struct zk_transport *t,
    const struct zk_transport_peer *peers, size_t count)
{
	struct slot *list, *old;
	size_t used = 0;
	int rc = 0;

	list = calloc(ZK_TRANSPORT_PEERS_MAX, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count && rc == 0; i++) {
		if (peers[i].name != NULL &&
		    strcmp(peers[i].name, t->self.name) == 0)
			continue;
		rc = used < ZK_TRANSPORT_PEERS_MAX
		    ? fill_slot(&list[used++], &peers[i])
		    : -E2BIG;
	}
	if (rc < 0) {
		free(list);
		return rc;
	}
	(void)pthread_mutex_lock(&t->lock);
	old = t->new_peers;
	t->new_peers = list;
	(void)pthread_mutex_unlock(&t->lock);
	free(old);
	zk_transport_wake(t);
	return 0;
}

/* With t->lock held; NULL: no session is up. */
static struct slot *
slot_up(struct zk_transport *t, uint64_t peer)
{
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++) {
		struct slot *slot = &t->slots[i];

		if (slot->used && slot->state == SLOT_UP &&
		    slot->peer.node == peer)
			return slot;
	}
	return NULL;
}

/* The connection to this peer with its lock held; NULL: no session is up. */
static struct conn *
lock_conn(struct zk_transport *t, uint64_t peer, unsigned lane)
{
	struct conn *conn = NULL;
	struct slot *slot;

	ZK_ASSERT(lane < t->lanes);

	(void)pthread_mutex_lock(&t->lock);
	slot = slot_up(t, peer);
	if (slot != NULL) {
		conn = slot->conns[lane];
		(void)pthread_mutex_lock(&conn->lock);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return conn;
}

int
zk_transport_queue(struct zk_transport *t, uint64_t peer, unsigned lane,
    uint32_t group, const struct iovec *iov, size_t iov_count)
{
	struct zk_frame frame = {.kind = ZK_FRAME_DATA, .group = group};
	struct conn *conn;
	size_t len = 0;
	int rc;

	ZK_ASSERT(iov_count <= ZK_TRANSPORT_IOV_MAX);
	for (size_t i = 0; i < iov_count; i++) {
		if (iov[i].iov_len > zk_frame_body_max(lane) - len)
			return -EMSGSIZE;
		len += iov[i].iov_len;
		frame.body_crc =
		    zk_crc32c(frame.body_crc, iov[i].iov_base, iov[i].iov_len);
	}
	frame.len = (uint32_t)len;
	conn = lock_conn(t, peer, lane);
	if (conn == NULL)
		return -ENOTCONN;
	rc = zk_conn_queue_frame(conn, &frame, iov, iov_count);
	(void)pthread_mutex_unlock(&conn->lock);
	if (rc == 0)
		(void)atomic_fetch_add_explicit(&t->frames_out, 1,
		    memory_order_relaxed);
	return rc;
}

void
zk_transport_push(struct zk_transport *t, uint64_t peer, unsigned lane)
{
	struct conn *conn = lock_conn(t, peer, lane);

	if (conn == NULL)
		return;
	zk_conn_push(conn);
	(void)pthread_mutex_unlock(&conn->lock);
}

int
zk_transport_send(struct zk_transport *t, uint64_t peer, unsigned lane,
    uint32_t group, const struct iovec *iov, size_t iov_count)
{
	const int rc = zk_transport_queue(t, peer, lane, group, iov, iov_count);

	if (rc == 0)
		zk_transport_push(t, peer, lane);
	return rc;
}

void
zk_transport_resume(struct zk_transport *t, uint64_t peer)
{
	struct slot *slot;
	bool wake = false;

	(void)pthread_mutex_lock(&t->lock);
	slot = slot_up(t, peer);
	for (unsigned i = 0; slot != NULL && i < t->lanes; i++) {
		struct conn *conn = slot->conns[i];

		(void)pthread_mutex_lock(&conn->lock);
		conn->resumes++;
		if (conn->paused)
			wake = conn->kicked = true;
		(void)pthread_mutex_unlock(&conn->lock);
	}
	if (wake) {
		t->woken = true;
		(void)pthread_cond_signal(&t->cond);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

void
zk_transport_disconnect(struct zk_transport *t, uint64_t peer)
{
	struct slot *slot;

	(void)pthread_mutex_lock(&t->lock);
	slot = slot_up(t, peer);
	if (slot != NULL) {
		struct conn *conn = slot->conns[0];

		(void)pthread_mutex_lock(&conn->lock);
		if (conn->broken == NULL && !conn->closing)
			conn->broken = "disconnected";
		(void)pthread_mutex_unlock(&conn->lock);
		t->woken = true;
		(void)pthread_cond_signal(&t->cond);
	}
	(void)pthread_mutex_unlock(&t->lock);
}

void
zk_transport_stats(struct zk_transport *t, struct zk_transport_stats *ret_stats)
{
	*ret_stats = (struct zk_transport_stats){
	    .frames_in = atomic_load(&t->frames_in),
	    .frames_out = atomic_load(&t->frames_out),
	    .bytes_in = atomic_load(&t->bytes_in),
	    .bytes_out = atomic_load(&t->bytes_out),
	    .sessions = atomic_load(&t->sessions),
	    .bad_frames = atomic_load(&t->bad_frames),
	    .refused = atomic_load(&t->refused),
	    .evicted = atomic_load(&t->evicted),
	    .accepted = atomic_load(&t->accepted),
	    .dialed = atomic_load(&t->dials),
	    .peers_up = atomic_load(&t->peers_up),
	    .strangers = atomic_load(&t->strangers),
	};
}
