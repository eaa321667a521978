/*
 * zkfs restore: a new ensemble from a backup.  mount.zkfs knows how to write
 * a data directory; this only finds it.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"

#define DAEMON "mount.zkfs"

#define NAME_BYTES_MAX 256

/* DIR/mount.zkfs of the directory that this program is in. */
static int
beside_us(char *path, size_t cap)
{
	const ssize_t n = readlink("/proc/self/exe", path, cap - 1);
	char *slash;

	if (n < 0)
		return -errno;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL || (size_t)(slash + 1 - path) + sizeof(DAEMON) > cap)
		return -ENAMETOOLONG;
	memcpy(slash + 1, DAEMON, sizeof(DAEMON));
	return 0;
}

static int
restore(const struct zk_ctl *ctl, const char *name, char *file, char *dir)
{
	static const char *const places[] = {"/sbin/" DAEMON,
	    "/usr/sbin/" DAEMON, "/usr/local/sbin/" DAEMON};
	char path[PATH_MAX], option[NAME_BYTES_MAX + 8];
	char daemon[] = DAEMON, action[] = "--restore", dash_o[] = "-o",
	     dashes[] = "--";
	char *argv[] = {daemon, action, dash_o, option, dashes, file, dir,
	    NULL};

	if (name == NULL) {
		argv[2] = dashes;
		argv[3] = file;
		argv[4] = dir;
		argv[5] = NULL;
	} else {
		(void)snprintf(option, sizeof(option), "name=%s", name);
	}
	/* Each returns only when there is none. */
	if (beside_us(path, sizeof(path)) == 0)
		(void)execv(path, argv);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		(void)execv(places[i], argv);
	zk_ctl_say_errno(ctl, DAEMON, errno);
	return ZK_EXIT_FAILED;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"name", required_argument, NULL, 'n'},
	    {0},
	};
	const char *name = NULL;
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "n:", options,
	            NULL)) != -1) {
		if (option == 'n') {
			name = optarg;
			continue;
		}
		status = zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc - optind != 2)
		return zk_ctl_usage(ctl);
	if (name != NULL && strlen(name) > NAME_BYTES_MAX) {
		zk_ctl_say(ctl, "the name is too long");
		return ZK_EXIT_USAGE;
	}
	return restore(ctl, name, argv[optind], argv[optind + 1]);
}

const struct zk_ctl_command zk_ctl_restore = {
    .name = "restore",
    .arguments = "[-n NAME] FILE DATADIR",
    .summary = "Make the data directory of a new ensemble from a backup",
    .details = "  -n, --name NAME   of its one member; `local' if not given\n\n"
               "DATADIR is new or empty.  Then mount it with data=DATADIR.  "
               "Sessions,\n"
               "ephemeral files and locks are not in it; topics are, without "
               "records.\n",
    .run = run,
};
