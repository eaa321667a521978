/*
 * bench_watch: how long until one host's inotify(7) tells what another did.
 * Both mounts are on this machine, so that one clock measures.
 *
 *   bench_watch latency A B COUNT     from the start of write(2) below A to
 *                                     IN_MODIFY below B; and write(2) alone
 *   bench_watch many A B COUNT        the same, until the last of 100 inotify
 *                                     queues with 10 watches each has it
 *   bench_watch make A - COUNT        only what is below A of the next one
 *   bench_watch burst A B COUNT       names made by transactions below A, as
 *                                     fast as that goes, until the last has
 *                                     been told of below B
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUEUES     100
#define WATCHES    10
#define BATCH      500
#define WAIT_MS    20000
#define BURST_WAIT 120000

static const char *top_a, *top_b;
static unsigned count;

static double
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static char *
path_of(const char *top, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", top, name) < 0)
		err(1, "asprintf");
	return path;
}

static void
await(int fd, int ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	if (poll(&pfd, 1, ms) != 1)
		errx(1, "no event came");
}

/* All that is there: the events of one name, or all. */
static unsigned
take(int fd, const char *prefix, uint32_t mask)
{
	static char buf[1 << 18]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	const ssize_t n = read(fd, buf, sizeof(buf));
	unsigned seen = 0;

	for (char *at = buf; n > 0 && at < buf + n;) {
		const struct inotify_event *event = (const void *)at;
		if ((event->mask & IN_Q_OVERFLOW) != 0)
			errx(1, "the queue of inotify has overflowed");
		seen += (event->mask & mask) != 0 && event->len > 0 &&
		    strncmp(event->name, prefix, strlen(prefix)) == 0;
		at += sizeof(*event) + event->len;
	}
	return seen;
}

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
print(const char *what, double *us, unsigned n)
{
	qsort(us, n, sizeof(*us), compare);
	(void)printf("%-52s median %8.0f us   99th %8.0f us\n", what, us[n / 2],
	    us[n * 99 / 100]);
	(void)fflush(stdout);
}

static int
watch(const char *path, uint32_t mask)
{
	const int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, path, mask) < 0)
		err(1, "inotify: %s", path);
	return fd;
}

static int
make_file(void)
{
	char *a = path_of(top_a, "value"), *b = path_of(top_b, "value");
	const int fd = open(a, O_WRONLY | O_CREAT, 0644);
	struct stat st;

	if (fd < 0)
		err(1, "%s", a);
	while (stat(b, &st) < 0)
		(void)poll(NULL, 0, 5);
	free(a);
	free(b);
	return fd;
}

static void
latency(void)
{
	double *told = calloc(count, sizeof(double));
	double *wrote = calloc(count, sizeof(double));
	const int out = make_file(), in = watch(top_b, IN_MODIFY);
	char text[32];

	if (told == NULL || wrote == NULL)
		err(1, "calloc");
	for (unsigned i = 0; i < count; i++) {
		const int len = snprintf(text, sizeof(text), "%08u", i);
		const double before = now_us();
		if (pwrite(out, text, (size_t)len, 0) != len)
			err(1, "write");
		wrote[i] = now_us() - before;
		do
			await(in, WAIT_MS);
		while (take(in, "value", IN_MODIFY) == 0);
		told[i] = now_us() - before;
	}
	print("write(2) on one host", wrote, count);
	print("start of write(2) to inotify on another host", told, count);
}

static void
many(void)
{
	static int in[QUEUES];
	double *told = calloc(count, sizeof(double));
	const int out = make_file();
	char *file = path_of(top_b, "value");
	char text[32];

	if (told == NULL)
		err(1, "calloc");
	for (int i = 0; i < QUEUES; i++) {
		in[i] = watch(file, IN_MODIFY);
		for (int j = 1; j < WATCHES; j++) {
			char name[32];
			char *a, *b;
			struct stat st;
			(void)snprintf(name, sizeof(name), "other%d", j);
			a = path_of(top_a, name);
			b = path_of(top_b, name);
			(void)close(open(a, O_WRONLY | O_CREAT, 0644));
			while (stat(b, &st) < 0)
				(void)poll(NULL, 0, 5);
			if (inotify_add_watch(in[i], b, IN_MODIFY) < 0)
				err(1, "%s", b);
			free(a);
			free(b);
		}
	}
	for (unsigned i = 0; i < count; i++) {
		const int len = snprintf(text, sizeof(text), "%08u", i);
		const double before = now_us();
		if (pwrite(out, text, (size_t)len, 0) != len)
			err(1, "write");
		for (int j = 0; j < QUEUES; j++) {
			await(in[j], WAIT_MS);
			(void)take(in[j], "", IN_MODIFY);
		}
		told[i] = now_us() - before;
	}
	print("to the last of 1,000 watches in 100 queues", told, count);
}

/* Names in one transaction after the other. */
static void
make_names(const char *dir)
{
	char *txn = path_of(top_a, "../.zkfs/txn");
	char *lines = malloc((size_t)BATCH * 128);

	if (lines == NULL)
		err(1, "malloc");
	for (unsigned i = 0; i < count; i += BATCH) {
		size_t len = 0;
		const int fd = open(txn, O_WRONLY);
		for (unsigned j = i; j < i + BATCH && j < count; j++)
			len += (size_t)sprintf(lines + len, "create %s/n%u\n",
			    dir, j);
		if (fd < 0 || write(fd, lines, len) != (ssize_t)len)
			err(1, "%s", txn);
		(void)close(fd);
	}
	free(txn);
	free(lines);
}

static void
make(void)
{
	const double before = now_us();

	make_names(strrchr(top_a, '/'));
	(void)printf("%-52s %8.0f changes/s\n", "made, and not watched",
	    (double)count / ((now_us() - before) / 1e6));
	(void)fflush(stdout);
}

static void
burst(void)
{
	const char *name = strrchr(top_a, '/');
	const int in = watch(top_b, IN_CREATE | IN_MODIFY);
	const double before = now_us();
	double first = 0, end;
	unsigned seen = 0;
	pid_t pid = fork();

	if (pid == 0) {
		make_names(name);
		(void)printf("%u names were made in %.1f s\n", count,
		    (now_us() - before) / 1e6);
		(void)fflush(stdout);
		_exit(0);
	}
	while (seen < count) {
		await(in, BURST_WAIT);
		if (first == 0)
			first = now_us();
		seen += take(in, "n", IN_CREATE);
	}
	end = now_us();
	(void)waitpid(pid, NULL, 0);
	(void)printf("%-52s %8.0f changes/s\n", "told of on another host",
	    (double)count / ((end - first) / 1e6));
}

int
main(int argc, char *argv[])
{
	if (argc != 5)
		return 2;
	top_a = argv[2];
	top_b = argv[3];
	count = (unsigned)strtoul(argv[4], NULL, 10);
	if (strcmp(argv[1], "latency") == 0)
		latency();
	else if (strcmp(argv[1], "many") == 0)
		many();
	else if (strcmp(argv[1], "burst") == 0)
		burst();
	else if (strcmp(argv[1], "make") == 0)
		make();
	else
		return 2;
	return 0;
}
