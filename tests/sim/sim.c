#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/hash.h"

/*
 * usage: sim [-v] [-r] FIRST COUNT
 *
 * Runs COUNT seeds from FIRST on.  Each run has a time with faults, then a
 * quiet one in which everything must come to an end and agree.  A failing
 * seed fails again, the same way: `sim -v SEED 1`.
 */

#define FAULTS_US 20000000ull /* virtual */
#define QUIET_US  60000000ull

/* So many runs see every rare event. */
#define RUNS_FOR_MARKS 200u

static const char *const mark_names[MARK_COUNT] = {
    [MARK_ELECTION] = "election",
    [MARK_CRASH] = "crash",
    [MARK_CRASH_IN_TURN] = "crash before a flush",
    [MARK_PARTITION] = "partition",
    [MARK_ONE_WAY] = "one-way cut",
    [MARK_ALONE] = "a member alone for a while",
    [MARK_TRUNCATION] = "truncation of a log",
    [MARK_SESSION_LOST] = "session given up by its holder",
    [MARK_SESSION_ENDED] = "session ended by the leader",
    [MARK_UNKNOWN] = "unknown outcome",
    [MARK_CAS_WON] = "compare-and-set won",
    [MARK_CAS_LOST] = "compare-and-set lost",
    [MARK_LOCK_WAITED] = "lock waited for",
    [MARK_EPHEMERAL_ENDED] = "ephemeral ended with its session",
    [MARK_SNAPSHOT_SENT] = "snapshot sent",
    [MARK_SNAPSHOT_INSTALLED] = "snapshot installed",
    [MARK_SNAPSHOT_RESENT] = "snapshot's part sent again",
    [MARK_SNAPSHOT_FAILED] = "snapshot given up",
    [MARK_CRASH_IN_INSTALL] = "crash while a snapshot is installed",
    [MARK_CRASH_AFTER_INSTALL] = "crash after a snapshot was installed",
    [MARK_SLOW_FLUSH] = "slow flush",
    [MARK_SEQUENTIAL] = "sequential name",
};

uint64_t
sim_random(struct sim *sim, uint64_t below)
{
	return below == 0 ? 0 : zk_prng_next(&sim->rng) % below;
}

bool
sim_chance(struct sim *sim, uint32_t percent)
{
	return sim_random(sim, 100) < percent;
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
}

/* --- faults --------------------------------------------------------------- */

static void
heal(struct sim *sim)
{
	memset(sim->cut, 0, sizeof(sim->cut));
	sim->join_us = 0;
	sim->drop_percent = 0;
	sim->delay_us = 500;
	for (unsigned id = 0; id < sim->count; id++)
		if (!sim->members[id].up)
			sim_host_start(sim, id);
}

static void
partition(struct sim *sim)
{
	const uint64_t side = sim_random(sim, 1u << sim->count);
	const bool one_way = sim_chance(sim, 30);

	for (unsigned a = 0; a < sim->count; a++)
		for (unsigned b = 0; b < sim->count; b++)
			if ((side >> a & 1) != (side >> b & 1) &&
			    (!one_way || (side >> a & 1)))
				sim->cut[a][b] = true;
	sim_mark(sim, one_way ? MARK_ONE_WAY : MARK_PARTITION);
}

/* A member one of whose clients may wait for a lock; else any. */
static unsigned
who_waits(const struct sim *sim, unsigned any)
{
	for (unsigned n = 0; n < sim->count; n++) {
		const unsigned id = (any + n) % sim->count;

		for (unsigned i = 0; i < SIM_CLIENTS; i++) {
			const struct sim_op *op =
			    sim->members[id].clients[i].op;

			if (op != NULL && op->kind == SIM_LOCK)
				return id;
		}
	}
	return any;
}

/* One member is alone for less than its session lasts. */
static void
isolate(struct sim *sim, unsigned any)
{
	const unsigned id = who_waits(sim, any);

	for (unsigned other = 0; other < sim->count; other++)
		sim->cut[id][other] = sim->cut[other][id] = true;
	sim->join_us = sim->now_us + 500000 + sim_random(sim, 3000000);
	sim_mark(sim, MARK_ALONE);
}

static void
join(struct sim *sim)
{
	if (sim->join_us == 0 || sim->join_us > sim->now_us)
		return;
	sim->join_us = 0;
	memset(sim->cut, 0, sizeof(sim->cut));
}

static void
some_fault(struct sim *sim)
{
	const unsigned id = (unsigned)sim_random(sim, sim->count);

	/* A group that is always ill does not get far. */
	if (sim_chance(sim, 50)) {
		heal(sim);
		return;
	}
	switch (sim_random(sim, 8)) {
	case 0:
		if (sim->members[id].up) {
			sim_mark(sim, MARK_CRASH);
			sim_host_stop(sim, id);
		}
		break;
	case 1:
	case 2:
		partition(sim);
		break;
	case 3:
		memset(sim->cut, 0, sizeof(sim->cut));
		break;
	case 4:
	case 5:
		isolate(sim, id);
		break;
	case 6:
		sim->drop_percent = (uint32_t)sim_random(sim, 20);
		break;
	default:
		sim->delay_us = 200 + sim_random(sim, 30000);
		break;
	}
}

/* --- time ----------------------------------------------------------------- */

static uint64_t
next_event_us(const struct sim *sim)
{
	uint64_t next = sim_next_message_us(sim);

	for (unsigned id = 0; id < sim->count; id++) {
		const struct sim_member *host = &sim->members[id];
		uint64_t at = host->wake_us;

		if (!host->up)
			continue;
		for (unsigned i = 0; i < SIM_CLIENTS; i++)
			if (host->clients[i].op == NULL &&
			    host->clients[i].next_us < at &&
			    (!sim->quiet || host->clients[i].session != 0))
				at = host->clients[i].next_us;
		if (at < host->busy_us)
			at = host->busy_us;
		if (at < next)
			next = at;
	}
	/* When nobody is up, time goes on for the faults alone. */
	if (next > sim->now_us + 20000)
		next = sim->now_us + 20000;
	return next > sim->now_us ? next : sim->now_us + 1;
}

static void
run_until(struct sim *sim, uint64_t end_us, bool until_idle)
{
	while (!sim->failed && sim->now_us < end_us) {
		sim->now_us = next_event_us(sim);
		if (!sim->quiet && sim_random(sim, 700) == 0)
			some_fault(sim);
		join(sim);
		sim_deliver_due(sim);
		for (unsigned id = 0; id < sim->count; id++) {
			struct sim_member *host = &sim->members[id];
			bool due = host->up && host->busy_us <= sim->now_us;

			if (due)
				sim_host_turn(sim, id);
		}
		if (until_idle && sim_clients_idle(sim) &&
		    sim->now_us + QUIET_US / 2 > end_us &&
		    sim_has_converged(sim))
			return;
	}
}

static void
run_seed(struct sim *sim)
{
	for (unsigned id = 0; id < sim->count && !sim->failed; id++)
		sim_host_start(sim, id);
	run_until(sim, FAULTS_US, false);
	sim->quiet = true;
	heal(sim);
	run_until(sim, sim->now_us + QUIET_US, true);
	if (!sim->failed && !sim_clients_idle(sim))
		sim_fail(sim, "clients still wait when all is healed");
	if (!sim->failed)
		sim_check_end(sim);
}

/* --- runs ----------------------------------------------------------------- */

/* Each member's id, which its founders must know before it starts. */
static void
name_member(struct sim *sim, unsigned id, const char *base)
{
	struct sim_member *host = &sim->members[id];
	struct zk_store_options options = {
	    .dir = host->dir,
	    .map_bytes = (size_t)256 * ZK_MIB,
	    .seed = id + 1,
	};
	struct zk_store *store;

	host->sim = sim;
	host->id = id;
	host->rate_ppm = (int64_t)sim_random(sim, 20000) - 10000;
	(void)snprintf(host->dir, sizeof(host->dir), "%s/m%u", base, id);
	options.member = host->dir + strlen(host->dir) - 2;
	if (zk_store_open(&options, NULL, &store) < 0) {
		sim_fail(sim, "cannot make %s", host->dir);
		return;
	}
	host->node = zk_store_ident(store)->node;
	zk_store_close(store);
}

/*
 * The directory of all runs.  A child waits for our end, however it comes,
 * and removes it.
 */
static char base[] = "/dev/shm/zkfs-sim.XXXXXX";
static pid_t cleaner;
static int alive_fd; /* its other end tells the cleaner that we are gone */

static void
clean(int fd)
{
	char byte;

	/* Ended with us, and not before: a terminal's ^C is for both. */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	(void)execlp("rm", "rm", "-rf", base, (char *)NULL);
	_exit(1);
}

static bool
begin(void)
{
	int fds[2];

	if (mkdtemp(base) == NULL || pipe2(fds, O_CLOEXEC) != 0)
		return false;
	cleaner = fork();
	if (cleaner == 0) {
		(void)close(fds[1]);
		clean(fds[0]);
	}
	(void)close(fds[0]);
	alive_fd = fds[1];
	return cleaner > 0;
}

static void
end(void)
{
	(void)close(alive_fd);
	while (waitpid(cleaner, NULL, 0) < 0 && errno == EINTR)
		;
}

/* Returns the trace of the run; *ret_passed says how it went. */
static uint64_t
run(uint64_t seed, bool verbose, uint64_t marks[MARK_COUNT], bool *ret_passed)
{
	static struct sim sim;

	memset(&sim, 0, sizeof(sim));
	sim.seed = seed;
	sim.rng = zk_mix64(seed + 1);
	sim.verbose = verbose;
	sim.delay_us = 500;
	sim.count = sim_chance(&sim, 30) ? 5 : 3;
	if (sim_chance(&sim, 50))
		sim.log_keep =
		    2 + (uint32_t)sim_random(&sim, sim_random(&sim, 50));
	for (unsigned id = 0; id < sim.count && !sim.failed; id++)
		name_member(&sim, id, base);
	if (!sim.failed)
		run_seed(&sim);
	for (unsigned id = 0; id < sim.count; id++)
		sim_host_forget(&sim, id);
	for (unsigned id = 0; id < sim.count; id++)
		sim_wire_clear(&sim, id);
	for (int i = 0; i < MARK_COUNT; i++)
		marks[i] += sim.marks[i];
	if (verbose || sim.failed)
		(void)printf("seed %" PRIu64 ": %u members, %zu operations, "
		             "trace %016" PRIx64 "%s%s\n",
		    seed, sim.count, sim.op_count, sim.trace,
		    sim.failed ? ", FAILED: " : "",
		    sim.failed ? sim.failure : "");
	*ret_passed = !sim.failed;
	return sim.trace;
}

struct arguments {
	bool verbose, repeat;
	uint64_t first, count;
};

static bool
parse(int argc, char *argv[], struct arguments *ret_args)
{
	struct arguments args = {.count = 1};
	int c;

	while ((c = getopt(argc, argv, "vr")) != -1) {
		if (c != 'v' && c != 'r')
			return false;
		args.verbose = args.verbose || c == 'v';
		args.repeat = args.repeat || c == 'r';
	}
	if (argc - optind != 2)
		return false;
	args.first = strtoull(argv[optind], NULL, 10);
	args.count = strtoull(argv[optind + 1], NULL, 10);
	*ret_args = args;
	return true;
}

/* Rare events that many runs together must have seen. */
static uint64_t
count_unseen(const struct arguments *args, const uint64_t marks[MARK_COUNT])
{
	const bool expected = args->count >= RUNS_FOR_MARKS;
	uint64_t unseen = 0;

	for (int i = 0; i < MARK_COUNT; i++) {
		const bool missing = expected && marks[i] == 0;

		if (args->verbose || missing)
			(void)printf("sim: %s: %" PRIu64 "%s\n", mark_names[i],
			    marks[i], missing ? ", NEVER SEEN" : "");
		unseen += missing;
	}
	return unseen;
}

int
main(int argc, char *argv[])
{
	uint64_t marks[MARK_COUNT] = {0};
	struct arguments args;
	uint64_t failed = 0, unseen;

	if (!parse(argc, argv, &args)) {
		(void)fprintf(stderr, "usage: sim [-v] [-r] FIRST COUNT\n");
		return 2;
	}
	if (!begin()) {
		perror("sim: /dev/shm");
		return 2;
	}
	for (uint64_t i = 0; i < args.count; i++) {
		const uint64_t seed = args.first + i;
		bool passed;
		const uint64_t trace = run(seed, args.verbose, marks, &passed);
		bool again = passed;

		if (args.repeat &&
		    run(seed, args.verbose, marks, &again) != trace) {
			(void)printf("seed %" PRIu64 " does not repeat\n",
			    seed);
			passed = false;
		}
		failed += !passed;
	}
	end();
	unseen = count_unseen(&args, marks);
	(void)printf("sim: %" PRIu64 " passed, %" PRIu64 " failed\n",
	    args.count - failed, failed);
	return failed == 0 && unseen == 0 ? 0 : 1;
}
