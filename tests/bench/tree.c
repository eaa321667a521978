/*
 * A large directory: what it costs to make, to list and to hold in memory.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAKERS      16
#define VALUE_BYTES 100
#define LISTINGS    5

struct maker {
	pthread_t thread;
	const char *dir;
	size_t first, end;
};

static void *
maker_main(void *arg)
{
	struct maker *maker = arg;

	for (size_t i = maker->first; i < maker->end; i++) {
		struct zk_path path = zk_bench_path("%s/%07zu", maker->dir, i);

		zk_bench_fill(path.text, VALUE_BYTES);
	}
	return NULL;
}

/* Returns the seconds that it took. */
static double
make_files(const char *dir, size_t files)
{
	struct maker makers[MAKERS];
	double start = zk_bench_now_us();
	int rc;

	for (size_t i = 0; i < MAKERS; i++) {
		makers[i].dir = dir;
		makers[i].first = files * i / MAKERS;
		makers[i].end = files * (i + 1) / MAKERS;
		rc = pthread_create(&makers[i].thread, NULL, maker_main,
		    &makers[i]);
		if (rc != 0)
			errx(1, "pthread_create: %s", strerror(rc));
	}
	for (size_t i = 0; i < MAKERS; i++)
		(void)pthread_join(makers[i].thread, NULL);
	return (zk_bench_now_us() - start) / 1e6;
}

/* Runs `command dir`, counting its lines; returns the seconds. */
static double
list_once(const char *command, const char *dir, size_t want)
{
	struct zk_path line = zk_bench_path("%s '%s' | wc -l", command, dir);
	double start = zk_bench_now_us(), took;
	char count[32];
	size_t got;
	FILE *pipe = popen(line.text, "re");

	if (pipe == NULL || fgets(count, sizeof(count), pipe) == NULL)
		err(1, "%s", line.text);
	got = strtoul(count, NULL, 10);
	took = (zk_bench_now_us() - start) / 1e6;
	(void)pclose(pipe);
	if (got < want || got > want + 3)
		errx(1, "%s: %zu lines for %zu files", line.text, got, want);
	return took;
}

static void
list_files(const char *dir, size_t files)
{
	static const struct {
		const char *command;
		enum zk_goal goal;
	} ways[] = {
	    {"ls -f", ZK_GOAL_AT_MOST},
	    {"find", ZK_GOAL_AT_MOST},
	    {"ls", ZK_GOAL_AT_MOST},
	    {"ls -l", ZK_GOAL_NONE},
	};
	struct zk_path name;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct zk_samples took = {0};
		struct zk_row row = {
		    .name = name.text,
		    .unit = "s",
		    .ours = &took,
		    .goal = ways[i].goal,
		    .bound = 1,
		};

		name = zk_bench_path("%s of %zu files", ways[i].command, files);
		for (size_t listing = 0; listing < LISTINGS; listing++)
			zk_samples_add(&took,
			    list_once(ways[i].command, dir, files));
		zk_bench_row(&row);
		zk_samples_fini(&took);
	}
}

void
zk_bench_tree(const struct zk_bench *bench)
{
	struct zk_path dir = zk_bench_path("%s/many", bench->dir);
	struct zk_path name;
	struct zk_usage usage;
	double took;

	if (bench->daemon > 0) {
		usage = zk_bench_usage(bench->daemon);
		zk_bench_single("daemon before: own memory", usage.anon_mib,
		    "MiB", ZK_GOAL_NONE, 0);
	}
	if (mkdir(dir.text, 0700) < 0)
		err(1, "%s", dir.text);
	took = make_files(dir.text, bench->files);
	name = zk_bench_path("create + write 100 B, %zu files", bench->files);
	zk_bench_single(name.text, took, "s", ZK_GOAL_NONE, 0);
	zk_bench_single("files a second", (double)bench->files / took, "/s",
	    ZK_GOAL_NONE, 0);
	list_files(dir.text, bench->files);
	if (bench->daemon > 0) {
		usage = zk_bench_usage(bench->daemon);
		zk_bench_single("daemon after: own memory", usage.anon_mib,
		    "MiB", ZK_GOAL_AT_MOST, 64);
		zk_bench_single("daemon after: mapped database pages",
		    usage.file_mib, "MiB", ZK_GOAL_NONE, 0);
	}
}
