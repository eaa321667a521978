/*
 * zkfs verify: whether all members have the same tree.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "ctl/verify.h"
#include "ctl/where.h"

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define WAIT_USUAL_MS  30000u
#define LOOK_MS        200u

/* Of the names. */
#define TEXT_COLUMNS 1

/* What became of it, of all lines of .zkfs/digests. */
struct result {
	unsigned members, compared, differ;
	char missing[64], differs[64]; /* the first of each */
};

static int
read_sheet(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    const char *name, char **ret_text)
{
	char *path = zk_ctl_where_control(mount, name);
	int rc;

	rc = path == NULL ? -ENOMEM
	                  : zk_ctl_read_file(path, FILE_BYTES_MAX, ret_text);
	if (rc < 0)
		zk_ctl_say_errno(ctl, path == NULL ? name : path, -rc);
	free(path);
	return rc;
}

/* Compared counts when it was as of `from` or later. */
static struct result
judge(const char *text, uint64_t from)
{
	const char *at = strchr(text, '\n'); /* past the header */
	struct result r = {0};

	for (; at != NULL && at[1] != '\0'; at = strchr(at + 1, '\n')) {
		char name[64], index[24], verdict[16];

		if (sscanf(at + 1, "%63s %23s %15s", name, index, verdict) != 3)
			continue;
		r.members++;
		if (strcmp(verdict, "differs") == 0) {
			if (r.differ++ == 0)
				memcpy(r.differs, name, sizeof(name));
		} else if (index[0] != '-' &&
		    strtoull(index, NULL, 10) >= from) {
			r.compared++;
		} else if (r.missing[0] == '\0') {
			memcpy(r.missing, name, sizeof(name));
		}
	}
	return r;
}

/* Until all are compared as of now, one differs, or the time is over. */
static int
wait_compared(const struct zk_ctl *ctl, const struct zk_ctl_mount *mount,
    uint32_t wait_ms, char **ret_text, struct result *ret_result)
{
	const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
	const uint64_t until = zk_clock_ms() + wait_ms;
	uint64_t from;
	char *text = NULL;
	int rc;

	rc = read_sheet(ctl, mount, "digest", &text);
	if (rc < 0)
		return rc;
	from = strtoull(text, NULL, 10);
	free(text);
	while ((rc = read_sheet(ctl, mount, "digests", &text)) == 0) {
		*ret_result = judge(text, from);
		if (ret_result->differ > 0 || zk_clock_ms() >= until ||
		    (ret_result->members > 0 &&
		        ret_result->compared == ret_result->members))
			break;
		free(text);
		(void)nanosleep(&look, NULL);
	}
	if (rc == 0)
		*ret_text = text;
	return rc;
}

/* An exit status. */
static int
verify_topics(struct zk_ctl *ctl, bool json)
{
	struct zk_ctl_verified found;

	if (zk_ctl_verify_topics(ctl, &found) < 0 || found.wrong > 0 ||
	    found.unfinished > 0)
		return ZK_EXIT_FAILED;
	if (!json && found.partitions > 0)
		(void)printf("the replicas of %" PRIu64
		             " partitions are equal (%" PRIu64 " bytes)\n",
		    found.partitions, found.bytes);
	return ZK_EXIT_OK;
}

static int
verify(struct zk_ctl *ctl, uint32_t wait_ms, bool json, bool tree_alone)
{
	const struct zk_ctl_mount *mount;
	struct result r = {0};
	char *text = NULL;

	if (zk_ctl_where_mount(ctl, &mount) < 0 ||
	    wait_compared(ctl, mount, wait_ms, &text, &r) < 0)
		return ZK_EXIT_FAILED;
	if (json) {
		(void)fputc('[', stdout);
		zk_ctl_table_json(text, TEXT_COLUMNS);
		(void)fputs("]\n", stdout);
	} else {
		zk_ctl_table_print(text);
	}
	free(text);
	(void)fflush(stdout);
	if (r.differ > 0)
		zk_ctl_say(ctl, "the tree of %s differs from the leader's",
		    r.differs);
	else if (r.compared < r.members || r.members == 0)
		zk_ctl_say(ctl, "not compared in time: %s",
		    r.missing[0] == '\0' ? "no member is known" : r.missing);
	else if (!json && r.members == 1)
		(void)puts("one member: nothing to compare it with");
	else if (!json)
		(void)printf("the trees of %u members are equal\n", r.members);
	if (r.members == 0 || r.compared < r.members)
		return ZK_EXIT_FAILED;
	return tree_alone ? ZK_EXIT_OK : verify_topics(ctl, json);
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {"tree", no_argument, NULL, 't'},
	    {"wait", required_argument, NULL, 'w'},
	    {0},
	};
	uint32_t wait_ms = WAIT_USUAL_MS;
	bool json = false, tree_alone = false;
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "jtw:", options,
	            NULL)) != -1) {
		if (option == 'j' || option == 't') {
			json = json || option == 'j';
			tree_alone = tree_alone || option == 't';
			continue;
		}
		status = option == 'w' ? zk_ctl_option_seconds(ctl, &wait_ms)
		                       : zk_ctl_option(ctl, option, argv);
		if (status >= 0)
			return status;
	}
	if (argc != optind)
		return zk_ctl_usage(ctl);
	return verify(ctl, wait_ms, json, tree_alone);
}

const struct zk_ctl_command zk_ctl_verify = {
    .name = "verify",
    .arguments = "[-jt] [-w SECONDS] [-m DIR]",
    .summary = "Compare the trees of all members, and the partitions",
    .details =
        "  -j, --json          as an array of JSON\n"
        "  -m, --mount DIR     the mount to ask\n"
        "  -t, --tree          not the partitions of topics\n"
        "  -w, --wait SECONDS  for those that are not compared yet; 30\n\n"
        "Exit status: 0 when all are equal, 1 when one differs or could not "
        "be\n"
        "compared.\n",
    .run = run,
};
