#include "ctl/where.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "ctl/say.h"

static int
read_mounts(struct zk_ctl *ctl)
{
	FILE *in;
	int rc;

	if (ctl->mounts.list != NULL)
		return 0;
	in = fopen("/proc/self/mountinfo", "re");
	if (in == NULL) {
		rc = -errno;
		zk_ctl_say_errno(ctl, "/proc/self/mountinfo", -rc);
		return rc;
	}
	rc = zk_ctl_mounts_read(in, &ctl->mounts);
	(void)fclose(in);
	if (rc < 0)
		zk_ctl_say_errno(ctl, "/proc/self/mountinfo", -rc);
	return rc;
}

/* The device of a path, or of the nearest directory above that exists. */
static int
device_of(const char *path, dev_t *ret_dev)
{
	struct stat st;
	char *copy, *at;
	int rc;

	copy = strdup(path);
	if (copy == NULL)
		return -ENOMEM;
	at = copy;
	while ((rc = stat(at, &st) < 0 ? -errno : 0) == -ENOENT) {
		/* Empty, or the working directory itself is gone. */
		if (*at == '\0' || strcmp(at, ".") == 0)
			break;
		at = dirname(at);
	}
	free(copy);
	if (rc == 0)
		*ret_dev = st.st_dev;
	return rc;
}

/* NULL when there is none, with that said. */
static const struct zk_ctl_mount *
mount_of_option(struct zk_ctl *ctl)
{
	const struct zk_ctl_mount *mount;
	struct stat st;

	if (stat(ctl->mount_arg, &st) < 0) {
		zk_ctl_say_errno(ctl, ctl->mount_arg, errno);
		return NULL;
	}
	mount = zk_ctl_mounts_find(&ctl->mounts, st.st_dev);
	if (mount == NULL)
		zk_ctl_say(ctl, "%s: not on a mount of zkfs", ctl->mount_arg);
	return mount;
}

int
zk_ctl_where_mount(struct zk_ctl *ctl, const struct zk_ctl_mount **ret_mount)
{
	const struct zk_ctl_mount *mount;
	struct stat st;
	int rc;

	rc = read_mounts(ctl);
	if (rc < 0)
		return rc;
	if (ctl->mount_arg != NULL) {
		mount = mount_of_option(ctl);
		if (mount == NULL)
			return -ENODEV;
		*ret_mount = mount;
		return 0;
	}
	if (stat(".", &st) == 0) {
		mount = zk_ctl_mounts_find(&ctl->mounts, st.st_dev);
		if (mount != NULL) {
			*ret_mount = mount;
			return 0;
		}
	} else if (errno == ENOTCONN) {
		zk_ctl_say_errno(ctl, ".", ENOTCONN);
		return -ENOTCONN;
	}
	rc = zk_ctl_mounts_only(&ctl->mounts, &mount);
	if (rc == -ENOENT)
		zk_ctl_say(ctl, "no zkfs is mounted on this host");
	else if (rc < 0)
		zk_ctl_say(ctl, "several zkfs are mounted: name one with -m");
	else
		*ret_mount = mount;
	return rc;
}

/* With -m: PATH as it is where it leads into that mount, else below it. */
static int
path_of_option(struct zk_ctl *ctl, const char *arg, char **ret_path,
    const struct zk_ctl_mount **ret_mount)
{
	const struct zk_ctl_mount *mount = mount_of_option(ctl);
	struct stat cwd;
	bool as_given;
	dev_t dev = 0;
	char *path;

	if (mount == NULL)
		return -ENODEV;
	if (arg[0] == '/')
		as_given = device_of(arg, &dev) == 0 && dev == mount->dev;
	else
		as_given = stat(".", &cwd) == 0 && cwd.st_dev == mount->dev;
	if (as_given)
		path = strdup(arg);
	else if (asprintf(&path, "%s/%s", mount->dir, arg + strspn(arg, "/")) <
	    0)
		path = NULL;
	if (path == NULL) {
		zk_ctl_say_errno(ctl, arg, ENOMEM);
		return -ENOMEM;
	}
	*ret_path = path;
	*ret_mount = mount;
	return 0;
}

int
zk_ctl_where_path(struct zk_ctl *ctl, const char *arg, char **ret_path,
    const struct zk_ctl_mount **ret_mount)
{
	const struct zk_ctl_mount *mount;
	dev_t dev = 0;
	char *path;
	int rc;

	ZK_ASSERT(ret_path != NULL);

	rc = read_mounts(ctl);
	if (rc < 0)
		return rc;
	if (ctl->mount_arg != NULL)
		return path_of_option(ctl, arg, ret_path, ret_mount);
	rc = device_of(arg, &dev);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, arg, -rc);
		return rc;
	}
	mount = zk_ctl_mounts_find(&ctl->mounts, dev);
	if (mount == NULL) {
		zk_ctl_say(ctl, "%s: not on a mount of zkfs", arg);
		return -ENODEV;
	}
	path = strdup(arg);
	if (path == NULL) {
		zk_ctl_say_errno(ctl, arg, ENOMEM);
		return -ENOMEM;
	}
	*ret_path = path;
	*ret_mount = mount;
	return 0;
}

char *
zk_ctl_where_control(const struct zk_ctl_mount *mount, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/.zkfs/%s", mount->dir, name) < 0)
		return NULL;
	return path;
}
