/*
 * zkfs hold: an ephemeral file for as long as a command runs, and the command
 * for no longer than the ephemeral file exists.
 */
#include "ctl/cmd_hold.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/child.h"
#include "ctl/guard.h"
#include "ctl/make.h"
#include "ctl/say.h"
#include "ctl/value.h"
#include "ctl/where.h"

struct request {
	bool newline, wait;
	uint32_t grace_ms;
	const char *path, *value;
	char *const *argv;
};

/* The file is made: watch it and run the command. */
static int
run_holding(const struct zk_ctl *ctl, const struct request *request,
    const struct zk_ctl_made *made, const struct zk_ctl_mount *mount)
{
	struct zk_ctl_held held = {
	    .fd = made->fd,
	    .path = made->path,
	    .mount = mount->dir,
	    .xattr = "user.zkfs.czxid",
	};
	struct zk_ctl_child child = {
	    .argv = request->argv,
	    .what = made->path,
	    .grace_ms = request->grace_ms,
	};
	int rc, status;

	/* The log index of its creation: a later holder has a larger one. */
	rc = zk_ctl_xattr_number(made->fd, held.xattr, &held.number);
	if (rc == 0)
		rc = zk_ctl_guard_start(&held, &child.guard);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, made->path, -rc);
		return ZK_EXIT_TROUBLE;
	}
	child.fence = held.number;
	status = zk_ctl_child_run(ctl, &child);
	zk_ctl_guard_stop(child.guard);
	return status;
}

static int
hold(struct zk_ctl *ctl, const struct request *request)
{
	const struct zk_ctl_mount *mount;
	struct zk_ctl_value value = {0};
	struct zk_ctl_made made;
	int status = ZK_EXIT_TROUBLE, rc;
	char *path;

	if (zk_ctl_where_path(ctl, request->path, &path, &mount) < 0)
		return ZK_EXIT_TROUBLE;
	rc = zk_ctl_value_read(ctl, request->value, request->newline, &value);
	if (rc < 0)
		goto out;
	rc = request->wait ? zk_ctl_make_wait(ctl, path, &value, &made)
	                   : zk_ctl_make(path, true, &value, &made);
	if (rc == 0) {
		status = run_holding(ctl, request, &made, mount);
		/* What is lost may be another's by now, or not answer. */
		if (status == ZK_EXIT_LOST)
			zk_ctl_made_close(&made);
		else
			zk_ctl_made_remove(&made);
	} else if (rc == -EEXIST) {
		if (zk_ctl_is_permanent(path))
			zk_ctl_say(ctl, "%s: exists, and is not ephemeral",
			    path);
		else
			zk_ctl_say_errno(ctl, path, EBUSY);
		status = ZK_EXIT_TAKEN;
	} else {
		zk_ctl_say_errno(ctl, path, -rc);
	}
out:
	zk_ctl_value_free(&value);
	free(path);
	return status;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl *ctl, int option, char **argv,
    struct request *request)
{
	switch (option) {
	case 'g':
		return zk_ctl_option_seconds(ctl, &request->grace_ms);
	case 'n':
		request->newline = false;
		return -1;
	case 'W':
		request->wait = true;
		return -1;
	default:
		return zk_ctl_option(ctl, option, argv);
	}
}

int
zk_ctl_hold_run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"grace", required_argument, NULL, 'g'},
	    {"no-newline", no_argument, NULL, 'n'},
	    {"wait", no_argument, NULL, 'W'},
	    {0},
	};
	struct request request = {
	    .newline = true,
	    .wait = ctl->command == &zk_ctl_elect,
	    .grace_ms = ZK_CTL_GRACE_DEFAULT_MS,
	};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "g:nW", options,
	            NULL)) != -1) {
		status = take_option(ctl, option, argv, &request);
		if (status >= 0)
			return status;
	}
	argv += optind;
	argc -= optind;
	if (argc < 4 || strcmp(argv[2], "--") != 0)
		return zk_ctl_usage(ctl);
	request.path = argv[0];
	request.value = argv[1];
	request.argv = argv + 3;
	return hold(ctl, &request);
}

const struct zk_ctl_command zk_ctl_hold = {
    .name = "hold",
    .arguments = "[-nW] [-g SECS] [-m DIR] PATH VALUE|- -- CMD [ARG...]",
    .summary = "Keep an ephemeral file while a command runs",
    .details =
        "Makes PATH, which must not exist, gives it VALUE and runs CMD with\n"
        "ZKFS_FENCE in its environment.  When CMD ends, PATH is gone; when\n"
        "PATH is lost, CMD and all it started are ended.\n\n"
        "  -W, --wait        wait until the name is free\n"
        "  -g, --grace SECS  between SIGTERM and SIGKILL after a loss (10)\n"
        "  -n, --no-newline  add no newline to VALUE\n"
        "  -m, --mount DIR   the mount that PATH is on\n\n" ZK_CTL_HOLD_STATUS,
    .run = zk_ctl_hold_run,
};
