/*
 * Agreed writes: one writer against one synced LMDB commit of the same bytes,
 * which is the least that a durable store with a tree can do on this disk;
 * many writers against one; a page inside a large file against a small one.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_BYTES 100
#define PAGE_BYTES  4096
#define LARGE_BYTES (16u << 20)
#define WRITERS_MAX 64

static const char page[PAGE_BYTES] = "page";

/* Median microseconds of the operation `once` over the budget. */
static double
median_of(void (*once)(void *arg), void *arg, double budget_us)
{
	struct zk_samples took = {0};
	double start = zk_bench_now_us(), before = start, after, median;

	do {
		once(arg);
		after = zk_bench_now_us();
		zk_samples_add(&took, after - before);
		before = after;
	} while (after - start < budget_us);
	median = zk_samples_at(&took, 0.5);
	zk_samples_fini(&took);
	return median;
}

/* --- LMDB ---------------------------------------------------------------- */

struct lmdb {
	MDB_env *env;
	MDB_dbi dbi;
	size_t next;
};

static void
lmdb_must(int rc, const char *what)
{
	if (rc != 0)
		errx(1, "lmdb: %s: %s", what, mdb_strerror(rc));
}

static void
lmdb_open(struct lmdb *lmdb, const char *dir)
{
	struct zk_path path = zk_bench_path("%s/lmdb", dir);
	MDB_txn *txn;

	if (mkdir(path.text, 0700) < 0)
		err(1, "%s", path.text);
	lmdb_must(mdb_env_create(&lmdb->env), "create");
	lmdb_must(mdb_env_set_mapsize(lmdb->env, (size_t)1 << 30), "size");
	lmdb_must(mdb_env_open(lmdb->env, path.text, 0, 0600), path.text);
	lmdb_must(mdb_txn_begin(lmdb->env, NULL, 0, &txn), "begin");
	lmdb_must(mdb_dbi_open(txn, NULL, MDB_INTEGERKEY, &lmdb->dbi), "open");
	lmdb_must(mdb_txn_commit(txn), "commit");
	lmdb->next = 0;
}

/* Growing keys in a bounded table, as a log that is trimmed has them. */
static void
lmdb_commit(void *arg)
{
	struct lmdb *lmdb = arg;
	size_t number = lmdb->next++ % 100000;
	char bytes[VALUE_BYTES] = {0};
	MDB_val key = {sizeof(number), &number}, value = {sizeof(bytes), bytes};
	MDB_txn *txn;

	memcpy(bytes, &lmdb->next, sizeof(lmdb->next));
	lmdb_must(mdb_txn_begin(lmdb->env, NULL, 0, &txn), "begin");
	lmdb_must(mdb_put(txn, lmdb->dbi, &key, &value, 0), "put");
	lmdb_must(mdb_txn_commit(txn), "commit");
}

static double
lmdb_round(void *arg, double budget_us)
{
	return median_of(lmdb_commit, arg, budget_us);
}

/* --- one writer ---------------------------------------------------------- */

static void
pwrite_once(void *arg)
{
	int *fd = arg;

	if (pwrite(*fd, page, VALUE_BYTES, 0) != VALUE_BYTES)
		err(1, "pwrite");
}

static double
pwrite_round(void *arg, double budget_us)
{
	return median_of(pwrite_once, arg, budget_us);
}

/* What a shell does for `echo value > file`. */
static void
echo_once(void *arg)
{
	int fd = zk_bench_open(arg, O_WRONLY | O_CREAT | O_TRUNC);

	if (write(fd, page, VALUE_BYTES) != VALUE_BYTES)
		err(1, "write");
	if (close(fd) < 0)
		err(1, "close");
}

static double
echo_round(void *arg, double budget_us)
{
	return median_of(echo_once, arg, budget_us);
}

static void
create_delete_once(void *arg)
{
	if (close(zk_bench_open(arg, O_WRONLY | O_CREAT | O_EXCL)) < 0)
		err(1, "close");
	if (unlink(arg) < 0)
		err(1, "unlink");
}

static double
create_delete_round(void *arg, double budget_us)
{
	return median_of(create_delete_once, arg, budget_us);
}

static void
one_writer(const struct zk_bench *bench)
{
	struct zk_path value = zk_bench_path("%s/value", bench->dir);
	struct zk_path echoed = zk_bench_path("%s/echoed", bench->dir);
	struct zk_path fresh = zk_bench_path("%s/fresh", bench->dir);
	int fd = zk_bench_open(value.text, O_WRONLY | O_CREAT);
	struct lmdb lmdb = {0};
	struct zk_side sides[] = {
	    {.round = lmdb_round, .arg = &lmdb},
	    {.round = pwrite_round, .arg = &fd},
	    {.round = echo_round, .arg = echoed.text},
	    {.round = create_delete_round, .arg = fresh.text},
	};
	static const struct {
		const char *name;
		enum zk_goal goal;
		double bound;
	} lines[] = {
	    {"write 100 B, open file", ZK_GOAL_AT_MOST, 1.6},
	    {"echo > file (open, write 100 B, close)", ZK_GOAL_AT_MOST, 1.6},
	    {"create + delete", ZK_GOAL_NONE, 0},
	};

	lmdb_open(&lmdb, bench->plain);
	zk_bench_interleave(sides, 4, bench->rounds, bench->budget_us);
	for (size_t i = 1; i < 4; i++) {
		struct zk_row row = {
		    .name = lines[i - 1].name,
		    .unit = "us",
		    .ours = &sides[i].got,
		    .against = "LMDB synced commit",
		    .ref = &sides[0].got,
		    .goal = lines[i - 1].goal,
		    .bound = lines[i - 1].bound,
		};

		zk_bench_row(&row);
	}
	for (size_t i = 0; i < 4; i++)
		zk_samples_fini(&sides[i].got);
	mdb_env_close(lmdb.env);
	(void)close(fd);
}

/* --- many writers -------------------------------------------------------- */

struct crowd {
	const char *dir;
	size_t writers;
	pthread_barrier_t gate;
	double budget_us;
};

struct writer {
	struct crowd *crowd;
	pthread_t thread;
	int fd;
	double rate; /* writes a second */
};

static void *
writer_main(void *arg)
{
	struct writer *writer = arg;
	double start, now, count = 0;

	(void)pthread_barrier_wait(&writer->crowd->gate);
	start = zk_bench_now_us();
	do {
		pwrite_once(&writer->fd);
		count++;
		now = zk_bench_now_us();
	} while (now - start < writer->crowd->budget_us);
	writer->rate = count * 1e6 / (now - start);
	return NULL;
}

/* Writes a second of all writers together, each in a file of its own. */
static double
crowd_round(void *arg, double budget_us)
{
	struct crowd *crowd = arg;
	struct writer writers[WRITERS_MAX];
	double rate = 0;
	int rc;

	crowd->budget_us = budget_us;
	(void)pthread_barrier_init(&crowd->gate, NULL,
	    (unsigned)crowd->writers);
	for (size_t i = 0; i < crowd->writers; i++) {
		struct zk_path path = zk_bench_path("%s/w%zu", crowd->dir, i);

		writers[i].crowd = crowd;
		writers[i].fd = zk_bench_open(path.text, O_WRONLY | O_CREAT);
		rc = pthread_create(&writers[i].thread, NULL, writer_main,
		    &writers[i]);
		if (rc != 0)
			errx(1, "pthread_create: %s", strerror(rc));
	}
	for (size_t i = 0; i < crowd->writers; i++) {
		(void)pthread_join(writers[i].thread, NULL);
		(void)close(writers[i].fd);
		rate += writers[i].rate;
	}
	(void)pthread_barrier_destroy(&crowd->gate);
	return rate;
}

static void
many_writers(const struct zk_bench *bench)
{
	struct crowd crowds[] = {
	    {.dir = bench->dir, .writers = 1},
	    {.dir = bench->dir, .writers = 16},
	    {.dir = bench->dir, .writers = WRITERS_MAX},
	    /* What FUSE itself can do: it flushes nothing. */
	    {.dir = bench->pass, .writers = WRITERS_MAX},
	};
	struct zk_side sides[] = {
	    {.round = crowd_round, .arg = &crowds[0]},
	    {.round = crowd_round, .arg = &crowds[1]},
	    {.round = crowd_round, .arg = &crowds[2]},
	    {.round = crowd_round, .arg = &crowds[3]},
	};
	const size_t count = bench->pass != NULL ? 4 : 3;
	struct zk_row row = {
	    .unit = "/s",
	    .against = "1 writer",
	    .ref = &sides[0].got,
	};

	zk_bench_interleave(sides, count, bench->rounds, bench->budget_us * 2);
	row.name = "write 100 B, 16 writers";
	row.ours = &sides[1].got;
	zk_bench_row(&row);
	row.name = "write 100 B, 64 writers";
	row.ours = &sides[2].got;
	row.goal = ZK_GOAL_AT_LEAST;
	row.bound = 12;
	zk_bench_row(&row);
	if (bench->pass != NULL) {
		row.against = "passthrough_ll";
		row.ref = &sides[3].got;
		row.goal = ZK_GOAL_NONE;
		zk_bench_row(&row);
	}
	for (size_t i = 0; i < count; i++)
		zk_samples_fini(&sides[i].got);
}

/* --- inside a file ------------------------------------------------------- */

struct inside {
	int fd;
	size_t pages;
	size_t next;
};

static void
page_once(void *arg)
{
	struct inside *inside = arg;
	off_t at;

	/* A step prime to the page count, so that no page is the next one. */
	inside->next = (inside->next + 1237) % inside->pages;
	at = (off_t)(inside->next * PAGE_BYTES);
	if (pwrite(inside->fd, page, PAGE_BYTES, at) != PAGE_BYTES)
		err(1, "pwrite");
}

static double
page_round(void *arg, double budget_us)
{
	return median_of(page_once, arg, budget_us);
}

static void
inside_files(const struct zk_bench *bench)
{
	struct zk_path large = zk_bench_path("%s/large", bench->dir);
	struct zk_path small = zk_bench_path("%s/small", bench->dir);
	struct inside insides[2] = {{.pages = LARGE_BYTES / PAGE_BYTES},
	    {.pages = 1}};
	struct zk_side sides[] = {
	    {.round = page_round, .arg = &insides[0]},
	    {.round = page_round, .arg = &insides[1]},
	};
	struct zk_row row = {
	    .name = "write 4 KiB inside 16 MiB",
	    .unit = "us",
	    .ours = &sides[0].got,
	    .against = "inside a 4 KiB file",
	    .ref = &sides[1].got,
	    .goal = ZK_GOAL_AT_MOST,
	    .bound = 1.3,
	};

	zk_bench_fill(large.text, LARGE_BYTES);
	zk_bench_fill(small.text, PAGE_BYTES);
	insides[0].fd = zk_bench_open(large.text, O_WRONLY);
	insides[1].fd = zk_bench_open(small.text, O_WRONLY);
	zk_bench_interleave(sides, 2, bench->rounds, bench->budget_us);
	zk_bench_row(&row);
	for (size_t i = 0; i < 2; i++) {
		zk_samples_fini(&sides[i].got);
		(void)close(insides[i].fd);
	}
}

void
zk_bench_write(const struct zk_bench *bench)
{
	one_writer(bench);
	many_writers(bench);
	inside_files(bench);
}
