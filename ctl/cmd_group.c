/*
 * zkfs group: the groups of a topic, by words instead of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/group_reset.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"

#define TEXT_BYTES_MAX ((size_t)4 * 1024 * 1024)

struct request {
	struct zk_ctl *ctl;
	bool json;
	bool first;
	int64_t partition; /* -1: all */
	const char *dir;   /* of the group */
	const char *to;
};

/* --- telling -------------------------------------------------------------- */

/* One line of a table; keys: what its columns are called in JSON. */
static void
print_row(struct request *r, char *line, const char *const *keys)
{
	char *save = NULL, *word;
	bool first = true;

	if (!r->json) {
		(void)puts(line);
		return;
	}
	(void)printf("%s{", r->first ? "" : ",");
	for (word = strtok_r(line, "\t", &save); word != NULL && *keys != NULL;
	     word = strtok_r(NULL, "\t", &save)) {
		(void)printf("%s", first ? "" : ",");
		zk_ctl_json_string(stdout, *keys++);
		(void)printf(":");
		zk_ctl_json_value(stdout, word);
		first = false;
	}
	(void)printf("}");
	r->first = false;
}

static int
print_table(struct request *r, const char *name, const char *const *keys)
{
	char *path = zk_ctl_topic_path(r->ctl, r->dir, name, "");
	char *text = NULL, *line, *save = NULL;
	int rc;

	if (path == NULL)
		return -ENOMEM;
	rc = zk_ctl_read_file(path, TEXT_BYTES_MAX, &text);
	if (rc < 0)
		zk_ctl_say_errno(r->ctl, path, -rc);
	free(path);
	if (rc < 0)
		return rc;
	r->first = true;
	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save))
		print_row(r, line, keys);
	free(text);
	return 0;
}

static int
show(struct request *r)
{
	static const char *const lag[] = {"partition", "offset", "end", "lag",
	    NULL};
	static const char *const members[] = {"host", "joined", "partitions",
	    NULL};
	int rc;

	(void)printf(r->json ? "{\"lag\":[" : "#\toffset\tend\tlag\n");
	rc = print_table(r, "lag", lag);
	(void)printf(
	    r->json ? "],\"members\":[" : "\n#host\tjoined\tpartitions\n");
	if (rc == 0)
		rc = print_table(r, "members", members);
	if (r->json)
		(void)printf("]}\n");
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
list(struct request *r)
{
	return zk_ctl_topic_print(r->ctl, r->dir, r->json) < 0 ? ZK_EXIT_FAILED
	                                                       : ZK_EXIT_OK;
}

/* --- changing ------------------------------------------------------------- */

static int
create(struct request *r)
{
	if (mkdir(r->dir, 0777) == 0)
		return ZK_EXIT_OK;
	zk_ctl_say_errno(r->ctl, r->dir, errno);
	return ZK_EXIT_FAILED;
}

static int
remove_group(struct request *r)
{
	if (rmdir(r->dir) == 0)
		return ZK_EXIT_OK;
	zk_ctl_say_errno(r->ctl, r->dir, errno);
	return ZK_EXIT_FAILED;
}

static int
reset(struct request *r)
{
	if (r->to[0] == '\0') {
		zk_ctl_say(r->ctl,
		    "nowhere to go on from: an offset, start, "
		    "end or @TIME");
		return ZK_EXIT_USAGE;
	}
	return zk_ctl_group_reset(r->ctl, r->dir, r->partition, r->to);
}

/* --- the command ---------------------------------------------------------- */

static const struct {
	const char *name;
	int words; /* with the verb itself */
	int (*run)(struct request *r);
} verbs[] = {
    {"list", 2, list},
    {"create", 3, create},
    {"show", 3, show},
    {"reset", 4, reset},
    {"remove", 3, remove_group},
};

static int
run_verb(struct request *r, int argc, char **argv)
{
	char *topic, *dir;
	int status = ZK_EXIT_FAILED;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0 ||
		    argc != verbs[i].words)
			continue;
		if (zk_ctl_topic_dir(r->ctl, argv[1], &topic) < 0)
			return ZK_EXIT_FAILED;
		dir = zk_ctl_topic_path(r->ctl, topic, "groups",
		    argc > 2 ? argv[2] : "");
		r->dir = dir;
		r->to = argc > 3 ? argv[3] : "";
		if (dir != NULL)
			status = verbs[i].run(r);
		free(dir);
		free(topic);
		return status;
	}
	return zk_ctl_usage(r->ctl);
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"json", no_argument, NULL, 'j'},
	    {"partition", required_argument, NULL, 'p'},
	    {0},
	};
	struct request request = {.ctl = ctl, .partition = -1};
	char *verb = NULL;
	int option, status;

	while ((option = zk_ctl_verb_option(argc, argv,
	            ZK_CTL_SHORT "jp:", options, &verb)) != -1) {
		if (option == 'j') {
			request.json = true;
		} else if (option == 'p') {
			if (!zk_ctl_take_partition(ctl, optarg,
			        &request.partition))
				return ZK_EXIT_USAGE;
		} else {
			status = zk_ctl_option(ctl, option, argv);
			if (status >= 0)
				return status;
		}
	}
	if (verb == NULL)
		return zk_ctl_usage(ctl);
	/* In front of what belongs to it. */
	argv[--optind] = verb;
	return run_verb(&request, argc - optind, argv + optind);
}

const struct zk_ctl_command zk_ctl_group = {
    .name = "group",
    .arguments = "[-j] [-p N] [-m DIR] list|create|show|reset|remove TOPIC "
                 "[GROUP [TO]]",
    .summary = "Make, show, reset and remove the groups of a topic",
    .details =
        "  list TOPIC             the names of its groups\n"
        "  create TOPIC GROUP     as mkdir\n"
        "  show TOPIC GROUP       how far it is, and who its members are\n"
        "  reset TOPIC GROUP TO   go on from TO: an offset, start, end or\n"
        "                         @TIME (seconds since 1970, or\n"
        "                         2026-01-31T12:00:00Z); while nobody has the\n"
        "                         partition\n"
        "  remove TOPIC GROUP     one without members; as rmdir\n\n"
        "  -j, --json         list, show: as JSON\n"
        "  -p, --partition N  reset: this partition alone\n"
        "  -m, --mount DIR    the mount that is meant\n",
    .run = run,
};
