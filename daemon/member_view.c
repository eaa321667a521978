#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/member_impl.h"

/*
 * What members let each other know with the questions and answers about their
 * leases: the leader, who has heard of whom and how far each is; the others,
 * whether their disks have room, and the digests of their trees, which the
 * leader compares with what its own was at that index.
 */

#define VIEW_BYTES (8u + 8 + 4 + 8 + 1)

/* Between attempts to hand over to somebody with room. */
#define YIELD_AGAIN_MS 2000u

/* --- the leader's view of the members ------------------------------------- */

static struct zk_claim *
find_claim(struct zk_member *m, uint64_t node)
{
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (m->claims[i].node == node)
			return &m->claims[i];
	return NULL;
}

/* As soon as we are so far ourselves; what we know no more stays open. */
static void
compare(const struct zk_member *m, struct zk_claim *claim)
{
	uint64_t own;

	if (claim->index == claim->compared ||
	    !zk_replica_digest(m->replica, claim->index, &own))
		return;
	claim->compared = claim->index;
	claim->differs = claim->digest != own;
}

void
zk_member_note_digest(struct zk_member *m, uint64_t node, uint64_t index,
    uint64_t digest)
{
	struct zk_claim *claim = find_claim(m, node);

	if (claim == NULL)
		claim = find_claim(m, 0);
	if (!zk_member_leads(m) || index == 0 || claim == NULL ||
	    zk_raft_conf_slot(zk_raft_conf(zk_member_raft(m)), node) < 0)
		return;
	claim->node = node;
	claim->index = index;
	claim->digest = digest;
	compare(m, claim);
}

/* Those of members that left make room. */
static void
tick_claims(struct zk_member *m)
{
	const struct zk_conf *conf = zk_raft_conf(zk_member_raft(m));

	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++) {
		struct zk_claim *claim = &m->claims[i];

		if (!zk_member_leads(m) ||
		    zk_raft_conf_slot(conf, claim->node) < 0)
			*claim = (struct zk_claim){0};
		else
			compare(m, claim);
	}
}

static void
view_digest(const struct zk_member *m, struct zk_member_view *view)
{
	view->compared = 0;
	view->differs = false;
	/* The leader's own is what the others are compared with. */
	if (view->node == zk_member_raft(m)->self)
		view->compared = zk_replica_applied(m->replica);
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++) {
		if (m->claims[i].node != view->node)
			continue;
		view->compared = m->claims[i].compared;
		view->differs = m->claims[i].differs;
	}
}

static bool
view_as_leader(const struct zk_member *m, uint32_t slot,
    struct zk_member_view *ret_view)
{
	const struct zk_raft *raft = zk_member_raft(m);
	struct zk_member_status status;

	if (zk_raft_member_status(raft, slot, &status) < 0)
		return false;
	*ret_view = (struct zk_member_view){.node = status.id};
	view_digest(m, ret_view);
	if (status.id == raft->self)
		return true;
	/* A new leader does not know who has not answered it yet. */
	if (status.contact_ms == UINT32_MAX)
		return false;
	ret_view->lag = raft->last_index - status.match;
	ret_view->contact_ms = status.contact_ms;
	return true;
}

void
zk_member_encode_views(const struct zk_member *m, struct zk_enc *enc)
{
	const uint32_t count = zk_raft_conf(zk_member_raft(m))->count;
	const size_t count_at = enc->len;
	struct zk_member_view view;
	uint8_t known = 0;

	_Static_assert(ZK_PONG_BYTES_MAX >=
	        1 + 8 + 8 + 1 + ZK_MEMBERS_MAX * VIEW_BYTES,
	    "an answer holds all of them");
	zk_enc_u8(enc, 0);
	for (uint32_t i = 0; i < count; i++) {
		if (!view_as_leader(m, i, &view))
			continue;
		zk_enc_u64(enc, view.node);
		zk_enc_u64(enc, view.lag);
		zk_enc_u32(enc, view.contact_ms);
		zk_enc_u64(enc, view.compared);
		zk_enc_u8(enc, view.differs ? 1 : 0);
		known++;
	}
	ZK_ASSERT(!enc->failed);
	enc->buf[count_at] = known;
}

int
zk_member_decode_views(struct zk_member *m, struct zk_dec *dec)
{
	struct zk_member_view views[ZK_MEMBERS_MAX];
	const uint8_t count = zk_dec_u8(dec);

	if (count > ZK_MEMBERS_MAX)
		return -EPROTO;
	for (uint8_t i = 0; i < count; i++) {
		views[i].node = zk_dec_u64(dec);
		views[i].lag = zk_dec_u64(dec);
		views[i].contact_ms = zk_dec_u32(dec);
		views[i].compared = zk_dec_u64(dec);
		views[i].differs = zk_dec_u8(dec) != 0;
	}
	if (!zk_dec_done(dec))
		return -EPROTO;
	memcpy(m->views, views, count * sizeof(views[0]));
	m->view_count = count;
	m->view_ms = m->now.mono_ms;
	m->view_term = zk_member_raft(m)->term;
	return 0;
}

bool
zk_member_view(const struct zk_member *m, uint64_t node,
    struct zk_member_view *ret_view)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const uint64_t age = m->now.mono_ms - m->view_ms;
	const int slot = zk_raft_conf_slot(zk_raft_conf(raft), node);

	if (zk_member_leads(m))
		return slot >= 0 && view_as_leader(m, (uint32_t)slot, ret_view);
	if (raft->leader == 0 || m->view_term != raft->term ||
	    age > m->options.session_timeout_ms)
		return false;
	for (size_t i = 0; i < m->view_count; i++) {
		if (m->views[i].node != node)
			continue;
		*ret_view = m->views[i];
		if (node != raft->leader)
			ret_view->contact_ms += (uint32_t)age;
		return true;
	}
	return false;
}

/* --- room on the disks ---------------------------------------------------- */

bool
zk_member_has_room(struct zk_member *m)
{
	return zk_store_has_room(m->options.store, m->now.mono_ms);
}

void
zk_member_note_room(struct zk_member *m, uint64_t node, bool room)
{
	uint64_t *place = NULL;

	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++) {
		if (m->full[i] == node)
			m->full[i] = 0;
		if (m->full[i] == 0)
			place = &m->full[i];
	}
	if (!room && place != NULL)
		*place = node;
}

static bool
is_full(const struct zk_member *m, uint64_t node)
{
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (m->full[i] == node)
			return true;
	return false;
}

/*
 * A majority of the voters has room for more.  What a full one lacks it gets
 * later; but the leader's own disk takes part in everything.
 */
bool
zk_member_quorum_has_room(struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const struct zk_conf *conf = zk_raft_conf(raft);
	unsigned voters = 0, with_room = 0;

	if (!zk_member_has_room(m))
		return false;
	for (uint32_t i = 0; i < conf->count; i++) {
		if ((conf->voter_bits >> i & 1) == 0)
			continue;
		voters++;
		with_room += !is_full(m, conf->ids[i]);
	}
	return with_room > voters / 2;
}

/* --- what hosts keep ------------------------------------------------------ */

bool
zk_member_keeps(const struct zk_member *m)
{
	return m->options.keeps != NULL && atomic_load(m->options.keeps);
}

void
zk_member_note_keeps(struct zk_member *m, uint64_t node, bool keeps)
{
	struct zk_keeper *place = NULL;

	if (!zk_member_leads(m))
		return;
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (m->keepers[i].node == node ||
		    (place == NULL && m->keepers[i].node == 0))
			place = &m->keepers[i];
	if (place != NULL)
		*place = (struct zk_keeper){node, keeps};
}

const struct zk_keeper *
zk_member_keeper(const struct zk_member *m, uint64_t node)
{
	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (m->keepers[i].node == node)
			return &m->keepers[i];
	return NULL;
}

/* Those of members that left make room. */
static void
tick_keepers(struct zk_member *m)
{
	const struct zk_conf *conf = zk_raft_conf(zk_member_raft(m));

	for (size_t i = 0; i < ZK_MEMBERS_MAX; i++)
		if (!zk_member_leads(m) ||
		    zk_raft_conf_slot(conf, m->keepers[i].node) < 0)
			m->keepers[i].node = 0;
}

/* The voter that is furthest of those that are there and have room, or 0. */
static uint64_t
find_heir(const struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);
	const struct zk_conf *conf = zk_raft_conf(raft);
	uint64_t heir = 0, best = 0;

	for (uint32_t i = 0; i < conf->count; i++) {
		struct zk_member_status status;

		if ((conf->voter_bits >> i & 1) == 0 ||
		    conf->ids[i] == raft->self || is_full(m, conf->ids[i]) ||
		    zk_raft_member_status(raft, i, &status) < 0 ||
		    !status.active || status.match < best)
			continue;
		heir = conf->ids[i];
		best = status.match;
	}
	return heir;
}

/* A leader whose disk is full would keep all others from writing. */
void
zk_member_tick_room(struct zk_member *m)
{
	uint64_t heir;

	tick_claims(m);
	tick_keepers(m);
	if (!zk_member_leads(m)) {
		memset(m->full, 0, sizeof(m->full));
		m->yield_ms = 0;
		return;
	}
	if (zk_member_alone(m) || zk_member_has_room(m) ||
	    (m->yield_ms != 0 && m->now.mono_ms - m->yield_ms < YIELD_AGAIN_MS))
		return;
	m->yield_ms = m->now.mono_ms;
	heir = find_heir(m);
	if (heir != 0)
		(void)zk_replica_transfer(m->replica, heir);
}
