/*
 * bench -w WORK [-q] [-b MOUNT.ZKFS | -z DIR] [-p PASS -P PID] [PART...]
 *
 * Measures one host and prints one table.  WORK is an empty directory on a
 * real disk with `plain` in it; -b mounts on WORK/zk with data in WORK, -z
 * takes a directory that is there already; PASS is WORK/plain seen through
 * libfuse's passthrough_ll, which is process PID; -q makes everything
 * shorter.  Exits 0 when it could measure, whatever the figures say.
 */
#include "tests/bench/bench.h"
#include "tests/bench/table.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* One write of this size is one change; larger ones would be several. */
#define CHANGE_BYTES ((1u << 20) - 4096)

struct zk_path
zk_bench_path(const char *format, ...)
{
	struct zk_path path;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(path.text, sizeof(path.text), format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path.text))
		errx(1, "path too long: %s", path.text);
	return path;
}

int
zk_bench_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0644);

	if (fd < 0)
		err(1, "open %s", path);
	return fd;
}

void
zk_bench_fill(const char *path, size_t bytes)
{
	int fd = zk_bench_open(path, O_WRONLY | O_CREAT | O_TRUNC);
	size_t chunk = bytes < CHANGE_BYTES ? bytes : CHANGE_BYTES;
	char *zeros = calloc(1, chunk);
	ssize_t wrote;

	if (zeros == NULL)
		err(1, "fill");
	for (size_t done = 0; done < bytes; done += (size_t)wrote) {
		if (chunk > bytes - done)
			chunk = bytes - done;
		wrote = write(fd, zeros, chunk);
		if (wrote <= 0)
			err(1, "write %s", path);
	}
	free(zeros);
	if (close(fd) < 0)
		err(1, "close %s", path);
}

/* --- /proc --------------------------------------------------------------- */

bool
zk_bench_slurp(const char *path, char *ret_text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = 0;

	if (fd >= 0)
		len = read(fd, ret_text, size - 1);
	ret_text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		(void)close(fd);
	return len > 0;
}

static double
status_mib(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line == NULL ? 0 : strtod(line + strlen(key), NULL) / 1024;
}

static void
add_usage(pid_t pid, struct zk_usage *usage)
{
	struct zk_path stat = zk_bench_path("/proc/%d/stat", (int)pid);
	struct zk_path status = zk_bench_path("/proc/%d/status", (int)pid);
	double tick_us = 1e6 / (double)sysconf(_SC_CLK_TCK);
	char text[4096], *at;

	if (zk_bench_slurp(stat.text, text, sizeof(text))) {
		/* Fields 14 and 15; the name is the second, in parentheses. */
		at = strrchr(text, ')');
		for (int field = 3; at != NULL && field <= 14; field++)
			at = strchr(at + 1, ' ');
		if (at == NULL)
			errx(1, "cannot read %s", stat.text);
		usage->cpu_us += tick_us * (double)strtoul(at, &at, 10);
		usage->cpu_us += tick_us * (double)strtoul(at, NULL, 10);
	}
	if (zk_bench_slurp(status.text, text, sizeof(text))) {
		usage->anon_mib += status_mib(text, "RssAnon:");
		usage->anon_mib += status_mib(text, "RssShmem:");
		usage->file_mib += status_mib(text, "RssFile:");
	}
}

struct zk_usage
zk_bench_usage(pid_t pid)
{
	struct zk_path path =
	    zk_bench_path("/proc/%d/task/%d/children", (int)pid, (int)pid);
	struct zk_usage usage = {0};
	char text[4096], *at = text, *end;
	long child;

	add_usage(pid, &usage);
	(void)zk_bench_slurp(path.text, text, sizeof(text));
	while ((child = strtol(at, &end, 10)) > 0) {
		add_usage((pid_t)child, &usage);
		at = end;
	}
	return usage;
}

/* Microseconds of processor time: of the whole machine, and of ours in it. */
struct busy {
	double all_us, ours_us, wall_us;
};

static double
timeval_us(struct timeval time)
{
	return (double)time.tv_sec * 1e6 + (double)time.tv_usec;
}

static struct busy
busy_now(pid_t daemon)
{
	struct busy busy = {.wall_us = zk_bench_now_us()};
	struct rusage self, children;
	char text[256], *at = text + strlen("cpu ");

	if (!zk_bench_slurp("/proc/stat", text, sizeof(text)))
		err(1, "/proc/stat");
	/* User, nice and system time. */
	for (int field = 0; field < 3; field++)
		busy.all_us += 1e6 / (double)sysconf(_SC_CLK_TCK) *
		    (double)strtoul(at, &at, 10);
	(void)getrusage(RUSAGE_SELF, &self);
	(void)getrusage(RUSAGE_CHILDREN, &children);
	busy.ours_us = timeval_us(self.ru_utime) + timeval_us(self.ru_stime) +
	    timeval_us(children.ru_utime) + timeval_us(children.ru_stime);
	if (daemon > 0)
		busy.ours_us += zk_bench_usage(daemon).cpu_us;
	return busy;
}

/* --- the disk ------------------------------------------------------------ */

/* The floor under every synced figure, and the noise on top of it. */
void
zk_bench_disk(const struct zk_bench *bench)
{
	struct zk_path path = zk_bench_path("%s/floor", bench->plain);
	struct zk_samples took = {0};
	struct zk_row row = {
	    .name = "disk: overwrite 4 KiB + fdatasync",
	    .unit = "us",
	    .ours = &took,
	};
	static const char page[4096];
	double end, before, after;
	int fd;

	zk_bench_fill(path.text, sizeof(page));
	fd = zk_bench_open(path.text, O_WRONLY);
	before = zk_bench_now_us();
	end = before + bench->budget_us * (double)bench->rounds / 2;
	do {
		if (pwrite(fd, page, sizeof(page), 0) < 0 || fdatasync(fd) < 0)
			err(1, "%s", path.text);
		after = zk_bench_now_us();
		zk_samples_add(&took, after - before);
		before = after;
	} while (after < end);
	zk_bench_row(&row);
	zk_samples_fini(&took);
	(void)close(fd);
	(void)unlink(path.text);
}

/* --- main ---------------------------------------------------------------- */

static const struct part {
	const char *name;
	void (*run)(const struct zk_bench *bench);
} parts[] = {
    {"disk", zk_bench_disk},
    {"write", zk_bench_write},
    {"read", zk_bench_read},
    {"lock", zk_bench_lock},
    {"tree", zk_bench_tree},
};

static bool
wanted(const char *name, char **names)
{
	if (*names == NULL)
		return true;
	for (; *names != NULL; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void
run_parts(struct zk_bench *bench, char **names)
{
	struct busy before, after;
	double wall_us;

	zk_bench_head();
	if (bench->binary != NULL)
		zk_bench_start(bench, wanted("start", names));
	before = busy_now(bench->daemon);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (wanted(parts[i].name, names))
			parts[i].run(bench);
	after = busy_now(bench->daemon);
	wall_us = (after.wall_us - before.wall_us) *
	    (double)sysconf(_SC_NPROCESSORS_ONLN);
	zk_bench_single("processor time of others and the kernel",
	    100 *
	        (after.all_us - before.all_us - after.ours_us +
	            before.ours_us) /
	        wall_us,
	    "%", ZK_GOAL_NONE, 0);
	(void)zk_bench_foot();
	if (bench->binary != NULL)
		zk_bench_stop(bench);
}

int
main(int argc, char **argv)
{
	struct zk_bench bench = {
	    .rounds = 15,
	    .budget_us = 200e3,
	    .trials = 20,
	    .files = 100000,
	};
	struct zk_path plain, dir;
	int option;

	while ((option = getopt(argc, argv, "w:b:z:p:P:q")) != -1) {
		if (option == 'w')
			bench.work = optarg;
		else if (option == 'b')
			bench.binary = optarg;
		else if (option == 'z')
			bench.dir = optarg;
		else if (option == 'p')
			bench.pass = optarg;
		else if (option == 'P')
			bench.pass_daemon = (pid_t)strtol(optarg, NULL, 10);
		else if (option != 'q')
			return 2;
		else
			bench = (struct zk_bench){
			    .work = bench.work,
			    .binary = bench.binary,
			    .dir = bench.dir,
			    .pass = bench.pass,
			    .pass_daemon = bench.pass_daemon,
			    .rounds = 5,
			    .budget_us = 100e3,
			    .trials = 5,
			    .files = 10000,
			};
	}
	if (bench.work == NULL || (bench.dir == NULL) == (bench.binary == NULL))
		errx(2,
		    "usage: bench -w WORK [-q] [-b MOUNT.ZKFS | -z DIR] "
		    "[-p PASS -P PID] [PART...]");
	plain = zk_bench_path("%s/plain", bench.work);
	bench.plain = plain.text;
	dir = zk_bench_path("%s/zk", bench.work);
	if (bench.dir == NULL)
		bench.dir = dir.text;
	run_parts(&bench, argv + optind);
	return 0;
}
