/*
 * zkfs top: what the members do, again and again.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define FILE_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define DELAY_USUAL_MS 1000u
#define DELAY_MIN_MS   100u

/* As many as an ensemble has; with names as long as they may be. */
#define MEMBERS_MAX  32u
#define NAME_MAX_LEN 63

/* Of a member: name, role and the words of its lag and contact. */
#define TEXT_COLUMNS 2

struct row {
	char name[NAME_MAX_LEN + 1], role[16], lag[24], contact[24];
};

struct sample {
	uint64_t at_ms, applied, queued;
	char member[NAME_MAX_LEN + 1]; /* this host's */
	char state[16];
	size_t count;
	struct row rows[MEMBERS_MAX];
};

static atomic_bool called_off;

static void
on_signal(int signo)
{
	(void)signo;
	atomic_store(&called_off, true);
}

static int
read_sheet(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *name, char **ret_text)
{
	char *path = zk_ctl_where_control(mount, name);
	int rc;

	rc = path == NULL ? -ENOMEM
	                  : zk_ctl_read_file(path, FILE_BYTES_MAX, ret_text);
	if (rc < 0)
		zk_ctl_say_errno(ctl, path == NULL ? name : path, -rc);
	free(path);
	return rc;
}

/* The number after "NAME " at the start of a line; 0 where it is not. */
static uint64_t
metric(const char *text, const char *name)
{
	const size_t len = strlen(name);
	const char *at = text;

	while ((at = strstr(at, name)) != NULL) {
		if ((at == text || at[-1] == '\n') && at[len] == ' ')
			return strtoull(at + len, NULL, 10);
		at += len;
	}
	return 0;
}

/* What follows "KEY: " on a line of `status`. */
static void
status_word(const char *text, const char *key, char *buf, size_t cap)
{
	const size_t len = strlen(key);
	const char *at = text;

	buf[0] = '\0';
	for (; at != NULL && *at != '\0'; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, key, len) != 0 || at[len] != ':')
			continue;
		at += len + 1;
		at += strspn(at, " ");
		(void)snprintf(buf, cap, "%.*s", (int)strcspn(at, "\n"), at);
		return;
	}
}

static void
parse_members(const char *text, struct sample *sample)
{
	const char *at = strchr(text, '\n'); /* past the header */

	while (at != NULL && at[1] != '\0' && sample->count < MEMBERS_MAX) {
		struct row *row = &sample->rows[sample->count];

		if (sscanf(at + 1, "%63s %*s %15s %23s %23s", row->name,
		        row->role, row->lag, row->contact) == 4)
			sample->count++;
		at = strchr(at + 1, '\n');
	}
}

static int
take(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    struct sample *ret_sample)
{
	char *status = NULL, *members = NULL, *metrics = NULL;
	int rc;

	*ret_sample = (struct sample){.at_ms = zk_clock_ms()};
	rc = read_sheet(ctl, mount, "status", &status);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "members", &members);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "metrics", &metrics);
	if (rc == 0) {
		status_word(status, "member", ret_sample->member,
		    sizeof(ret_sample->member));
		status_word(status, "state", ret_sample->state,
		    sizeof(ret_sample->state));
		ret_sample->applied = metric(metrics, "zkfs_applied_index");
		ret_sample->queued = metric(metrics, "zkfs_queue_length");
		parse_members(members, ret_sample);
	}
	free(status);
	free(members);
	free(metrics);
	return rc;
}

static const struct row *
find_row(const struct sample *sample, const char *name)
{
	for (size_t i = 0; i < sample->count; i++)
		if (strcmp(sample->rows[i].name, name) == 0)
			return &sample->rows[i];
	return NULL;
}

/* Entries it took: as many as were applied here, less what it fell behind. */
static void
say_rate(FILE *out, const struct sample *before, const struct sample *now,
    const struct row *row)
{
	const struct row *old = find_row(before, row->name);
	const double ms = (double)(now->at_ms - before->at_ms);
	double done = (double)now->applied - (double)before->applied;

	if (old == NULL || ms <= 0 || row->lag[0] == '-' ||
	    old->lag[0] == '-') {
		(void)fputs(" -", out);
		return;
	}
	done -= (double)strtoull(row->lag, NULL, 10) -
	    (double)strtoull(old->lag, NULL, 10);
	(void)fprintf(out, " %.1f", done > 0 ? done * 1000 / ms : 0.0);
}

/* The table as the files have theirs; the caller's to free. */
static char *
make_table(const struct sample *before, const struct sample *now)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	(void)fputs("NAME ROLE WRITES/S QUEUE LAG CONTACT\n", out);
	for (size_t i = 0; i < now->count; i++) {
		const struct row *row = &now->rows[i];

		(void)fprintf(out, "%s %s", row->name, row->role);
		say_rate(out, before, now, row);
		/* Only its own is known to a host. */
		if (strcmp(row->name, now->member) == 0)
			(void)fprintf(out, " %" PRIu64, now->queued);
		else
			(void)fputs(" -", out);
		(void)fprintf(out, " %s %s\n", row->lag, row->contact);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int
print(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const struct sample *before, const struct sample *now, bool json)
{
	char *table = make_table(before, now);

	if (table == NULL) {
		zk_ctl_say_errno(ctl, mount->dir, ENOMEM);
		return -ENOMEM;
	}
	if (json) {
		(void)fputc('[', stdout);
		zk_ctl_table_json(table, TEXT_COLUMNS);
		(void)fputs("]\n", stdout);
	} else {
		(void)printf("%s  %s  %s  index %" PRIu64 "\n\n", mount->dir,
		    now->member, now->state, now->applied);
		zk_ctl_table_print(table);
	}
	free(table);
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* True when it is to end: q, ^C, or the terminal is gone. */
static bool
wait_for_key(bool terminal, uint32_t ms)
{
	struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
	const uint64_t until = zk_clock_ms() + ms;
	uint64_t now;
	char key;

	while (!atomic_load(&called_off) && (now = zk_clock_ms()) < until) {
		if (poll(&fd, terminal ? 1 : 0, (int)(until - now)) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')
			return true;
	}
	return atomic_load(&called_off);
}

static int
run_samples(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    uint32_t delay_ms, bool terminal, bool json)
{
	struct sample before, now;
	int rc;

	rc = take(ctl, mount, &before);
	while (rc == 0 && !wait_for_key(terminal, delay_ms)) {
		rc = take(ctl, mount, &now);
		if (rc == 0 && terminal)
			(void)fputs("\033[H\033[J", stdout);
		if (rc == 0)
			rc = print(ctl, mount, &before, &now, json);
		before = now;
		if (!terminal)
			break;
	}
	return rc;
}

static int
top(struct zk_ctl *ctl, uint32_t delay_ms, bool json)
{
	const bool terminal =
	    !json && isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
	const struct sigaction act = {.sa_handler = on_signal};
	const struct zk_ctl_mount *mount;
	struct termios old, raw;
	bool changed = false;
	int rc;

	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	(void)sigaction(SIGINT, &act, NULL);
	(void)sigaction(SIGTERM, &act, NULL);
	(void)sigaction(SIGHUP, &act, NULL);
	if (terminal && tcgetattr(STDIN_FILENO, &old) == 0) {
		raw = old;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		changed = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	}
	rc = run_samples(ctl, mount, delay_ms, terminal, json);
	if (changed)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &old);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"delay", required_argument, NULL, 'd'},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	uint32_t delay_ms = DELAY_USUAL_MS;
	bool json = false;
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "d:j", options,
	            NULL)) != -1) {
		if (option == 'j') {
			json = true;
			continue;
		}
		status = option == 'd' ? zk_ctl_option_seconds(ctl, &delay_ms)
		                       : zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc != optind)
		return zk_ctl_usage(ctl);
	return top(ctl, delay_ms < DELAY_MIN_MS ? DELAY_MIN_MS : delay_ms,
	    json);
}

const struct zk_ctl_command zk_ctl_top = {
    .name = "top",
    .arguments = "[-j] [-d SECONDS] [-m DIR]",
    .summary = "Show what the members do, again and again",
    .details = "  -d, --delay SECONDS  between two looks; 1 if not given\n"
               "  -j, --json           one look, as an array of JSON\n"
               "  -m, --mount DIR      the mount to ask\n\n"
               "q or ^C ends it.  Without a terminal it is one look.\n",
    .run = run,
};
