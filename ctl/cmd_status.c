/*
 * zkfs status: what the files below .zkfs say, for people and, with --json,
 * for programs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define FILE_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* Of a member: name, address and role, even where they look like numbers. */
#define TEXT_COLUMNS 3

/* As wide as "refused upgrades". */
#define LABEL_WIDTH 16

struct sheets {
	char *state, *status, *json, *members, *version;
};

static void
sheets_free(struct sheets *sheets)
{
	free(sheets->state);
	free(sheets->status);
	free(sheets->json);
	free(sheets->members);
	free(sheets->version);
}

static int
read_sheet(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *name, char **ret_text)
{
	char *path;
	int rc;

	path = zk_ctl_where_control(mount, name);
	rc = path == NULL ? -ENOMEM
	                  : zk_ctl_read_file(path, FILE_BYTES_MAX, ret_text);
	if (rc < 0)
		zk_ctl_say_errno(ctl, path == NULL ? name : path, -rc);
	free(path);
	return rc;
}

static int
read_sheets(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    struct sheets *sheets)
{
	int rc;

	rc = read_sheet(ctl, mount, "state", &sheets->state);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "status", &sheets->status);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "status.json", &sheets->json);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "members", &sheets->members);
	if (rc == 0)
		rc = read_sheet(ctl, mount, "version", &sheets->version);
	if (rc == 0)
		sheets->version[strcspn(sheets->version, "\n")] = '\0';
	if (rc == 0 &&
	    (sheets->json[0] != '{' || strrchr(sheets->json, '}') == NULL)) {
		zk_ctl_say(ctl, "status.json is not an object");
		rc = -EPROTO;
	}
	return rc;
}

/* Cuts "key: value" in two; NULL when the line is none. */
static char *
cut_value(char *line)
{
	char *value = strchr(line, ':');

	if (value == NULL)
		return NULL;
	*value++ = '\0';
	return value + strspn(value, " \t");
}

static void
print_status(char *text)
{
	char *save = NULL, *line, *value;

	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		value = cut_value(line);
		if (value != NULL)
			(void)printf("%-*s %s\n", LABEL_WIDTH, line, value);
	}
}

/* The daemon's object, with the mount before and the members after it. */
static void
print_json(const struct zk_ctl_mount *mount, struct sheets *sheets)
{
	*strrchr(sheets->json, '}') = '\0';
	(void)fputs("{\"mount\":", stdout);
	zk_ctl_json_string(stdout, mount->dir);
	(void)printf(",%s,\"members\":[", sheets->json + 1);
	zk_ctl_table_json(sheets->members, TEXT_COLUMNS);
	(void)fputs("]}\n", stdout);
}

static void
print_text(const struct zk_ctl_mount *mount, struct sheets *sheets)
{
	(void)printf("%-*s %s\n", LABEL_WIDTH, "mount", mount->dir);
	print_status(sheets->status);
	(void)fputc('\n', stdout);
	zk_ctl_table_print(sheets->members);
}

static int
status(struct zk_ctl *ctl, bool json, bool metrics)
{
	const struct zk_ctl_mount *mount;
	struct sheets sheets = {0};
	int result = ZK_EXIT_FAILED;
	char *text;

	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	if (metrics) {
		if (read_sheet(ctl, mount, "metrics", &text) < 0)
			return ZK_EXIT_FAILED;
		(void)fputs(text, stdout);
		free(text);
		return ZK_EXIT_OK;
	}
	if (read_sheets(ctl, mount, &sheets) == 0) {
		if (json)
			print_json(mount, &sheets);
		else
			print_text(mount, &sheets);
		if (strncmp(sheets.state, "connected", 9) == 0)
			result = ZK_EXIT_OK;
		if (strcmp(sheets.version, ZK_VERSION) != 0)
			zk_ctl_say(ctl, "the daemon is version %s, this is %s",
			    sheets.version, ZK_VERSION);
	}
	sheets_free(&sheets);
	return result;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {"metrics", no_argument, NULL, 'M'},
	    {0},
	};
	bool json = false, metrics = false;
	int option, result;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "jM", options,
	            NULL)) != -1) {
		if (option == 'j') {
			json = true;
		} else if (option == 'M') {
			metrics = true;
		} else {
			result = zk_ctl_option(ctl, option, argv);
			if (result >= 0)
				return result;
		}
	}
	if (argc != optind || (json && metrics))
		return zk_ctl_usage(ctl);
	return status(ctl, json, metrics);
}

const struct zk_ctl_command zk_ctl_status = {
    .name = "status",
    .arguments = "[-j | -M] [-m DIR]",
    .summary = "Tell how the ensemble and this host's part of it are",
    .details =
        "  -j, --json        as one object of JSON\n"
        "  -M, --metrics     the counters, in the format of OpenMetrics\n"
        "  -m, --mount DIR   the mount to ask\n\n"
        "Exit status: 0 while the state is `connected', else 1.\n",
    .run = run,
};
