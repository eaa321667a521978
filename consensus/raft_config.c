#include "consensus/raft.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "consensus/raft_impl.h"

/*
 * Members, and how they change: one at a time (section 4.1), each change in
 * force from its append on.  Two majorities that differ by one member always
 * overlap, but only if no third configuration is about: so a leader begins
 * no change before it has committed an entry of its own term (Ongaro's
 * correction of 2015) and while the last one is not committed.  It follows
 * that of all configurations in a log only the newest can be truncated, and
 * that remembering the one before it is enough.
 */

unsigned
zk_raft_quorum(const struct zk_conf *conf)
{
	return (unsigned)__builtin_popcount(conf->voter_bits) / 2 + 1;
}

bool
zk_raft_bits_win(const struct zk_conf *conf, uint32_t bits)
{
	return (unsigned)__builtin_popcount(conf->voter_bits & bits) >=
	    zk_raft_quorum(conf);
}

int
zk_raft_conf_slot(const struct zk_conf *conf, uint64_t id)
{
	for (uint32_t i = 0; i < conf->count; i++) {
		if (conf->ids[i] == id)
			return (int)i;
	}
	return -1;
}

bool
zk_raft_conf_is_voter(const struct zk_conf *conf, uint64_t id)
{
	int slot = zk_raft_conf_slot(conf, id);

	return slot >= 0 && (conf->voter_bits >> slot & 1) != 0;
}

int
zk_raft_conf_check(const struct zk_conf *conf)
{
	uint32_t voters;

	if (conf->count > ZK_MEMBERS_MAX)
		return -EINVAL;
	if (((uint64_t)conf->voter_bits >> conf->count) != 0)
		return -EINVAL;
	voters = (uint32_t)__builtin_popcount(conf->voter_bits);
	if (voters > ZK_VOTERS_MAX || conf->count - voters > ZK_LEARNERS_MAX)
		return -EINVAL;
	for (uint32_t i = 0; i < conf->count; i++) {
		if (conf->ids[i] == 0)
			return -EINVAL;
		if (zk_raft_conf_slot(conf, conf->ids[i]) != (int)i)
			return -EINVAL;
	}
	return 0;
}

const struct zk_conf *
zk_raft_conf(const struct zk_raft *r)
{
	return &r->conf;
}

void
zk_raft_conf_adopt(struct zk_raft *r, const struct zk_conf *conf,
    uint64_t index)
{
	ZK_ASSERT(index > r->conf_index);
	ZK_ASSERT(r->role != ZK_LEADER);

	r->conf_before = r->conf;
	r->conf_before_index = r->conf_index;
	r->conf = *conf;
	r->conf_index = index;
}

bool
zk_raft_conf_can_rollback(const struct zk_raft *r, uint64_t from)
{
	return r->conf_index < from || r->conf_before_index < from;
}

void
zk_raft_conf_rollback(struct zk_raft *r, uint64_t from)
{
	ZK_ASSERT(zk_raft_conf_can_rollback(r, from));
	ZK_ASSERT(r->role != ZK_LEADER);

	if (r->conf_index < from)
		return;
	r->conf = r->conf_before;
	r->conf_index = r->conf_before_index;
}

static int
conf_add(struct zk_conf *conf, uint64_t id, bool voter)
{
	uint32_t voters = (uint32_t)__builtin_popcount(conf->voter_bits);

	if (zk_raft_conf_slot(conf, id) >= 0)
		return -EINVAL;
	if (voter && voters == ZK_VOTERS_MAX)
		return -ENOSPC;
	if (!voter && conf->count - voters == ZK_LEARNERS_MAX)
		return -ENOSPC;
	if (voter)
		conf->voter_bits |= 1u << conf->count;
	conf->ids[conf->count++] = id;
	return 0;
}

/* The last member takes the free place: its progress must move, too. */
static void
conf_remove(struct zk_conf *conf, uint32_t slot)
{
	const uint32_t last = --conf->count;
	const uint32_t last_votes = conf->voter_bits >> last & 1;

	conf->voter_bits &= ~(1u << last);
	if (slot != last) {
		conf->voter_bits &= ~(1u << slot);
		conf->voter_bits |= last_votes << slot;
		conf->ids[slot] = conf->ids[last];
	}
	conf->ids[last] = 0;
}

/* A voter that lags would hold up every commit that now needs it. */
static bool
has_caught_up(const struct zk_raft *r, uint32_t slot)
{
	const struct zk_progress *pr = &r->progress[slot];

	return pr->state == ZK_REPLICATE && pr->contact_ms < r->election_ms &&
	    r->last_index - pr->match <= ZK_RAFT_PROMOTE_LAG_MAX;
}

static int
conf_apply(const struct zk_raft *r, const struct zk_event *ev,
    struct zk_conf *conf)
{
	const int found = zk_raft_conf_slot(conf, ev->peer);
	const uint32_t slot = (uint32_t)found;
	const bool voter = zk_raft_conf_is_voter(conf, ev->peer);

	if (ev->peer == 0)
		return -EINVAL;
	if (ev->conf_op == ZK_CONF_ADD_LEARNER)
		return conf_add(conf, ev->peer, false);
	if (ev->conf_op == ZK_CONF_ADD_VOTER)
		return conf_add(conf, ev->peer, true);
	if (found < 0)
		return -EINVAL;

	switch (ev->conf_op) {
	case ZK_CONF_PROMOTE:
		if (voter)
			return -EINVAL;
		if (__builtin_popcount(conf->voter_bits) == ZK_VOTERS_MAX)
			return -ENOSPC;
		if (!has_caught_up(r, slot))
			return -EAGAIN;
		conf->voter_bits |= 1u << slot;
		return 0;
	case ZK_CONF_DEMOTE:
		if (!voter)
			return -EINVAL;
		conf->voter_bits &= ~(1u << slot);
		if (conf->count -
		        (uint32_t)__builtin_popcount(conf->voter_bits) >
		    ZK_LEARNERS_MAX)
			return -ENOSPC;
		break;
	case ZK_CONF_REMOVE:
		conf_remove(conf, slot);
		break;
	case ZK_CONF_ADD_LEARNER:
	case ZK_CONF_ADD_VOTER:
	default:
		return -EINVAL;
	}
	return conf->voter_bits != 0 ? 0 : -EINVAL;
}

int
zk_raft_conf_change(struct zk_raft *r, const struct zk_event *ev,
    struct zk_effects *fx)
{
	struct zk_conf conf = r->conf;
	int slot;
	int rc;

	if (r->role != ZK_LEADER)
		return -ZK_ENOTLEADER;
	if (r->transfer_to != 0 || r->conf_index > r->commit_index)
		return -EAGAIN;
	if (zk_raft_term_at(r, r->commit_index) != r->term)
		return -EAGAIN;
	rc = conf_apply(r, ev, &conf);
	if (rc < 0)
		return rc;

	slot = zk_raft_conf_slot(&r->conf, ev->peer);
	if (slot < 0) {
		zk_raft_progress_reset(&r->progress[conf.count - 1],
		    r->last_index + 1);
	} else if (conf.count < r->conf.count) {
		r->progress[slot] = r->progress[conf.count];
	}
	r->conf_before = r->conf;
	r->conf_before_index = r->conf_index;
	r->conf = conf;
	r->conf_index = r->last_index + 1;
	zk_raft_append_own(r, 1, ZK_ENTRY_CONF, fx);
	/* A smaller majority may already have what the larger one lacked. */
	zk_raft_leader_commit(r, fx);
	return 0;
}
