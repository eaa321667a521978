/*
 * audit DIR FILE...: what became of the records and names that load.c wrote
 * down in the FILEs (its NAME.records): on the mount with the directory DIR,
 * each that was acknowledged is there once, each that was refused is not, the
 * others are there once or not, and nothing else is.  The fences of records
 * of a lock (files l0, l1, ...) never go back.
 *
 * Prints where the records are, as numbers that a history can be checked for
 * (tests/lib/history.h): the offsets of one file only grow.  Exit status 1:
 * something is wrong, said on standard error.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 64

struct record {
	char name[WORD_MAX], key[WORD_MAX], result[8];
	char returned[24];
	uint64_t invoked;
	size_t order; /* of the lines: a later one of the same name replaces */
	bool seen;
};

static struct {
	struct record *records;
	size_t count, cap;
	unsigned wrong;
} the;

__attribute__((format(printf, 3, 4))) static void
wrong(const char *key, const char *name, const char *fmt, ...)
{
	va_list ap;

	the.wrong++;
	(void)fprintf(stderr, "audit: %s: %s ", key, name);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap); /* NOLINT(clang-analyzer-valist*) */
	va_end(ap);
	(void)fputc('\n', stderr);
}

/* --- what was written down ------------------------------------------------ */

static void
add(const struct record *record)
{
	if (the.count == the.cap) {
		the.cap = the.cap == 0 ? 1024 : 2 * the.cap;
		the.records =
		    reallocarray(the.records, the.cap, sizeof(*the.records));
		if (the.records == NULL)
			abort();
	}
	the.records[the.count] = *record;
	the.records[the.count].order = the.count;
	the.count++;
}

static void
read_records(const char *path)
{
	FILE *file = fopen(path, "re");
	struct record record = {.seen = false};
	char line[512], verb[WORD_MAX], invoked[24];

	if (file == NULL) {
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "%63s %63s %23s %23s %63s %7s", record.name,
		        record.key, invoked, record.returned, verb,
		        record.result) != 6) {
			(void)fprintf(stderr, "%s: what is '%s'?\n", path,
			    line);
			exit(2);
		}
		record.invoked = strtoull(invoked, NULL, 10);
		add(&record);
	}
	(void)fclose(file);
}

static int
compare(const void *left, const void *right)
{
	const struct record *a = left, *b = right;
	const int order = strcmp(a->name, b->name);

	if (order != 0)
		return order;
	return (a->order > b->order) - (a->order < b->order);
}

static int
compare_name(const void *key, const void *member)
{
	return strcmp(key, ((const struct record *)member)->name);
}

static void
settle(void)
{
	size_t kept = 0;

	if (the.count == 0)
		return;
	qsort(the.records, the.count, sizeof(*the.records), compare);
	for (size_t i = 1; i < the.count; i++) {
		if (strcmp(the.records[kept].name, the.records[i].name) != 0)
			kept++;
		the.records[kept] = the.records[i];
	}
	the.count = kept + 1;
}

/* --- what is there -------------------------------------------------------- */

/* NULL: it is nobody's, and that is said. */
static struct record *
meet(const char *key, const char *name)
{
	struct record *record = the.count == 0
	    ? NULL
	    : bsearch(name, the.records, the.count, sizeof(*the.records),
	          compare_name);

	if (record == NULL || strcmp(record->key, key) != 0) {
		wrong(key, name, "was written by nobody");
		return NULL;
	}
	if (record->seen)
		wrong(key, name, "is there twice");
	if (strcmp(record->result, "fail") == 0)
		wrong(key, name, "was refused, and is there");
	record->seen = true;
	return record;
}

static void
audit_file(const char *dir, char what, unsigned which)
{
	char path[512], key[WORD_MAX], line[512], name[WORD_MAX], number[24];
	uint64_t offset = 0, fence, last = 0;
	FILE *file;

	(void)snprintf(key, sizeof(key), "%c%u", what, which);
	(void)snprintf(path, sizeof(path), "%s/%c/%s", dir, what, key);
	file = fopen(path, "re");
	if (file == NULL) {
		wrong(key, "-", "cannot be opened: %s", strerror(errno));
		return;
	}
	while (fgets(line, sizeof(line), file) != NULL) {
		const struct record *record;
		const int words = sscanf(line, "%63s %23s", name, number);

		fence = words == 2 ? strtoull(number, NULL, 10) : 0;
		record = words < 1 ? NULL : meet(key, name);
		/* Whose outcome was not known may have come about later. */
		if (record != NULL)
			(void)printf("%s.o %s.o %" PRIu64 " %s next %" PRIu64
			             "\n",
			    name, key, record->invoked,
			    strcmp(record->result, "ok") == 0 ? record->returned
			                                      : "-",
			    offset);
		if (what == 'l' && (words != 2 || fence < last))
			wrong(key, name, "has a fence that went back");
		last = fence;
		offset += strlen(line);
	}
	(void)fclose(file);
}

static void
audit_names(const char *dir)
{
	char path[512], name[WORD_MAX];
	const struct dirent *entry;
	DIR *names;

	(void)snprintf(path, sizeof(path), "%s/s", dir);
	names = opendir(path);
	if (names == NULL) {
		wrong("s", "-", "cannot be opened: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(names)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)strcspn(entry->d_name, "-"), entry->d_name);
		(void)meet("s", name);
	}
	(void)closedir(names);
}

int
main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fputs("usage: audit DIR FILE...\n", stderr);
		return 2;
	}
	for (int i = 2; i < argc; i++)
		read_records(argv[i]);
	settle();
	for (unsigned number = 0; number < 2; number++) {
		audit_file(argv[1], 'a', number);
		audit_file(argv[1], 'l', number);
	}
	audit_names(argv[1]);
	for (size_t i = 0; i < the.count; i++) {
		const struct record *record = &the.records[i];

		/* What a file's owner wrote is gone with it. */
		if (!record->seen && record->key[0] != 'e' &&
		    strcmp(record->result, "ok") == 0)
			wrong(record->key, record->name, "is lost");
	}
	return the.wrong > 0;
}
