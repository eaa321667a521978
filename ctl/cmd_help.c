/*
 * zkfs help: from the same table that runs the commands.
 */
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/say.h"

static void
print_overview(void)
{
	(void)puts("usage: zkfs [-m DIR] COMMAND [OPTION...] [ARGUMENT...]\n"
	           "       zkfs --version\n");
	for (size_t i = 0; zk_ctl_commands[i] != NULL; i++)
		(void)printf("  %-8s %s\n", zk_ctl_commands[i]->name,
		    zk_ctl_commands[i]->summary);
	(void)puts("\nThe mount is the one of -m DIR, or the one you stand "
	           "in, or the only one.\n"
	           "zkfs help COMMAND tells more, zkfs(1) and zkfs(5) the "
	           "rest.");
}

void
zk_ctl_print_help(const struct zk_ctl_command *command)
{
	if (command == NULL) {
		print_overview();
		return;
	}
	(void)printf("usage: zkfs %s%s%s\n%s.\n", command->name,
	    command->arguments[0] == '\0' ? "" : " ", command->arguments,
	    command->summary);
	if (command->details[0] != '\0')
		(void)printf("\n%s", command->details);
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {ZK_CTL_LONG, {0}};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT, options,
	            NULL)) != -1) {
		status = zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc - optind > 1)
		return zk_ctl_usage(ctl);
	if (optind == argc) {
		zk_ctl_print_help(NULL);
		return ZK_EXIT_OK;
	}
	for (size_t i = 0; zk_ctl_commands[i] != NULL; i++)
		if (strcmp(zk_ctl_commands[i]->name, argv[optind]) == 0) {
			zk_ctl_print_help(zk_ctl_commands[i]);
			return ZK_EXIT_OK;
		}
	zk_ctl_say(ctl, "%s: no such command", argv[optind]);
	return ZK_EXIT_USAGE;
}

const struct zk_ctl_command zk_ctl_help = {
    .name = "help",
    .arguments = "[COMMAND]",
    .summary = "Tell what the commands do",
    .details = "",
    .run = run,
};
