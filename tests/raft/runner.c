#include "tests/raft/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * runner SCRIPT...: does what each script says and compares.  A script is
 *
 *   # comments and empty lines, anywhere between blocks
 *   verb arguments        one line or more
 *   ----
 *   what is expected      until an empty line or the end
 *
 * REWRITE=1 writes what happened into the script: commit only what you
 * understand.
 */

#define LINES_MAX 64u

struct text {
	char *data;
	size_t len;
};

static bool
read_file(const char *path, struct text *ret_text)
{
	FILE *in = fopen(path, "re");
	FILE *out;
	char buf[4096];
	size_t n;

	if (in == NULL)
		return false;
	out = open_memstream(&ret_text->data, &ret_text->len);
	while (out != NULL && (n = fread(buf, 1, sizeof(buf), in)) > 0)
		fwrite(buf, 1, n, out);
	fclose(in);
	return out != NULL && fclose(out) == 0;
}

static bool
write_file(const char *path, const struct text *text)
{
	FILE *out = fopen(path, "we");
	bool ok;

	if (out == NULL)
		return false;
	ok = fwrite(text->data, 1, text->len, out) == text->len;
	return fclose(out) == 0 && ok;
}

/* Does the lines of one block; what they print goes to sim->trace. */
static bool
play_block(struct sim *sim, char **lines, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (verb_run(sim, lines[i]))
			continue;
		fprintf(sim->trace, "bad line %zu of the block\n", i + 1);
		return false;
	}
	if (sim->violation[0] != '\0') {
		fprintf(sim->trace, "VIOLATION: %s\n", sim->violation);
		sim->violation[0] = '\0';
	}
	return count > 0;
}

/* Writes source to sim->trace again, with every expectation made true. */
static bool
play(struct sim *sim, char *source)
{
	char *lines[LINES_MAX];
	size_t count = 0;
	bool skipping = false;
	char *end;

	for (char *line = source; line != NULL && *line != '\0'; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		if (line[0] == '\0')
			skipping = false;
		if (skipping)
			continue;
		fprintf(sim->trace, "%s\n", line);
		if (line[0] == '\0' || line[0] == '#')
			continue;
		if (strcmp(line, "----") == 0) {
			if (!play_block(sim, lines, count))
				return false;
			count = 0;
			skipping = true;
		} else if (count < LINES_MAX) {
			lines[count++] = line;
		} else {
			return false;
		}
	}
	return count == 0;
}

/* The first line that differs, for a person to look at. */
static void
show_difference(const char *path, const char *want, const char *got)
{
	size_t line = 1;

	while (*want != '\0' && *want == *got) {
		line += *want == '\n';
		want++;
		got++;
	}
	while (line > 1 && want[-1] != '\n') {
		want--;
		got--;
	}
	printf("%s:%zu: expected \"%.*s\", got \"%.*s\"\n", path, line,
	    (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

static bool
run_script(struct sim *sim, const char *path, bool rewrite)
{
	struct text source = {0};
	struct text original = {0};
	struct text result = {0};
	bool ok;

	if (!read_file(path, &source) || !read_file(path, &original)) {
		printf("%s: %s\n", path, strerror(errno));
		return false;
	}
	memset(sim, 0, sizeof(*sim));
	sim->trace = open_memstream(&result.data, &result.len);
	if (sim->trace == NULL)
		abort();
	ok = play(sim, source.data);
	if (fclose(sim->trace) != 0)
		abort();
	if (!ok)
		printf("%s: not a script:\n%s", path, result.data);
	else if (rewrite)
		ok = write_file(path, &result);
	else if (strcmp(original.data, result.data) != 0) {
		show_difference(path, original.data, result.data);
		ok = false;
	}
	free(source.data);
	free(original.data);
	free(result.data);
	return ok;
}

int
main(int argc, char **argv)
{
	static struct sim sim;
	const char *rewrite = getenv("REWRITE");
	int passed = 0;

	for (int i = 1; i < argc; i++) {
		const bool ok = run_script(&sim, argv[i],
		    rewrite != NULL && strcmp(rewrite, "1") == 0);

		printf("  %s    %s\n", ok ? "RAFT" : "FAIL", argv[i]);
		passed += ok;
	}
	printf("raft: %d passed, %d failed\n", passed, argc - 1 - passed);
	return passed == argc - 1 && passed > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
