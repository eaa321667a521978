#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/roster.h"
#include "tests/sim/sim.h"

/*
 * The operator as a person is one: in some runs members come and go by
 * commands that change the roster, put to any host, and the leaders bring the
 * group into line with it.  In the end the two must agree.
 */

static void
name_of(const struct sim_host *host, char buf[8])
{
	(void)snprintf(buf, 8, "m%u", host->id);
}

void
sim_roster_founders(const struct sim *sim, struct zk_roster *ret_roster)
{
	ret_roster->count = 0;
	for (unsigned i = 0; i < sim->count; i++) {
		struct zk_roster_row *row =
		    &ret_roster->rows[ret_roster->count];

		if (!sim->hosts[i].founder)
			continue;
		ret_roster->count++;
		*row = (struct zk_roster_row){.node = sim->hosts[i].node};
		name_of(&sim->hosts[i], row->name);
		(void)snprintf(row->address, sizeof(row->address), "m%u:4180",
		    i);
	}
}

static bool
load(struct sim_host *host, struct zk_roster *ret_roster)
{
	struct zk_tx *tx;
	int rc;

	if (zk_read_begin(host->store, &tx) < 0)
		return false;
	rc = zk_roster_load(tx, ret_roster);
	zk_read_end(tx);
	if (rc < 0)
		sim_fail(host->sim, "host %u: its roster: %d", host->id, rc);
	return rc == 0;
}

/* --- orders --------------------------------------------------------------- */

static void
on_done(void *arg, const struct zk_outcome *outcome)
{
	struct sim *sim = arg;

	if (sim->order.verb == 0)
		return; /* an order that was given up meanwhile */
	if (outcome->rc == 0) {
		sim_mark(sim, MARK_ROSTER_CHANGED);
		if (sim->order.verb == ZK_MEMBER_JOIN)
			sim_mark(sim, MARK_MEMBER_ADDED);
		if (sim->order.verb == ZK_MEMBER_PROMOTE)
			sim_mark(sim, MARK_MEMBER_PROMOTED);
	}
	/* One that is expected is still to come. */
	if (outcome->rc == 0 && sim->order.verb != ZK_MEMBER_ADD)
		sim->order.wanted = false;
	sim->order.verb = 0;
}

static void
submit(struct sim_host *via, enum zk_member_verb verb,
    const struct sim_host *host)
{
	struct sim *sim = via->sim;
	char name[8], address[16];
	struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = verb,
	    .name = name,
	};
	struct zk_item *item;

	name_of(host, name);
	cmd.name_len = strlen(name);
	if (verb == ZK_MEMBER_JOIN)
		cmd.ino = host->node;
	if (verb == ZK_MEMBER_JOIN || verb == ZK_MEMBER_ADD) {
		(void)snprintf(address, sizeof(address), "%s:4180", name);
		cmd.data = address;
		cmd.data_len = strlen(address);
	}
	if (zk_item_new(&cmd, on_done, sim, &item) < 0)
		abort();
	zk_item_list_add(&via->items, item);
	sim->order.verb = verb;
}

static unsigned
count_voters(const struct zk_roster *roster)
{
	unsigned count = 0;

	for (size_t i = 0; i < roster->count; i++)
		count += roster->rows[i].role == ZK_ROSTER_VOTER &&
		    roster->rows[i].node != 0;
	return count;
}

/* What is to be said next; 0: nothing, the order makes no sense (any more). */
static enum zk_member_verb
choose(struct sim *sim, const struct zk_roster *roster,
    const struct sim_host *host)
{
	const struct sim_order *order = &sim->order;
	const struct zk_roster_row *row;
	char name[8];

	name_of(host, name);
	row = zk_roster_find(roster, name);
	if (order->transfer)
		return row != NULL && row->role == ZK_ROSTER_VOTER
		    ? ZK_MEMBER_TRANSFER
		    : 0;
	if (row == NULL)
		return (order->arg & 1) != 0 ? ZK_MEMBER_ADD : ZK_MEMBER_JOIN;
	if (row->node == 0)
		return ZK_MEMBER_JOIN;
	if (row->role == ZK_ROSTER_OBSERVER)
		return (order->arg & 6) == 0 ? ZK_MEMBER_REMOVE
		                             : ZK_MEMBER_PROMOTE;
	/* So many stay that there is a majority of the hosts. */
	if (row->role == ZK_ROSTER_VOTER &&
	    count_voters(roster) > (order->arg >> 8) % 3 + 1)
		return ZK_MEMBER_REMOVE;
	return 0;
}

/* In the turn of a host: it is asked if it can be, and is the one to be. */
void
sim_roster_turn(struct sim *sim, struct sim_host *via)
{
	struct sim_order *order = &sim->order;
	struct sim_host *host = &sim->hosts[order->host];
	struct zk_roster *roster;
	enum zk_member_verb verb;

	if (order->until_us < sim->now_us) {
		order->wanted = false;
		order->verb = 0;
		return;
	}
	if (order->verb != 0 || zk_member_session(via->member) == 0 ||
	    (via->role != ZK_LEADER &&
	        (order->arg >> 24) % sim->count != via->id))
		return;
	roster = malloc(sizeof(*roster));
	if (roster == NULL)
		abort();
	if (load(via, roster) && roster->count > 0) {
		verb = choose(sim, roster, host);
		order->wanted = verb != 0;
		/* Who was removed does not come with what it had. */
		if (verb == ZK_MEMBER_JOIN && host->wipe_us != 0)
			verb = 0;
		if (verb == ZK_MEMBER_JOIN && !host->up &&
		    host->restart_us == 0)
			sim_host_start(host);
		if (verb != 0)
			submit(via, verb, host);
	}
	free(roster);
}

/* --- in the end ----------------------------------------------------------- */

static bool
is_met(const struct zk_roster *roster, const struct zk_conf *conf)
{
	size_t members = 0;

	for (size_t i = 0; i < roster->count; i++) {
		const struct zk_roster_row *row = &roster->rows[i];

		if (row->node == 0)
			continue;
		members++;
		if (row->role == ZK_ROSTER_LEAVING ||
		    zk_raft_conf_slot(conf, row->node) < 0 ||
		    zk_raft_conf_is_voter(conf, row->node) !=
		        (row->role == ZK_ROSTER_VOTER))
			return false;
	}
	return members == conf->count;
}

/* For who looks into a failure. */
static void
tell(struct sim *sim, const struct zk_roster *roster,
    const struct zk_conf *conf)
{
	for (size_t i = 0; i < roster->count; i++) {
		const struct zk_roster_row *row = &roster->rows[i];

		sim_tell(sim, "%s is wanted as %d and is %s", row->name,
		    (int)row->role,
		    zk_raft_conf_slot(conf, row->node) < 0       ? "none"
		        : zk_raft_conf_is_voter(conf, row->node) ? "a voter"
		                                                 : "a learner");
	}
	sim_tell(sim, "the group has %u members", conf->count);
}

bool
sim_roster_is_met(struct sim *sim, struct sim_host *host)
{
	const struct zk_conf *conf =
	    zk_raft_conf(zk_replica_raft(zk_member_replica(host->member)));
	struct zk_roster *roster;
	bool met;

	if (!sim->has_roster)
		return true;
	roster = calloc(1, sizeof(*roster));
	if (roster == NULL)
		abort();
	met = load(host, roster) && is_met(roster, conf);
	if (!met && sim->ended)
		tell(sim, roster, conf);
	free(roster);
	return met;
}
