#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/hash.h"

/*
 * A run: a time with faults, then a quiet one in which everything must come to
 * an end and agree.
 */

/* When all is well again, so long until something is committed; and all. */
#define COMMIT_US 5000000ull
#define QUIET_US  20000000ull

uint64_t
sim_random(uint64_t *rng, uint64_t below)
{
	return below == 0 ? 0 : zk_prng_next(rng) % below;
}

bool
sim_chance(uint64_t *rng, uint32_t percent)
{
	return percent != 0 && sim_random(rng, 100) < percent;
}

void
sim_mark(struct sim *sim, enum sim_mark mark)
{
	sim->marks[mark]++;
	sim->trace = zk_mix64(sim->trace + (uint64_t)mark + sim->now_us);
}

/* What happens now is part of what a run must repeat. */
void
sim_trace(struct sim *sim, const void *bytes, size_t len)
{
	sim->trace = zk_mix64(sim->trace + sim->now_us);
	sim->trace =
	    zk_mix64(sim->trace ^ zk_crc32c(0, bytes, len) ^ len << 32);
}

void
sim_fail(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (sim->failed)
		return;
	sim->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(sim->failure, sizeof(sim->failure), fmt, ap);
	va_end(ap);
	sim_tell(sim, "FAILED: %s", sim->failure);
}

void
sim_tell(const struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (!sim->options.verbose)
		return;
	(void)printf("  %8.3f ms: ", (double)sim->now_us / 1000);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)printf("\n");
}

static uint64_t
host_next_us(const struct sim_host *host)
{
	uint64_t at = host->wake_us;

	if (!host->up)
		return host->restart_us != 0 ? host->restart_us : UINT64_MAX;
	if (host->mail != NULL)
		at = 0;
	if (sim_clients_next_us(host) < at)
		at = sim_clients_next_us(host);
	return at > host->busy_us ? at : host->busy_us;
}

static uint64_t
next_event_us(const struct sim *sim)
{
	uint64_t next = sim->wire != NULL ? sim->wire->at_us : UINT64_MAX;
	uint64_t at = sim->quiet ? UINT64_MAX : sim_plan_next_us(sim);

	if (at < next)
		next = at;
	for (unsigned i = 0; i < sim->count; i++) {
		at = host_next_us(&sim->hosts[i]);
		if (at < next)
			next = at;
	}
	if (next > sim->now_us + 20000)
		next = sim->now_us + 20000;
	return next > sim->now_us ? next : sim->now_us + 1;
}

static void
step(struct sim *sim)
{
	sim->now_us = next_event_us(sim);
	if (!sim->quiet)
		sim_plan_act(sim);
	sim_operator_watch(sim);
	sim_deliver_due(sim);
	for (unsigned i = 0; i < sim->count && !sim->failed; i++) {
		struct sim_host *host = &sim->hosts[i];

		if (!host->up && host->restart_us != 0 &&
		    host->restart_us <= sim->now_us)
			sim_host_start(host);
		if (sim_host_due(host))
			sim_host_turn(host);
	}
}

static uint64_t
highest_commit(struct sim *sim)
{
	uint64_t highest = 0;

	for (unsigned i = 0; i < sim->count; i++)
		if (sim->hosts[i].up && sim->hosts[i].applied > highest)
			highest = sim->hosts[i].applied;
	return highest;
}

static bool
is_over(struct sim *sim)
{
	for (unsigned i = 0; i < sim->count; i++) {
		const struct sim_host *host = &sim->hosts[i];

		if (host->wipe_us != 0)
			return false;
		if (sim_is_member(sim, host) &&
		    (!host->up || !sim_clients_idle(host)))
			return false;
	}
	return sim_has_converged(sim);
}

static void
settle(struct sim *sim)
{
	sim->quiet = true;
	sim_heal(sim);
	sim_tell(sim, "all is healed");
	sim->heal_us = sim->now_us;
	sim->heal_commit = highest_commit(sim);
	while (!sim->failed && !is_over(sim)) {
		step(sim);
		if (sim->now_us > sim->heal_us + COMMIT_US &&
		    highest_commit(sim) == sim->heal_commit)
			sim_fail(sim,
			    "nothing is committed %llu ms after all "
			    "is healed",
			    COMMIT_US / 1000);
		if (sim->now_us > sim->heal_us + QUIET_US)
			break;
	}
	if (!sim->failed)
		sim_check_end(sim);
}

void
sim_run(struct sim *sim, const char *base)
{
	sim_plan(sim);
	for (unsigned i = 0; i < sim->count; i++) {
		sim_host_name(&sim->hosts[i], base);
		sim->hosts[i].joined = sim->hosts[i].founder;
	}
	for (unsigned i = 0; i < sim->count && !sim->failed; i++)
		if (sim->hosts[i].founder)
			sim_host_start(&sim->hosts[i]);
	while (!sim->failed && sim->now_us < sim->faults_us)
		step(sim);
	if (!sim->failed)
		settle(sim);
	for (unsigned i = 0; i < sim->count; i++)
		sim_host_stop(&sim->hosts[i], true);
	while (sim->wire != NULL)
		sim_wire_drop(sim, sim->wire->to, sim->wire->to);
}
