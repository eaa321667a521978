#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/history.h"

/*
 * usage: history FILE...
 *
 * Checks the histories of the files ("-": standard input), in the text format
 * of tests/lib/history.h, each alone.  Exit status 0: one order explains each;
 * 1: one has none, said in one line; 2: a file cannot be read.
 */

static void
tell_op(const struct history_text *text, const struct history_op *op)
{
	(void)printf(" %s (%" PRIu64 " to ", text->words[op->name].text,
	    op->invoked);
	if (op->returned == HISTORY_NEVER)
		(void)printf("-)");
	else
		(void)printf("%" PRIu64 ")", op->returned);
}

static int
check(const char *name, FILE *file)
{
	struct history_text text = {0};
	struct history_report report;
	size_t count, line;
	int status = 0;

	if (!history_read(&text, file, &line)) {
		(void)printf("%s:%zu: not an operation\n", name, line);
		history_text_free(&text);
		return 2;
	}
	count = text.history.count;
	report = history_check(&text.history);
	if (report.verdict != HISTORY_GOOD) {
		(void)printf("%s: ", name);
		if (report.op != NULL)
			(void)printf("key %s:",
			    text.words[report.op->key].text);
		if (report.op != NULL)
			tell_op(&text, report.op);
		if (report.other != NULL)
			tell_op(&text, report.other);
		(void)printf(": %s\n", report.why);
		status = 1;
	} else {
		(void)printf("%s: %zu operations, good\n", name, count);
	}
	history_text_free(&text);
	return status;
}

int
main(int argc, char *argv[])
{
	int status = 0;

	if (argc < 2) {
		(void)fprintf(stderr, "usage: history FILE...\n");
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		const int is_stdin = strcmp(argv[i], "-") == 0;
		FILE *file = is_stdin ? stdin : fopen(argv[i], "re");
		int rc;

		if (file == NULL) {
			perror(argv[i]);
			return 2;
		}
		rc = check(argv[i], file);
		if (!is_stdin)
			(void)fclose(file);
		if (rc > status)
			status = rc;
	}
	return status;
}
