/*
 * What others notice of a member that catches up.
 *
 *   steady watch FILE            writes 100 bytes to FILE, again and again; for
 *                                each line on stdin it prints the median and
 *                                the 99th percentile, in us, and the count
 *                                of the writes since the line before; ends at
 *                                the end of stdin
 *   steady write DIR N COUNT     COUNT such writes, by N threads in files of
 *                                their own
 */
#include "tests/bench/table.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE_BYTES 100
#define THREADS_MAX 64u

struct worker {
	pthread_t thread;
	char path[PATH_MAX];
	size_t count;
};

static int
open_file(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

static void
put(int fd)
{
	static const char value[VALUE_BYTES] = "a value";

	if (pwrite(fd, value, sizeof(value), 0) != (ssize_t)sizeof(value))
		err(1, "write");
}

/* False: the end of stdin. */
static bool
answer(struct zk_samples *took)
{
	char line[64];
	ssize_t got = read(STDIN_FILENO, line, sizeof(line));

	if (got <= 0)
		return false;
	if (took->count == 0)
		errx(1, "not one write was done");
	(void)printf("%.0f %.0f %zu\n", zk_samples_at(took, 0.5),
	    zk_samples_at(took, 0.99), took->count);
	(void)fflush(stdout);
	took->count = 0;
	return true;
}

static int
watch(const char *path)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct zk_samples took = {0};
	const int fd = open_file(path);
	double before;

	for (;;) {
		before = zk_bench_now_us();
		put(fd);
		zk_samples_add(&took, zk_bench_now_us() - before);
		if (poll(&input, 1, 0) == 1 && !answer(&took))
			break;
	}
	zk_samples_fini(&took);
	(void)close(fd);
	return 0;
}

static void *
work(void *arg)
{
	struct worker *worker = arg;
	const int fd = open_file(worker->path);

	for (size_t i = 0; i < worker->count; i++)
		put(fd);
	(void)close(fd);
	return NULL;
}

static int
write_all(const char *dir, size_t threads, size_t count)
{
	static struct worker workers[THREADS_MAX];

	if (threads == 0 || threads > THREADS_MAX)
		errx(2, "up to %u threads", THREADS_MAX);
	for (size_t i = 0; i < threads; i++) {
		workers[i].count =
		    count * (i + 1) / threads - count * i / threads;
		(void)snprintf(workers[i].path, sizeof(workers[i].path),
		    "%s/w%zu", dir, i);
		if (pthread_create(&workers[i].thread, NULL, work,
		        &workers[i]) != 0)
			errx(1, "pthread_create");
	}
	for (size_t i = 0; i < threads; i++)
		(void)pthread_join(workers[i].thread, NULL);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "watch") == 0)
		return watch(argv[2]);
	if (argc == 5 && strcmp(argv[1], "write") == 0)
		return write_all(argv[2], strtoul(argv[3], NULL, 10),
		    strtoul(argv[4], NULL, 10));
	errx(2, "usage: steady watch FILE | write DIR THREADS COUNT");
}
