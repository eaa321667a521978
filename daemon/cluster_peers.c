#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"

/* What the transport tells, and what members say to each other of members. */

/* The same refusal of the same name is told again after this. */
#define REFUSAL_AGAIN_MS 60000u

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

bool
zk_cluster_is_member(const struct zk_cluster *c,
    const struct zk_cluster_session *session)
{
	const int i = zk_directory_find(&c->directory, session->name);

	return c->formed && i >= 0 &&
	    c->directory.members[i].node == session->node;
}

static struct zk_cluster_session *
find_session(struct zk_cluster *c, uint64_t node)
{
	for (size_t i = 0; i < c->session_count; i++)
		if (c->sessions[i].node == node)
			return &c->sessions[i];
	return NULL;
}

/* --- what members say ----------------------------------------------------- */

static void
say(struct zk_cluster *c, uint64_t to, const struct zk_enc *enc)
{
	const struct iovec iov = {enc->buf, enc->len};
	int rc;

	ZK_ASSERT(!enc->failed);
	rc = zk_transport_send(c->transport, to, ZK_LANE_FAST, ZK_GROUP_CONTROL,
	    &iov, 1);
	/* What is not heard now is said at the next connection: make one. */
	if (rc < 0 && rc != -ENOTCONN)
		zk_transport_disconnect(c->transport, to);
}

static void
say_found(struct zk_cluster *c, uint64_t to)
{
	uint8_t directory[ZK_DIRECTORY_BYTES_MAX];
	uint8_t bytes[ZK_CONTROL_BYTES_MAX];
	struct zk_enc enc;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_FOUND);
	zk_enc_raw(&enc, c->ensemble, sizeof(c->ensemble));
	zk_enc_raw(&enc, directory,
	    zk_directory_encode(&c->directory, directory));
	say(c, to, &enc);
}

static void
say_stranger(struct zk_cluster *c, const struct zk_cluster_session *session)
{
	const int i = zk_directory_find(&c->directory, session->name);
	const uint64_t node = i >= 0 ? c->directory.members[i].node : 0;
	uint8_t bytes[16];
	struct zk_enc enc;

	if (node != 0)
		zk_log_warnx("STRANGER member=%s node=%016" PRIx64
		             " expected=%016" PRIx64
		             " reason=it has another data directory: remove "
		             "and add it",
		    session->name, session->node, node);
	else
		zk_log_warnx("STRANGER member=%s node=%016" PRIx64
		             " reason=not a member of this ensemble",
		    session->name, session->node);
	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_enc_u8(&enc, ZK_CONTROL_STRANGER);
	zk_enc_u64(&enc, node);
	say(c, session->node, &enc);
}

/* A connection came up, or we got a directory: what is to be said on it. */
static void
greet(struct zk_cluster *c, const struct zk_cluster_session *session)
{
	if (!c->formed)
		return;
	if (!zk_cluster_is_member(c, session))
		say_stranger(c, session);
	else if (session->fresh)
		say_found(c, session->node);
}

void
zk_cluster_greet_all(struct zk_cluster *c)
{
	for (size_t i = 0; i < c->session_count; i++)
		greet(c, &c->sessions[i]);
}

static int
hear_found(struct zk_cluster *c, const struct zk_cluster_session *session,
    struct zk_dec *dec)
{
	const void *ensemble = zk_dec_raw(dec, ZK_ENSEMBLE_BYTES);
	struct zk_directory directory;

	if (ensemble == NULL)
		return -EPROTO;
	if (zk_directory_decode(dec->buf + dec->pos, dec->len - dec->pos,
	        &directory) < 0)
		return -EPROTO;
	/* Only those who are to be members found. */
	if (c->formed || c->found ||
	    zk_directory_find(&c->source, session->name) < 0)
		return 0;
	memcpy(c->found_ensemble, ensemble, sizeof(c->found_ensemble));
	c->found_directory = directory;
	c->found = true;
	return 0;
}

static int
hear_stranger(struct zk_cluster *c, const struct zk_cluster_session *session,
    struct zk_dec *dec)
{
	const uint64_t node = zk_dec_u64(dec);

	if (!zk_dec_done(dec))
		return -EPROTO;
	if (zk_directory_find(c->formed ? &c->directory : &c->source,
	        session->name) < 0)
		return 0;
	if (!c->stranger)
		zk_log_warnx("REFUSED by=%s reason=%s is not a member of that "
		             "ensemble with the data directory %s",
		    session->name, c->name, c->data);
	c->stranger = true;
	c->stranger_node = node;
	return 0;
}

static int
hear(struct zk_cluster *c, const struct zk_cluster_session *session,
    const struct zk_transport_frame *frame)
{
	struct zk_dec dec;

	zk_dec_init(&dec, frame->bytes, frame->len);
	switch (zk_dec_u8(&dec)) {
	case ZK_CONTROL_FOUND:
		return hear_found(c, session, &dec);
	case ZK_CONTROL_STRANGER:
		return hear_stranger(c, session, &dec);
	default:
		return -EPROTO;
	}
}

/* --- what the transport tells --------------------------------------------- */

static bool
on_received(void *arg, const struct zk_transport_frame *frame)
{
	const struct zk_cluster_session *session;
	struct zk_cluster *c = arg;
	struct zk_node *node = NULL;
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	session = find_session(c, frame->peer);
	if (session != NULL && frame->group == ZK_GROUP_CONTROL)
		rc = hear(c, session, frame);
	else if (session != NULL && zk_cluster_is_member(c, session))
		node = c->node;
	(void)pthread_mutex_unlock(&c->lock);
	if (frame->group == ZK_GROUP_CONTROL) {
		if (rc < 0)
			c->network.bad_frame(c, frame->peer);
		c->wake(c->arg);
		return true;
	}
	/* Raft sends again what came too early. */
	return node == NULL ||
	    zk_node_receive(node, frame->peer, frame->lane == ZK_LANE_BULK,
	        frame->bytes, frame->len);
}

static void
on_peer_up(void *arg, const struct zk_transport_peer_info *info)
{
	static const uint8_t zero[ZK_ENSEMBLE_BYTES];
	struct zk_cluster_session *session;
	struct zk_cluster *c = arg;
	struct zk_node *node = NULL;

	zk_log_info("UP member=%s node=%016" PRIx64 " address=%s",
	    info->identity.name, info->identity.node, info->address);
	(void)pthread_mutex_lock(&c->lock);
	if (c->session_count < ZK_TRANSPORT_PEERS_MAX) {
		session = &c->sessions[c->session_count++];
		*session = (struct zk_cluster_session){
		    .node = info->identity.node,
		    .fresh = memcmp(info->identity.ensemble, zero,
		                 sizeof(zero)) == 0,
		};
		memcpy(session->name, info->identity.name,
		    sizeof(session->name));
		greet(c, session);
		if (zk_cluster_is_member(c, session))
			node = c->node;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (node != NULL)
		zk_node_peer(node, info->identity.node, true);
	c->wake(c->arg);
}

static void
on_peer_down(void *arg, uint64_t peer, const char *reason)
{
	struct zk_cluster_session *session;
	struct zk_cluster *c = arg;
	struct zk_node *node = NULL;

	(void)pthread_mutex_lock(&c->lock);
	session = find_session(c, peer);
	if (session != NULL) {
		zk_log_info("DOWN member=%s node=%016" PRIx64 " reason=%s",
		    session->name, peer, reason);
		if (zk_cluster_is_member(c, session))
			node = c->node;
		*session = c->sessions[--c->session_count];
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (node != NULL)
		zk_node_peer(node, peer, false);
}

/*
 * Whether this is to be told.  Anybody can cause refusals: at most so many
 * lines in a while, whatever names they come under.
 */
static bool
note_refusal(struct zk_cluster *c, const struct zk_transport_refusal *refusal)
{
	struct zk_cluster_refusal *oldest = &c->refusals[0];
	const uint64_t now = now_ms();

	for (size_t i = 0; i < ZK_REFUSALS_KEPT; i++) {
		struct zk_cluster_refusal *r = &c->refusals[i];

		if (r->reason == refusal->reason &&
		    strcmp(r->name, refusal->name) == 0 &&
		    now - r->told_ms < REFUSAL_AGAIN_MS)
			return false;
		if (r->told_ms < oldest->told_ms)
			oldest = r;
	}
	if (oldest->reason != ZK_REFUSED_NOT &&
	    now - oldest->told_ms < REFUSAL_AGAIN_MS)
		return false;
	oldest->reason = refusal->reason;
	oldest->told_ms = now;
	(void)snprintf(oldest->name, sizeof(oldest->name), "%s", refusal->name);
	return true;
}

static void
on_refused(void *arg, const struct zk_transport_refusal *refusal)
{
	struct zk_cluster *c = arg;
	bool tell;

	/* Two connections of one pair at once: that is how it should be. */
	if (refusal->reason == ZK_REFUSED_DUPLICATE ||
	    refusal->reason == ZK_REFUSED_SESSION)
		return;
	(void)pthread_mutex_lock(&c->lock);
	tell = note_refusal(c, refusal);
	(void)pthread_mutex_unlock(&c->lock);
	if (tell)
		zk_log_warnx("REFUSED member=%s address=%s by=%s reason=%s",
		    refusal->name[0] != '\0' ? refusal->name : "-",
		    refusal->address, refusal->by_peer ? "peer" : "us",
		    zk_refusal_text(refusal->reason));
}

struct zk_transport_callbacks
zk_cluster_callbacks(struct zk_cluster *c)
{
	return (struct zk_transport_callbacks){
	    .received = on_received,
	    .peer_up = on_peer_up,
	    .peer_down = on_peer_down,
	    .refused = on_refused,
	    .arg = c,
	};
}
