/*
 * zkfs set: replace a value as one change, on a condition if wanted.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/value.h"
#include "ctl/where.h"

struct request {
	bool newline, conditional;
	uint64_t version; /* wanted, if conditional */
};

/*
 * The emptying of O_TRUNC waits for the first write and is one change with
 * it; see zkfs(5).  No write comes for an empty value.
 */
static int
replace(const char *path, const struct request *request,
    const struct zk_ctl_value *value)
{
	const int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
	    (value->len > 0 ? O_TRUNC : 0) |
	    (request->conditional ? 0 : O_CREAT);
	char text[24];
	int fd, rc = 0;

	fd = open(path, flags, 0666);
	if (fd < 0)
		return -errno;
	if (request->conditional) {
		(void)snprintf(text, sizeof(text), "%" PRIu64,
		    request->version);
		if (fsetxattr(fd, "user.zkfs.expect", text, strlen(text), 0) <
		    0)
			rc = -errno;
	}
	if (rc == 0 && value->len > 0)
		rc = zk_ctl_value_write(fd, value);
	else if (rc == 0 && ftruncate(fd, 0) < 0)
		rc = -errno;
	(void)close(fd);
	return rc;
}

static int
set(struct zk_ctl *ctl, const char *path_arg, const char *value_arg,
    const struct request *request)
{
	const struct zk_ctl_mount *mount;
	struct zk_ctl_value value = {0};
	char *path;
	int rc;

	if (zk_ctl_where_path(ctl, path_arg, &path, &mount) < 0)
		return ZK_EXIT_FAILED;
	rc = zk_ctl_value_read(ctl, value_arg, request->newline, &value);
	if (rc == 0) {
		rc = replace(path, request, &value);
		if (rc == -EAGAIN && request->conditional)
			zk_ctl_say(ctl, "%s: version is not %" PRIu64, path,
			    request->version);
		else if (rc < 0)
			zk_ctl_say_errno(ctl, path, -rc);
	}
	zk_ctl_value_free(&value);
	free(path);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl *ctl, int option, char **argv,
    struct request *request)
{
	switch (option) {
	case 'i':
		request->conditional = true;
		if (zk_ctl_parse_number(optarg, UINT64_MAX,
		        &request->version) == 0)
			return -1;
		zk_ctl_say(ctl, "%s: not a version", optarg);
		return ZK_EXIT_USAGE;
	case 'n':
		request->newline = false;
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
	    {"if-version", required_argument, NULL, 'i'},
	    {"no-newline", no_argument, NULL, 'n'},
	    {0},
	};
	struct request request = {.newline = true};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "i:n", options,
	            NULL)) != -1) {
		status = take_option(ctl, option, argv, &request);
		if (status >= 0)
			return status;
	}
	if (argc - optind != 2)
		return zk_ctl_usage(ctl);
	return set(ctl, argv[optind], argv[optind + 1], &request);
}

const struct zk_ctl_command zk_ctl_set = {
    .name = "set",
    .arguments = "[-n] [-i VERSION] [-m DIR] PATH VALUE|-",
    .summary = "Replace the value of a file as one change",
    .details =
        "VALUE is stored with a newline, as by echo; - stores what standard\n"
        "input gives, as it is.  Without -i the file is made where it is\n"
        "missing.\n\n"
        "  -i, --if-version VERSION  only if the file has this version\n"
        "  -n, --no-newline          add no newline to VALUE\n"
        "  -m, --mount DIR           the mount that PATH is on\n",
    .run = run,
};
