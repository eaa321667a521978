/*
 * Lines appended by many processes, and the proof that none was lost, split
 * or interleaved.  A line is "WRITER NUMBER LENGTH ", one letter again and
 * again, and a newline; LENGTH counts all of it.
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
#define WRITERS_MAX   1000u
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

static size_t
length_of(size_t writer, size_t number, size_t length_max)
{
	const size_t spread =
	    ((writer * 1000003 + number) * SPREAD_FACTOR) & 0xffffffffu;

	return LENGTH_MIN + spread % (length_max - LENGTH_MIN + 1);
}

static void
fill(char *buf, size_t writer, size_t number, size_t length)
{
	char head[64];
	int head_len;

	head_len = snprintf(head, sizeof(head), "%zu %zu %zu ", writer, number,
	    length);
	memset(buf, (int)('a' + (writer + number) % 26), length);
	memcpy(buf, head, (size_t)head_len);
	buf[length - 1] = '\n';
}

/* Each line through a descriptor of its own, as a shell's `>>` does it. */
static void
append(const char *path, size_t writer, size_t count, size_t length_max)
{
	char *buf = malloc(length_max);
	ssize_t n;
	int fd;

	if (buf == NULL)
		err(2, "malloc");
	for (size_t number = 0; number < count; number++) {
		const size_t length = length_of(writer, number, length_max);

		fill(buf, writer, number, length);
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
		if (fd < 0)
			err(1, "open %s", path);
		n = write(fd, buf, length);
		if (n < 0)
			err(1, "append");
		if ((size_t)n != length)
			errx(1, "append: %zd of %zu bytes", n, length);
		(void)close(fd);
	}
	free(buf);
}

static char *
read_file(const char *path, size_t *ret_len)
{
	FILE *file = fopen(path, "r");
	char *buf;
	long len;

	if (file == NULL || fseek(file, 0, SEEK_END) < 0)
		err(1, "%s", path);
	len = ftell(file);
	if (len < 0)
		err(1, "%s", path);
	rewind(file);
	buf = malloc((size_t)len + 1);
	if (buf == NULL)
		err(2, "malloc");
	*ret_len = fread(buf, 1, (size_t)len, file);
	if (*ret_len != (size_t)len)
		errx(1, "%s: %zu of %ld bytes", path, *ret_len, len);
	buf[len] = '\0';
	(void)fclose(file);
	return buf;
}

/* The length of the line at text, which must be the writer's next one. */
static size_t
examine(const char *text, size_t left, size_t writers, size_t *next, char *want)
{
	size_t writer, number, length;
	char *end;

	writer = strtoul(text, &end, 10);
	number = strtoul(end, &end, 10);
	length = strtoul(end, &end, 10);
	if (*end != ' ')
		errx(1, "no line: %.60s", text);
	if (writer >= writers)
		errx(1, "there is no writer %zu", writer);
	if (number != next[writer])
		errx(1, "writer %zu: line %zu where %zu is due", writer, number,
		    next[writer]);
	if (length < LENGTH_MIN || length > left)
		errx(1, "writer %zu, line %zu: split", writer, number);
	fill(want, writer, number, length);
	if (memcmp(text, want, length) != 0)
		errx(1, "writer %zu, line %zu: split or interleaved", writer,
		    number);
	next[writer]++;
	return length;
}

static void
check(const char *path, size_t writers, size_t count)
{
	size_t next[WRITERS_MAX] = {0}, len, at = 0;
	char *text = read_file(path, &len), *want = malloc(len + 1);

	if (want == NULL)
		err(2, "malloc");
	while (at < len)
		at += examine(text + at, len - at, writers, next, want);
	for (size_t i = 0; i < writers; i++)
		if (next[i] != count)
			errx(1, "writer %zu: %zu of %zu lines", i, next[i],
			    count);
	(void)printf("%zu lines, %zu bytes\n", writers * count, len);
	free(want);
	free(text);
}

int
main(int argc, char **argv)
{
	(void)alarm(SECONDS_MAX);
	if (argc == 6 && strcmp(argv[1], "append") == 0) {
		const size_t length_max = parse(argv[5]);

		if (length_max < LENGTH_MIN)
			errx(2, "%s: no such length", argv[5]);
		append(argv[2], parse(argv[3]), parse(argv[4]), length_max);
		return 0;
	}
	if (argc == 5 && strcmp(argv[1], "check") == 0 &&
	    parse(argv[3]) <= WRITERS_MAX) {
		check(argv[2], parse(argv[3]), parse(argv[4]));
		return 0;
	}
	errx(2,
	    "usage: worker_append append FILE WRITER COUNT BYTES | "
	    "check FILE WRITERS COUNT");
}
