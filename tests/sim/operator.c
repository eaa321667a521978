#include "tests/sim/sim.h"

/*
 * The operator: adds hosts as learners, makes them voters, takes votes and
 * members away, and hands leadership over.  A host whose removal is committed
 * gets a new disk, so that it may come back only as another member.
 */

struct sim_host *
sim_leader(struct sim *sim)
{
	struct sim_host *leader = NULL;
	uint64_t term = 0;

	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_host *host = &sim->hosts[i];

		if (host->up && host->role == ZK_LEADER && host->term > term) {
			leader = host;
			term = host->term;
		}
	}
	return leader;
}

static const struct zk_raft *
raft_of(const struct sim_host *host)
{
	return zk_replica_raft(zk_member_replica(host->member));
}

/* --- who is a member ------------------------------------------------------ */

/* What a committed configuration says about the others. */
static void
look_at(struct sim *sim, const struct zk_raft *raft)
{
	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_host *host = &sim->hosts[i];
		bool in = false;

		for (uint32_t k = 0; k < raft->conf.count; k++)
			in = in || raft->conf.ids[k] == host->node;
		if (in && raft->conf_index >= host->joined_index) {
			host->joined = true;
			host->joined_index = raft->conf_index;
		} else if (!in && host->joined &&
		    raft->conf_index > host->joined_index) {
			host->joined = false;
			host->joined_index = raft->conf_index;
			/* It does not hear of it at once. */
			host->wipe_us = sim->now_us + 1 +
			    sim_random(&sim->rng_net, 1500000);
			sim_mark(sim, MARK_MEMBER_REMOVED);
		}
	}
}

void
sim_operator_watch(struct sim *sim)
{
	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_host *host = &sim->hosts[i];

		if (host->wipe_us != 0 &&
		    (host->wipe_us <= sim->now_us || sim->quiet)) {
			host->wipe_us = 0;
			sim_host_wipe(host);
		}
		if (!host->up)
			continue;
		if (raft_of(host)->conf_index <= raft_of(host)->commit_index &&
		    raft_of(host)->conf_index != host->conf_index) {
			host->conf_index = raft_of(host)->conf_index;
			look_at(sim, raft_of(host));
		}
	}
}

bool
sim_is_member(struct sim *sim, const struct sim_host *host)
{
	(void)sim;
	return host->joined && host->wipe_us == 0;
}

/* --- orders --------------------------------------------------------------- */

static enum zk_conf_op
choose(const struct zk_conf *conf, int slot, uint64_t arg)
{
	if (slot < 0)
		return ZK_CONF_ADD_LEARNER;
	if ((conf->voter_bits >> slot & 1) == 0)
		return (arg & 3) == 0 ? ZK_CONF_REMOVE : ZK_CONF_PROMOTE;
	return (arg & 1) == 0 ? ZK_CONF_REMOVE : ZK_CONF_DEMOTE;
}

static void
mark_change(struct sim *sim, enum zk_conf_op op)
{
	if (op == ZK_CONF_ADD_LEARNER)
		sim_mark(sim, MARK_MEMBER_ADDED);
	if (op == ZK_CONF_PROMOTE)
		sim_mark(sim, MARK_MEMBER_PROMOTED);
	if (op == ZK_CONF_DEMOTE)
		sim_mark(sim, MARK_MEMBER_DEMOTED);
}

/* True: the order is carried out, or makes no sense any more. */
static bool
change(struct sim *sim, struct sim_host *leader)
{
	struct sim_order *order = &sim->order;
	struct sim_host *host = &sim->hosts[order->host];
	const struct zk_conf *conf = zk_raft_conf(raft_of(leader));
	const unsigned voters = (unsigned)__builtin_popcount(conf->voter_bits);
	enum zk_conf_op op;
	int slot = -1;

	for (uint32_t k = 0; k < conf->count; k++)
		if (conf->ids[k] == host->node)
			slot = (int)k;
	op = choose(conf, slot, order->arg);
	if (slot < 0 && host->wipe_us != 0)
		return false;
	if (slot < 0 && !host->up && host->restart_us == 0)
		sim_host_start(host);
	/* So many stay that there is a majority of the hosts. */
	if (slot >= 0 && (conf->voter_bits >> slot & 1) != 0 &&
	    voters <= (order->arg >> 8) % 3)
		return true;
	if (zk_member_change(leader->member, op, host->node) != 0)
		return false;
	mark_change(sim, op);
	return true;
}

static bool
transfer(struct sim *sim, struct sim_host *leader)
{
	const struct sim_order *order = &sim->order;
	const uint64_t to =
	    (order->arg & 1) == 0 ? 0 : sim->hosts[order->host].node;

	return zk_member_transfer(leader->member, to) == 0;
}

/* In the turn of a host. */
void
sim_operator_turn(struct sim *sim, struct sim_host *host)
{
	struct sim_order *order = &sim->order;

	if (order->wanted && sim->has_roster) {
		sim_roster_turn(sim, host);
		return;
	}
	if (!order->wanted || raft_of(host)->role != ZK_LEADER)
		return;
	if (order->until_us < sim->now_us ||
	    (order->transfer ? transfer(sim, host) : change(sim, host)))
		order->wanted = false;
}
