#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"
#include "daemon/topics_node.h"

/* What the transport tells, and what members say to each other of members. */

/* The same refusal of the same name is told again after this. */
#define REFUSAL_AGAIN_MS 60000u

uint64_t
zk_cluster_now_ms(void)
{
	return zk_clock_ms();
}

/*
 * One of this ensemble, and not one that is there in the place of another.
 * Who was fresh when it came must be in the directory.
 */
bool
zk_cluster_may_talk(const struct zk_cluster *c,
    const struct zk_cluster_session *session)
{
	const int i = zk_directory_find(&c->directory, session->name);

	if (!c->formed)
		return false;
	if (i >= 0 && c->directory.members[i].node != 0)
		return c->directory.members[i].node == session->node;
	return !session->fresh;
}

struct zk_cluster_session *
zk_cluster_session(struct zk_cluster *c, uint64_t node)
{
	for (size_t i = 0; i < c->session_count; i++)
		if (c->sessions[i].node == node)
			return &c->sessions[i];
	return NULL;
}

/* A connection came up, or we know more: what is to be said on it. */
static void
greet(struct zk_cluster *c, struct zk_cluster_session *session)
{
	const int i = zk_directory_find(&c->directory, session->name);

	if (!c->formed)
		return;
	if (zk_cluster_is_known(&c->directory, session->name, session->node)) {
		session->member = true;
		zk_cluster_say_found(c, session->node);
	} else if (i >= 0 && c->directory.members[i].node == 0) {
		zk_cluster_let_in(c, session, "", 0);
	} else if (!session->fresh || session->member || i >= 0) {
		/* Who is fresh asks by itself, and gets an answer then. */
		zk_cluster_say_stranger(c, session);
	}
}

void
zk_cluster_greet_all(struct zk_cluster *c)
{
	for (size_t i = 0; i < c->session_count; i++)
		greet(c, &c->sessions[i]);
}

/* --- what the transport tells --------------------------------------------- */

static bool
on_received(void *arg, const struct zk_transport_frame *frame)
{
	struct zk_cluster_session *session;
	struct zk_cluster *c = arg;
	struct zk_node *node = NULL;
	struct zk_topics_node *topics = NULL;
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	session = zk_cluster_session(c, frame->peer);
	if (session != NULL && frame->group == ZK_GROUP_CONTROL)
		rc = zk_cluster_hear(c, session, frame);
	else if (session != NULL && zk_cluster_may_talk(c, session)) {
		node = c->node;
		topics = c->topics;
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (frame->group == ZK_GROUP_TOPICS)
		return topics == NULL ||
		    zk_topics_node_receive(topics, frame->peer,
		        frame->lane == ZK_LANE_BULK_2, frame->bytes,
		        frame->len);
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
	struct zk_topics_node *topics = NULL;

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
		zk_cluster_say_hello(c, session->node);
		greet(c, session);
		if (zk_cluster_may_talk(c, session)) {
			node = c->node;
			topics = c->topics;
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (node != NULL)
		zk_node_peer(node, info->identity.node, true);
	if (topics != NULL)
		zk_topics_node_peer(topics, info->identity.node, true);
	c->wake(c->arg);
}

static void
on_peer_down(void *arg, uint64_t peer, const char *reason)
{
	struct zk_cluster_session *session;
	struct zk_cluster *c = arg;
	struct zk_node *node = NULL;
	struct zk_topics_node *topics = NULL;

	(void)pthread_mutex_lock(&c->lock);
	session = zk_cluster_session(c, peer);
	if (session != NULL) {
		zk_log_info("DOWN member=%s node=%016" PRIx64 " reason=%s",
		    session->name, peer, reason);
		if (zk_cluster_may_talk(c, session)) {
			node = c->node;
			topics = c->topics;
		}
		*session = c->sessions[--c->session_count];
		/* A stranger's place is not kept. */
		(void)zk_cluster_set_peers(c);
	}
	(void)pthread_mutex_unlock(&c->lock);
	if (node != NULL)
		zk_node_peer(node, peer, false);
	if (topics != NULL)
		zk_topics_node_peer(topics, peer, false);
}

/*
 * Whether this is to be told.  Anybody can cause refusals: at most so many
 * lines in a while, whatever names they come under.
 */
static bool
note_refusal(struct zk_cluster *c, const struct zk_transport_refusal *refusal)
{
	struct zk_cluster_refusal *oldest = &c->refusals[0];
	const uint64_t now = zk_cluster_now_ms();

	for (size_t i = 0; i < ZK_REFUSALS_KEPT; i++) {
		struct zk_cluster_refusal *r = &c->refusals[i];

		if (r->reason == refusal->reason &&
		    strcmp(r->name, refusal->name) == 0 &&
		    now - r->told_ms < REFUSAL_AGAIN_MS) {
			r->seen_ms = now;
			return false;
		}
		if (r->told_ms < oldest->told_ms)
			oldest = r;
	}
	if (oldest->reason != ZK_REFUSED_NOT &&
	    now - oldest->told_ms < REFUSAL_AGAIN_MS)
		return false;
	oldest->reason = refusal->reason;
	oldest->by_peer = refusal->by_peer;
	oldest->told_ms = oldest->seen_ms = now;
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
	if (refusal->reason == ZK_REFUSED_ENSEMBLE && c->formed &&
	    zk_cluster_now_ms() < c->doubtful_until_ms &&
	    zk_directory_find(&c->source, refusal->name) >= 0 &&
	    zk_directory_find(&c->directory, refusal->name) < 0)
		(void)snprintf(c->other, sizeof(c->other), "%s", refusal->name);
	(void)pthread_mutex_unlock(&c->lock);
	if (tell)
		zk_log_warnx("REFUSED member=%s address=%s by=%s reason=%s",
		    refusal->name[0] != '\0' ? refusal->name : "-",
		    refusal->address, refusal->by_peer ? "peer" : "us",
		    zk_refusal_text(refusal->reason));
	if (refusal->reason == ZK_REFUSED_ENSEMBLE)
		c->wake(c->arg);
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
