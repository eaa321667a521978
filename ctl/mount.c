#include "ctl/mount.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/assert.h"

#define ZKFS_FSTYPE "fuse.zkfs"

static bool
is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void
unescape(char *text)
{
	const char *from = text;
	char *to = text;

	while (*from != '\0') {
		if (from[0] == '\\' && is_octal(from[1]) && is_octal(from[2]) &&
		    is_octal(from[3])) {
			*to++ = (char)((from[1] - '0') << 6 |
			    (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static bool
parse_dev(const char *text, dev_t *ret_dev)
{
	unsigned long major, minor;
	char *end;

	major = strtoul(text, &end, 10);
	if (end == text || *end != ':')
		return false;
	text = end + 1;
	minor = strtoul(text, &end, 10);
	if (end == text || *end != '\0')
		return false;
	*ret_dev = makedev((unsigned)major, (unsigned)minor);
	return true;
}

/*
 * ID PARENT MAJOR:MINOR ROOT DIR OPTIONS [FIELD...] - TYPE SOURCE OPTIONS
 * True for a mount of zkfs; dir and root then point into the line.
 */
static bool
parse_line(char *line, struct zk_ctl_mount *ret_mount)
{
	enum { AT_DEV = 2, AT_ROOT, AT_DIR, AT_COUNT = 6 };
	char *save = NULL, *word, *fields[AT_COUNT];
	struct zk_ctl_mount mount;

	for (size_t i = 0; i < AT_COUNT; i++) {
		fields[i] = strtok_r(i == 0 ? line : NULL, " \n", &save);
		if (fields[i] == NULL)
			return false;
	}
	do
		word = strtok_r(NULL, " \n", &save);
	while (word != NULL && strcmp(word, "-") != 0);
	word = strtok_r(NULL, " \n", &save);
	if (word == NULL || strcmp(word, ZKFS_FSTYPE) != 0)
		return false;
	if (!parse_dev(fields[AT_DEV], &mount.dev))
		return false;
	unescape(fields[AT_DIR]);
	mount.dir = fields[AT_DIR];
	unescape(fields[AT_ROOT]);
	mount.root = fields[AT_ROOT];
	mount.whole = strcmp(mount.root, "/") == 0;
	*ret_mount = mount;
	return true;
}

static int
append(struct zk_ctl_mounts *mounts, const struct zk_ctl_mount *mount)
{
	struct zk_ctl_mount *grown, *last;

	grown = reallocarray(mounts->list, mounts->count + 1, sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	mounts->list = grown;
	last = &mounts->list[mounts->count++];
	*last = *mount;
	last->dir = strdup(mount->dir);
	last->root = strdup(mount->root);
	return last->dir == NULL || last->root == NULL ? -ENOMEM : 0;
}

int
zk_ctl_mounts_read(FILE *in, struct zk_ctl_mounts *ret_mounts)
{
	struct zk_ctl_mounts mounts = {0};
	struct zk_ctl_mount mount;
	size_t line_bytes = 0;
	char *line = NULL;
	int rc = 0;

	while (rc == 0 && getline(&line, &line_bytes, in) > 0)
		if (parse_line(line, &mount))
			rc = append(&mounts, &mount);
	if (rc == 0 && ferror(in))
		rc = -EIO;
	free(line);
	if (rc < 0) {
		zk_ctl_mounts_free(&mounts);
		return rc;
	}
	*ret_mounts = mounts;
	return 0;
}

void
zk_ctl_mounts_free(struct zk_ctl_mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->list[i].dir);
		free(mounts->list[i].root);
	}
	free(mounts->list);
	*mounts = (struct zk_ctl_mounts){0};
}

const struct zk_ctl_mount *
zk_ctl_mounts_find(const struct zk_ctl_mounts *mounts, dev_t dev)
{
	const struct zk_ctl_mount *found = NULL;

	for (size_t i = 0; i < mounts->count; i++) {
		const struct zk_ctl_mount *mount = &mounts->list[i];

		if (mount->dev != dev)
			continue;
		if (found == NULL || mount->whole || !found->whole)
			found = mount;
	}
	return found;
}

/* How much of a real path is the mount; SIZE_MAX: it is not below it. */
static size_t
covers(const struct zk_ctl_mount *mount, const char *real)
{
	const size_t len =
	    strcmp(mount->dir, "/") == 0 ? 0 : strlen(mount->dir);

	if (strncmp(real, mount->dir, len) != 0 ||
	    (real[len] != '\0' && real[len] != '/'))
		return SIZE_MAX;
	return len;
}

char *
zk_ctl_mounts_below(const struct zk_ctl_mounts *mounts, dev_t dev,
    const char *real, const struct zk_ctl_mount **ret_mount)
{
	const struct zk_ctl_mount *found = NULL;
	size_t most = 0;
	char *path;

	/* Mounts lie in each other, and on top of each other. */
	for (size_t i = 0; i < mounts->count; i++) {
		const struct zk_ctl_mount *mount = &mounts->list[i];
		const size_t len = covers(mount, real);

		if (mount->dev != dev || len == SIZE_MAX || len < most)
			continue;
		found = mount;
		most = len;
	}
	errno = EXDEV;
	if (found == NULL)
		return NULL;
	*ret_mount = found;
	real += most;
	if (asprintf(&path, "%s%s", found->whole ? "" : found->root, real) < 0)
		return NULL;
	if (path[0] != '\0')
		return path;
	free(path);
	return strdup("/");
}

int
zk_ctl_mounts_only(const struct zk_ctl_mounts *mounts,
    const struct zk_ctl_mount **ret_mount)
{
	ZK_ASSERT(ret_mount != NULL);

	if (mounts->count == 0)
		return -ENOENT;
	for (size_t i = 1; i < mounts->count; i++)
		if (mounts->list[i].dev != mounts->list[0].dev)
			return -ENOTUNIQ;
	*ret_mount = zk_ctl_mounts_find(mounts, mounts->list[0].dev);
	return 0;
}
