#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * Extended attributes: user.* and trusted.*; system.* and security.* belong
 * to others.  Names that zkfs shows on every file (user.zkfs.*) are not
 * listed by listxattr(2) unless asked for, and are left out here.
 */

static void
say_value(const char *path, const char *name)
{
	char value[256], text[300];

	(void)snprintf(text, sizeof(text), "getxattr(%s, %s)", path, name);
	cmp_bytes(text, value, lgetxattr(path, name, value, sizeof(value)));
}

static int
compare_names(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static void
say_list(const char *path)
{
	char list[8192], line[512] = "";
	const char *names[64];
	size_t count = 0, used = 0;
	ssize_t len = llistxattr(path, list, sizeof(list));

	if (len < 0) {
		T(llistxattr(path, list, sizeof(list)));
		return;
	}
	for (char *at = list; at < list + len; at += strlen(at) + 1)
		if (strncmp(at, "user.zkfs", 9) != 0 && count < 64)
			names[count++] = at;
	qsort(names, count, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < count && used < 450; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used,
		    " %.40s", names[i]);
	cmp_say("list", "%zu:%s", count, line);
}

static void
values(void)
{
	char value[16];

	cmp_put("f", "text");
	T(getxattr("f", "user.a", value, 16));
	T(setxattr("f", "user.a", "one", 3, 0));
	say_value("f", "user.a");
	T(setxattr("f", "user.a", "other", 5, 0));
	say_value("f", "user.a");
	T(setxattr("f", "user.empty", "", 0, 0));
	say_value("f", "user.empty");
	T(setxattr("f", "user.bytes", "a\0b", 3, 0));
	say_value("f", "user.bytes");
	say_list("f");
	T(getxattr("f", "user.a", NULL, 0));
	T(getxattr("f", "user.a", value, 4));
	T(getxattr("f", "user.a", value, 5));
	T(getxattr("f", "user.empty", NULL, 0));
	T(removexattr("f", "user.a"));
	T(removexattr("f", "user.a"));
	T(getxattr("f", "user.a", value, 16));
	say_list("f");
	T(getxattr("no", "user.a", value, 16));
	T(setxattr("no", "user.a", "x", 1, 0));
	T(listxattr("no", value, 16));
	T(listxattr("f", value, 3));
	cmp_text("f");
	cmp_lstat("f");
}

static void
flags(void)
{
	cmp_put("f", "text");
	T(setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
	T(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
	T(setxattr("f", "user.a", "2", 1, XATTR_CREATE));
	T(setxattr("f", "user.a", "3", 1, XATTR_REPLACE));
	say_value("f", "user.a");
	T(setxattr("f", "user.a", "4", 1, XATTR_CREATE | XATTR_REPLACE));
	T(setxattr("f", "user.b", "4", 1, XATTR_CREATE | XATTR_REPLACE));
	T(setxattr("f", "user.a", "4", 1, 8));
	say_list("f");
}

static void
limits(void)
{
	char name[300] = "user.", value[4096];

	cmp_put("f", "text");
	(void)memset(value, 'v', sizeof(value));
	(void)memset(name + 5, 'n', 250);
	name[255] = '\0';
	T(setxattr("f", name, "1", 1, 0));
	T(getxattr("f", name, NULL, 0));
	name[255] = 'n';
	name[256] = '\0';
	T(setxattr("f", name, "1", 1, 0));
	T(getxattr("f", name, NULL, 0));
	T(setxattr("f", "user.", "1", 1, 0));
	T(setxattr("f", "", "1", 1, 0));
	T(setxattr("f", "user", "1", 1, 0));
	T(setxattr("f", "other.a", "1", 1, 0));
	T(setxattr("f", "nonsense", "1", 1, 0));
	T(getxattr("f", "other.a", NULL, 0));
	T(removexattr("f", "other.a"));
	T(setxattr("f", "user.big", value, 1024, 0));
	T(getxattr("f", "user.big", value, 1023));
	T(getxattr("f", "user.big", value, 1024));
	T(setxattr("f", "user.huge", cmp_repeat('v', 65537), 65537, 0));
	say_list("f");
}

static void
many(void)
{
	char name[32];

	cmp_put("f", "text");
	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "user.n%d", i);
		cmp_need(setxattr("f", name, name, strlen(name), 0),
		    "setxattr");
	}
	say_list("f");
	for (int i = 0; i < 30; i += 2) {
		(void)snprintf(name, sizeof(name), "user.n%d", i);
		cmp_need(removexattr("f", name), "removexattr");
	}
	say_list("f");
	say_value("f", "user.n7");
	say_value("f", "user.n8");
}

static void
kinds(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	cmp_need(symlink("f", "l"), "symlink");
	cmp_need(symlink("no", "dangling"), "symlink");
	cmp_need(mkfifo("p", 0600), "mkfifo");
	T(setxattr("d", "user.a", "1", 1, 0));
	say_value("d", "user.a");
	T(setxattr("l", "user.a", "2", 1, 0));
	say_value("f", "user.a");
	T(lsetxattr("l", "user.a", "3", 1, 0));
	T(lgetxattr("l", "user.a", NULL, 0));
	T(lremovexattr("l", "user.a"));
	T(setxattr("dangling", "user.a", "3", 1, 0));
	T(setxattr("p", "user.a", "4", 1, 0));
	T(getxattr("p", "user.a", NULL, 0));
	T(lsetxattr("l", "trusted.a", "5", 1, 0));
	say_value("l", "trusted.a");
	T(setxattr("p", "trusted.a", "6", 1, 0));
	say_value("p", "trusted.a");
	say_list("l");
	say_list("d");
	say_list("p");
}

static void
trusted(void)
{
	cmp_put("f", "text");
	cmp_need(chmod("f", 0666), "chmod");
	T(setxattr("f", "trusted.a", "1", 1, 0));
	T(setxattr("f", "user.a", "1", 1, 0));
	say_list("f");
	cmp_as(CMP_USER);
	T(getxattr("f", "trusted.a", NULL, 0));
	T(setxattr("f", "trusted.a", "2", 1, 0));
	T(setxattr("f", "trusted.b", "2", 1, 0));
	T(removexattr("f", "trusted.a"));
	say_list("f");
	cmp_as_root();
	say_value("f", "trusted.a");
	T(removexattr("f", "trusted.a"));
	say_list("f");
}

/* Namespaces of others: access lists, and what security modules keep. */
static void
foreign(void)
{
	static const char acl[] = "\2\0\0\0\1\0\6\0\xff\xff\xff\xff"
	                          "\4\0\4\0\xff\xff\xff\xff"
	                          "\40\0\4\0\xff\xff\xff\xff";

	cmp_put("f", "text");
	T(setxattr("f", "system.posix_acl_access", acl, sizeof(acl) - 1, 0));
	T(getxattr("f", "system.posix_acl_access", NULL, 0));
	T(setxattr("f", "system.other", "1", 1, 0));
	T(getxattr("f", "system.other", NULL, 0));
	T(setxattr("f", "security.a", "1", 1, 0));
	T(getxattr("f", "security.a", NULL, 0));
	T(getxattr("f", "security.capability", NULL, 0));
	say_list("f");
	cmp_lstat("f");
}

static void
permission(void)
{
	cmp_put("f", "text");
	cmp_need(setxattr("f", "user.a", "1", 1, 0), "setxattr");
	cmp_put("closed", "text");
	cmp_need(setxattr("closed", "user.a", "1", 1, 0), "setxattr");
	cmp_need(chmod("closed", 0), "chmod");
	cmp_put("open", "text");
	cmp_need(chmod("open", 0666), "chmod");
	cmp_dir("t");
	cmp_need(chmod("t", 01777), "chmod");
	cmp_as(CMP_USER);
	T(setxattr("f", "user.a", "2", 1, 0));
	say_value("f", "user.a");
	T(removexattr("f", "user.a"));
	T(getxattr("closed", "user.a", NULL, 0));
	T(setxattr("closed", "user.a", "1", 1, 0));
	T(listxattr("closed", NULL, 0) < 0 ? -1 : 0);
	T(setxattr("open", "user.a", "1", 1, 0));
	T(setxattr("t", "user.a", "1", 1, 0));
	T(setxattr("f", "security.a", "1", 1, 0));
	T(getxattr("f", "security.no", NULL, 0));
}

static void
by_descriptor(void)
{
	char value[16];
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDONLY));
	T(fsetxattr(fd, "user.a", "1", 1, 0));
	cmp_bytes("fgetxattr", value, fgetxattr(fd, "user.a", value, 16));
	T(fremovexattr(fd, "user.a"));
	T(unlink("f"));
	T(fsetxattr(fd, "user.b", "1", 1, 0));
	cmp_bytes("fgetxattr(unlinked)", value,
	    fgetxattr(fd, "user.b", value, 16));
	(void)close(fd);
	T(fgetxattr(fd, "user.b", value, 16));
	cmp_put("f", "text");
	fd = FD(open("f", O_PATH));
	T(fsetxattr(fd, "user.a", "1", 1, 0));
	(void)close(fd);
}

static void
follow(void)
{
	cmp_put("f", "text");
	T(setxattr("f", "user.a", "1", 1, 0));
	T(rename("f", "g"));
	say_value("g", "user.a");
	T(link("g", "h"));
	T(setxattr("h", "user.b", "2", 1, 0));
	say_list("g");
	T(unlink("g"));
	say_list("h");
	cmp_put("g", "new");
	say_list("g");
	T(rename("h", "g"));
	say_list("g");
}

const struct cmp_case cmp_xattr_cases[] = {
    {"xattr.values", values},
    {"xattr.flags", flags},
    {"xattr.limits", limits},
    {"xattr.many", many},
    {"xattr.kinds", kinds},
    {"xattr.trusted", trusted},
    {"xattr.foreign", foreign},
    {"xattr.permission", permission},
    {"xattr.by_descriptor", by_descriptor},
    {"xattr.follow", follow},
    {NULL, NULL},
};
