#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "tests/sim/sim.h"

/*
 * What goes wrong, and when: drawn before the run begins, so that any of it
 * can be left out of a repetition.  Each run has some kinds of faults and not
 * others: what all runs have in equal parts hides what needs much of one
 * (Groce and others, "Swarm testing" (2012)).
 */

#define FAULTS_US  8000000ull /* virtual */
#define SETTLED_US 900000ull  /* before the first: there is a leader */
#define LEASE_US   2200000ull /* some cuts outlast it */

static const struct {
	const char *name;
	uint32_t weight;
	uint32_t last_ms; /* at most */
} kinds[FAULT_KINDS] = {
    [FAULT_CRASH] = {"crash", 8, 0},
    [FAULT_CRASH_BEFORE] = {"crash-before-flush", 8, 0},
    [FAULT_CRASH_AFTER] = {"crash-after-flush", 8, 0},
    [FAULT_CRASH_INSTALL] = {"crash-in-install", 6, 0},
    [FAULT_CRASH_ALL] = {"crash-all", 3, 0},
    [FAULT_CUT] = {"cut", 20, 3000},
    [FAULT_DROP] = {"drop", 6, 2000},
    [FAULT_DELAY] = {"delay", 6, 2000},
    [FAULT_REPEAT] = {"repeat", 6, 3000},
    [FAULT_PAUSE] = {"pause", 10, 0},
    [FAULT_SLOW] = {"slow-disk", 8, 2500},
    [FAULT_FULL] = {"full-disk", 6, 3000},
    [FAULT_JUMP] = {"clock-jump", 4, 0},
    [FAULT_LINK] = {"link", 6, 0},
    [FAULT_CHANGE] = {"member", 12, 0},
    [FAULT_TRANSFER] = {"transfer", 6, 0},
};

/* --- drawing -------------------------------------------------------------- */

static enum sim_fault_kind
draw_kind(uint64_t *rng, uint32_t allowed)
{
	uint32_t total = 0;
	uint64_t at;

	for (int k = 0; k < FAULT_KINDS; k++)
		total += (allowed >> k & 1) != 0 ? kinds[k].weight : 0;
	at = sim_random(rng, total);
	for (int k = 0; k < FAULT_KINDS; k++) {
		if ((allowed >> k & 1) == 0)
			continue;
		if (at < kinds[k].weight)
			return (enum sim_fault_kind)k;
		at -= kinds[k].weight;
	}
	return FAULT_CRASH;
}

static void
draw(struct sim *sim, uint64_t *rng, uint32_t allowed, uint64_t at_us)
{
	const unsigned number = sim->fault_count++;
	struct sim_fault *fault = &sim->faults[number];

	fault->kind = draw_kind(rng, allowed);
	fault->at_us = at_us;
	fault->end_us = at_us + 100000 +
	    sim_random(rng, kinds[fault->kind].last_ms * 1000ull);
	if (fault->kind == FAULT_CUT && sim_chance(rng, 25))
		fault->end_us += LEASE_US;
	fault->host = (unsigned)sim_random(rng, sim->count);
	if (sim_chance(rng, 40))
		fault->host = SIM_LEADER;
	fault->arg = zk_prng_next(rng);
	fault->skipped = (sim->options.skip >> number & 1) != 0;
}

static void
draw_ensemble(struct sim *sim, uint64_t *rng)
{
	unsigned founders;

	sim->count = sim_chance(rng, 30) ? 5 : 3;
	founders = sim->count;
	sim->changing = sim_chance(rng, 40);
	sim->has_roster =
	    sim->changing && (zk_mix64(sim->options.seed * 3 + 2) & 1) != 0;
	if (sim->changing && sim_chance(rng, 60))
		founders = 1 + (unsigned)sim_random(rng, sim->count);
	for (unsigned i = 0; i < founders; i++)
		sim->hosts[i].founder = true;
	if (sim_chance(rng, 50))
		sim->log_keep = 2 + (uint32_t)sim_random(rng, 40);
	if (sim_chance(rng, 25))
		sim->uncommitted_max = 600;
	sim->good_delay_us = 500ull << sim_random(rng, 7);
	sim->delay_us = sim->good_delay_us;
}

void
sim_plan(struct sim *sim)
{
	uint64_t rng = zk_mix64(sim->options.seed * 2 + 1);
	uint64_t at_us = SETTLED_US, gap_us;
	uint32_t allowed = 0;

	draw_ensemble(sim, &rng);
	/* What takes long comes to its end only where little else happens. */
	gap_us = 500000ull << sim_random(&rng, 4);
	for (int k = 0; k < FAULT_KINDS; k++)
		if (sim_chance(&rng, 45))
			allowed |= 1u << k;
	if (sim->changing)
		allowed |= 1u << FAULT_CHANGE | 1u << FAULT_TRANSFER;
	else
		allowed &= ~(1u << FAULT_CHANGE);
	if (allowed == 0)
		allowed = 1u << FAULT_CUT;
	sim->disks_fill = (allowed >> FAULT_FULL & 1) != 0;
	sim->faults_us = FAULTS_US;
	while (sim->fault_count < SIM_FAULTS_MAX) {
		at_us += sim_random(&rng, gap_us);
		if (at_us >= sim->faults_us)
			break;
		draw(sim, &rng, allowed, at_us);
	}
	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_host *host = &sim->hosts[i];

		host->sim = sim;
		host->id = i;
		host->rng = zk_prng_next(&rng);
		host->rate_ppm = (int64_t)sim_random(&rng, 20000) - 10000;
	}
	sim->rng_net = zk_prng_next(&rng);
}

void
sim_fault_print(const struct sim *sim, unsigned number)
{
	const struct sim_fault *fault = &sim->faults[number];

	(void)printf("  %2u %5" PRIu64 " ms %s", number, fault->at_us / 1000,
	    kinds[fault->kind].name);
	if (kinds[fault->kind].last_ms != 0)
		(void)printf(" until %" PRIu64 " ms", fault->end_us / 1000);
	if (fault->host == SIM_LEADER)
		(void)printf(", the leader");
	else
		(void)printf(", host %u", fault->host);
	(void)printf(", %016" PRIx64 "\n", fault->arg);
}

/* --- cuts ----------------------------------------------------------------- */

static void
cut_link(uint32_t cut[SIM_HOSTS_MAX], unsigned from, unsigned to, bool both)
{
	cut[from] |= 1u << to;
	if (both)
		cut[to] |= 1u << from;
}

/* Two sides; in a bridge, one host hears both. */
static void
cut_sides(struct sim *sim, const struct sim_fault *fault,
    uint32_t cut[SIM_HOSTS_MAX], bool one_way, bool bridge)
{
	const uint64_t side = fault->arg >> 8;

	for (unsigned a = 0; a < sim->count; a++)
		for (unsigned b = 0; b < sim->count; b++)
			if (a != b && (side >> a & 1) != 0 &&
			    (side >> b & 1) == 0 &&
			    (!bridge ||
			        (a != fault->target && b != fault->target)))
				cut_link(cut, a, b, !one_way);
}

static void
cut_of(struct sim *sim, const struct sim_fault *fault,
    uint32_t cut[SIM_HOSTS_MAX])
{
	const unsigned who = fault->target;

	switch (fault->arg & 7) {
	case 0:
	case 1:
		cut_sides(sim, fault, cut, false, false);
		break;
	case 2:
		cut_sides(sim, fault, cut, true, false);
		break;
	case 3:
		cut_sides(sim, fault, cut, false, true);
		break;
	case 4:
		for (unsigned a = 0; a < sim->count; a++)
			for (unsigned b = 0; b < sim->count; b++)
				if ((fault->arg >> (8 + 5 * a + b) & 1) != 0)
					cut_link(cut, a, b, false);
		break;
	default:
		for (unsigned a = 0; a < sim->count; a++) {
			if (a == who)
				continue;
			if ((fault->arg & 7) != 6)
				cut_link(cut, a, who, false);
			if ((fault->arg & 7) != 7)
				cut_link(cut, who, a, false);
		}
	}
}

/* All cuts that last now, together. */
static void
cut_again(struct sim *sim)
{
	memset(sim->cut, 0, sizeof(sim->cut));
	for (unsigned i = 0; i < sim->fault_count; i++) {
		const struct sim_fault *fault = &sim->faults[i];

		if (fault->kind == FAULT_CUT && fault->begun && !fault->ended)
			cut_of(sim, fault, sim->cut);
	}
}

static void
begin_cut(struct sim *sim, const struct sim_fault *fault)
{
	const uint64_t shape = fault->arg & 7;

	cut_again(sim);
	sim_mark(sim,
	    shape == 3                                   ? MARK_CUT_BRIDGE
	        : shape == 2 || shape == 6 || shape == 7 ? MARK_CUT_ONE_WAY
	                                                 : MARK_CUT);
}

/* --- the rest ------------------------------------------------------------- */

static void
arm(struct sim_host *host, enum sim_arm what, uint64_t arg)
{
	host->arm = what;
	host->arm_down_us = 10000 + arg % 1500000;
}

static void
crash(struct sim_host *host, uint64_t arg)
{
	if (!host->up)
		return;
	sim_mark(host->sim, MARK_CRASH);
	host->restart_us = host->sim->now_us + 10000 + arg % 1500000;
	sim_host_stop(host, (arg >> 32 & 1) != 0);
}

static void
crash_all(struct sim *sim, uint64_t arg)
{
	sim_mark(sim, MARK_CRASH_ALL);
	for (unsigned i = 0; i < sim->count; i++)
		crash(&sim->hosts[i], arg >> i);
}

static void
pause_host(struct sim_host *host, uint64_t arg)
{
	/* Most are about as long as an election, some outlast the lease. */
	const uint64_t for_us = (arg & 3) == 0 ? 2000000 + (arg >> 8) % 5000000
	                                       : (arg >> 8) % 1000000;

	if (!host->up)
		return;
	sim_mark(host->sim, MARK_PAUSE);
	host->busy_us = host->sim->now_us + for_us;
	host->deaf = (arg & 4) != 0;
}

/* A connection breaks, with all that is on it, and is made anew. */
static void
break_link(struct sim *sim, struct sim_host *a, unsigned b)
{
	if (a->id == b)
		b = (b + 1) % sim->count;
	sim_mark(sim, MARK_LINK_LOST);
	sim_wire_drop(sim, a->id, b);
	a->lost |= 1u << b;
	a->found |= 1u << b;
	sim->hosts[b].lost |= 1u << a->id;
	sim->hosts[b].found |= 1u << a->id;
}

static void
fill_disk(struct sim_host *host, uint64_t arg)
{
	sim_mark(host->sim, MARK_FULL_DISK);
	host->disk_full = true;
	/* As a rule there is a reserve for what must be written. */
	host->full_percent = (arg & 1) != 0 ? 0 : (uint32_t)(arg >> 8) % 100;
}

static void
begin_order(struct sim *sim, const struct sim_fault *fault)
{
	sim->order = (struct sim_order){
	    .wanted = true,
	    .transfer = fault->kind == FAULT_TRANSFER,
	    .host = (unsigned)(fault->arg >> 16) % sim->count,
	    .arg = fault->arg,
	    .until_us = sim->now_us + 1500000,
	};
}

static void
begin(struct sim *sim, struct sim_fault *fault)
{
	struct sim_host *host = fault->host == SIM_LEADER
	    ? sim_leader(sim)
	    : &sim->hosts[fault->host];

	if (host == NULL)
		host = &sim->hosts[fault->arg % sim->count];
	fault->target = host->id;
	switch (fault->kind) {
	case FAULT_CRASH:
		crash(host, fault->arg);
		break;
	case FAULT_CRASH_BEFORE:
		arm(host, ARM_BEFORE, fault->arg);
		break;
	case FAULT_CRASH_AFTER:
		arm(host, ARM_AFTER, fault->arg);
		break;
	case FAULT_CRASH_INSTALL:
		for (unsigned i = 0; i < sim->count; i++)
			arm(&sim->hosts[i], ARM_INSTALL, fault->arg);
		break;
	case FAULT_CRASH_ALL:
		crash_all(sim, fault->arg);
		break;
	case FAULT_CUT:
		begin_cut(sim, fault);
		break;
	case FAULT_DROP:
		sim->drop_percent = 1 + (uint32_t)(fault->arg % 40);
		break;
	case FAULT_DELAY:
		sim->delay_us = 1000 + fault->arg % 300000;
		break;
	case FAULT_REPEAT:
		sim->late_percent = 1 + (uint32_t)(fault->arg % 10);
		break;
	case FAULT_PAUSE:
		pause_host(host, fault->arg);
		break;
	case FAULT_SLOW:
		host->flush_us = 5000 + fault->arg % 400000;
		break;
	case FAULT_FULL:
		fill_disk(host, fault->arg);
		break;
	case FAULT_JUMP:
		sim_mark(sim, MARK_CLOCK_JUMP);
		host->wall_s = (int64_t)(fault->arg % 200000) - 100000;
		break;
	case FAULT_LINK:
		break_link(sim, host, (unsigned)(fault->arg % sim->count));
		break;
	case FAULT_CHANGE:
	case FAULT_TRANSFER:
		begin_order(sim, fault);
		break;
	case FAULT_KINDS:
		break;
	}
}

static void
finish(struct sim *sim, struct sim_fault *fault)
{
	struct sim_host *host = &sim->hosts[fault->target];

	fault->ended = true;
	if (fault->kind == FAULT_CUT)
		cut_again(sim);
	if (fault->kind == FAULT_DROP)
		sim->drop_percent = 0;
	if (fault->kind == FAULT_DELAY)
		sim->delay_us = sim->good_delay_us;
	if (fault->kind == FAULT_REPEAT)
		sim->late_percent = 0;
	if (fault->kind == FAULT_SLOW)
		host->flush_us = 0;
	if (fault->kind == FAULT_FULL)
		host->disk_full = false;
}

void
sim_plan_act(struct sim *sim)
{
	for (unsigned i = 0; i < sim->fault_count; i++) {
		struct sim_fault *fault = &sim->faults[i];

		if (fault->skipped || fault->ended)
			continue;
		if (!fault->begun && fault->at_us <= sim->now_us) {
			fault->begun = true;
			begin(sim, fault);
			if (sim->options.verbose)
				sim_fault_print(sim, i);
		}
		if (fault->begun && fault->end_us <= sim->now_us)
			finish(sim, fault);
	}
}

uint64_t
sim_plan_next_us(const struct sim *sim)
{
	uint64_t next = UINT64_MAX;

	for (unsigned i = 0; i < sim->fault_count; i++) {
		const struct sim_fault *fault = &sim->faults[i];
		const uint64_t at = fault->begun ? fault->end_us : fault->at_us;

		if (!fault->skipped && !fault->ended && at < next)
			next = at;
	}
	return next;
}

void
sim_heal(struct sim *sim)
{
	for (unsigned i = 0; i < sim->fault_count; i++) {
		struct sim_fault *fault = &sim->faults[i];

		if (fault->begun && !fault->ended)
			finish(sim, fault);
		fault->ended = true;
	}
	sim->order.wanted = false;
	for (unsigned i = 0; i < sim->count; i++) {
		struct sim_host *host = &sim->hosts[i];

		host->arm = ARM_NONE;
		if (host->busy_us > sim->now_us)
			host->busy_us = sim->now_us + 1;
		if (host->restart_us > sim->now_us)
			host->restart_us = sim->now_us;
	}
}
