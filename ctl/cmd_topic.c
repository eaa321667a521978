/*
 * zkfs topic: topics, by words instead of mkdir, echo and rmdir.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/topic.h"

#define CONFIG_BYTES_MAX ((size_t)65536)

struct request {
	struct zk_ctl *ctl;
	bool json, groups;
	char **words; /* what follows the topic */
	int count;
	bool first;
};

/* The words, each followed by this; the caller's to free, or NULL. */
static char *
join_words(const struct request *r, char after)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (out == NULL)
		return NULL;
	for (int i = 0; i < r->count; i++)
		(void)fprintf(out, "%s%c", r->words[i], after);
	if (fclose(out) == 0)
		return text;
	free(text);
	return NULL;
}

/* The write of all of them tells only that one is bad. */
static void
say_bad_words(const struct request *r)
{
	char *text = join_words(r, ' ');

	if (text != NULL && text[0] != '\0')
		text[strlen(text) - 1] = '\0';
	zk_ctl_say(r->ctl, "%s: %s", text == NULL ? "" : text,
	    r->count == 1
	        ? "no such setting, or a value that it cannot have"
	        : "one is no setting, or has a value that it cannot have");
	free(text);
}

/* KEY=VALUE words, as lines in one write: all of them, or none. */
static int
set_words(const struct request *r, const char *dir)
{
	char *path = zk_ctl_topic_path(r->ctl, dir, "config", "");
	char *text = join_words(r, '\n');
	int rc = -ENOMEM;

	if (path != NULL && text != NULL)
		rc = zk_ctl_topic_put(path, O_APPEND, text, strlen(text));
	if (rc == -EINVAL)
		say_bad_words(r);
	else if (rc < 0 && path != NULL)
		zk_ctl_say_errno(r->ctl, path, -rc);
	free(text);
	free(path);
	return rc;
}

static int
check_words(const struct request *r)
{
	for (int i = 0; i < r->count; i++)
		if (strchr(r->words[i], '=') == NULL ||
		    strchr(r->words[i], '\n') != NULL) {
			zk_ctl_say(r->ctl, "%s: not KEY=VALUE", r->words[i]);
			return -EINVAL;
		}
	return 0;
}

static int
create(struct request *r, const char *dir)
{
	if (check_words(r) < 0)
		return ZK_EXIT_USAGE;
	if (mkdir(dir, 0777) < 0) {
		zk_ctl_say_errno(r->ctl, dir, errno);
		return ZK_EXIT_FAILED;
	}
	if (r->count == 0 || set_words(r, dir) == 0)
		return ZK_EXIT_OK;
	/* Made by us, and used by nobody yet. */
	(void)rmdir(dir);
	return ZK_EXIT_FAILED;
}

static int
set(struct request *r, const char *dir)
{
	if (r->count == 0 || check_words(r) < 0)
		return r->count == 0 ? zk_ctl_usage(r->ctl) : ZK_EXIT_USAGE;
	return set_words(r, dir) < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
remove_group(void *arg, const char *name)
{
	const struct request *r = arg;
	char *path = zk_ctl_topic_path(r->ctl, r->words[0], "groups", name);
	int rc = 0;

	if (path == NULL)
		return -ENOMEM;
	if (rmdir(path) < 0) {
		rc = -errno;
		zk_ctl_say_errno(r->ctl, path, errno);
	}
	free(path);
	return rc;
}

static int
remove_topic(struct request *r, const char *dir)
{
	char *groups, *words[] = {NULL};
	int rc = 0;

	if (r->groups) {
		struct request inner = {.ctl = r->ctl, .words = words};
		char *copy = strdup(dir);

		groups = zk_ctl_topic_path(r->ctl, dir, "groups", "");
		words[0] = copy;
		rc = groups == NULL || copy == NULL
		    ? -ENOMEM
		    : zk_ctl_topic_each(r->ctl, groups, remove_group, &inner);
		free(groups);
		free(copy);
	}
	if (rc == 0 && rmdir(dir) < 0) {
		rc = -errno;
		zk_ctl_say_errno(r->ctl, dir, errno);
	}
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

/* --- telling -------------------------------------------------------------- */

static int
read_config(const struct request *r, const char *dir, char **ret_text)
{
	char *path = zk_ctl_topic_path(r->ctl, dir, "config", "");
	int rc;

	if (path == NULL)
		return -ENOMEM;
	rc = zk_ctl_read_file(path, CONFIG_BYTES_MAX, ret_text);
	if (rc < 0)
		zk_ctl_say_errno(r->ctl, path, -rc);
	free(path);
	return rc;
}

/* The settings: as they are, or as members of an object.  Changes text. */
static void
print_config(const struct request *r, char *text)
{
	char *line, *save = NULL;

	for (line = strtok_r(text, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		if (!r->json) {
			(void)printf("%s=%s\n", line, value);
			continue;
		}
		(void)printf(",");
		zk_ctl_json_string(stdout, line);
		(void)printf(":");
		zk_ctl_json_value(stdout, value);
	}
}

/* One attribute of a partition; "" where there is none. */
static void
attribute(const char *path, const char *name, char *buf, size_t cap)
{
	const ssize_t len = getxattr(path, name, buf, cap - 1);

	buf[len < 0 ? 0 : len] = '\0';
}

static int
print_partition(void *arg, const char *name)
{
	static const char *const names[] = {"leader", "replicas", "start",
	    "end"};
	struct request *r = arg;
	char value[1024], full[32];
	uint32_t number;
	char *path;

	if (!zk_ctl_partition_number(name, &number))
		return 0;
	path = zk_ctl_topic_path(r->ctl, r->words[0], name, "");
	if (path == NULL)
		return -ENOMEM;
	if (r->json)
		(void)printf("%s{\"partition\":%u", r->first ? "" : ",",
		    number);
	else
		(void)printf("%s", name);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(full, sizeof(full), "user.zkfs.%s", names[i]);
		attribute(path, full, value, sizeof(value));
		if (r->json) {
			(void)printf(",\"%s\":", names[i]);
			/* A name stays one where it looks like a number. */
			if (i < 2)
				zk_ctl_json_string(stdout, value);
			else
				zk_ctl_json_value(stdout, value);
		} else {
			(void)printf("\t%s", value[0] == '\0' ? "-" : value);
		}
	}
	(void)printf(r->json ? "}" : "\n");
	r->first = false;
	free(path);
	return 0;
}

static int
show(struct request *r, const char *dir)
{
	char *copy = strdup(dir), *words[] = {copy};
	struct request inner = {
	    .ctl = r->ctl,
	    .json = r->json,
	    .words = words,
	    .first = true,
	};
	const char *name = strrchr(dir, '/');
	char *config = NULL;
	int rc = copy == NULL ? -ENOMEM : read_config(r, dir, &config);

	if (rc < 0) {
		free(copy);
		return ZK_EXIT_FAILED;
	}
	if (r->json) {
		(void)printf("{\"topic\":");
		zk_ctl_json_string(stdout, name == NULL ? dir : name + 1);
	}
	print_config(r, config);
	(void)printf(r->json ? ",\"partition\":["
	                     : "\n#\tleader\treplicas"
	                       "\tstart\tend\n");
	rc = zk_ctl_topic_each(r->ctl, dir, print_partition, &inner);
	if (r->json)
		(void)printf("]}\n");
	free(config);
	free(copy);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

static int
list(struct request *r)
{
	char *dir;
	int rc;

	if (zk_ctl_topics_dir(r->ctl, &dir) < 0)
		return ZK_EXIT_FAILED;
	rc = zk_ctl_topic_print(r->ctl, dir, r->json);
	free(dir);
	return rc < 0 ? ZK_EXIT_FAILED : ZK_EXIT_OK;
}

/* --- the command ---------------------------------------------------------- */

static const struct {
	const char *name;
	int (*run)(struct request *r, const char *dir);
	bool words; /* KEY=VALUE may follow the topic */
} verbs[] = {
    {"create", create, true},
    {"set", set, true},
    {"show", show, false},
    {"remove", remove_topic, false},
};

static int
run_verb(struct request *r, int argc, char **argv)
{
	char *dir;
	int status;

	if (argc == 1 && strcmp(argv[0], "list") == 0)
		return list(r);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0)
			continue;
		if (argc < 2 || (argc > 2 && !verbs[i].words))
			break;
		if (zk_ctl_topic_dir(r->ctl, argv[1], &dir) < 0)
			return ZK_EXIT_FAILED;
		r->words = argv + 2;
		r->count = argc - 2;
		status = verbs[i].run(r, dir);
		free(dir);
		return status;
	}
	return zk_ctl_usage(r->ctl);
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"groups", no_argument, NULL, 'g'},
	    {"json", no_argument, NULL, 'j'},
	    {0},
	};
	struct request request = {.ctl = ctl};
	char *verb = NULL;
	int option, status;

	while ((option = zk_ctl_verb_option(argc, argv, ZK_CTL_SHORT "gj",
	            options, &verb)) != -1) {
		if (option == 'g') {
			request.groups = true;
		} else if (option == 'j') {
			request.json = true;
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

const struct zk_ctl_command zk_ctl_topic = {
    .name = "topic",
    .arguments = "[-gj] [-m DIR] list|create|set|show|remove [TOPIC] "
                 "[KEY=VALUE...]",
    .summary = "Make, set, show and remove topics",
    .details =
        "  list                         the names of all topics\n"
        "  create TOPIC [KEY=VALUE...]  as mkdir, and set\n"
        "  set TOPIC KEY=VALUE...       all of these settings, or none\n"
        "  show TOPIC                   settings and partitions\n"
        "  remove TOPIC                 with all its records; as rmdir\n\n"
        "TOPIC is a name below topics, or a path.\n\n"
        "  -g, --groups     remove: its groups, too\n"
        "  -j, --json       list, show: as JSON\n"
        "  -m, --mount DIR  the mount that is meant\n",
    .run = run,
};
