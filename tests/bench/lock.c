/*
 * Locks, owners that die, and elections: how long until the others know.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CANDIDATES 64
#define WAIT_US    10e6

static void
flock_pair(int fd)
{
	if (flock(fd, LOCK_EX) < 0 || flock(fd, LOCK_UN) < 0)
		err(1, "flock");
}

static void
uncontended(const struct zk_bench *bench)
{
	struct zk_path path = zk_bench_path("%s/lock", bench->dir);
	int fd = zk_bench_open(path.text, O_RDWR | O_CREAT);
	struct zk_samples took = {0};
	struct zk_row row = {
	    .name = "flock + unlock, uncontended",
	    .unit = "us",
	    .ours = &took,
	};
	double end, before, after;

	flock_pair(fd);
	before = zk_bench_now_us();
	end = before + bench->budget_us * (double)bench->rounds;
	do {
		flock_pair(fd);
		after = zk_bench_now_us();
		zk_samples_add(&took, after - before);
		before = after;
	} while (after < end);
	zk_bench_row(&row);
	zk_samples_fini(&took);
	(void)close(fd);
}

/* --- owners that die ----------------------------------------------------- */

/* Waits for one byte, or ends the program. */
static void
await_byte(int fd, void *ret_bytes, size_t count)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};

	if (poll(&ready, 1, (int)(WAIT_US / 1e3)) != 1 ||
	    read(fd, ret_bytes, count) != (ssize_t)count)
		errx(1, "a child did not answer");
}

/* A child that holds `path` open, locked if asked, until it is killed. */
static pid_t
start_owner(const char *path, bool locked)
{
	int pipe_fds[2], fd;
	char byte;
	pid_t child;

	if (pipe(pipe_fds) < 0)
		err(1, "pipe");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = zk_bench_open(path, O_RDWR | O_CREAT);
		if (locked && flock(fd, LOCK_EX) < 0)
			err(1, "flock");
		if (write(pipe_fds[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(pipe_fds[1]);
	await_byte(pipe_fds[0], &byte, 1);
	(void)close(pipe_fds[0]);
	return child;
}

static void
end_owner(pid_t child)
{
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
}

/*
 * Returns when the name is gone, or after WAIT_US, which the table then
 * shows.  The event ends the wait at once; the bound of a millisecond is for
 * a name that goes without one.
 */
static double
await_gone(const char *path, int watch)
{
	struct pollfd ready = {.fd = watch, .events = POLLIN};
	double start = zk_bench_now_us();
	char events[4096];
	struct stat st;

	while (stat(path, &st) == 0) {
		if (zk_bench_now_us() - start > WAIT_US) {
			(void)unlink(path);
			break;
		}
		if (poll(&ready, 1, 1) == 1)
			(void)!read(watch, events, sizeof(events));
	}
	return zk_bench_now_us();
}

static void
print_deaths(struct zk_samples *took, const char *median, const char *largest)
{
	struct zk_row row = {
	    .name = median,
	    .unit = "ms",
	    .ours = took,
	    .goal = ZK_GOAL_AT_MOST,
	    .bound = 10,
	};

	zk_bench_row(&row);
	row.name = largest;
	row.share = 1;
	row.bound = 50;
	zk_bench_row(&row);
}

static void
ephemeral_deaths(const struct zk_bench *bench)
{
	struct zk_path dir = zk_bench_path("%s/owned", bench->dir);
	struct zk_path path = zk_bench_path("%s/master", dir.text);
	struct zk_samples took = {0};
	double killed;
	pid_t owner;
	int watch;

	if (mkdir(dir.text, 0700) < 0 || chmod(dir.text, 04700) < 0)
		err(1, "%s", dir.text);
	watch = inotify_init1(IN_CLOEXEC);
	if (watch < 0 || inotify_add_watch(watch, dir.text, IN_DELETE) < 0)
		err(1, "inotify");
	for (size_t i = 0; i < bench->trials; i++) {
		owner = start_owner(path.text, false);
		killed = zk_bench_now_us();
		(void)kill(owner, SIGKILL);
		zk_samples_add(&took,
		    (await_gone(path.text, watch) - killed) / 1e3);
		end_owner(owner);
	}
	(void)close(watch);
	print_deaths(&took, "owner killed -> ephemeral gone, median",
	    "owner killed -> ephemeral gone, largest");
	zk_samples_fini(&took);
}

/* The process waits inside a system call, as far as /proc can tell. */
static bool
is_asleep(pid_t pid)
{
	struct zk_path path = zk_bench_path("/proc/%d/stat", (int)pid);
	FILE *file = fopen(path.text, "re");
	char state = 'R';

	if (file == NULL)
		err(1, "%s", path.text);
	if (fscanf(file, "%*d %*s %c", &state) != 1)
		state = 'R';
	(void)fclose(file);
	return state == 'S' || state == 'D';
}

/* A child that waits for the lock and sends the time when it has it. */
static pid_t
start_waiter(const char *path, int *ret_fd)
{
	struct timespec settle = {.tv_nsec = 5000000};
	int pipe_fds[2], fd;
	double now;
	pid_t child;

	if (pipe(pipe_fds) < 0)
		err(1, "pipe");
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = zk_bench_open(path, O_RDWR);
		/* Twice: "it is open", then "it is locked". */
		now = zk_bench_now_us();
		if (write(pipe_fds[1], &now, sizeof(now)) < 0)
			_exit(1);
		if (flock(fd, LOCK_EX) < 0)
			err(1, "flock");
		now = zk_bench_now_us();
		_exit(write(pipe_fds[1], &now, sizeof(now)) < 0);
	}
	(void)close(pipe_fds[1]);
	await_byte(pipe_fds[0], &now, sizeof(now));
	/* Asleep twice in a row: queued, not between two system calls. */
	do {
		(void)nanosleep(&settle, NULL);
	} while (!is_asleep(child));
	*ret_fd = pipe_fds[0];
	return child;
}

static void
lock_deaths(const struct zk_bench *bench)
{
	struct zk_path path = zk_bench_path("%s/handed", bench->dir);
	struct zk_samples took = {0};
	double killed, granted;
	pid_t owner, waiter;
	int fd;

	for (size_t i = 0; i < bench->trials; i++) {
		owner = start_owner(path.text, true);
		waiter = start_waiter(path.text, &fd);
		killed = zk_bench_now_us();
		(void)kill(owner, SIGKILL);
		await_byte(fd, &granted, sizeof(granted));
		zk_samples_add(&took, (granted - killed) / 1e3);
		(void)close(fd);
		end_owner(owner);
		end_owner(waiter);
	}
	print_deaths(&took, "owner killed -> waiting flock granted, median",
	    "owner killed -> waiting flock granted, largest");
	zk_samples_fini(&took);
}

/* --- elections ----------------------------------------------------------- */

/* Shared by all candidates, who are processes. */
struct election {
	pthread_barrier_t gate;
	atomic_int winners;
	atomic_int errors;
	double ended_us[CANDIDATES];
	double won_us;
};

static void
candidate(struct election *election, size_t self, const char *dir,
    size_t rounds)
{
	int fd;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t round = 0; round < rounds; round++) {
		struct zk_path path = zk_bench_path("%s/%zu", dir, round);

		(void)pthread_barrier_wait(&election->gate);
		fd = open(path.text, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		election->ended_us[self] = zk_bench_now_us();
		if (fd >= 0) {
			election->won_us = election->ended_us[self];
			atomic_fetch_add(&election->winners, 1);
		} else if (errno != EBUSY) {
			atomic_fetch_add(&election->errors, 1);
		}
		(void)pthread_barrier_wait(&election->gate);
		if (fd >= 0)
			(void)close(fd);
	}
	_exit(0);
}

static struct election *
start_election(const char *dir, size_t rounds, pid_t *ret_pids)
{
	struct election *election = mmap(NULL, sizeof(*election),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t shared;

	if (election == MAP_FAILED)
		err(1, "mmap");
	(void)pthread_barrierattr_init(&shared);
	(void)pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	(void)pthread_barrier_init(&election->gate, &shared, CANDIDATES + 1);
	for (size_t i = 0; i < CANDIDATES; i++) {
		ret_pids[i] = fork();
		if (ret_pids[i] < 0)
			err(1, "fork");
		if (ret_pids[i] == 0)
			candidate(election, i, dir, rounds);
	}
	return election;
}

static void
elections(const struct zk_bench *bench)
{
	struct zk_path dir = zk_bench_path("%s/elections", bench->dir);
	struct zk_samples first = {0}, all = {0};
	size_t rounds = bench->trials, odd = 0;
	struct election *election;
	pid_t pids[CANDIDATES];
	double start, last;

	if (mkdir(dir.text, 0700) < 0 || chmod(dir.text, 04700) < 0)
		err(1, "%s", dir.text);
	election = start_election(dir.text, rounds, pids);
	for (size_t round = 0; round < rounds; round++) {
		atomic_store(&election->winners, 0);
		start = zk_bench_now_us();
		(void)pthread_barrier_wait(&election->gate);
		(void)pthread_barrier_wait(&election->gate);
		last = 0;
		for (size_t i = 0; i < CANDIDATES; i++)
			if (election->ended_us[i] > last)
				last = election->ended_us[i];
		odd += atomic_load(&election->winners) != 1;
		zk_samples_add(&first, (election->won_us - start) / 1e3);
		zk_samples_add(&all, (last - start) / 1e3);
	}
	for (size_t i = 0; i < CANDIDATES; i++)
		(void)waitpid(pids[i], NULL, 0);
	struct zk_row row = {
	    .name = "64 processes: winner known to itself",
	    .unit = "ms",
	    .ours = &first,
	};
	zk_bench_row(&row);
	row.name = "64 processes: winner known to all";
	row.ours = &all;
	zk_bench_row(&row);
	zk_bench_single("elections without exactly one winner", (double)odd, "",
	    ZK_GOAL_AT_MOST, 0);
	zk_bench_single("answers other than EBUSY to the losers",
	    (double)atomic_load(&election->errors), "", ZK_GOAL_AT_MOST, 0);
	zk_samples_fini(&first);
	zk_samples_fini(&all);
	(void)munmap(election, sizeof(*election));
}

void
zk_bench_lock(const struct zk_bench *bench)
{
	uncontended(bench);
	ephemeral_deaths(bench);
	lock_deaths(bench);
	elections(bench);
}
