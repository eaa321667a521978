#include "fs/mount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static const struct {
	unsigned long flag;
	const char *set, *unset;
} flags[] = {
    {MS_RDONLY, "ro", "rw"},
    {MS_NOSUID, "nosuid", "suid"},
    {MS_NODEV, "nodev", "dev"},
    {MS_NOEXEC, "noexec", NULL},
    {MS_SYNCHRONOUS, "sync", NULL},
    {MS_DIRSYNC, "dirsync", NULL},
    {MS_NOATIME, "noatime", NULL},
    {MS_NODIRATIME, "nodiratime", NULL},
};

/* In an option a comma ends the value, unless a backslash comes before it. */
static size_t
escape(const char *value, char *buf, size_t cap)
{
	size_t len = 0;

	for (; *value != '\0' && len + 2 < cap; value++) {
		if (*value == ',' || *value == '\\')
			buf[len++] = '\\';
		buf[len++] = *value;
	}
	buf[len] = '\0';
	return *value == '\0' ? len : cap;
}

int
zk_mount_options(const struct zk_fs_options *options, char *buf, size_t cap)
{
	unsigned long mount_flags = options->mount_flags;
	char source[2048];
	int n;

	if (options->read_only)
		mount_flags |= MS_RDONLY;
	if (escape(options->source, source, sizeof(source)) == sizeof(source))
		return -EMSGSIZE;
	n = snprintf(buf, cap,
	    "subtype=zkfs,fsname=%s,allow_other,default_permissions%s", source,
	    options->debug ? ",debug" : "");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		bool set = (mount_flags & flags[i].flag) != 0;
		const char *name = set ? flags[i].set : flags[i].unset;
		if (name != NULL && n >= 0 && (size_t)n < cap)
			n += snprintf(buf + n, cap - (size_t)n, ",%s", name);
	}
	return n < 0 || (size_t)n >= cap ? -EMSGSIZE : 0;
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
