#include "tests/raft/sim.h"

#include <string.h>

/*
 * Partial connectivity: some links are cut in both directions, for good.  It
 * is the case in which leaders that are only half heard, and candidates that
 * depose them again and again, have kept other implementations from ever
 * getting anything done.
 */

#define NODES  5u
#define LINKS  (NODES * (NODES - 1) / 2)
#define ROUNDS 200u /* of 10 ms: 20 times the shortest election timeout */

static void
cut_links(struct sim *sim, uint32_t set)
{
	uint32_t link = 0;

	for (uint32_t a = 1; a <= NODES; a++) {
		for (uint32_t b = a + 1; b <= NODES; b++, link++) {
			const bool cut = (set >> link & 1) == 0;

			sim->cut[a][b] = sim->cut[b][a] = cut;
		}
	}
}

/* Somebody reaches a majority, itself included. */
static bool
can_elect(const struct sim *sim)
{
	for (uint32_t a = 1; a <= NODES; a++) {
		uint32_t reached = 1;

		for (uint32_t b = 1; b <= NODES; b++)
			reached += a != b && !sim->cut[a][b];
		if (reached > NODES / 2)
			return true;
	}
	return false;
}

static void
rounds(struct sim *sim, unsigned count)
{
	for (unsigned round = 0; round < count; round++) {
		for (uint32_t i = 1; i <= NODES; i++)
			sim_tick(sim, sim_node(sim, i), 10);
		sim_settle(sim);
	}
}

/* A proposal by any leader that gets committed. */
static bool
gets_on(struct sim *sim)
{
	const uint64_t before = sim->committed_last;

	for (uint32_t i = 1; i <= NODES; i++) {
		(void)sim_propose(sim, sim_node(sim, i), 1);
		sim_settle(sim);
	}
	return sim->committed_last > before;
}

int
sim_topologies(struct sim *sim, FILE *out)
{
	struct zk_conf conf = {
	    .count = NODES,
	    .voter_bits = (1u << NODES) - 1,
	};
	int failed = 0;

	for (uint32_t i = 0; i < NODES; i++)
		conf.ids[i] = i + 1;
	for (uint32_t set = 0; set < 1u << LINKS; set++) {
		bool got_on = false;

		sim_init(sim, &conf, set + 1);
		rounds(sim, 40);
		cut_links(sim, set);
		/* Within the bound, and once it has settled still so. */
		for (unsigned i = 0; i < 5; i++) {
			rounds(sim, ROUNDS / 5);
			got_on = gets_on(sim);
		}
		if (got_on == can_elect(sim) && sim->violation[0] == '\0')
			continue;
		fprintf(out, "links %#x: %s %s\n", set,
		    got_on ? "commits" : "does not commit", sim->violation);
		failed++;
	}
	return failed;
}
