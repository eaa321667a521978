#include "tests/raft/sim.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

/*
 * Random schedules.  First everything goes wrong, while the observers watch
 * for broken promises; then the world heals, and within a bounded time there
 * must be a leader, a commit, and equal logs.  A seed repeats its run.
 */

#define EXTRA_NODES    2u
#define HEAL_ROUNDS    400u
#define DELIVERIES_MAX 200000u

struct fuzz {
	struct sim *sim;
	uint64_t rng;
	uint64_t next_ctx;
	/* A storm: elections all the time, crashes before flushes. */
	bool storm;
};

static uint64_t
draw(struct fuzz *fuzz, uint64_t below)
{
	return zk_prng_next(&fuzz->rng) % below;
}

static struct sim_node *
any_node(struct fuzz *fuzz)
{
	return sim_node(fuzz->sim, 1 + draw(fuzz, fuzz->sim->node_count));
}

static struct sim_packet *
any_packet(struct fuzz *fuzz)
{
	struct sim_packet *found = NULL;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &fuzz->sim->packets[i];

		if (packet->state == SIM_FLYING && draw(fuzz, ++seen) == 0)
			found = packet;
	}
	return found;
}

static void
fuzz_network(struct fuzz *fuzz)
{
	struct sim *sim = fuzz->sim;
	/* Mostly in order: all disorder would let nothing get done. */
	struct sim_packet *packet =
	    draw(fuzz, 4) != 0 ? sim_oldest(sim, NULL, NULL) : any_packet(fuzz);
	const uint64_t fate = draw(fuzz, 100);

	if (packet == NULL)
		return;
	if (sim->cut[packet->msg.from][packet->msg.to] || fate < 4)
		sim_drop(sim, packet);
	else
		sim_deliver(sim, packet, fate < 8);
}

static struct sim_node *
leader_of(struct sim *sim)
{
	struct sim_node *best = NULL;

	for (uint32_t i = 1; i <= sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[i];

		if (node->r.role == ZK_LEADER &&
		    (best == NULL || node->r.term > best->r.term))
			best = node;
	}
	return best;
}

/* A leader that talks to itself is what makes logs differ. */
static void
isolate(struct sim *sim, const struct sim_node *node)
{
	for (uint32_t i = 1; i <= sim->node_count && node != NULL; i++) {
		sim->cut[i][node->id] = true;
		sim->cut[node->id][i] = true;
	}
}

static void
fuzz_links(struct fuzz *fuzz)
{
	const uint64_t a = any_node(fuzz)->id;
	const uint64_t b = any_node(fuzz)->id;
	const uint64_t kind = draw(fuzz, 4);

	if (kind == 0) {
		memset(fuzz->sim->cut, 0, sizeof(fuzz->sim->cut));
		return;
	}
	if (kind == 3) {
		isolate(fuzz->sim, leader_of(fuzz->sim));
		return;
	}
	fuzz->sim->cut[a][b] = true;
	if (kind == 1)
		fuzz->sim->cut[b][a] = true;
}

static void
fuzz_members(struct fuzz *fuzz, struct sim_node *node)
{
	struct zk_event ev = {
	    .type = ZK_EV_CONF,
	    .conf_op = (enum zk_conf_op)draw(fuzz, 5),
	    .peer = any_node(fuzz)->id,
	};

	if (fuzz->sim->conf_count == SIM_CONFS_MAX)
		return;
	if (sim_step(fuzz->sim, node, &ev) == 0)
		fuzz->sim->conf_changes++;
}

static void
fuzz_driver(struct fuzz *fuzz, struct sim_node *node)
{
	struct sim *sim = fuzz->sim;
	const uint64_t what = draw(fuzz, 100);
	struct zk_event ev = {.peer = any_node(fuzz)->id};

	if (what < 60) {
		(void)sim_propose(sim, node, 1 + (uint32_t)draw(fuzz, 4));
	} else if (what < 80) {
		(void)sim_read(sim, node, ++fuzz->next_ctx);
	} else if (what < 87) {
		fuzz_members(fuzz, node);
	} else if (what < 90) {
		ev.type = ZK_EV_TRANSFER;
		(void)sim_step(sim, node, &ev);
	} else if (what < 95) {
		ev.type = what < 93 ? ZK_EV_PEER_LOST : ZK_EV_PEER_MET;
		(void)sim_step(sim, node, &ev);
	} else if (node->mem.applied > node->mem.base_index) {
		sim_compact(sim, node,
		    node->mem.base_index + 1 +
		        draw(fuzz,
		            node->mem.applied - node->mem.base_index + 1));
	}
}

static void
fuzz_step(struct fuzz *fuzz)
{
	struct sim_node *node = any_node(fuzz);
	const uint64_t what = draw(fuzz, 1000);

	if (what < 600) {
		fuzz_network(fuzz);
	} else if (what < 610) {
		fuzz_links(fuzz);
	} else if (!node->up) {
		if (what < 700)
			sim_restart(fuzz->sim, node);
	} else if (what < 750 && fuzz->storm) {
		node->autoflush = false;
		sim_flush(fuzz->sim, node);
	} else if (what < 850) {
		sim_tick(fuzz->sim, node,
		    (uint32_t)draw(fuzz, fuzz->storm ? 150 : 40));
	} else if (what < 900) {
		sim_flush(fuzz->sim, node);
	} else if (what < 910) {
		node->autoflush = draw(fuzz, 2) != 0;
	} else if (what < (fuzz->storm ? 940 : 914)) {
		sim_crash(fuzz->sim, node);
		if (what != 910)
			sim_restart(fuzz->sim, node);
	} else {
		fuzz_driver(fuzz, node);
	}
}

static bool
all_agree(struct sim *sim, const struct sim_node *leader)
{
	const struct zk_conf *conf = zk_raft_conf(&leader->r);

	for (uint32_t i = 0; i < conf->count; i++) {
		const struct sim_node *node = sim_node(sim, conf->ids[i]);

		if (node->mem.applied != leader->r.last_index ||
		    node->r.last_index != leader->r.last_index ||
		    node->r.leader != leader->id)
			return false;
	}
	return true;
}

static void
settle_bounded(struct sim *sim)
{
	struct sim_packet *packet;
	uint32_t deliveries = 0;

	while ((packet = sim_oldest(sim, NULL, NULL)) != NULL) {
		sim_deliver(sim, packet, false);
		if (++deliveries == DELIVERIES_MAX) {
			sim_violation(sim, "messages without end");
			return;
		}
	}
}

static void
heal(struct sim *sim)
{
	struct sim_node *leader;
	bool proposed = false;

	memset(sim->cut, 0, sizeof(sim->cut));
	for (uint32_t i = 1; i <= sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[i];

		if (!node->up)
			sim_restart(sim, node);
		node->autoflush = true;
		sim_flush(sim, node);
	}
	for (unsigned round = 0; round < HEAL_ROUNDS; round++) {
		for (uint32_t i = 1; i <= sim->node_count; i++)
			sim_tick(sim, &sim->nodes[i], 10);
		settle_bounded(sim);
		leader = leader_of(sim);
		if (leader == NULL || sim->violation[0] != '\0')
			continue;
		if (!proposed)
			proposed = sim_propose(sim, leader, 1) == 0;
		else if (all_agree(sim, leader))
			return;
	}
	sim_violation(sim, "no agreement after %u rounds in peace",
	    HEAL_ROUNDS);
}

static bool
run_seed(struct sim *sim, uint32_t nodes, uint64_t seed, uint32_t steps)
{
	struct fuzz fuzz = {.sim = sim, .rng = seed, .storm = seed % 4 == 0};
	struct zk_conf conf = {.count = nodes};

	conf.voter_bits = (1u << nodes) - 1;
	for (uint32_t i = 0; i < nodes; i++)
		conf.ids[i] = i + 1;
	sim_init(sim, &conf, seed);
	/* For a person who looks into one seed. */
	if (getenv("FUZZ_TRACE") != NULL) {
		sim->trace = stderr;
		sim->verbose = true;
	}
	for (uint32_t i = 1; i <= EXTRA_NODES; i++)
		sim_add_node(sim, nodes + i);
	/* Some seeds with a tiny window, so that it is often full. */
	if (seed % 3 == 0)
		sim->window_bytes_max = sim->append_bytes_max;

	for (uint32_t step = 0; step < steps; step++) {
		fuzz_step(&fuzz);
		if (step % 64 == 0)
			sim_check_logs(sim);
		if (sim->violation[0] != '\0')
			return false;
	}
	heal(sim);
	sim_check_logs(sim);
	if (sim->eprotos > 0)
		sim_violation(sim, "a correct peer was refused");
	return sim->violation[0] == '\0';
}

int
sim_fuzz(struct sim *sim, uint32_t nodes, uint64_t seed_first,
    uint64_t seed_last, uint32_t steps, FILE *out)
{
	uint64_t commits = 0, elections = 0, truncations = 0, installs = 0;
	uint64_t crashes = 0, reads = 0, confs = 0;
	int failed = 0;

	for (uint64_t seed = seed_first; seed <= seed_last; seed++) {
		if (!run_seed(sim, nodes, seed, steps)) {
			fprintf(out, "seed %ju: %s\n", (uintmax_t)seed,
			    sim->violation);
			failed++;
		}
		commits += sim->committed_last;
		elections += sim->elections;
		truncations += sim->truncations;
		installs += sim->installs;
		crashes += sim->crashes;
		reads += sim->reads_answered;
		confs += sim->conf_changes;
	}
	/* Not part of what a script expects: it says what was exercised. */
	fprintf(stderr,
	    "fuzz of %u: commits=%ju elections=%ju truncations=%ju "
	    "installs=%ju crashes=%ju reads=%ju members=%ju\n",
	    nodes, (uintmax_t)commits, (uintmax_t)elections,
	    (uintmax_t)truncations, (uintmax_t)installs, (uintmax_t)crashes,
	    (uintmax_t)reads, (uintmax_t)confs);
	if (commits == 0 || elections == 0 || truncations == 0 ||
	    installs == 0 || reads == 0 || confs == 0) {
		fprintf(out, "something never happened\n");
		failed++;
	}
	return failed;
}
