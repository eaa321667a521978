/*
 * Starting and stopping the daemon, as a user would, and how long the first
 * write takes to be accepted.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_MS 10000

extern char **environ;

static pid_t
read_pid(const char *data)
{
	struct zk_path path = zk_bench_path("%s/pid", data);
	char text[32];
	long pid = 0;

	if (zk_bench_slurp(path.text, text, sizeof(text)))
		pid = strtol(text, NULL, 10);
	if (pid <= 1)
		errx(1, "no pid in %s", path.text);
	return (pid_t)pid;
}

static void
mount_zkfs(struct zk_bench *bench, const char *data)
{
	struct zk_path option = zk_bench_path("data=%s", data);
	struct zk_path binary = zk_bench_path("%s", bench->binary);
	struct zk_path dir = zk_bench_path("%s", bench->dir);
	char dash_o[] = "-o";
	char *argv[] = {binary.text, dir.text, dash_o, option.text, NULL};
	int status, rc;
	pid_t child;

	rc = posix_spawn(&child, binary.text, NULL, NULL, argv, environ);
	if (rc != 0)
		errx(1, "cannot start %s", binary.text);
	if (waitpid(child, &status, 0) != child || status != 0)
		errx(1, "%s failed (status %d)", binary.text, status);
	bench->daemon = read_pid(data);
}

/* Unmounts and waits for the daemon's end, so that starts do not overlap. */
void
zk_bench_stop(const struct zk_bench *bench)
{
	struct pollfd ended = {.events = POLLIN};

	ended.fd = pidfd_open(bench->daemon, 0);
	if (umount2(bench->dir, UMOUNT_NOFOLLOW) < 0)
		err(1, "umount %s", bench->dir);
	if (ended.fd >= 0 && poll(&ended, 1, STOP_MS) != 1)
		errx(1, "the daemon outlives its mount");
	if (ended.fd >= 0)
		(void)close(ended.fd);
}

/* Milliseconds from the command to the answer of the first write. */
static double
first_write(struct zk_bench *bench, const char *data)
{
	struct zk_path path = zk_bench_path("%s/first", bench->dir);
	double start = zk_bench_now_us();

	mount_zkfs(bench, data);
	zk_bench_fill(path.text, 1);
	return (zk_bench_now_us() - start) / 1e3;
}

static void
print_starts(const char *name, struct zk_samples *took)
{
	struct zk_row row = {
	    .name = name,
	    .unit = "ms",
	    .ours = took,
	    .goal = ZK_GOAL_AT_MOST,
	    .bound = 300,
	};

	zk_bench_row(&row);
	zk_samples_fini(took);
}

static void
measure_starts(struct zk_bench *bench)
{
	struct zk_samples fresh = {0}, again = {0};

	for (size_t i = 0; i < bench->trials / 2 + 1; i++) {
		struct zk_path data =
		    zk_bench_path("%s/start.%zu", bench->work, i);

		zk_samples_add(&fresh, first_write(bench, data.text));
		zk_bench_stop(bench);
		zk_samples_add(&again, first_write(bench, data.text));
		zk_bench_stop(bench);
	}
	print_starts("mount -> first write, new data directory", &fresh);
	print_starts("mount -> first write, started again", &again);
}

void
zk_bench_start(struct zk_bench *bench, bool measured)
{
	struct zk_path data = zk_bench_path("%s/data", bench->work);

	if (measured)
		measure_starts(bench);
	mount_zkfs(bench, data.text);
}
