/*
 * zkfs(1): the table of commands, and what they have in common.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"

const struct zk_ctl_command *const zk_ctl_commands[] = {
    &zk_ctl_status,
    &zk_ctl_top,
    &zk_ctl_member,
    &zk_ctl_get,
    &zk_ctl_set,
    &zk_ctl_create,
    &zk_ctl_txn,
    &zk_ctl_watch,
    &zk_ctl_hold,
    &zk_ctl_lock,
    &zk_ctl_elect,
    &zk_ctl_upgrade,
    &zk_ctl_topic,
    &zk_ctl_produce,
    &zk_ctl_consume,
    &zk_ctl_group,
    &zk_ctl_backup,
    &zk_ctl_restore,
    &zk_ctl_verify,
    &zk_ctl_bench,
    &zk_ctl_keygen,
    &zk_ctl_help,
    NULL,
};

int
zk_ctl_option(struct zk_ctl *ctl, int option, char **argv)
{
	const char *word;

	switch (option) {
	case 'h':
		zk_ctl_print_help(ctl->command);
		return ZK_EXIT_OK;
	case 'm':
		ctl->mount_arg = optarg;
		return -1;
	case ':':
		zk_ctl_say(ctl, "option %s wants an argument",
		    argv[optind - 1]);
		return ZK_EXIT_USAGE;
	default:
		ZK_ASSERT(option == '?');
		word = argv[optind - 1];
		if (optopt != 0 && word[1] != '-')
			zk_ctl_say(ctl, "unknown option -%c", optopt);
		else
			zk_ctl_say(ctl, "unknown option %s", word);
		return ZK_EXIT_USAGE;
	}
}

int
zk_ctl_option_seconds(const struct zk_ctl *ctl, uint32_t *ret_ms)
{
	if (zk_ctl_parse_seconds(optarg, ret_ms) == 0)
		return -1;
	zk_ctl_say(ctl, "%s: not a number of seconds", optarg);
	return ZK_EXIT_USAGE;
}

int
zk_ctl_usage(const struct zk_ctl *ctl)
{
	zk_ctl_say(ctl, "usage: zkfs %s%s%s", ctl->command->name,
	    ctl->command->arguments[0] == '\0' ? "" : " ",
	    ctl->command->arguments);
	return ZK_EXIT_USAGE;
}

static const struct zk_ctl_command *
find_command(const char *name)
{
	for (size_t i = 0; zk_ctl_commands[i] != NULL; i++)
		if (strcmp(zk_ctl_commands[i]->name, name) == 0)
			return zk_ctl_commands[i];
	return NULL;
}

static int
run_command(struct zk_ctl *ctl, int argc, char **argv)
{
	int status;

	ctl->command = find_command(argv[0]);
	if (ctl->command == NULL) {
		zk_log_error("%s: no such command; see zkfs help", argv[0]);
		return ZK_EXIT_USAGE;
	}
	optind = 0; /* a new vector, for glibc */
	status = ctl->command->run(ctl, argc, argv);
	zk_ctl_mounts_free(&ctl->mounts);
	/* Output that did not arrive is a failure, /dev/full included. */
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		zk_ctl_say(ctl, "cannot write to standard output");
		if (status == ZK_EXIT_OK)
			status = ZK_EXIT_FAILED;
	}
	return status;
}

/* What was asked for instead of a command has been printed. */
static int
printed(void)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return ZK_EXIT_OK;
	zk_log_error("cannot write to standard output");
	return ZK_EXIT_FAILED;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"version", no_argument, NULL, 'V'},
	    {0},
	};
	struct zk_ctl ctl = {0};
	int option;

	zk_log_init("zkfs", ZK_LOG_INFO);
	opterr = 0;
	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "V", options,
	            NULL)) != -1) {
		switch (option) {
		case 'V':
			(void)puts("zkfs " ZK_VERSION);
			return printed();
		case 'h':
			zk_ctl_print_help(NULL);
			return printed();
		case 'm':
			ctl.mount_arg = optarg;
			break;
		default:
			zk_log_error("%s: no such option, or no argument to "
			             "it; see zkfs help",
			    argv[optind - 1]);
			return ZK_EXIT_USAGE;
		}
	}
	if (optind == argc) {
		zk_log_error("which command?  see zkfs help");
		return ZK_EXIT_USAGE;
	}
	return run_command(&ctl, argc - optind, argv + optind);
}
