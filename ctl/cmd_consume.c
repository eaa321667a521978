/*
 * zkfs consume: the records of a topic, as a member of a group or without.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/consume.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"

static int
take_number(const struct zk_ctl *ctl, const char *what, uint64_t max,
    uint64_t *ret_number)
{
	if (zk_ctl_parse_number(optarg, max, ret_number) == 0)
		return -1;
	zk_ctl_say(ctl, "%s: not a %s", optarg, what);
	return ZK_EXIT_USAGE;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl_consumer *c, int option, char **argv)
{
	uint64_t number = 0;
	int status;

	switch (option) {
	case 'f':
		c->follow = true;
		return -1;
	case 'F':
		c->from = optarg;
		return -1;
	case 'g':
		c->group = optarg;
		return -1;
	case 'j':
		c->json = true;
		return -1;
	case 'n':
		return take_number(c->ctl, "number of records", INT64_MAX,
		    &c->count);
	case 'p':
		status = take_number(c->ctl, "partition", INT32_MAX, &number);
		c->partition = (int64_t)number;
		return status;
	case 't':
		status = take_number(c->ctl, "number of tries", INT32_MAX,
		    &c->tries);
		if (status < 0 && c->tries == 0)
			c->tries = 1;
		return status;
	default:
		return zk_ctl_option(c->ctl, option, argv);
	}
}

static int
consume(struct zk_ctl_consumer *c, const char *topic)
{
	char *dir;
	int status;

	if (zk_ctl_topic_dir(c->ctl, topic, &dir) < 0)
		return ZK_EXIT_FAILED;
	c->dir = dir;
	if (c->group == NULL && c->tries == 0)
		c->tries = 1;
	status = c->group != NULL ? zk_ctl_consume_group(c)
	                          : zk_ctl_consume_partitions(c);
	free(dir);
	return status;
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"follow", no_argument, NULL, 'f'},
	    {"from", required_argument, NULL, 'F'},
	    {"group", required_argument, NULL, 'g'},
	    {"json", no_argument, NULL, 'j'},
	    {"max-count", required_argument, NULL, 'n'},
	    {"partition", required_argument, NULL, 'p'},
	    {"tries", required_argument, NULL, 't'},
	    {0},
	};
	struct zk_ctl_consumer c = {
	    .ctl = ctl,
	    .partition = -1,
	    .count = UINT64_MAX,
	    .dead_fd = -1,
	    .next_fd = -1,
	};
	const char *topic;
	int option, status;

	while ((option = getopt_long(argc, argv,
	            ZK_CTL_SHORT "fF:g:jn:p:t:", options, NULL)) != -1) {
		status = take_option(&c, option, argv);
		if (status >= 0)
			return status;
	}
	if (optind == argc || (c.group != NULL && c.partition >= 0))
		return zk_ctl_usage(ctl);
	topic = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	else if (optind < argc)
		return zk_ctl_usage(ctl);
	if (optind < argc)
		c.argv = argv + optind;
	return consume(&c, topic);
}

const struct zk_ctl_command zk_ctl_consume = {
    .name = "consume",
    .arguments = "[-fj] [-g GROUP] [-F FROM] [-n N] [-p N] [-t N] [-m DIR] "
                 "TOPIC [-- CMD [ARG...]]",
    .summary = "Print the records of a topic, or run a command for each",
    .details =
        "With -g as a member of the group, which is made where it is missing:\n"
        "what was printed, or for what CMD succeeded, is acknowledged, and it\n"
        "waits for more.  Without, what is retained of every partition.\n\n"
        "CMD gets a record as its standard input.  When it was begun as "
        "often as\n"
        "max.deliveries in the topic's config says, by whichever members, and\n"
        "never succeeded, the record goes to the group's file dead, and the\n"
        "next one comes.\n\n"
        "  -f, --follow       without a group: wait for more at the end\n"
        "  -F, --from FROM    begin there: start, end, an offset; a group "
        "also\n"
        "                     knows @TIME, and goes on from there\n"
        "  -g, --group GROUP  be a member of this group\n"
        "  -j, --json         print objects of JSON, one a line\n"
        "  -n, --max-count N  end after that many records\n"
        "  -p, --partition N  without a group: this partition alone\n"
        "  -t, --tries N      instead of max.deliveries\n"
        "  -m, --mount DIR    the mount that is meant\n\n"
        "It ends with 124 when the session of this host is over.\n",
    .run = run,
};
