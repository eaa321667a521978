/*
 * Values that prove themselves: a writer that replaces a file as a shell's
 * `>` does, and a reader that opens it anew each time.  A value is
 * "NUMBER LENGTH ", one letter again and again, and a newline; LENGTH counts
 * all of it.  A reader that meets anything else has seen a part of a change.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_MAX   300u
#define LENGTH_MIN    40u
#define HEAD_BYTES    64u
#define READS_MIN     10u
#define BUFFER_BYTES  ((size_t)2 * 1024 * 1024)
#define SPREAD_FACTOR 2654435761u /* Knuth: neighbours differ much */

static size_t
parse(const char *text)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno != 0 || *text == '\0' || *end != '\0')
		errx(2, "%s: not a number", text);
	return value;
}

/* Lengths jump between neighbours, so that old and new ones never agree. */
static size_t
length_of(size_t number, size_t length_max)
{
	const size_t spread = (number * SPREAD_FACTOR) & 0xffffffffu;

	return LENGTH_MIN + spread % (length_max - LENGTH_MIN + 1);
}

static void
fill(char *buf, size_t number, size_t length)
{
	char head[HEAD_BYTES];
	int head_len;

	head_len = snprintf(head, sizeof(head), "%zu %zu ", number, length);
	memset(buf, (int)('a' + number % 26), length);
	memcpy(buf, head, (size_t)head_len);
	buf[length - 1] = '\n';
}

static void
write_all(const char *path, size_t first, size_t last, size_t length_max)
{
	char *buf = malloc(length_max);
	ssize_t n;
	int fd;

	if (buf == NULL)
		err(2, "malloc");
	for (size_t number = first; number <= last; number++) {
		const size_t length = length_of(number, length_max);

		fill(buf, number, length);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0)
			err(1, "open %s", path);
		n = write(fd, buf, length);
		if (n < 0)
			err(1, "write %zu of %zu bytes", number, length);
		if ((size_t)n != length)
			errx(1, "write %zu: %zd of %zu bytes", number, n,
			    length);
		if (close(fd) < 0)
			err(1, "close");
	}
	free(buf);
}

static size_t
read_value(const char *path, char *buf)
{
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY);
	if (fd < 0)
		err(1, "open %s", path);
	n = read(fd, buf, BUFFER_BYTES);
	if (n < 0)
		err(1, "read");
	(void)close(fd);
	return (size_t)n;
}

/* The number of the value, after a look at each of its bytes. */
static size_t
examine(const char *buf, size_t length, char *want)
{
	size_t number, said;
	char head[HEAD_BYTES], *end;

	if (length == 0)
		errx(1, "the file was empty");
	if (length < LENGTH_MIN)
		errx(1, "a value of %zu bytes", length);
	memcpy(head, buf, sizeof(head) < length ? sizeof(head) : length);
	head[LENGTH_MIN - 1] = '\0';
	number = strtoul(head, &end, 10);
	said = strtoul(end, &end, 10);
	if (*end != ' ')
		errx(1, "no value: %s", head);
	if (said != length)
		errx(1, "value %zu has %zu bytes, but %zu were read", number,
		    said, length);
	fill(want, number, length);
	for (size_t i = 0; i < length; i++)
		if (buf[i] != want[i])
			errx(1,
			    "value %zu of %zu bytes: %c instead of %c at "
			    "byte %zu",
			    number, length, buf[i], want[i], i);
	return number;
}

static void
read_until(const char *path, size_t last)
{
	char *buf = malloc(BUFFER_BYTES), *want = malloc(BUFFER_BYTES);
	size_t number, seen = 0, reads = 0, distinct = 0;

	if (buf == NULL || want == NULL)
		err(2, "malloc");
	do {
		number = examine(buf, read_value(path, buf), want);
		if (reads > 0 && number < seen)
			errx(1, "value %zu after value %zu", number, seen);
		if (reads == 0 || number != seen)
			distinct++;
		seen = number;
		reads++;
	} while (number < last || reads < READS_MIN);
	(void)printf("%zu reads, %zu values\n", reads, distinct);
	free(want);
	free(buf);
}

int
main(int argc, char **argv)
{
	(void)alarm(SECONDS_MAX);
	if (argc == 6 && strcmp(argv[1], "write") == 0) {
		const size_t length_max = parse(argv[5]);

		if (length_max < LENGTH_MIN || length_max > BUFFER_BYTES)
			errx(2, "%s: no such length", argv[5]);
		write_all(argv[2], parse(argv[3]), parse(argv[4]), length_max);
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "read") == 0) {
		read_until(argv[2], parse(argv[3]));
		return 0;
	}
	errx(2,
	    "usage: worker_value write FILE FIRST LAST BYTES | "
	    "read FILE LAST");
}
