/*
 * Reads of what this host has in its caches, against libfuse's own example
 * with the same cache settings; and the proof that a cached read and a cached
 * stat need no daemon at all: they are done while it is stopped.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define VALUE_BYTES 100
#define PROOF_COUNT 100000
#define PROOF_MS    10000

struct target {
	struct zk_path path;
	int fd;
};

/* Mean microseconds: one operation is too short for the clock. */
static double
mean_of(void (*once)(struct target *target), void *arg, double budget_us)
{
	double start = zk_bench_now_us(), now, count = 0;

	do {
		for (int i = 0; i < 64; i++)
			once(arg);
		count += 64;
		now = zk_bench_now_us();
	} while (now - start < budget_us);
	return (now - start) / count;
}

static void
open_read_close(struct target *target)
{
	char bytes[2 * VALUE_BYTES];
	int fd = zk_bench_open(target->path.text, O_RDONLY);

	if (read(fd, bytes, sizeof(bytes)) != VALUE_BYTES)
		err(1, "read %s", target->path.text);
	if (close(fd) < 0)
		err(1, "close %s", target->path.text);
}

static void
pread_open(struct target *target)
{
	char bytes[VALUE_BYTES];

	if (pread(target->fd, bytes, sizeof(bytes), 0) != VALUE_BYTES)
		err(1, "pread %s", target->path.text);
}

static void
stat_path(struct target *target)
{
	struct stat st;

	if (stat(target->path.text, &st) < 0)
		err(1, "stat %s", target->path.text);
}

static double
open_round(void *arg, double budget_us)
{
	return mean_of(open_read_close, arg, budget_us);
}

/* A filesystem may keep what has just changed out of its caches. */
static double
changed_round(void *arg, double budget_us)
{
	struct target *target = arg;

	zk_bench_fill(target->path.text, VALUE_BYTES);
	return mean_of(open_read_close, arg, budget_us);
}

static double
pread_round(void *arg, double budget_us)
{
	return mean_of(pread_open, arg, budget_us);
}

static double
stat_round(void *arg, double budget_us)
{
	return mean_of(stat_path, arg, budget_us);
}

static void
compare(const struct zk_bench *bench, struct target targets[2],
    double (*round)(void *arg, double budget_us), struct zk_row row)
{
	size_t count = bench->pass != NULL ? 2 : 1;
	struct zk_side sides[2] = {
	    {.round = round, .arg = &targets[0]},
	    {.round = round, .arg = &targets[1]},
	};

	zk_bench_interleave(sides, count, bench->rounds, bench->budget_us);
	row.unit = "us";
	row.ours = &sides[0].got;
	if (count == 2) {
		row.against = "passthrough_ll";
		row.ref = &sides[1].got;
	} else {
		row.goal = ZK_GOAL_NONE;
	}
	zk_bench_row(&row);
	zk_samples_fini(&sides[0].got);
	zk_samples_fini(&sides[1].got);
}

/* Every thread of the process. */
static void
pin(pid_t pid, const cpu_set_t *set)
{
	struct zk_path path = zk_bench_path("/proc/%d/task", (int)pid);
	DIR *tasks = opendir(path.text);
	struct dirent *task;
	long tid;

	while (tasks != NULL && (task = readdir(tasks)) != NULL) {
		tid = strtol(task->d_name, NULL, 10);
		/* A thread may have ended meanwhile. */
		if (tid > 0)
			(void)sched_setaffinity((pid_t)tid, sizeof(*set), set);
	}
	if (tasks != NULL)
		(void)closedir(tasks);
}

/*
 * The same comparison with both ends on one processor: then no idle one has
 * to be woken for a request, which elsewhere is most of the time and nearly
 * all of the noise.
 */
static void
compare_on_one(const struct zk_bench *bench, struct target targets[2],
    struct zk_row row)
{
	pid_t pids[] = {getpid(), bench->daemon, bench->pass_daemon};
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all) < 0)
		err(1, "sched_getaffinity");
	CPU_ZERO(&one);
	for (size_t cpu = 0; CPU_COUNT(&one) == 0; cpu++)
		if (CPU_ISSET(cpu, &all))
			CPU_SET(cpu, &one);
	for (size_t i = 0; i < 3; i++)
		if (pids[i] > 0)
			pin(pids[i], &one);
	row.name = "open + read 100 B + close, one processor";
	compare(bench, targets, open_round, row);
	for (size_t i = 0; i < 3; i++)
		if (pids[i] > 0)
			pin(pids[i], &all);
}

/*
 * Runs `once` in a child while the daemon is stopped.  A request would never
 * be answered, so the child's word is the proof; without it the daemon is
 * continued after PROOF_MS and the line says so.  The child's end is none:
 * it closes inherited files, and each close waits for the daemon.
 */
static void
prove(const struct zk_bench *bench, struct target *target,
    void (*once)(struct target *target), const char *name)
{
	struct pollfd word = {.events = POLLIN};
	int pipe_fds[2];
	pid_t child;
	char byte;
	bool done;

	once(target);
	if (pipe(pipe_fds) < 0 || kill(bench->daemon, SIGSTOP) < 0)
		err(1, "stop the daemon");
	child = fork();
	if (child == 0) {
		(void)close(pipe_fds[0]);
		for (int i = 0; i < PROOF_COUNT; i++)
			once(target);
		_exit(write(pipe_fds[1], "", 1) != 1);
	}
	(void)close(pipe_fds[1]);
	word.fd = pipe_fds[0];
	done = child > 0 && poll(&word, 1, PROOF_MS) == 1 &&
	    read(word.fd, &byte, 1) == 1;
	(void)kill(bench->daemon, SIGCONT);
	if (child < 0)
		err(1, "fork");
	(void)waitpid(child, NULL, 0);
	(void)close(pipe_fds[0]);
	zk_bench_single(name, done ? PROOF_COUNT : 0, "done", ZK_GOAL_AT_LEAST,
	    PROOF_COUNT);
}

void
zk_bench_read(const struct zk_bench *bench)
{
	struct target targets[2], changing[2];
	struct zk_row opened = {
	    .name = "open + read 100 B + close, cached",
	    .goal = ZK_GOAL_AT_MOST,
	    .bound = 1.2,
	};
	struct zk_row fresh = {
	    .name = "open + read 100 B + close, just changed"};
	struct zk_row read = {.name = "pread 100 B, open file, cached"};
	struct zk_row stated = {.name = "stat, cached"};
	size_t count = bench->pass != NULL ? 2 : 1;

	for (size_t i = 0; i < count; i++) {
		targets[i].path = zk_bench_path("%s/cached",
		    i == 0 ? bench->dir : bench->pass);
		zk_bench_fill(targets[i].path.text, VALUE_BYTES);
		changing[i].path = zk_bench_path("%s/changing",
		    i == 0 ? bench->dir : bench->pass);
	}
	/* Another file: what changes again and again may be kept uncached. */
	compare(bench, changing, changed_round, fresh);
	for (size_t i = 0; i < count; i++)
		targets[i].fd = zk_bench_open(targets[i].path.text, O_RDONLY);
	compare(bench, targets, open_round, opened);
	if (bench->daemon > 0)
		compare_on_one(bench, targets, opened);
	compare(bench, targets, pread_round, read);
	compare(bench, targets, stat_round, stated);
	if (bench->daemon > 0) {
		prove(bench, &targets[0], pread_open,
		    "100,000 preads while the daemon is stopped");
		prove(bench, &targets[0], stat_path,
		    "100,000 stats while the daemon is stopped");
	}
	for (size_t i = 0; i < count; i++)
		(void)close(targets[i].fd);
}
