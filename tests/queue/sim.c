#include "tests/queue/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"

/*
 * usage: sim [-v] [-r] FIRST COUNT
 *
 * Runs COUNT seeds from FIRST on.  Each run has a time with faults, then a
 * quiet one in which everything must come to an end and agree.  -r: each twice,
 * which must go the same way.
 */

#define FAULTS_US 12000000ull /* virtual */
#define QUIET_US  60000000ull

/* So many runs see every rare event. */
#define RUNS_FOR_MARKS 100u

static const char *const mark_names[MARK_COUNT] = {
    [MARK_ELECTION] = "election",
    [MARK_CRASH] = "crash",
    [MARK_CRASH_AT_FLUSH] = "crash before a flush, after sending",
    [MARK_CRASH_OF_VOTER] = "crash of one who has just voted",
    [MARK_STALE_CANDIDATE] = "candidate that lacks what is committed",
    [MARK_PARTITION] = "partition",
    [MARK_ONE_WAY] = "one-way cut",
    [MARK_TRUNCATION] = "truncation of a log",
    [MARK_UNKNOWN] = "unknown outcome",
    [MARK_REPEATED] = "batch that the leader had already",
    [MARK_RESENT] = "batch sent again",
    [MARK_MOVED_IN] = "replica that came",
    [MARK_MOVED_OUT] = "replica that left",
    [MARK_SNAPSHOT] = "replica that began in the middle",
    [MARK_RETAINED] = "retention",
    [MARK_FULL] = "full disk",
    [MARK_SLOW_FLUSH] = "slow flush",
    [MARK_HIDDEN] = "not to be seen yet",
    [MARK_STALL] = "stalled connection",
    [MARK_SESSION_LOST] = "session that was lost",
    [MARK_LATE] = "batch that came too late for its session",
    [MARK_SYNC] = "question for all that was answered for",
    [MARK_SYNC_ELSEWHERE] = "... after which others are asked",
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
	sim->drop_percent = 0;
	sim->delay_us = 500;
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

/* Somewhere else, in another order. */
static void
place(struct sim *sim, struct zk_partition_spec *spec, uint32_t count)
{
	spec->replica_count = 0;
	while (spec->replica_count < count) {
		const uint64_t node = 1 + sim_random(sim, sim->count);
		bool there = false;

		for (uint32_t i = 0; i < spec->replica_count; i++)
			there = there || spec->replicas[i] == node;
		if (!there)
			spec->replicas[spec->replica_count++] = node;
	}
}

static void
move(struct sim *sim)
{
	const unsigned part = (unsigned)sim_random(sim, SIM_PARTS);
	struct zk_partition_spec *spec = &sim->specs[part];

	place(sim, spec, spec->replica_count);
	for (unsigned id = 0; id < sim->count; id++)
		sim->hosts[id].told[part] = false;
}

/* What is sent meanwhile comes later. */
static void
stall(struct sim *sim, unsigned from, unsigned to, uint64_t us)
{
	sim->stall_us[from][to] = sim->now_us + us;
	sim_mark(sim, MARK_STALL);
}

/*
 * Some do not hear of the tree; what one of them sends comes when its session
 * is over.
 */
static void
cut_tree(struct sim *sim, unsigned id)
{
	const uint64_t us = 800000 + sim_random(sim, 1500000);

	for (unsigned other = 0; other < sim->count; other++) {
		if (other != id && sim_chance(sim, 50))
			continue;
		sim->hosts[other].tree_cut_us = sim->now_us + us + 500000;
		if (other != id)
			stall(sim, id, other, us);
	}
}

static void
some_fault(struct sim *sim)
{
	const unsigned id = (unsigned)sim_random(sim, sim->count);

	if (sim_chance(sim, 40)) {
		heal(sim);
		return;
	}
	switch (sim_random(sim, 12)) {
	case 0:
		if (sim->hosts[id].broker != NULL) {
			sim_mark(sim, MARK_CRASH);
			sim_host_stop(sim, id);
		}
		break;
	case 1:
	case 2:
		partition(sim);
		break;
	case 3:
		move(sim);
		break;
	case 4:
	case 5:
		sim_ask_stale(sim, (unsigned)sim_random(sim, SIM_PARTS),
		    (unsigned)sim_random(sim, sim->count), id);
		break;
	case 6:
		sim->drop_percent = (uint32_t)sim_random(sim, 20);
		break;
	case 7:
	case 8:
		stall(sim, id, (unsigned)sim_random(sim, sim->count),
		    sim_random(sim, 1000000));
		break;
	case 9:
	case 10:
		cut_tree(sim, id);
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
	uint64_t next = sim->now_us + 5000;

	if (sim->wire != NULL && sim->wire->at_us < next)
		next = sim->wire->at_us;
	for (unsigned id = 0; id < sim->count; id++) {
		const struct sim_host *host = &sim->hosts[id];
		uint64_t at =
		    host->broker != NULL ? host->wake_us : host->restart_us;

		if (at < host->busy_us)
			at = host->busy_us;
		if (at < next)
			next = at;
	}
	return next > sim->now_us ? next : sim->now_us + 1;
}

static bool
has_to_act(const struct sim *sim, const struct sim_host *host)
{
	if (host->wake_us <= sim->now_us)
		return true;
	for (unsigned part = 0; part < SIM_PARTS; part++) {
		if (!host->told[part])
			return true;
		for (unsigned w = 0; w < SIM_WRITERS && !sim->quiet; w++)
			if (host->batch[part][w] == NULL &&
			    host->next_us[part][w] <= sim->now_us)
				return true;
	}
	return false;
}

static void
run_until(struct sim *sim, uint64_t end_us)
{
	while (!sim->failed && sim->now_us < end_us) {
		sim->now_us = next_event_us(sim);
		if (!sim->quiet && sim_random(sim, 600) == 0)
			some_fault(sim);
		sim_tree_run(sim);
		sim_deliver_due(sim);
		for (unsigned id = 0; id < sim->count && !sim->failed; id++) {
			struct sim_host *host = &sim->hosts[id];

			if (host->broker == NULL &&
			    host->restart_us <= sim->now_us)
				sim_host_start(sim, id);
			else if (host->broker != NULL &&
			    host->busy_us <= sim->now_us &&
			    has_to_act(sim, host))
				sim_host_turn(sim, id);
		}
		sim_crash_voter(sim);
		if (sim->quiet && sim_has_converged(sim))
			return;
	}
}

static void
run_seed(struct sim *sim)
{
	for (unsigned id = 0; id < sim->count && !sim->failed; id++)
		sim_host_start(sim, id);
	run_until(sim, FAULTS_US);
	sim->quiet = true;
	heal(sim);
	run_until(sim, sim->now_us + QUIET_US);
	if (!sim->failed && !sim_has_converged(sim))
		sim_fail(sim, "no agreement when all is healed");
	if (!sim->failed)
		sim_check_end(sim);
}

/* --- runs ----------------------------------------------------------------- */

/*
 * The directory of all runs.  A child waits for our end, however it comes,
 * and removes it.
 */
static char base[] = "/dev/shm/zkfs-queue.XXXXXX";
static pid_t cleaner;
static int alive_fd;

static void
clean(int fd)
{
	char byte;

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

	if (mkdtemp(base) == NULL || pipe(fds) != 0)
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
set_up(struct sim *sim)
{
	static uint64_t runs;

	runs++;
	for (unsigned id = 0; id < sim->count; id++) {
		struct sim_host *host = &sim->hosts[id];

		host->sim = sim;
		host->id = id;
		/* 12 MiB of it are reserve: a third of these get full. */
		host->map_bytes = (size_t)64 << 20;
		if (sim->small_disks && sim_chance(sim, 70))
			host->map_bytes = ((size_t)12 << 20) + 100000 +
			    sim_random(sim, 200000);
		(void)snprintf(host->dir, sizeof(host->dir),
		    "%s/%" PRIu64 ".%u", base, runs, id);
		if (mkdir(host->dir, 0700) != 0)
			sim_fail(sim, "cannot make %s", host->dir);
	}
	for (unsigned part = 0; part < SIM_PARTS; part++) {
		struct zk_partition_spec *spec = &sim->specs[part];

		*spec = (struct zk_partition_spec){.id = SIM_PART_ID + part};
		place(sim, spec, part == 2 ? 1 : 3);
		spec->founder_count = spec->replica_count;
		memcpy(spec->founders, spec->replicas, sizeof(spec->founders));
		if (part == 1 || sim->small_disks)
			spec->retention_bytes = 20000;
	}
}

static void
tear_down(struct sim *sim)
{
	char path[160];

	for (unsigned id = 0; id < sim->count; id++) {
		sim->hosts[id].dying = true;
		zk_broker_close(sim->hosts[id].broker);
		sim->hosts[id].broker = NULL;
		for (size_t i = 0; i < SIM_FILES; i++) {
			(void)snprintf(path, sizeof(path), "%s/%s",
			    sim->hosts[id].dir, sim_files[i]);
			(void)unlink(path);
		}
	}
	/* The last to close may have written to the first. */
	for (unsigned id = 0; id < sim->count; id++) {
		struct sim_message *msg;

		sim_wire_clear(sim, id);
		while ((msg = sim->hosts[id].mail) != NULL) {
			sim->hosts[id].mail = msg->next;
			free(msg);
		}
	}
	for (size_t i = 0; i < sim->batch_count; i++) {
		free(sim->batches[i]->text);
		free(sim->batches[i]);
	}
	for (unsigned part = 0; part < SIM_PARTS; part++) {
		free(sim->content[part].bytes);
		free(sim->content[part].known);
	}
}

/* Returns the trace of the run; *ret_passed says how it went. */
static uint64_t
run(uint64_t seed, bool verbose, uint64_t marks[MARK_COUNT], bool *ret_passed)
{
	static struct sim sim;

	memset(&sim, 0, sizeof(sim));
	sim.seed = seed;
	sim.rng = zk_mix64(seed + 1);
	sim.delay_us = 500;
	sim.count = 3 + (unsigned)sim_random(&sim, 3);
	sim.small_disks = sim_chance(&sim, 25);
	if (sim_chance(&sim, 50))
		sim.settle_ms = 1 + (uint32_t)sim_random(&sim, 60);
	if (sim_chance(&sim, 50))
		sim.linger_ms = 1 + (uint32_t)sim_random(&sim, 20);
	set_up(&sim);
	if (!sim.failed)
		run_seed(&sim);
	for (int i = 0; i < MARK_COUNT; i++)
		marks[i] += sim.marks[i];
	if (verbose || sim.failed)
		(void)printf("seed %" PRIu64 ": %u hosts, %zu batches, "
		             "trace %016" PRIx64 "%s%s\n",
		    seed, sim.count, sim.batch_count, sim.trace,
		    sim.failed ? ", FAILED: " : "",
		    sim.failed ? sim.failure : "");
	if (verbose && sim.failed)
		sim_print(&sim);
	*ret_passed = !sim.failed;
	tear_down(&sim);
	return sim.trace;
}

/* Rare events that many runs together must have seen. */
static uint64_t
count_unseen(uint64_t count, bool verbose, const uint64_t marks[MARK_COUNT])
{
	uint64_t unseen = 0;

	for (int i = 0; i < MARK_COUNT; i++) {
		const bool missing = count >= RUNS_FOR_MARKS && marks[i] == 0;

		if (verbose || missing)
			(void)printf("queue sim: %s: %" PRIu64 "%s\n",
			    mark_names[i], marks[i],
			    missing ? ", NEVER SEEN" : "");
		unseen += missing;
	}
	return unseen;
}

int
main(int argc, char *argv[])
{
	uint64_t marks[MARK_COUNT] = {0};
	uint64_t first, count, failed = 0, unseen;
	bool verbose = false, repeat = false;
	int c;

	while ((c = getopt(argc, argv, "vr")) != -1) {
		verbose = verbose || c == 'v';
		repeat = repeat || c == 'r';
	}
	if (argc - optind != 2) {
		(void)fprintf(stderr, "usage: sim [-v] [-r] FIRST COUNT\n");
		return 2;
	}
	first = strtoull(argv[optind], NULL, 10);
	count = strtoull(argv[optind + 1], NULL, 10);
	if (!begin()) {
		perror("queue sim: /dev/shm");
		return 2;
	}
	for (uint64_t seed = first; seed < first + count; seed++) {
		bool passed, again = true;
		const uint64_t trace = run(seed, verbose, marks, &passed);

		if (repeat && run(seed, false, marks, &again) != trace) {
			(void)printf("seed %" PRIu64 " does not repeat\n",
			    seed);
			passed = false;
		}
		failed += !passed;
	}
	(void)close(alive_fd);
	while (waitpid(cleaner, NULL, 0) < 0 && errno == EINTR)
		;
	unseen = count_unseen(count, verbose, marks);
	(void)printf("queue sim: %" PRIu64 " passed, %" PRIu64 " failed\n",
	    count - failed, failed);
	return failed == 0 && unseen == 0 ? 0 : 1;
}
