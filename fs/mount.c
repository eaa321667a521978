#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* Each takes somebody who opens a file for writing within microseconds. */
#define READ_ONLY_TRIES 20u

int
zk_mount_data(int fd, const char *more, char *buf, size_t cap)
{
	int n = snprintf(buf, cap,
	    "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,"
	    "allow_other%s%s",
	    fd, more[0] != '\0' ? "," : "", more);

	return n < 0 || (size_t)n >= cap ? -EMSGSIZE : 0;
}

static int
mount_once(const struct zk_fs_options *options, unsigned long flags,
    int *ret_fd)
{
	const char *more = options->mount_data;
	char data[2048];
	int fd, rc;

	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = zk_mount_data(fd, more == NULL ? "" : more, data, sizeof(data));
	if (rc == 0 &&
	    mount(options->source, options->mountpoint, "fuse.zkfs", flags,
	        data) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/*
 * The mount is read-only, not what is mounted: so that the helper's copy of it
 * need not be, and inotify is told here, too.  Nobody can have opened anything
 * for writing before: EBUSY if somebody tries to, who gets ENOTCONN.
 */
static int
mount_read_only(const struct zk_fs_options *options, unsigned long flags,
    int *ret_fd)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int fd = -1, rc;

	for (unsigned tries = 0; tries < READ_ONLY_TRIES; tries++) {
		rc =
		    mount_once(options, flags & ~(unsigned long)MS_RDONLY, &fd);
		if (rc < 0)
			return rc;
		if (mount_setattr(AT_FDCWD, options->mountpoint, 0, &attr,
		        sizeof(attr)) == 0) {
			*ret_fd = fd;
			return 0;
		}
		rc = -errno;
		(void)umount2(options->mountpoint, MNT_FORCE | MNT_DETACH);
		(void)close(fd);
		if (rc != -EBUSY)
			break;
	}
	/* Before Linux 5.12: then inotify is told of nothing. */
	return mount_once(options, flags | MS_RDONLY, ret_fd);
}

int
zk_mount_make(const struct zk_fs_options *options, int *ret_fd)
{
	if (options->read_only)
		return mount_read_only(options, options->mount_flags, ret_fd);
	return mount_once(options, options->mount_flags, ret_fd);
}

/* \040 and the like, as proc(5) writes special characters. */
static void
unescape(char *s)
{
	char *to = s;

	while (*s != '\0') {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 +
			    (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

int
zk_mount_id(const char *mountpoint)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	int id = -ENOENT;

	if (file == NULL)
		return -errno;
	/* id, parent, device, root, mount point: later ones lie on top. */
	while (getline(&line, &cap, file) > 0) {
		char *save = NULL, *field = strtok_r(line, " ", &save);
		long this_id = field == NULL ? 0 : strtol(field, NULL, 10);

		for (int i = 0; i < 4 && field != NULL; i++)
			field = strtok_r(NULL, " ", &save);
		if (field == NULL)
			continue;
		unescape(field);
		if (strcmp(field, mountpoint) == 0)
			id = (int)this_id;
	}
	free(line);
	(void)fclose(file);
	return id;
}

bool
zk_mount_is_there(int id)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	bool there = false;

	/* In doubt it is. */
	if (file == NULL)
		return true;
	while (!there && getline(&line, &cap, file) > 0)
		there = strtol(line, NULL, 10) == id;
	free(line);
	(void)fclose(file);
	return there;
}

int
zk_mount_request_timeout_s(void)
{
	FILE *file = fopen("/proc/sys/fs/fuse/default_request_timeout", "re");
	char buf[32] = "0";

	if (file == NULL)
		return 0;
	if (fgets(buf, sizeof(buf), file) == NULL)
		buf[0] = '\0';
	(void)fclose(file);
	return (int)strtol(buf, NULL, 10);
}
