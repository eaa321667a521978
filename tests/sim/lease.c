#include "daemon/member_impl.h"
#include "tests/sim/sim.h"

/*
 * Who holds a session gives it up before whoever leads ends it: what both say
 * of that moment is compared whenever a host has had a turn, and so also where
 * nothing comes of it, for they hear of each other again in time.
 */

/* From now on, by true time, until the host's own clock says so. */
static int64_t
true_us(const struct sim_host *host, uint64_t local_ms)
{
	const struct sim *sim = host->sim;
	const int64_t since_us = (int64_t)(sim->now_us - host->boot_us);
	const int64_t local_us = ((int64_t)local_ms - 5) * 1000;

	return local_us * 1000000 / (1000000 + host->rate_ppm) - since_us;
}

static void
compare(struct sim *sim, const struct sim_host *leader,
    const struct sim_host *holder)
{
	const struct zk_member *l = leader->member, *h = holder->member;
	const uint64_t end_ms = zk_member_lease_end(h);
	int64_t until_us;

	for (size_t i = 0; i < l->lease_count; i++) {
		const struct zk_lease *lease = &l->leases[i];

		if (lease->session != h->session || lease->ending)
			continue;
		until_us = true_us(leader, lease->until_ms);
		if (true_us(holder, end_ms) > until_us + 2000)
			sim_fail(sim,
			    "host %u: holds session %lu longer than host %u "
			    "lets it",
			    holder->id, (unsigned long)h->session, leader->id);
	}
}

void
sim_check_leases(struct sim *sim)
{
	const struct sim_host *leader = sim_leader(sim);

	if (leader == NULL ||
	    leader->member->leading != zk_member_raft(leader->member)->term)
		return;
	/* What one says that was deposed nobody goes by. */
	for (unsigned i = 0; i < sim->count; i++)
		if (sim->hosts[i].term > leader->term)
			return;
	for (unsigned i = 0; i < sim->count; i++) {
		const struct sim_host *holder = &sim->hosts[i];

		if (holder != leader && holder->up &&
		    holder->member->session != 0 &&
		    !zk_member_alone(holder->member))
			compare(sim, leader, holder);
	}
}
