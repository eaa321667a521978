/*
 * Topics of zkfs, as programs see them: files.  Each verb prints bare figures
 * on one line, for tests/bench/peers/queue.sh to make a table of.
 *
 *   queue append FILES SIZE RECORD WRITERS SECONDS
 *             writer i appends SIZE bytes of records of RECORD bytes to file
 *             i mod N, and again when that is done; prints writes a second,
 *             and the median and 99th percentile of one in microseconds
 *   queue consume NEXT BYTES SECONDS
 *             reads of BYTES until nothing is left; prints records and bytes
 *             a second
 *   queue deliver FILE NEXT COUNT
 *             from before write(2) until a read of NEXT that waits has it;
 *             prints median and 99th in microseconds
 */
#include "tests/bench/peers/peer.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX 32

/* --- append --------------------------------------------------------------- */

struct writer {
	pthread_t thread;
	int fd;
	const char *bytes;
	size_t size;
	double until_us;
	struct zk_samples took_us;
};

/* As many whole records as have room. */
static char *
make_records(size_t size, size_t record, size_t *ret_len)
{
	size_t count = size / record;
	char *bytes = malloc(size);

	if (bytes == NULL || count == 0)
		errx(1, "no records");
	memset(bytes, 'v', size);
	for (size_t i = 1; i <= count; i++)
		bytes[i * record - 1] = '\n';
	*ret_len = count * record;
	return bytes;
}

static void *
writer_main(void *arg)
{
	struct writer *writer = arg;
	double before = zk_bench_now_us(), after;

	do {
		if (write(writer->fd, writer->bytes, writer->size) !=
		    (ssize_t)writer->size)
			err(1, "append");
		after = zk_bench_now_us();
		zk_samples_add(&writer->took_us, after - before);
		before = after;
	} while (after < writer->until_us);
	return NULL;
}

static size_t
split_files(char *list, char *ret_files[FILES_MAX])
{
	size_t count = 0;
	char *rest = NULL;

	for (char *file = strtok_r(list, ",", &rest);
	     file != NULL && count < FILES_MAX;
	     file = strtok_r(NULL, ",", &rest))
		ret_files[count++] = file;
	if (count == 0)
		errx(2, "no files");
	return count;
}

static void
run_append(char **args)
{
	const size_t count = strtoul(args[3], NULL, 10);
	const double seconds = strtod(args[4], NULL);
	struct writer *writers = calloc(count, sizeof(*writers));
	struct zk_samples all = {0};
	char *files[FILES_MAX], *bytes;
	size_t file_count = split_files(args[0], files), size;

	if (writers == NULL)
		err(1, "writers");
	bytes = make_records(strtoul(args[1], NULL, 10),
	    strtoul(args[2], NULL, 10), &size);
	for (size_t i = 0; i < count; i++) {
		const char *file = files[i % file_count];

		writers[i].bytes = bytes;
		writers[i].size = size;
		writers[i].fd = open(file, O_WRONLY | O_APPEND | O_CLOEXEC);
		if (writers[i].fd < 0)
			err(1, "%s", file);
	}
	for (size_t i = 0; i < count; i++) {
		writers[i].until_us = zk_bench_now_us() + seconds * 1e6;
		if (pthread_create(&writers[i].thread, NULL, writer_main,
		        &writers[i]) != 0)
			errx(1, "pthread_create");
	}
	for (size_t i = 0; i < count; i++) {
		(void)pthread_join(writers[i].thread, NULL);
		for (size_t j = 0; j < writers[i].took_us.count; j++)
			zk_samples_add(&all, writers[i].took_us.values[j]);
	}
	(void)printf("%.1f %.1f %.1f\n", (double)all.count / seconds,
	    zk_samples_at(&all, 0.5), zk_samples_at(&all, 0.99));
}

/* --- consume -------------------------------------------------------------- */

static size_t
count_lines(const char *bytes, size_t len)
{
	const char *at = bytes, *end = bytes + len;
	size_t lines = 0;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		lines++;
		at++;
	}
	return lines;
}

/* Every read acknowledges what the one before it got. */
static void
run_consume(char **args)
{
	const size_t size = strtoul(args[1], NULL, 10);
	const double end_us = strtod(args[2], NULL) * 1e6 + zk_bench_now_us();
	int fd = open(args[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	double first_us = 0, last_us = 0;
	size_t lines = 0, bytes = 0;
	char *buf = malloc(size);
	ssize_t n;

	if (fd < 0 || buf == NULL)
		err(1, "%s", args[0]);
	while (zk_bench_now_us() < end_us) {
		if (bytes == 0)
			first_us = zk_bench_now_us();
		n = read(fd, buf, size);
		/* Before the first its partitions have to be given to it. */
		if (n < 0 && errno == EAGAIN && bytes == 0) {
			zk_peer_pause(1e3);
			continue;
		}
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			err(1, "%s", args[0]);
		lines += count_lines(buf, (size_t)n);
		bytes += (size_t)n;
		last_us = zk_bench_now_us();
	}
	if (lines == 0)
		errx(1, "%s: nothing was delivered", args[0]);
	(void)printf("%.0f %.0f\n", (double)lines * 1e6 / (last_us - first_us),
	    (double)bytes * 1e6 / (last_us - first_us));
}

/* --- deliver -------------------------------------------------------------- */

struct reader {
	int fd;
	size_t count;
	int ready[2]; /* a byte for each record that came */
	double *came_us;
};

static void *
reader_main(void *arg)
{
	struct reader *reader = arg;
	char buf[4096];

	for (size_t i = 0; i < reader->count; i++) {
		if (read(reader->fd, buf, sizeof(buf)) <= 0)
			err(1, "next");
		reader->came_us[i] = zk_bench_now_us();
		if (write(reader->ready[1], "x", 1) != 1)
			err(1, "pipe");
	}
	return NULL;
}

/* It comes to wait again a moment after it has told of the last one. */
static void
run_deliver(char **args)
{
	struct reader reader = {.count = strtoul(args[2], NULL, 10)};
	struct zk_samples took_us = {0};
	int out = open(args[0], O_WRONLY | O_APPEND | O_CLOEXEC);
	char record[ZK_PEER_VALUE_BYTES], byte;
	double asked_us;
	pthread_t thread;

	memcpy(record, zk_peer_value, sizeof(record));
	record[sizeof(record) - 1] = '\n';
	reader.fd = open(args[1], O_RDONLY | O_CLOEXEC);
	reader.came_us = calloc(reader.count, sizeof(*reader.came_us));
	if (out < 0 || reader.fd < 0 || reader.came_us == NULL ||
	    pipe(reader.ready) < 0 ||
	    pthread_create(&thread, NULL, reader_main, &reader) != 0)
		err(1, "%s", args[1]);
	for (size_t i = 0; i < reader.count; i++) {
		zk_peer_pause(500);
		asked_us = zk_bench_now_us();
		if (write(out, record, sizeof(record)) !=
		    (ssize_t)sizeof(record))
			err(1, "%s", args[0]);
		if (read(reader.ready[0], &byte, 1) != 1)
			err(1, "pipe");
		if (i >= reader.count / 10)
			zk_samples_add(&took_us, reader.came_us[i] - asked_us);
	}
	(void)pthread_join(thread, NULL);
	(void)printf("%.1f %.1f\n", zk_samples_at(&took_us, 0.5),
	    zk_samples_at(&took_us, 0.99));
}

int
main(int argc, char **argv)
{
	static const struct zk_verb verbs[] = {
	    {"append", 5, run_append},
	    {"consume", 3, run_consume},
	    {"deliver", 3, run_deliver},
	};

	return zk_peer_main(argc, argv, verbs, 3);
}
