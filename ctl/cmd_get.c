/*
 * zkfs get: one value, whole, and the version that it has.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/value.h"
#include "ctl/where.h"

/* A value that changes faster than it can be read this often is hopeless. */
#define TRIES_MAX 100

/* No option of the mount allows a larger file. */
#define VALUE_BYTES_MAX ((size_t)1024 * 1024 * 1024)

struct request {
	bool with_version, newest;
};

static int
read_once(int fd, char **ret_text, size_t *ret_len, uint64_t *ret_version)
{
	uint64_t before, after;
	size_t len;
	char *text;
	int rc;

	rc = zk_ctl_xattr_number(fd, "user.zkfs.version", &before);
	if (rc < 0)
		return rc;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	rc = zk_ctl_read_all(fd, VALUE_BYTES_MAX, &text, &len);
	if (rc < 0)
		return rc;
	rc = zk_ctl_xattr_number(fd, "user.zkfs.version", &after);
	if (rc == 0 && after != before)
		rc = -EAGAIN;
	if (rc < 0) {
		free(text);
		return rc;
	}
	*ret_text = text;
	*ret_len = len;
	*ret_version = before;
	return 0;
}

/* A value larger than one read may change between two of them: look again. */
static int
print_value(int fd, const struct request *request)
{
	uint64_t version = 0;
	size_t len = 0;
	char *text = NULL;
	int rc = -EAGAIN;

	if (request->newest && fsync(fd) < 0)
		return -errno;
	for (int i = 0; i < TRIES_MAX && rc == -EAGAIN; i++)
		rc = read_once(fd, &text, &len, &version);
	if (rc < 0)
		return rc;
	if (request->with_version)
		(void)printf("%" PRIu64 "\n", version);
	(void)fwrite(text, 1, len, stdout);
	free(text);
	return 0;
}

static int
get(struct zk_ctl *ctl, const char *arg, const struct request *request)
{
	const struct zk_ctl_mount *mount;
	char *path;
	int fd, rc;

	if (zk_ctl_where_path(ctl, arg, &path, &mount) < 0)
		return ZK_EXIT_FAILED;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	rc = fd < 0 ? -errno : print_value(fd, request);
	if (fd >= 0)
		(void)close(fd);
	if (rc == -EAGAIN)
		zk_ctl_say(ctl, "%s: changes faster than it can be read", path);
	else if (rc == -ENODATA)
		zk_ctl_say(ctl, "%s: has no value; use cat", path);
	else if (rc < 0)
		zk_ctl_say_errno(ctl, path, -rc);
	free(path);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"newest", no_argument, NULL, 'N'},
	    {"with-version", no_argument, NULL, 'V'},
	    {0},
	};
	struct request request = {0};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "NV", options,
	            NULL)) != -1) {
		if (option == 'N') {
			request.newest = true;
		} else if (option == 'V') {
			request.with_version = true;
		} else {
			status = zk_ctl_option(ctl, option, argv);
			if (status >= 0)
				return status;
		}
	}
	if (argc - optind != 1)
		return zk_ctl_usage(ctl);
	return get(ctl, argv[optind], &request);
}

const struct zk_ctl_command zk_ctl_get = {
    .name = "get",
    .arguments = "[-NV] [-m DIR] PATH",
    .summary = "Print the value of a file",
    .details =
        "  -N, --newest        first catch up with all that was agreed\n"
        "  -V, --with-version  print the version first, on a line of its own\n"
        "  -m, --mount DIR     the mount that PATH is on\n",
    .run = run,
};
