#include "ctl/topic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/say.h"
#include "ctl/text.h"
#include "ctl/where.h"

#define CONFIG_BYTES_MAX ((size_t)65536)

static char *
join(const struct zk_ctl *ctl, const char *a, const char *b, const char *c)
{
	char *path = NULL;
	int n;

	n = c[0] == '\0' ? asprintf(&path, "%s/%s", a, b)
	                 : asprintf(&path, "%s/%s/%s", a, b, c);
	if (n >= 0)
		return path;
	zk_ctl_say_errno(ctl, a, ENOMEM);
	return NULL;
}

char *
zk_ctl_topic_path(const struct zk_ctl *ctl, const char *dir, const char *name,
    const char *last)
{
	return join(ctl, dir, name, last);
}

int
zk_ctl_topics_dir(struct zk_ctl *ctl, char **ret_dir)
{
	const struct zk_ctl_mount *mount;
	int rc = zk_ctl_where_mount(ctl, &mount);

	if (rc < 0)
		return rc;
	*ret_dir = join(ctl, mount->dir, "topics", "");
	return *ret_dir == NULL ? -ENOMEM : 0;
}

int
zk_ctl_topic_dir(struct zk_ctl *ctl, const char *arg, char **ret_dir)
{
	const struct zk_ctl_mount *mount;
	int rc;

	if (strchr(arg, '/') != NULL)
		return zk_ctl_where_path(ctl, arg, ret_dir, &mount);
	if (arg[0] == '\0' || strcmp(arg, ".") == 0 || strcmp(arg, "..") == 0) {
		zk_ctl_say(ctl, "%s: not the name of a topic", arg);
		return -EINVAL;
	}
	rc = zk_ctl_where_mount(ctl, &mount);
	if (rc < 0)
		return rc;
	*ret_dir = join(ctl, mount->dir, "topics", arg);
	return *ret_dir == NULL ? -ENOMEM : 0;
}

int
zk_ctl_topic_setting(const struct zk_ctl *ctl, const char *dir, const char *key,
    uint64_t *ret_value)
{
	char *path = join(ctl, dir, "config", "");
	const size_t key_len = strlen(key);
	char *text = NULL, *line, *save = NULL;
	int rc;

	if (path == NULL)
		return -ENOMEM;
	rc = zk_ctl_read_file(path, CONFIG_BYTES_MAX, &text);
	if (rc < 0)
		zk_ctl_say_errno(ctl, path, -rc);
	free(path);
	if (rc < 0)
		return rc;
	rc = -ENOENT;
	for (line = strtok_r(text, "\n", &save); line != NULL && rc < 0;
	     line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, key, key_len) == 0 && line[key_len] == '=')
			rc = zk_ctl_parse_number(line + key_len + 1, UINT64_MAX,
			    ret_value);
	if (rc < 0)
		zk_ctl_say(ctl, "%s: no %s in its config", dir, key);
	free(text);
	return rc;
}

int
zk_ctl_topic_put(const char *path, int flags, const char *text, size_t len)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	int rc = fd < 0 ? -errno : 0;

	if (rc == 0 && write(fd, text, len) != (ssize_t)len)
		rc = errno != 0 ? -errno : -EIO;
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

int
zk_ctl_topic_write(const struct zk_ctl *ctl, const char *path, int flags,
    const char *text, size_t len)
{
	const int rc = zk_ctl_topic_put(path, flags, text, len);

	if (rc < 0)
		zk_ctl_say_errno(ctl, path, -rc);
	return rc;
}

int
zk_ctl_topic_each(const struct zk_ctl *ctl, const char *dir, zk_ctl_name_fn fn,
    void *arg)
{
	struct dirent **names;
	const int count = scandir(dir, &names, NULL, versionsort);
	int rc = 0;

	if (count < 0) {
		zk_ctl_say_errno(ctl, dir, errno);
		return -errno;
	}
	for (int i = 0; i < count; i++) {
		if (rc == 0 && names[i]->d_name[0] != '.')
			rc = fn(arg, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	return rc;
}

bool
zk_ctl_partition_number(const char *name, uint32_t *ret_number)
{
	uint64_t number;

	if (name[0] != 'p' ||
	    zk_ctl_parse_number(name + 1, UINT32_MAX, &number))
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

struct names {
	bool json, any;
};

static int
print_name(void *arg, const char *name)
{
	struct names *names = arg;

	if (!names->json) {
		(void)puts(name);
		return 0;
	}
	(void)printf("%s", names->any ? "," : "");
	zk_ctl_json_string(stdout, name);
	names->any = true;
	return 0;
}

int
zk_ctl_topic_print(const struct zk_ctl *ctl, const char *dir, bool json)
{
	struct names names = {.json = json};
	int rc;

	if (json)
		(void)printf("[");
	rc = zk_ctl_topic_each(ctl, dir, print_name, &names);
	if (json)
		(void)printf("]\n");
	return rc;
}

int
zk_ctl_verb_option(int argc, char **argv, const char *short_options,
    const struct option *options, char **verb)
{
	int option = getopt_long(argc, argv, short_options, options, NULL);

	if (option != -1 || *verb != NULL || optind >= argc)
		return option;
	*verb = argv[optind++];
	return getopt_long(argc, argv, short_options, options, NULL);
}

bool
zk_ctl_take_partition(const struct zk_ctl *ctl, const char *text,
    int64_t *ret_partition)
{
	uint64_t number;

	if (zk_ctl_parse_number(text, INT32_MAX, &number) < 0) {
		zk_ctl_say(ctl, "%s: not a partition", text);
		return false;
	}
	*ret_partition = (int64_t)number;
	return true;
}
