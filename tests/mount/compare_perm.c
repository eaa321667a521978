#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* chmod(2), chown(2), access(2). */

static void
set_up(void)
{
	cmp_put("mine", "text");
	cmp_need(chown("mine", CMP_USER, CMP_USER), "chown");
	cmp_put("roots", "text");
	cmp_dir("dir");
	cmp_need(chown("dir", CMP_USER, CMP_USER), "chown");
	cmp_need(symlink("mine", "link"), "symlink");
	cmp_need(lchown("link", CMP_USER, CMP_USER), "lchown");
	cmp_put("grouped", "text");
	cmp_need(chown("grouped", CMP_USER, 4), "chown");
}

static void
mode_by_root(void)
{
	int fd;

	cmp_put("f", "text");
	cmp_dir("d");
	T(chmod("f", 0));
	cmp_lstat("f");
	T(chmod("f", 06755));
	cmp_lstat("f");
	T(chmod("f", 01644));
	cmp_lstat("f");
	T(chmod("f", 0177777));
	cmp_lstat("f");
	T(chmod("d", 03777));
	cmp_lstat("d");
	T(chmod("d", 0));
	cmp_lstat("d");
	T(chmod("no", 0644));
	T(chmod("f/x", 0644));
	T(chmod("", 0644));
	T(fchmodat(AT_FDCWD, "f", 0600, 0));
	fd = FD(open("f", O_RDONLY));
	T(fchmod(fd, 0622));
	cmp_fstat("fstat(fd)", fd);
	(void)close(fd);
	T(fchmod(fd, 0622));
}

static void
mode_by_user(void)
{
	int fd;

	set_up();
	cmp_as(CMP_USER);
	T(chmod("mine", 0640));
	cmp_lstat("mine");
	T(chmod("roots", 0666));
	T(chmod("link", 0604));
	cmp_lstat("mine");
	T(chmod("mine", 04711));
	cmp_lstat("mine");
	T(chmod("mine", 02755));
	cmp_lstat("mine");
	T(chmod("mine", 01755));
	cmp_lstat("mine");
	T(chmod("dir", 01777));
	cmp_lstat("dir");
	T(chmod("dir", 02755));
	cmp_lstat("dir");
	T(chmod("grouped", 02755));
	cmp_lstat("grouped");
	T(chmod("grouped", 06775));
	cmp_lstat("grouped");
	fd = FD(open("roots", O_RDONLY));
	T(fchmod(fd, 0666));
	(void)close(fd);
	fd = FD(open("grouped", O_RDONLY));
	T(fchmod(fd, 02711));
	cmp_fstat("fstat(fd)", fd);
	(void)close(fd);
	cmp_as_root();
	cmp_need(chown("dir", CMP_USER, 4), "chown");
	cmp_need(chown("grouped", CMP_USER, CMP_GROUP), "chown");
	cmp_as(CMP_USER);
	T(chmod("dir", 02755));
	cmp_lstat("dir");
	T(chmod("grouped", 02755));
	cmp_lstat("grouped");
}

static void
owner_by_root(void)
{
	int fd;

	set_up();
	T(chown("roots", 1, 2));
	cmp_lstat("roots");
	T(chown("roots", (uid_t)-1, 3));
	cmp_lstat("roots");
	T(chown("roots", 4, (gid_t)-1));
	cmp_lstat("roots");
	T(chown("roots", (uid_t)-1, (gid_t)-1));
	cmp_lstat("roots");
	T(chown("roots", 4000000000u, 4000000001u));
	cmp_lstat("roots");
	T(chown("link", 5, 6));
	cmp_lstat("mine");
	T(lchown("link", 7, 8));
	cmp_lstat("link");
	T(chown("dir", 9, 10));
	cmp_lstat("dir");
	T(chown("no", 1, 1));
	T(chown("mine/x", 1, 1));
	fd = FD(open("mine", O_RDONLY));
	T(fchown(fd, 11, 12));
	cmp_fstat("fstat(fd)", fd);
	(void)close(fd);
	T(fchownat(AT_FDCWD, "link", 13, 14, AT_SYMLINK_NOFOLLOW));
	cmp_lstat("link");
	T(chmod("dir", 02770));
	T(chown("dir", 1, 1));
	cmp_lstat("dir");
}

static void
owner_by_user(void)
{
	set_up();
	cmp_as(CMP_USER);
	T(chown("mine", CMP_USER, CMP_USER));
	T(chown("mine", CMP_USER, CMP_GROUP));
	cmp_lstat("mine");
	T(chown("mine", (uid_t)-1, CMP_USER));
	cmp_lstat("mine");
	T(chown("mine", (uid_t)-1, 4));
	T(chown("mine", CMP_OTHER, (gid_t)-1));
	T(chown("mine", 0, 0));
	T(chown("mine", (uid_t)-1, (gid_t)-1));
	T(chown("roots", (uid_t)-1, (gid_t)-1));
	T(chown("roots", CMP_USER, (gid_t)-1));
	T(chown("roots", (uid_t)-1, CMP_USER));
	T(chown("roots", 0, 0));
	T(lchown("link", (uid_t)-1, CMP_GROUP));
	cmp_lstat("link");
	T(lchown("link", 0, (gid_t)-1));
	T(chown("grouped", (uid_t)-1, 4));
	cmp_lstat("grouped");
	T(chown("grouped", (uid_t)-1, CMP_GROUP));
	cmp_lstat("grouped");
	T(chown("dir", (uid_t)-1, CMP_GROUP));
	cmp_lstat("dir");
}

static void
times(void)
{
	set_up();
	TIMES("roots .", chmod("roots", 0600));
	TIMES("roots .", chmod("roots", 0600));
	TIMES("roots .", chown("roots", 1, 1));
	TIMES("roots .", chown("roots", 1, 1));
	TIMES("roots", chown("roots", (uid_t)-1, (gid_t)-1));
	TIMES("link mine", lchown("link", 1, 1));
	TIMES("link mine", chown("link", 2, 2));
	TIMES("dir .", chmod("dir", 0700));
	cmp_as(CMP_USER);
	TIMES("roots", chmod("roots", 0666));
	TIMES("roots", chown("roots", 0, 0));
}

static void
all_accesses(const char *path)
{
	char text[64];

	for (int mode = 0; mode < 8; mode++) {
		(void)snprintf(text, sizeof(text), "access(%s, %d)", path,
		    mode);
		cmp_step(text, access(path, mode));
	}
}

static void
access_calls(void)
{
	cmp_put("f", "text");
	cmp_put("x", "text");
	cmp_dir("d");
	cmp_put("d/f", "text");
	cmp_need(chmod("f", 0644), "chmod");
	cmp_need(chmod("x", 0711), "chmod");
	cmp_need(symlink("x", "l"), "symlink");
	cmp_need(symlink("no", "dangling"), "symlink");
	all_accesses("f");
	all_accesses("x");
	all_accesses("d");
	cmp_need(chmod("d", 0700), "chmod");
	T(faccessat(AT_FDCWD, "f", X_OK, AT_EACCESS));
	cmp_become(CMP_USER);
	all_accesses("f");
	all_accesses("x");
	all_accesses("d");
	all_accesses("l");
	T(access("d/f", F_OK));
	T(access("d/no", F_OK));
	T(access("dangling", F_OK));
	T(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
	T(access("f/x", F_OK));
	T(access("f", 8));
	T(chdir("d"));
	T(chdir("f"));
	T(chdir("no"));
}

/* Which of the three classes counts: the first that fits, and only it. */
static void
classes(void)
{
	cmp_put("owner", "");
	cmp_need(chown("owner", CMP_USER, CMP_USER), "chown");
	cmp_need(chmod("owner", 0077), "chmod");
	cmp_put("group", "");
	cmp_need(chown("group", 0, CMP_USER), "chown");
	cmp_need(chmod("group", 0707), "chmod");
	cmp_put("extra", "");
	cmp_need(chown("extra", 0, CMP_GROUP), "chown");
	cmp_need(chmod("extra", 0060), "chmod");
	cmp_put("others", "");
	cmp_need(chmod("others", 0006), "chmod");
	cmp_as(CMP_USER);
	TO(open("owner", O_RDONLY));
	TO(open("group", O_RDONLY));
	TO(open("extra", O_RDWR));
	TO(open("others", O_RDWR));
	cmp_as(CMP_OTHER);
	TO(open("owner", O_RDWR));
	TO(open("group", O_RDWR));
	TO(open("extra", O_RDONLY));
	TO(open("others", O_RDWR));
}

/* A descriptor keeps what it was opened with. */
static void
descriptor_keeps(void)
{
	int fd;

	cmp_put("f", "text");
	cmp_need(chmod("f", 0666), "chmod");
	cmp_as(CMP_USER);
	fd = FD(open("f", O_RDWR));
	cmp_as_root();
	T(chmod("f", 0600));
	cmp_as(CMP_USER);
	T(write(fd, "more", 4));
	cmp_pread("pread", fd, 10, 0);
	T(ftruncate(fd, 2));
	TO(open("f", O_RDONLY));
	T(fchmod(fd, 0666));
	(void)close(fd);
}

const struct cmp_case cmp_perm_cases[] = {
    {"perm.mode_by_root", mode_by_root},
    {"perm.mode_by_user", mode_by_user},
    {"perm.owner_by_root", owner_by_root},
    {"perm.owner_by_user", owner_by_user},
    {"perm.times", times},
    {"perm.access", access_calls},
    {"perm.classes", classes},
    {"perm.descriptor_keeps", descriptor_keeps},
    {NULL, NULL},
};
