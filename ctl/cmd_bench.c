/*
 * zkfs bench: a small load on the mount, to see what it takes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/latency.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define WORKERS_MAX   16u
#define VALUE_BYTES   100u
#define SECONDS_MAX   3600u
#define SECONDS_USUAL 6u

enum { TEST_WRITE, TEST_READ };

static const struct test {
	const char *name;
	int what;
	unsigned workers;
} tests[] = {
    {"write", TEST_WRITE, 1},
    {"write", TEST_WRITE, WORKERS_MAX},
    {"read", TEST_READ, WORKERS_MAX},
};

#define TEST_COUNT (sizeof(tests) / sizeof(tests[0]))

struct bench {
	const struct zk_ctl *ctl;
	char *dir;
	int dir_fd;
	const struct test *test;
	uint64_t until_ns;
	atomic_int failed; /* the first errno */
};

struct worker {
	struct bench *bench;
	pthread_t thread;
	char name[16];
	struct zk_latency latency;
};

static atomic_bool called_off;

static void
on_signal(int signo)
{
	(void)signo;
	atomic_store(&called_off, true);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One write is one change, agreed on by the ensemble. */
static int
write_once(int fd)
{
	char value[VALUE_BYTES];
	ssize_t n;

	memset(value, 'x', sizeof(value));
	n = pwrite(fd, value, sizeof(value), 0);
	return n == (ssize_t)sizeof(value) ? 0 : n < 0 ? errno : EIO;
}

/* As cat(1) reads a value. */
static int
read_once(int dir_fd, const char *name)
{
	char value[VALUE_BYTES];
	const int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int err;

	if (fd < 0)
		return errno;
	n = read(fd, value, sizeof(value));
	err = n == (ssize_t)sizeof(value) ? 0 : n < 0 ? errno : EIO;
	(void)close(fd);
	return err;
}

static void *
work(void *arg)
{
	struct worker *w = arg;
	struct bench *b = w->bench;
	const int fd =
	    openat(b->dir_fd, w->name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int err = fd < 0 ? errno : 0, none = 0;

	/* Its writer may have come too late for one, on a busy machine. */
	if (err == 0 && b->test->what == TEST_READ)
		err = write_once(fd);
	while (err == 0 && !atomic_load(&called_off) &&
	    atomic_load(&b->failed) == 0) {
		const uint64_t from = now_ns();

		if (from >= b->until_ns)
			break;
		err = b->test->what == TEST_WRITE
		    ? write_once(fd)
		    : read_once(b->dir_fd, w->name);
		zk_latency_add(&w->latency, now_ns() - from);
	}
	/* A call that was interrupted by what calls us off is no failure. */
	if (err != 0 && !atomic_load(&called_off))
		(void)atomic_compare_exchange_strong(&b->failed, &none, err);
	if (fd >= 0)
		(void)close(fd);
	return NULL;
}

/* All workers of one test; what they took together. */
static void
run_workers(struct bench *b, struct worker *workers, uint64_t ns,
    struct zk_latency *ret_all, uint64_t *ret_ns)
{
	const uint64_t from = now_ns();
	unsigned started = 0;
	int err = 0;

	b->until_ns = from + ns;
	*ret_all = (struct zk_latency){0};
	for (; started < b->test->workers && err == 0; started += err == 0) {
		struct worker *w = &workers[started];

		w->latency = (struct zk_latency){0};
		w->bench = b;
		(void)snprintf(w->name, sizeof(w->name), "%u", started);
		err = pthread_create(&w->thread, NULL, work, w);
	}
	if (err != 0)
		atomic_store(&b->failed, err);
	for (unsigned i = 0; i < started; i++) {
		(void)pthread_join(workers[i].thread, NULL);
		zk_latency_merge(ret_all, &workers[i].latency);
	}
	*ret_ns = now_ns() - from;
}

static void
print_test(const struct test *test, const struct zk_latency *all, uint64_t ns,
    bool json, bool first)
{
	const double rate = (double)all->count * 1e9 / (double)ns;
	const uint64_t p50 = zk_latency_quantile(all, 500) / 1000;
	const uint64_t p99 = zk_latency_quantile(all, 990) / 1000;
	const uint64_t max = all->max_ns / 1000;

	if (json)
		(void)printf(
		    "%s{\"test\":\"%s\",\"threads\":%u,\"count\":%" PRIu64
		    ",\"rate\":%.1f,\"p50_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
		    ",\"max_us\":%" PRIu64 "}",
		    first ? "" : ",", test->name, test->workers, all->count,
		    rate, p50, p99, max);
	else
		(void)printf("%-5s %7u %9" PRIu64 " %10.1f %9" PRIu64
		             " %9" PRIu64 " %9" PRIu64 "\n",
		    test->name, test->workers, all->count, rate, p50, p99, max);
	(void)fflush(stdout);
}

static void
run_tests(struct bench *b, uint64_t seconds, bool json)
{
	struct worker *workers = calloc(WORKERS_MAX, sizeof(*workers));
	struct zk_latency all;
	uint64_t ns;

	if (workers == NULL) {
		atomic_store(&b->failed, ENOMEM);
		return;
	}
	if (json)
		(void)fputs("[", stdout);
	else
		(void)printf("%-5s %7s %9s %10s %9s %9s %9s\n", "TEST",
		    "THREADS", "COUNT", "PER_SECOND", "P50_US", "P99_US",
		    "MAX_US");
	for (size_t i = 0; i < TEST_COUNT; i++) {
		b->test = &tests[i];
		run_workers(b, workers, seconds * 1000000000u / TEST_COUNT,
		    &all, &ns);
		if (atomic_load(&b->failed) != 0 || atomic_load(&called_off))
			break;
		print_test(b->test, &all, ns, json, i == 0);
	}
	if (json)
		(void)fputs("]\n", stdout);
	free(workers);
}

/* In the directory that one stands in, if it is on the mount. */
static int
make_dir(struct bench *b, const struct zk_ctl_mount *mount)
{
	struct stat here;
	const bool stand = stat(".", &here) == 0 && here.st_dev == mount->dev;

	if (asprintf(&b->dir, "%s/zkfs-bench.%ld", stand ? "." : mount->dir,
	        (long)getpid()) < 0) {
		b->dir = NULL;
		return ENOMEM;
	}
	if (mkdir(b->dir, 0700) != 0)
		return errno;
	b->dir_fd = open(b->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b->dir_fd < 0 ? errno : 0;
}

static int
clean_up(struct bench *b)
{
	char name[16];

	if (b->dir_fd < 0)
		return 0;
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%u", i);
		if (unlinkat(b->dir_fd, name, 0) != 0 && errno != ENOENT)
			return errno;
	}
	(void)close(b->dir_fd);
	return rmdir(b->dir) == 0 ? 0 : errno;
}

static int
bench(struct zk_ctl *ctl, uint64_t seconds, bool json)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	const struct sigaction act = {.sa_handler = on_signal};
	struct bench b = {.ctl = ctl, .dir_fd = -1};
	const struct zk_ctl_mount *mount;
	int err;

	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &act, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	err = make_dir(&b, mount);
	if (err == 0) {
		run_tests(&b, seconds, json);
		err = atomic_load(&b.failed);
	}
	if (err != 0)
		zk_ctl_say_errno(ctl, b.dir != NULL ? b.dir : mount->dir, err);
	else if (atomic_load(&called_off))
		zk_ctl_say(ctl, "called off");
	if (b.dir != NULL && clean_up(&b) != 0)
		zk_ctl_say(ctl, "%s: could not be removed", b.dir);
	free(b.dir);
	return err != 0 || atomic_load(&called_off) ? ZK_EXIT_FAILED
	                                            : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	uint64_t seconds = SECONDS_USUAL;
	bool json = false;
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "j", options,
	            NULL)) != -1) {
		if (option == 'j') {
			json = true;
			continue;
		}
		status = zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc - optind > 1)
		return zk_ctl_usage(ctl);
	if (optind < argc &&
	    (zk_ctl_parse_number(argv[optind], SECONDS_MAX, &seconds) < 0 ||
	        seconds == 0)) {
		zk_ctl_say(ctl, "%s: not a number of seconds", argv[optind]);
		return ZK_EXIT_USAGE;
	}
	return bench(ctl, seconds, json);
}

const struct zk_ctl_command zk_ctl_bench = {
    .name = "bench",
    .arguments = "[-j] [-m DIR] [SECONDS]",
    .summary = "Put a small load on the mount and tell what it takes",
    .details =
        "  -j, --json        as an array of JSON\n"
        "  -m, --mount DIR   the mount that is meant\n\n"
        "Writes of 100 bytes by one thread and by 16, then reads by 16, in a\n"
        "directory of its own that it removes; SECONDS in all, 6 if not "
        "given.\n",
    .run = run,
};
