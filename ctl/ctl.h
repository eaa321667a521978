#ifndef ZK_CTL_CTL_H
#define ZK_CTL_CTL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/mount.h"

/*
 * zkfs(1): what plain files cannot say in one step.  It has no door of its
 * own into the daemon: everything goes through the mount with the system
 * calls that any program may use.  One thread, apart from ctl/guard.h.
 */

/* What a command returns to the shell. */
enum {
	ZK_EXIT_OK = 0,
	ZK_EXIT_FAILED = 1, /* one line on stderr says why */
	ZK_EXIT_USAGE = 2,

	/* Of the commands that run another one. */
	ZK_EXIT_TAKEN = 1, /* held by another process */
	ZK_EXIT_LOST = 124,
	ZK_EXIT_TROUBLE = 125,
	ZK_EXIT_CANNOT_RUN = 126,
	ZK_EXIT_NOT_FOUND = 127,
};

struct zk_ctl {
	const struct zk_ctl_command *command;
	const char *mount_arg; /* of -m, or NULL */
	struct zk_ctl_mounts mounts;
};

struct zk_ctl_command {
	const char *name;
	const char *arguments; /* as in the synopsis */
	const char *summary;   /* a phrase, one line */
	const char *details;   /* options and exit status; lines end in \n */
	/* argv[0] is the command's name. */
	int (*run)(struct zk_ctl *ctl, int argc, char **argv);
};

/* Every command; the last has no name. */
extern const struct zk_ctl_command *const zk_ctl_commands[];

extern const struct zk_ctl_command zk_ctl_backup, zk_ctl_bench, zk_ctl_consume,
    zk_ctl_create, zk_ctl_elect, zk_ctl_get, zk_ctl_group, zk_ctl_help,
    zk_ctl_hold, zk_ctl_keygen, zk_ctl_lock, zk_ctl_member, zk_ctl_produce,
    zk_ctl_restore, zk_ctl_set, zk_ctl_status, zk_ctl_top, zk_ctl_topic,
    zk_ctl_txn, zk_ctl_upgrade, zk_ctl_verify, zk_ctl_watch;

/* The page that `zkfs help` prints, or the one of a command. */
void zk_ctl_print_help(const struct zk_ctl_command *command);

/* What every command understands; see zk_ctl_option(). */
#define ZK_CTL_SHORT "+:hm:"
/* clang-format off */
#define ZK_CTL_LONG                                                            \
	{"help", no_argument, NULL, 'h'},                                      \
	{"mount", required_argument, NULL, 'm'}
/* clang-format on */

/*
 * Handle an option that the command itself does not know: -h, -m, or a
 * mistake.  Returns -1 to go on, else the exit status, with everything said.
 */
int zk_ctl_option(struct zk_ctl *ctl, int option, char **argv);

/* The number of seconds in optarg; returns as zk_ctl_option(). */
int zk_ctl_option_seconds(const struct zk_ctl *ctl, uint32_t *ret_ms);

/*
 * Complain about the number of arguments and point to the help; returns
 * ZK_EXIT_USAGE.
 */
int zk_ctl_usage(const struct zk_ctl *ctl);

#endif
