/*
 * zkfs create: make what is not there yet, with a number in its name or a
 * life as long as this process where asked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "ctl/child.h"
#include "ctl/ctl.h"
#include "ctl/guard.h"
#include "ctl/make.h"
#include "ctl/say.h"
#include "ctl/value.h"
#include "ctl/where.h"

/* What the file system replaces by the next number of the directory. */
#define NUMBER_PLACE "XXXXXXXXXX"

struct request {
	bool directory, ephemeral, newline, parents, sequential;
	const char *path, *value;
};

/* Takes path, gives back path or a longer one; NULL without memory. */
static char *
with_number_place(char *path)
{
	const size_t len = strlen(path), place = strlen(NUMBER_PLACE);
	char *longer;

	if (len >= place && strcmp(path + len - place, NUMBER_PLACE) == 0)
		return path;
	longer = realloc(path, len + place + 1);
	if (longer == NULL) {
		free(path);
		return NULL;
	}
	memcpy(longer + len, NUMBER_PLACE, place + 1);
	return longer;
}

/* Until a signal ends it, or the file is lost. */
static int
stay(const struct zk_ctl *ctl, const struct zk_ctl_made *made,
    const struct zk_ctl_mount *mount)
{
	struct zk_ctl_held held = {
	    .fd = made->fd,
	    .path = made->path,
	    .mount = mount->dir,
	    .xattr = "user.zkfs.czxid",
	};
	struct zk_ctl_child nothing = {.what = made->path};
	int rc, status;

	rc = zk_ctl_xattr_number(made->fd, held.xattr, &held.number);
	if (rc == 0)
		rc = zk_ctl_guard_start(&held, &nothing.guard);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, made->path, -rc);
		return ZK_EXIT_FAILED;
	}
	status = zk_ctl_child_run(ctl, &nothing);
	zk_ctl_guard_stop(nothing.guard);
	return status;
}

static int
create_file(const struct zk_ctl *ctl, const struct request *request,
    const char *path, const struct zk_ctl_mount *mount)
{
	struct zk_ctl_value value = {0};
	struct zk_ctl_made made;
	int status = ZK_EXIT_OK, rc;

	if (zk_ctl_value_read(ctl, request->value, request->newline, &value) <
	    0)
		return ZK_EXIT_FAILED;
	rc = zk_ctl_make(path, request->ephemeral, &value, &made);
	zk_ctl_value_free(&value);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, path, -rc);
		return ZK_EXIT_FAILED;
	}
	if (request->sequential) {
		/* Now: with -e, somebody waits for the name. */
		(void)puts(made.path);
		(void)fflush(stdout);
	}
	if (request->ephemeral)
		status = stay(ctl, &made, mount);
	/* What is lost may be another's by now, or not answer. */
	if (request->ephemeral && status != ZK_EXIT_LOST)
		zk_ctl_made_remove(&made);
	else
		zk_ctl_made_close(&made);
	return status;
}

static int
create(struct zk_ctl *ctl, const struct request *request)
{
	const struct zk_ctl_mount *mount;
	int status = ZK_EXIT_FAILED, rc = 0;
	char *path;

	if (zk_ctl_where_path(ctl, request->path, &path, &mount) < 0)
		return ZK_EXIT_FAILED;
	if (request->sequential) {
		path = with_number_place(path);
		if (path == NULL) {
			zk_ctl_say_errno(ctl, request->path, ENOMEM);
			return ZK_EXIT_FAILED;
		}
	}
	if (request->parents)
		rc = zk_ctl_make_parents(path);
	if (rc == 0 && request->directory && mkdir(path, 0777) < 0)
		rc = -errno;
	if (rc < 0)
		zk_ctl_say_errno(ctl, path, -rc);
	else if (request->directory)
		status = ZK_EXIT_OK;
	else
		status = create_file(ctl, request, path, mount);
	free(path);
	return status;
}

/* Returns -1 to go on, else the exit status. */
static int
check_request(const struct zk_ctl *ctl, const struct request *request)
{
	if (!request->directory)
		return -1;
	if (request->ephemeral)
		zk_ctl_say(ctl, "a directory cannot be ephemeral");
	else if (request->sequential)
		zk_ctl_say(ctl,
		    "a directory has no open file that could tell "
		    "its number");
	else if (request->value != NULL)
		zk_ctl_say(ctl, "a directory has no value");
	else
		return -1;
	return ZK_EXIT_USAGE;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl *ctl, int option, char **argv,
    struct request *request)
{
	switch (option) {
	case 'd':
		request->directory = true;
		return -1;
	case 'e':
		request->ephemeral = true;
		return -1;
	case 'n':
		request->newline = false;
		return -1;
	case 'p':
		request->parents = true;
		return -1;
	case 's':
		request->sequential = true;
		return -1;
	default:
		return zk_ctl_option(ctl, option, argv);
	}
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"directory", no_argument, NULL, 'd'},
	    {"ephemeral", no_argument, NULL, 'e'},
	    {"no-newline", no_argument, NULL, 'n'},
	    {"parents", no_argument, NULL, 'p'},
	    {"sequential", no_argument, NULL, 's'},
	    {0},
	};
	struct request request = {.newline = true};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "denps", options,
	            NULL)) != -1) {
		status = take_option(ctl, option, argv, &request);
		if (status >= 0)
			return status;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return zk_ctl_usage(ctl);
	request.path = argv[optind];
	request.value = argv[optind + 1]; /* NULL at the end */
	status = check_request(ctl, &request);
	return status >= 0 ? status : create(ctl, &request);
}

const struct zk_ctl_command zk_ctl_create = {
    .name = "create",
    .arguments = "[-denps] [-m DIR] PATH [VALUE|-]",
    .summary = "Make a file that does not exist yet",
    .details =
        "  -d, --directory   make a directory\n"
        "  -e, --ephemeral   keep the file only while this command runs: it\n"
        "                    stays until a signal ends it; see also hold\n"
        "  -n, --no-newline  add no newline to VALUE\n"
        "  -p, --parents     make the directories above it, too\n"
        "  -s, --sequential  add the next number of the directory to the name\n"
        "                    and print the path that results\n"
        "  -m, --mount DIR   the mount that PATH is on\n",
    .run = run,
};
