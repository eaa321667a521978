#include "fs/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int
zk_mount_data(int fd, const char *more, char *buf, size_t cap)
{
	int n = snprintf(buf, cap,
	    "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,"
	    "allow_other%s%s",
	    fd, more[0] != '\0' ? "," : "", more);

	return n < 0 || (size_t)n >= cap ? -EMSGSIZE : 0;
}

int
zk_mount_make(const struct zk_fs_options *options, int *ret_fd)
{
	unsigned long flags = options->mount_flags;
	const char *more = options->mount_data;
	char data[2048];
	int fd, rc;

	if (options->read_only)
		flags |= MS_RDONLY;
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
