/*
 * zkfs upgrade: another program in the place of the daemon.  The daemon does
 * it when it gets SIGUSR2; this asks it to, and waits for what it says.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define STATUS_BYTES_MAX 65536u
#define LOOK_MS          20
#define WAIT_MS_DEFAULT  30000u

/* What .zkfs/status tells of it. */
struct status {
	uint64_t pid, upgrades, refused;
	char version[64];
};

/* The value of a line "KEY: VALUE"; NULL. */
static const char *
find_line(const char *text, const char *key)
{
	const size_t len = strlen(key);

	while (text != NULL) {
		if (strncmp(text, key, len) == 0 &&
		    strncmp(text + len, ": ", 2) == 0)
			return text + len + 2;
		text = strchr(text, '\n');
		if (text != NULL)
			text++;
	}
	return NULL;
}

static bool
find_number(const char *text, const char *key, uint64_t *ret_number)
{
	const char *value = find_line(text, key);

	if (value == NULL)
		return false;
	*ret_number = strtoull(value, NULL, 10);
	return true;
}

static int
read_status(const char *path, struct status *ret_status)
{
	const char *version;
	char *text;
	int rc;

	rc = zk_ctl_read_file(path, STATUS_BYTES_MAX, &text);
	if (rc < 0)
		return rc;
	version = find_line(text, "version");
	if (version == NULL || !find_number(text, "pid", &ret_status->pid) ||
	    !find_number(text, "upgrades", &ret_status->upgrades) ||
	    !find_number(text, "refused upgrades", &ret_status->refused) ||
	    ret_status->pid == 0)
		rc = -EOPNOTSUPP;
	else
		(void)snprintf(ret_status->version, sizeof(ret_status->version),
		    "%.*s", (int)strcspn(version, "\n"), version);
	free(text);
	return rc;
}

/* Until the daemon has said yes or no. */
static int
wait_for(const struct zk_ctl *ctl, const char *path,
    const struct status *before, uint32_t wait_ms)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000l};
	const uint64_t until_ms = zk_clock_ms() + wait_ms;
	struct status after;
	int rc;

	do {
		(void)nanosleep(&pause, NULL);
		rc = read_status(path, &after);
		if (rc < 0) {
			zk_ctl_say_errno(ctl, path, -rc);
			return ZK_EXIT_FAILED;
		}
		if (after.upgrades > before->upgrades) {
			(void)printf("%s\n", after.version);
			return ZK_EXIT_OK;
		}
		if (after.refused > before->refused) {
			zk_ctl_say(ctl,
			    "refused, and all is as before: the log of the "
			    "daemon tells why");
			return ZK_EXIT_FAILED;
		}
	} while (zk_clock_ms() < until_ms);
	zk_ctl_say(ctl, "no answer from process %" PRIu64, before->pid);
	return ZK_EXIT_FAILED;
}

static int
upgrade(const struct zk_ctl *ctl, const char *path, uint32_t wait_ms)
{
	struct status before;
	int rc;

	rc = read_status(path, &before);
	if (rc == -EOPNOTSUPP) {
		zk_ctl_say(ctl, "this daemon cannot be replaced: mount again");
		return ZK_EXIT_FAILED;
	}
	if (rc == 0 && kill((pid_t)before.pid, SIGUSR2) < 0)
		rc = -errno;
	if (rc == -EPERM) {
		zk_ctl_say(ctl, "only for root");
		return ZK_EXIT_FAILED;
	}
	if (rc < 0) {
		zk_ctl_say_errno(ctl, path, -rc);
		return ZK_EXIT_FAILED;
	}
	return wait_for(ctl, path, &before, wait_ms);
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"wait", required_argument, NULL, 'w'},
	    {0},
	};
	const struct zk_ctl_mount *mount;
	uint32_t wait_ms = WAIT_MS_DEFAULT;
	int option, status;
	char *path;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "w:", options,
	            NULL)) != -1) {
		status = option == 'w' ? zk_ctl_option_seconds(ctl, &wait_ms)
		                       : zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc > optind)
		return zk_ctl_usage(ctl);
	if (zk_ctl_where_mount(ctl, &mount) < 0)
		return ZK_EXIT_FAILED;
	path = zk_ctl_where_control(mount, "status");
	if (path == NULL) {
		zk_ctl_say_errno(ctl, "status", ENOMEM);
		return ZK_EXIT_FAILED;
	}
	status = upgrade(ctl, path, wait_ms);
	free(path);
	return status;
}

const struct zk_ctl_command zk_ctl_upgrade = {
    .name = "upgrade",
    .arguments = "[-w SECS] [-m DIR]",
    .summary = "Replace the daemon by the program that is installed now",
    .details =
        "Open files, locks, ephemeral files and watches stay; what is under\n"
        "way waits for a moment.  Prints the version that runs then.\n\n"
        "  -w, --wait SECS   for an answer (30)\n"
        "  -m, --mount DIR   the mount\n",
    .run = run,
};
