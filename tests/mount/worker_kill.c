/*
 * How long the dead keep what they held.  Again and again a process makes an
 * ephemeral file and takes a flock, another one waits for that lock, and the
 * first is killed with SIGKILL.  Measured from the kill: until the file's
 * name is gone, and until the lock is granted.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_MAX     300u
#define ROUNDS_MAX      100000u
#define ROUND_SECONDS   10
#define LOOK_AGAIN_NSEC 100000L
#define NSEC_PER_SEC    1000000000LL

struct paths {
	const char *ephemeral, *lock;
};

static size_t
parse(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0')
		errx(2, "%s: not a number", text);
	return value;
}

static long long
now_nsec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

static void
tell(int fd, long long value)
{
	if (write(fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
		err(2, "pipe");
}

static long long
hear(int fd)
{
	long long value;

	if (read(fd, &value, sizeof(value)) != (ssize_t)sizeof(value))
		errx(1, "the other process ended early");
	return value;
}

/* A child that runs body and then waits for its end; ret_fd: what it tells. */
static pid_t
start(void (*body)(const struct paths *, int), const struct paths *paths,
    int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe(fds) < 0)
		err(2, "pipe");
	pid = fork();
	if (pid < 0)
		err(2, "fork");
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)alarm(SECONDS_MAX);
		(void)close(fds[0]);
		body(paths, fds[1]);
		(void)pause();
		_exit(0);
	}
	(void)close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

static void
hold(const struct paths *paths, int fd)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL;
	int lock;

	lock = open(paths->lock, O_RDWR | O_CREAT, 0644);
	if (lock < 0 || flock(lock, LOCK_EX) < 0)
		err(1, "owner: %s", paths->lock);
	if (open(paths->ephemeral, flags, 0644) < 0)
		err(1, "owner: %s", paths->ephemeral);
	tell(fd, now_nsec());
}

static void
queue_up(const struct paths *paths, int fd)
{
	int lock;

	lock = open(paths->lock, O_RDWR);
	if (lock < 0)
		err(1, "waiter: %s", paths->lock);
	if (flock(lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		errx(1, "waiter: the lock is not held");
	tell(fd, now_nsec());
	if (flock(lock, LOCK_EX) < 0)
		err(1, "waiter: flock");
	tell(fd, now_nsec());
}

static long long
wait_gone(const char *path)
{
	const struct timespec pause_time = {.tv_nsec = LOOK_AGAIN_NSEC};
	const long long end = now_nsec() + ROUND_SECONDS * NSEC_PER_SEC;
	struct stat st;

	while (stat(path, &st) == 0) {
		if (now_nsec() > end)
			errx(1, "%s is still there", path);
		(void)nanosleep(&pause_time, NULL);
	}
	if (errno != ENOENT)
		err(1, "%s", path);
	return now_nsec();
}

static void
end_child(pid_t pid, int fd)
{
	(void)close(fd);
	(void)kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		err(2, "waitpid");
}

static void
run_round(const struct paths *paths, double *ret_gone_ms,
    double *ret_granted_ms)
{
	int owner_fd, waiter_fd;
	pid_t owner, waiter;
	long long killed;

	owner = start(hold, paths, &owner_fd);
	(void)hear(owner_fd);
	waiter = start(queue_up, paths, &waiter_fd);
	(void)hear(waiter_fd);

	killed = now_nsec();
	end_child(owner, owner_fd);
	*ret_gone_ms = (double)(wait_gone(paths->ephemeral) - killed) / 1e6;
	*ret_granted_ms = (double)(hear(waiter_fd) - killed) / 1e6;
	end_child(waiter, waiter_fd);
}

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void
report(const char *what, double *ms, size_t count, double median_max)
{
	double median;

	qsort(ms, count, sizeof(*ms), compare);
	median = ms[count / 2];
	(void)printf("%s: median %.2f ms, max %.2f ms, %zu rounds\n", what,
	    median, ms[count - 1], count);
	if (median > median_max)
		errx(1, "%s: the median is above %.0f ms", what, median_max);
}

int
main(int argc, char **argv)
{
	struct paths paths;
	double *gone, *granted, median_max;
	size_t rounds;

	if (argc != 5)
		errx(2, "usage: worker_kill EPHEMERAL LOCK ROUNDS MEDIAN_MS");
	paths.ephemeral = argv[1];
	paths.lock = argv[2];
	rounds = parse(argv[3]);
	median_max = (double)parse(argv[4]);
	if (rounds == 0 || rounds > ROUNDS_MAX)
		errx(2, "%s: no such number of rounds", argv[3]);
	(void)alarm(SECONDS_MAX);
	gone = calloc(rounds, sizeof(*gone));
	granted = calloc(rounds, sizeof(*granted));
	if (gone == NULL || granted == NULL)
		err(2, "calloc");
	for (size_t i = 0; i < rounds; i++)
		run_round(&paths, &gone[i], &granted[i]);
	report("file gone", gone, rounds, median_max);
	report("lock granted", granted, rounds, median_max);
	free(granted);
	free(gone);
	return 0;
}
