#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "daemon/topics_node.h"
#include "store/datadir.h"

/*
 * usage: engine DIR [MIB]
 *
 * With MIB only this: does the rate of appends fall while a partition grows to
 * that size?  Exit status 1: below FALL_MIN of what it was.
 *
 * Appends to one partition of a group of one, synced, through the topics'
 * thread: what is left for a mount to lose.  Each writer waits for its answer
 * before it writes again.
 */

#define WRITERS_MAX 16u
#define PART        1u
#define LARGE_BYTES (2ull << 30)

/* The first and the last so many of these steps are compared. */
#define GROWTH_STEPS 8u
#define GROWTH_OF    3u
#define FALL_MIN     0.75

static struct zk_topics_node *node;
static volatile bool stop;
static double run_sec = 2.0;

struct writer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool done;
	int rc;
	size_t bytes;
	uint64_t count;
};

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
on_fatal(void *arg, int rc, const char *what)
{
	(void)arg;
	(void)fprintf(stderr, "engine: %s: %s\n", what, zk_err_text(rc));
	exit(1);
}

static void
on_done(void *arg, const struct zk_reply *reply)
{
	struct writer *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	w->done = true;
	w->rc = reply->rc;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

static void
ask(struct writer *w, struct zk_request what, const void *bytes, size_t len)
{
	int rc;

	w->done = false;
	what.done = on_done;
	what.arg = w;
	while ((rc = zk_topics_node_submit(node, &what, bytes, len)) == -EAGAIN)
		(void)usleep(100);
	if (rc < 0)
		on_fatal(NULL, rc, "submit");
	(void)pthread_mutex_lock(&w->lock);
	while (!w->done)
		(void)pthread_cond_wait(&w->wake, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->rc < 0)
		on_fatal(NULL, w->rc, "append");
}

static void *
write_on(void *arg)
{
	const struct zk_request what = {
	    .kind = ZK_REQUEST_APPEND,
	    .partition = PART,
	};
	struct writer *w = arg;
	char *bytes = malloc(w->bytes);

	if (bytes == NULL)
		exit(1);
	memset(bytes, 'x', w->bytes);
	bytes[w->bytes - 1] = '\n';
	while (!stop) {
		ask(w, what, bytes, w->bytes);
		w->count++;
	}
	free(bytes);
	return NULL;
}

static void
init(struct writer *w, size_t bytes)
{
	*w = (struct writer){.bytes = bytes};
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
}

/* Appends for a while, of `bytes` each; records in each: for the line. */
static double
measure(const char *label, unsigned writers, size_t bytes, size_t records)
{
	static struct writer all[WRITERS_MAX];
	double begin, sec, rate;
	uint64_t count = 0;

	stop = false;
	for (unsigned i = 0; i < writers; i++)
		init(&all[i], bytes);
	begin = now();
	for (unsigned i = 0; i < writers; i++)
		if (pthread_create(&all[i].thread, NULL, write_on, &all[i]))
			exit(1);
	while (now() - begin < run_sec)
		(void)usleep(10000);
	stop = true;
	for (unsigned i = 0; i < writers; i++) {
		(void)pthread_join(all[i].thread, NULL);
		count += all[i].count;
	}
	sec = now() - begin;
	rate = (double)count / sec;
	(void)printf("%-40s %2u writers  %9.0f writes/s  %10.0f records/s  "
	             "%7.1f MB/s\n",
	    label, writers, rate, rate * (double)records,
	    rate * (double)bytes / 1e6);
	return rate;
}

static void
set(uint64_t self)
{
	struct zk_partition_spec spec = {
	    .id = PART,
	    .founder_count = 1,
	    .replica_count = 1,
	    .founders = {self},
	    .replicas = {self},
	};
	const struct zk_request what = {
	    .kind = ZK_REQUEST_SET,
	    .partition = PART,
	    .spec = &spec,
	};
	static struct writer w;

	init(&w, 0);
	ask(&w, what, NULL, 0);
}

static uint64_t
size(void)
{
	struct zk_partition_info info = {.end = 0};

	(void)zk_broker_info(zk_topics_node_broker(node), PART, &info);
	return info.end;
}

static void
fill(uint64_t bytes)
{
	while (size() < bytes) {
		static struct writer w;
		const struct zk_request what = {
		    .kind = ZK_REQUEST_APPEND,
		    .partition = PART,
		};
		static char big[ZK_BATCH_MAX];

		if (w.bytes == 0)
			init(&w, sizeof(big));
		memset(big, 'y', sizeof(big) - 1);
		big[sizeof(big) - 1] = '\n';
		ask(&w, what, big, sizeof(big));
	}
}

static void
measure_read(void)
{
	struct zk_broker *broker = zk_topics_node_broker(node);
	static char buf[131072];
	struct zk_partition_info info;
	uint64_t at = 0;
	size_t len;
	double begin = now();

	(void)zk_broker_info(broker, PART, &info);
	for (at = info.start; now() - begin < run_sec; at += len) {
		if (zk_broker_read(broker, PART, at, buf, sizeof(buf), &len) <
		        0 ||
		    len == 0)
			break;
	}
	(void)printf("%-40s             %38.1f MB/s\n", "read 128 KiB pieces",
	    (double)(at - info.start) / (now() - begin) / 1e6);
}

static void
measure_all(void)
{
	(void)measure("100 B, one record per write", 1, 100, 1);
	(void)measure("100 B, one record per write", 16, 100, 1);
	(void)measure("1 KiB, one record per write", 1, 1024, 1);
	(void)measure("1 KiB, one record per write", 16, 1024, 1);
	(void)measure("64 KiB batches of 100 B", 1, 65500, 655);
	(void)measure("64 KiB batches of 100 B", 16, 65500, 655);
	(void)measure("64 KiB batches of 1 KiB", 1, 65536, 64);
	(void)measure("64 KiB batches of 1 KiB", 16, 65536, 64);
	fill(LARGE_BYTES);
	(void)printf("with %llu MiB in the partition:\n", LARGE_BYTES >> 20);
	(void)measure("100 B, one record per write", 16, 100, 1);
	(void)measure("64 KiB batches of 1 KiB", 16, 65536, 64);
	measure_read();
}

/* --- while it grows ------------------------------------------------------- */

static int
compare(const void *left, const void *right)
{
	const double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* A disk of this machine has its moods: the median of some. */
static double
median(const double *rates)
{
	double sorted[GROWTH_OF];

	memcpy(sorted, rates, sizeof(sorted));
	qsort(sorted, GROWTH_OF, sizeof(sorted[0]), compare);
	return sorted[GROWTH_OF / 2];
}

static int
measure_growth(uint64_t bytes)
{
	static double small[GROWTH_STEPS + 1], large[GROWTH_STEPS + 1];
	const size_t last = GROWTH_STEPS + 1 - GROWTH_OF;
	double small_fall, large_fall;

	run_sec = 0.5;
	for (size_t i = 0; i <= GROWTH_STEPS; i++) {
		fill(bytes / GROWTH_STEPS * i);
		(void)printf("with %" PRIu64 " MiB in the partition:\n",
		    size() >> 20);
		small[i] = measure("100 B, one record per write", 16, 100, 1);
		large[i] = measure("64 KiB batches of 1 KiB", 16, 65536, 64);
	}
	small_fall = median(&small[last]) / median(small);
	large_fall = median(&large[last]) / median(large);
	(void)printf("full / empty: %.2f of the writes of 100 B, %.2f of "
	             "64 KiB\n",
	    small_fall, large_fall);
	return small_fall < FALL_MIN || large_fall < FALL_MIN;
}

int
main(int argc, char *argv[])
{
	char dir[256], cmd[300];
	struct zk_store_options store_options = {.dir = dir, .member = "bench"};
	struct zk_topics_node_options options = {
	    .dir = dir,
	    .seed = (uint64_t)getpid() << 20 | 1,
	    .op_timeout_ms = 60000,
	    .fatal = on_fatal,
	};
	struct zk_store *store;
	char *why = NULL;
	int rc = 0;

	(void)snprintf(dir, sizeof(dir), "%s/zkfs-engine.XXXXXX",
	    argc > 1 ? argv[1] : "/var/tmp");
	if (mkdtemp(dir) == NULL) {
		perror(dir);
		return 1;
	}
	if (zk_store_open(&store_options, &why, &store) < 0)
		on_fatal(NULL, -EIO, why);
	options.store = store;
	if (zk_topics_node_open(&options, &why, &node) < 0)
		on_fatal(NULL, -EIO, why);
	set(zk_store_ident(store)->node);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 2)
		rc = measure_growth(strtoull(argv[2], NULL, 10) << 20);
	else
		measure_all();
	zk_topics_node_stop(node);
	zk_topics_node_close(node);
	zk_store_close(store);
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd) == 0 ? rc : 1;
}
