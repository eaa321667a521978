/*
 * The members we know of, and whom to let in.  All of it runs on the manager.
 */

#include "consensus/transport_impl.h"

#include <stdio.h>
#include <string.h>

struct slot *
zk_slot_of_name(struct zk_transport *t, const char *name)
{
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++)
		if (t->slots[i].used && strcmp(t->slots[i].name, name) == 0)
			return &t->slots[i];
	return NULL;
}

static bool
node_is_elsewhere(const struct zk_transport *t, const struct slot *self,
    uint64_t node)
{
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++) {
		const struct slot *s = &t->slots[i];

		if (s != self && s->used && s->state != SLOT_DOWN &&
		    s->peer.node == node)
			return true;
	}
	return false;
}

struct slot *
zk_slot_new(struct zk_transport *t, const char *name)
{
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++) {
		struct slot *slot = &t->slots[i];

		if (slot->used)
			continue;
		if (slot->tls != NULL)
			nng_tls_config_free(slot->tls);
		(void)pthread_mutex_lock(&t->lock);
		*slot = (struct slot){.used = true, .down_ms = t->now_ms};
		(void)snprintf(slot->name, sizeof(slot->name), "%s", name);
		(void)pthread_mutex_unlock(&t->lock);
		return slot;
	}
	return NULL;
}

/*
 * Whether a session that peer opens may take the place of the slot's.  When
 * both have dialed, both keep that of the lower name; else the newer one
 * wins: its dialer would not have dialed if it still had the older.
 */
static enum zk_refusal
judge_rival(const struct zk_transport *t, const struct slot *slot,
    const struct zk_identity *peer, bool dialed)
{
	const bool peer_is_lower = strcmp(peer->name, t->self.name) < 0;

	if (slot->peer.node != peer->node)
		return ZK_REFUSED_NAME;
	if (peer->incarnation < slot->peer.incarnation)
		return ZK_REFUSED_STALE;
	if (peer->incarnation > slot->peer.incarnation ||
	    slot->dialed == dialed)
		return ZK_REFUSED_NOT;
	return dialed != peer_is_lower ? ZK_REFUSED_NOT : ZK_REFUSED_DUPLICATE;
}

enum zk_refusal
zk_slot_judge(const struct zk_transport *t, const struct slot *slot,
    const struct zk_identity *peer, bool dialed)
{
	if (node_is_elsewhere(t, slot, peer->node))
		return ZK_REFUSED_NODE;
	if (slot == NULL)
		return ZK_REFUSED_NOT;
	if (slot->wanted_node != 0 && slot->wanted_node != peer->node)
		return ZK_REFUSED_UNEXPECTED;
	if (slot->state != SLOT_DOWN)
		return judge_rival(t, slot, peer, dialed);
	return ZK_REFUSED_NOT;
}

/* A further lane must belong to the session that its first one opened. */
bool
zk_slot_has_lane(const struct slot *slot, const struct conn *conn)
{
	const struct zk_identity *peer = &conn->auth.peer;

	return slot != NULL && slot->state == SLOT_OPENING &&
	    slot->dialed == conn->dialed && slot->session == conn->session &&
	    slot->peer.node == peer->node &&
	    slot->peer.incarnation == peer->incarnation &&
	    slot->conns[conn->lane] == NULL;
}

void
zk_slot_set_peers(struct zk_transport *t, const struct slot *peers)
{
	for (size_t i = 0; i < ZK_TRANSPORT_PEERS_MAX; i++) {
		struct slot *slot = &t->slots[i];
		bool stays = false;

		if (!slot->used || !slot->listed)
			continue;
		for (size_t j = 0; j < ZK_TRANSPORT_PEERS_MAX; j++)
			if (peers[j].used &&
			    strcmp(peers[j].name, slot->name) == 0)
				stays = true;
		if (stays)
			continue;
		if (slot->attempt != NULL)
			zk_session_drop(slot->attempt);
		slot->listed = false;
		zk_session_end(t, slot, "is no longer a peer");
		(void)pthread_mutex_lock(&t->lock);
		slot->used = false;
		(void)pthread_mutex_unlock(&t->lock);
	}
	for (size_t j = 0; j < ZK_TRANSPORT_PEERS_MAX; j++) {
		struct slot *slot;

		if (!peers[j].used)
			continue;
		slot = zk_slot_of_name(t, peers[j].name);
		if (slot == NULL)
			slot = zk_slot_new(t, peers[j].name);
		/* Full of members that dialed us: they keep their places. */
		if (slot == NULL)
			continue;
		slot->listed = true;
		slot->wanted_node = peers[j].wanted_node;
		(void)snprintf(slot->address, sizeof(slot->address), "%s",
		    peers[j].address);
		if (slot->state != SLOT_DOWN && slot->wanted_node != 0 &&
		    slot->wanted_node != slot->peer.node)
			zk_session_end(t, slot, "another member has its name");
	}
}
