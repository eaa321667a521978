/*
 * The measures of the peers, on zkfs: programs that use files.
 *
 *   zkfs load NAME write|cd|read|append|linear DIRS WRITERS SECONDS SIZE
 *             writer i works under directory i mod N, in a file of its own;
 *             append: DIRS are files; linear: reads with O_DIRECT
 *   zkfs watch NAME DIRS COUNT        write in DIR 1, inotify in DIR 2
 *   zkfs owners NAME DIRS COUNT       kill -9 of an owner in DIR i mod N,
 *                                     until the file is gone in every DIR
 *   zkfs failover DIRS PID            prints milliseconds
 *   zkfs fill NAME DIR COUNT
 *
 * DIRS are the mounts of the members, the leader's first.
 */
#include "tests/bench/peers/peer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAKERS  16
#define WAIT_MS 10000

static char *dirs[ZK_PEER_HOSTS_MAX];
static size_t dir_count;

/* --- load --------------------------------------------------------------- */

struct writer {
	pthread_t thread;
	char path[PATH_MAX];
	char op;
	int fd;
	double until_us;
	char *bytes;
	size_t size;
	struct zk_samples took_us;
};

static void
open_for(struct writer *writer)
{
	int flags = O_RDWR | O_CREAT | O_CLOEXEC;

	if (writer->op == 'a')
		flags = O_WRONLY | O_APPEND | O_CLOEXEC;
	if (writer->op == 'l')
		flags |= O_DIRECT;
	writer->fd = open(writer->path, flags, 0644);
	if (writer->fd < 0)
		err(1, "%s", writer->path);
	if (writer->op != 'a' &&
	    pwrite(writer->fd, writer->bytes, writer->size, 0) < 0)
		err(1, "%s", writer->path);
	if (writer->op == 'c')
		(void)unlink(writer->path);
}

/*
 * The kernel lets one system call at a time change a directory, so each writer
 * has one; and no other host has looked into it, so that no events are raised
 * there: nobody watches the keys of the peers.
 */
static void
name_file(struct writer *writer, const char *dir, size_t i)
{
	if (writer->op == 'a') {
		(void)snprintf(writer->path, sizeof(writer->path), "%s", dir);
		return;
	}
	(void)snprintf(writer->path, sizeof(writer->path), "%s/%d-%zu", dir,
	    (int)getpid(), i);
	if (mkdir(writer->path, 0755) < 0)
		err(1, "%s", writer->path);
	(void)snprintf(writer->path, sizeof(writer->path), "%s/%d-%zu/n", dir,
	    (int)getpid(), i);
}

static void
operate(struct writer *writer)
{
	ssize_t len = (ssize_t)writer->size;
	bool ok;
	int fd;

	if (writer->op == 'w') {
		ok = pwrite(writer->fd, writer->bytes, writer->size, 0) == len;
	} else if (writer->op == 'a') {
		ok = write(writer->fd, writer->bytes, writer->size) == len;
	} else if (writer->op == 'l') {
		ok = pread(writer->fd, writer->bytes, writer->size, 0) == len;
	} else if (writer->op == 'c') {
		fd = open(writer->path, O_WRONLY | O_CREAT | O_EXCL, 0644);
		ok = fd >= 0 && close(fd) == 0 && unlink(writer->path) == 0;
	} else {
		fd = open(writer->path, O_RDONLY | O_CLOEXEC);
		ok = fd >= 0 && read(fd, writer->bytes, writer->size) == len &&
		    close(fd) == 0;
	}
	if (!ok)
		err(1, "%s", writer->path);
}

static void *
writer_main(void *arg)
{
	struct writer *writer = arg;
	double before = zk_bench_now_us(), after;

	do {
		operate(writer);
		after = zk_bench_now_us();
		/* A name made and a name removed are two agreed changes. */
		zk_samples_add(&writer->took_us,
		    writer->op == 'c' ? (after - before) / 2 : after - before);
		before = after;
	} while (after < writer->until_us);
	return NULL;
}

static void
run_threads(struct writer *writers, size_t count, double seconds)
{
	int rc;

	for (size_t i = 0; i < count; i++) {
		writers[i].until_us = zk_bench_now_us() + seconds * 1e6;
		rc = pthread_create(&writers[i].thread, NULL, writer_main,
		    &writers[i]);
		if (rc != 0)
			errx(1, "pthread_create: %s", strerror(rc));
	}
	for (size_t i = 0; i < count; i++)
		(void)pthread_join(writers[i].thread, NULL);
}

static void
run_load(char **args)
{
	size_t count = strtoul(args[3], NULL, 10);
	double seconds = strtod(args[4], NULL), done = 0;
	struct writer *writers = calloc(count, sizeof(*writers));
	struct zk_row row = {.unit = "us"};
	char line[128];

	if (writers == NULL)
		err(1, "writers");
	dir_count = zk_peer_split(args[2], dirs);
	for (size_t i = 0; i < count; i++) {
		struct writer *writer = &writers[i];

		writer->op = args[1][0];
		writer->size = strtoul(args[5], NULL, 10);
		writer->bytes =
		    aligned_alloc(4096, (writer->size + 4095) / 4096 * 4096);
		if (writer->bytes == NULL)
			err(1, "bytes");
		memset(writer->bytes, 'v', writer->size);
		/* Records are lines; a block is as many as it has room for. */
		for (size_t at = 99; writer->op == 'a' && at < writer->size;
		     at += 100)
			writer->bytes[at] = '\n';
		if (writer->op == 'a')
			writer->bytes[writer->size - 1] = '\n';
		name_file(writer, dirs[i % dir_count], i);
		open_for(writer);
	}
	run_threads(writers, count, seconds);
	for (size_t i = 0; i < count; i++)
		done += (double)writers[i].took_us.count;
	if (args[1][0] == 'c')
		done *= 2;
	zk_bench_single(args[0], done / seconds, "/s", ZK_GOAL_NONE, 0);
	(void)snprintf(line, sizeof(line), "%s, median", args[0]);
	row.name = line;
	row.ours = &writers[0].took_us;
	if (count == 1)
		zk_bench_row(&row);
}

/* --- watch -------------------------------------------------------------- */

static void
run_watch(char **args)
{
	size_t count = strtoul(args[2], NULL, 10);
	struct zk_samples took_us = {0};
	struct pollfd ready = {.events = POLLIN};
	char path[PATH_MAX], events[4096];
	double asked_us;
	int fd;

	dir_count = zk_peer_split(args[1], dirs);
	(void)snprintf(path, sizeof(path), "%s/watched", dirs[0]);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, zk_peer_value, ZK_PEER_VALUE_BYTES) < 0)
		err(1, "%s", path);
	(void)snprintf(path, sizeof(path), "%s/watched", dirs[dir_count > 1]);
	ready.fd = inotify_init1(IN_CLOEXEC);
	while (inotify_add_watch(ready.fd, path, IN_MODIFY) < 0)
		zk_peer_pause(10e3); /* until the other member has it */
	for (size_t i = 0; i < count; i++) {
		asked_us = zk_bench_now_us();
		if (pwrite(fd, zk_peer_value, ZK_PEER_VALUE_BYTES, 0) < 0)
			err(1, "write");
		if (poll(&ready, 1, WAIT_MS) != 1 ||
		    read(ready.fd, events, sizeof(events)) <= 0)
			errx(1, "no event in %d ms", WAIT_MS);
		if (i >= count / 10)
			zk_samples_add(&took_us, zk_bench_now_us() - asked_us);
	}
	zk_peer_print_latency(args[0], &took_us);
}

/* --- owners ------------------------------------------------------------- */

static void
owned_path(char ret_path[PATH_MAX], size_t dir, size_t owner)
{
	(void)snprintf(ret_path, PATH_MAX, "%s/owned/%zu", dirs[dir], owner);
}

static void
own(size_t self, void *arg)
{
	char path[PATH_MAX];

	(void)arg;
	owned_path(path, self % dir_count, self);
	if (open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) < 0)
		err(1, "%s", path);
	for (;;)
		(void)pause();
}

/* Waits until the name is there, or gone, in every directory. */
static bool
await_everywhere(size_t owner, bool there)
{
	double end_us = zk_bench_now_us() + WAIT_MS * 1e3;
	char path[PATH_MAX];
	struct stat st;

	for (size_t dir = 0; dir < dir_count; dir++) {
		owned_path(path, dir, owner);
		while ((stat(path, &st) == 0) != there) {
			if (zk_bench_now_us() > end_us)
				return false;
			zk_peer_pause(100);
		}
	}
	return true;
}

static void
run_owners(char **args)
{
	size_t count = strtoul(args[2], NULL, 10);
	struct zk_owner *owners = calloc(count, sizeof(*owners));
	struct zk_samples took_ms = {0};
	struct zk_row row = {.name = args[0], .unit = "ms", .ours = &took_ms};
	char path[PATH_MAX];

	if (owners == NULL)
		err(1, "owners");
	dir_count = zk_peer_split(args[1], dirs);
	(void)snprintf(path, sizeof(path), "%s/owned", dirs[0]);
	if (mkdir(path, 0700) < 0 || chmod(path, 04700) < 0)
		err(1, "%s", path);
	for (size_t dir = 0; dir < dir_count; dir++) {
		(void)snprintf(path, sizeof(path), "%s/owned", dirs[dir]);
		while (access(path, F_OK) < 0)
			zk_peer_pause(10e3);
	}
	zk_owners_fork(owners, count, own, NULL);
	for (size_t i = 0; i < count; i++) {
		if (!await_everywhere(i, true))
			errx(1, "owner %zu did not come", i);
		owners[i].killed_us = zk_bench_now_us();
		(void)kill(owners[i].pid, SIGKILL);
		if (!await_everywhere(i, false))
			warnx("file %zu outlived its owner", i);
		zk_samples_add(&took_ms,
		    (zk_bench_now_us() - owners[i].killed_us) / 1e3);
		(void)waitpid(owners[i].pid, NULL, 0);
	}
	zk_bench_row(&row);
}

/* --- the rest ----------------------------------------------------------- */

/* The surviving members' mounts; the first write accepted ends it. */
static void
run_failover(char **args)
{
	char path[PATH_MAX];
	double start_us;
	int fd;

	dir_count = zk_peer_split(args[0], dirs);
	(void)snprintf(path, sizeof(path), "%s/failover", dirs[0]);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		err(1, "%s", path);
	start_us = zk_bench_now_us();
	(void)kill((pid_t)strtol(args[1], NULL, 10), SIGKILL);
	while (pwrite(fd, zk_peer_value, ZK_PEER_VALUE_BYTES, 0) < 0)
		if (errno != EAGAIN && errno != ETIMEDOUT && errno != EROFS)
			err(1, "write");
	(void)printf("%.1f\n", (zk_bench_now_us() - start_us) / 1e3);
}

struct maker {
	pthread_t thread;
	size_t number, first, end;
};

static void *
maker_main(void *arg)
{
	struct maker *maker = arg;
	char path[PATH_MAX];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/fill/%zu", dirs[0],
	    maker->number);
	if (mkdir(path, 0755) < 0)
		err(1, "%s", path);
	for (size_t i = maker->first; i < maker->end; i++) {
		(void)snprintf(path, sizeof(path), "%s/fill/%zu/%07zu", dirs[0],
		    maker->number, i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0 ||
		    write(fd, zk_peer_value, ZK_PEER_VALUE_BYTES) < 0 ||
		    close(fd) < 0)
			err(1, "%s", path);
	}
	return NULL;
}

static void
run_fill(char **args)
{
	size_t count = strtoul(args[2], NULL, 10);
	struct maker makers[MAKERS];
	char path[PATH_MAX];
	double start_us;

	dir_count = zk_peer_split(args[1], dirs);
	(void)snprintf(path, sizeof(path), "%s/fill", dirs[0]);
	if (mkdir(path, 0755) < 0)
		err(1, "%s", path);
	start_us = zk_bench_now_us();
	for (size_t i = 0; i < MAKERS; i++) {
		makers[i].number = i;
		makers[i].first = count * i / MAKERS;
		makers[i].end = count * (i + 1) / MAKERS;
		if (pthread_create(&makers[i].thread, NULL, maker_main,
		        &makers[i]) != 0)
			errx(1, "pthread_create");
	}
	for (size_t i = 0; i < MAKERS; i++)
		(void)pthread_join(makers[i].thread, NULL);
	zk_bench_single(args[0],
	    (double)count * 1e6 / (zk_bench_now_us() - start_us), "/s",
	    ZK_GOAL_NONE, 0);
}

int
main(int argc, char **argv)
{
	static const struct zk_verb verbs[] = {
	    {"load", 6, run_load},
	    {"watch", 3, run_watch},
	    {"owners", 3, run_owners},
	    {"failover", 2, run_failover},
	    {"fill", 3, run_fill},
	};

	return zk_peer_main(argc, argv, verbs, 5);
}
