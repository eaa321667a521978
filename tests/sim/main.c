#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sim/sim.h"

/*
 * usage: sim [-1mrv] [-k FAULTS] [-n OPERATIONS] FIRST [COUNT]
 *
 * Runs COUNT seeds from FIRST on, each in a process of its own, so that one
 * that ends by an assertion is a failure like another.  A failing seed is run
 * again, which must end in the same way to the last byte, and is then made
 * smaller: the command that repeats what is left is printed.
 *   -1  end with the first failure, and leave it as it is
 *   -r  every run twice: they must be the same
 *   -m  rare events must all have been seen
 *   -v  tell what happens
 *   -k  have only these of the planned faults, "1,4,7"; "-": none
 *   -n  clients begin no more than so many operations
 */

#define RUN_SECONDS_MAX 60

static const char *const mark_names[MARK_COUNT] = {
    [MARK_ELECTION] = "election",
    [MARK_PREVOTE_REFUSED] = "pre-vote refused",
    [MARK_VOTE_REFUSED] = "vote refused",
    [MARK_APPEND_REFUSED] = "append refused",
    [MARK_STEPPED_DOWN] = "leader without a quorum stepped down",
    [MARK_TRUNCATION] = "truncation of a log",
    [MARK_CRASH] = "crash",
    [MARK_CRASH_BEFORE_FLUSH] = "crash before a flush",
    [MARK_CRASH_AFTER_FLUSH] = "crash after a flush",
    [MARK_CRASH_AHEAD] = "crash after what was told, before a flush",
    [MARK_CRASH_ALL] = "crash of all",
    [MARK_CRASH_IN_INSTALL] = "crash while a snapshot is installed",
    [MARK_CUT] = "cut",
    [MARK_CUT_ONE_WAY] = "one-way cut",
    [MARK_CUT_BRIDGE] = "cut with a bridge",
    [MARK_MESSAGE_LOST] = "message lost",
    [MARK_MESSAGE_TWICE] = "message doubled",
    [MARK_MESSAGE_LATE] = "message doubled late",
    [MARK_PAUSE] = "pause",
    [MARK_SLOW_DISK] = "slow flush",
    [MARK_FULL_DISK] = "full disk",
    [MARK_FULL_TURN] = "flush on a full disk",
    [MARK_FULL_INSTALL] = "no room for a snapshot",
    [MARK_CLOCK_JUMP] = "jump of a clock",
    [MARK_LINK_LOST] = "connection lost",
    [MARK_SESSION_LOST] = "session given up by its holder",
    [MARK_SESSION_ENDED] = "session ended by the leader",
    [MARK_UNKNOWN] = "unknown outcome",
    [MARK_REFUSED] = "refusal without a session, or room",
    [MARK_DEDUPED] = "answer given a second time",
    [MARK_QUEUE_FULL] = "too much uncommitted",
    [MARK_READS_FULL] = "too many reads",
    [MARK_READ] = "read after a barrier",
    [MARK_READ_FAILED] = "barrier not reached",
    [MARK_CAS_WON] = "compare-and-set won",
    [MARK_CAS_LOST] = "compare-and-set lost",
    [MARK_SEQUENTIAL] = "sequential name",
    [MARK_LOCK_WAITED] = "lock waited for",
    [MARK_LOCK_CANCELLED] = "lock given up waiting for",
    [MARK_COMMIT_LATE] = "commit told late",
    [MARK_APPLIED_LATE] = "commit applied late",
    [MARK_EPHEMERAL_ENDED] = "ephemeral ended with its session",
    [MARK_SNAPSHOT_SENT] = "snapshot sent",
    [MARK_SNAPSHOT_INSTALLED] = "snapshot installed",
    [MARK_SNAPSHOT_RESENT] = "snapshot's part sent again",
    [MARK_SNAPSHOT_HELD] = "snapshot held off after a start",
    [MARK_SNAPSHOT_FAILED] = "snapshot given up",
    [MARK_MEMBER_ADDED] = "member added",
    [MARK_MEMBER_PROMOTED] = "member promoted",
    [MARK_MEMBER_DEMOTED] = "member demoted",
    [MARK_MEMBER_REMOVED] = "member removed",
    [MARK_CHANGE_TRUNCATED] = "change of members undone",
    [MARK_TRANSFER] = "leadership handed over",
    [MARK_ROSTER_CHANGED] = "change of the roster",
};

/* What a run leaves behind, in memory that is shared with its process. */
struct result {
	bool ended; /* it came to its end, good or bad */
	bool failed;
	char failure[256];
	uint64_t trace;
	uint64_t marks[MARK_COUNT];
	unsigned count, fault_count;
	uint64_t skip; /* as used */
	size_t op_count;
};

static struct result *result;

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

	result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (result == MAP_FAILED || mkdtemp(base) == NULL ||
	    pipe2(fds, O_CLOEXEC) != 0)
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

/* --- one run -------------------------------------------------------------- */

static void
run_here(const struct sim_options *options)
{
	static struct sim sim;

	sim.options = *options;
	sim_run(&sim, base);
	for (unsigned i = 0; i < sim.count; i++) {
		sim.failed = true; /* no new disk */
		sim_host_wipe(&sim.hosts[i]);
	}
	result->failed = sim.failure[0] != '\0';
	memcpy(result->failure, sim.failure, sizeof(result->failure));
	result->trace = sim.trace;
	memcpy(result->marks, sim.marks, sizeof(result->marks));
	result->count = sim.count;
	result->fault_count = sim.fault_count;
	result->op_count = sim.op_count;
	result->ended = true;
}

static void
remove_leftovers(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s/m*", base);
	if (system(command) != 0)
		perror("sim: rm");
}

static void
run(const struct sim_options *options)
{
	int status = 0;
	pid_t pid;

	(void)fflush(stdout);
	memset(result, 0, sizeof(*result));
	pid = fork();
	if (pid == 0) {
		(void)close(alive_fd);
		(void)alarm(RUN_SECONDS_MAX);
		if (!options->verbose)
			(void)close(STDERR_FILENO);
		run_here(options);
		(void)fflush(stdout);
		exit(0); /* a sanitizer may have its say */
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	result->skip = options->skip;
	if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    result->ended)
		return;
	result->failed = true;
	(void)snprintf(result->failure, sizeof(result->failure),
	    WIFSIGNALED(status) ? "ended by signal %d" : "ended with status %d",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	remove_leftovers();
}

/* --- making a failure smaller --------------------------------------------- */

static bool
fails(struct sim_options *options, uint64_t skip, uint64_t ops_max,
    unsigned *tries)
{
	struct sim_options smaller = *options;

	if (*tries == 0)
		return false;
	--*tries;
	smaller.skip = skip;
	smaller.ops_max = ops_max;
	run(&smaller);
	if (result->failed)
		*options = smaller;
	return result->failed;
}

/* Leaves out half of the faults, a quarter, ..., each alone. */
static void
shrink_faults(struct sim_options *options, unsigned count, unsigned *tries)
{
	for (unsigned size = count; size > 0; size /= 2) {
		for (unsigned at = 0; at < count; at += size) {
			uint64_t skip = options->skip;

			for (unsigned i = at; i < at + size && i < count; i++)
				skip |= 1ull << i;
			if (skip != options->skip)
				(void)fails(options, skip, options->ops_max,
				    tries);
		}
	}
}

static void
print_command(const struct sim_options *options, unsigned count)
{
	bool any = false;

	(void)printf("    build/tests/sim/sim -v -k ");
	for (unsigned i = 0; i < count; i++) {
		if ((options->skip >> i & 1) != 0)
			continue;
		(void)printf("%s%u", any ? "," : "", i);
		any = true;
	}
	(void)printf("%s -n %" PRIu64 " %" PRIu64 "\n", any ? "" : "-",
	    options->ops_max, options->seed);
}

static void
shrink(const struct sim_options *first)
{
	struct sim_options options = *first;
	const uint64_t trace = result->trace;
	const bool ended = result->ended;
	const unsigned count =
	    result->fault_count != 0 ? result->fault_count : SIM_FAULTS_MAX;
	unsigned tries = 150;

	options.verbose = false;
	run(&options);
	if (!result->failed || result->ended != ended ||
	    result->trace != trace) {
		(void)printf("    it does not repeat!\n");
		return;
	}
	shrink_faults(&options, count, &tries);
	for (uint64_t ops = 1; ops < options.ops_max && tries > 0; ops *= 2)
		if (fails(&options, options.skip, ops, &tries))
			break;
	run(&options);
	(void)printf("    repeats; smaller, it ends so: %s\n", result->failure);
	print_command(&options, count);
}

/* --- all runs ------------------------------------------------------------- */

struct arguments {
	bool repeat, marks, first_only;
	struct sim_options options;
	uint64_t first, count;
};

static uint64_t
parse_keep(const char *list)
{
	uint64_t skip = UINT64_MAX;
	char *end;

	for (; *list >= '0' && *list <= '9'; list = *end == ',' ? end + 1 : end)
		skip &= ~(1ull << (strtoull(list, &end, 10) % 64));
	return skip;
}

static bool
parse(int argc, char *argv[], struct arguments *ret_args)
{
	struct arguments args = {
	    .count = 1,
	    .options.ops_max = SIM_OPS_MAX,
	};
	int c;

	while ((c = getopt(argc, argv, "1rvmk:n:")) != -1) {
		if (c == 'r')
			args.repeat = true;
		else if (c == 'v')
			args.options.verbose = true;
		else if (c == '1')
			args.first_only = true;
		else if (c == 'm')
			args.marks = true;
		else if (c == 'k')
			args.options.skip = parse_keep(optarg);
		else if (c == 'n')
			args.options.ops_max = strtoull(optarg, NULL, 10);
		else
			return false;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return false;
	args.first = strtoull(argv[optind], NULL, 10);
	if (argc - optind == 2)
		args.count = strtoull(argv[optind + 1], NULL, 10);
	*ret_args = args;
	return true;
}

static uint64_t
count_unseen(const struct arguments *args, const uint64_t marks[MARK_COUNT])
{
	uint64_t unseen = 0;

	for (int i = 0; i < MARK_COUNT; i++) {
		const bool missing = args->marks && marks[i] == 0;

		if (args->options.verbose || missing)
			(void)printf("sim: %s: %" PRIu64 "%s\n", mark_names[i],
			    marks[i], missing ? ", NEVER SEEN" : "");
		unseen += missing;
	}
	return unseen;
}

static bool
run_seed(const struct arguments *args, uint64_t seed,
    uint64_t marks[MARK_COUNT])
{
	struct sim_options options = args->options;
	uint64_t trace;

	options.seed = seed;
	run(&options);
	trace = result->trace;
	for (int i = 0; i < MARK_COUNT; i++)
		marks[i] += result->marks[i];
	if (options.verbose || result->failed)
		(void)printf("seed %" PRIu64 ": %u hosts, %u faults, %zu "
		             "operations, trace %016" PRIx64 "%s%s\n",
		    seed, result->count, result->fault_count, result->op_count,
		    trace, result->failed ? ", FAILED: " : "", result->failure);
	if (result->failed) {
		if (!options.verbose && !args->first_only)
			shrink(&options);
		return false;
	}
	if (!args->repeat)
		return true;
	run(&options);
	if (result->trace == trace)
		return true;
	(void)printf("seed %" PRIu64 " does not repeat\n", seed);
	return false;
}

int
main(int argc, char *argv[])
{
	uint64_t marks[MARK_COUNT] = {0};
	struct arguments args;
	uint64_t failed = 0, unseen;

	if (!parse(argc, argv, &args)) {
		(void)fprintf(stderr,
		    "usage: sim [-1mrv] [-k FAULTS] "
		    "[-n OPERATIONS] FIRST [COUNT]\n");
		return 2;
	}
	if (!begin()) {
		perror("sim: /dev/shm");
		return 2;
	}
	for (uint64_t i = 0;
	     i < args.count && (failed == 0 || !args.first_only); i++)
		failed += !run_seed(&args, args.first + i, marks);
	end();
	unseen = count_unseen(&args, marks);
	(void)printf("sim: %" PRIu64 " passed, %" PRIu64 " failed\n",
	    args.count - failed, failed);
	return failed == 0 && unseen == 0 ? 0 : 1;
}
