#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* link(2), symlink(2), readlink(2). */

static void
hard(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	cmp_need(symlink("f", "l"), "symlink");
	cmp_need(symlink("no", "dangling"), "symlink");
	T(link("f", "g"));
	cmp_lstat("f");
	cmp_lstat("g");
	T(link("f", "g"));
	T(link("f", "f"));
	T(link("f", "d"));
	T(link("f", "l"));
	T(link("f", "d/h"));
	cmp_lstat("d/h");
	T(link("d", "e"));
	T(link(".", "e"));
	T(link("no", "e"));
	T(link("f", "no/e"));
	T(link("f", "f/e"));
	T(link("f/e", "e"));
	T(link("f", "e/"));
	T(link("", "e"));
	T(link("f", ""));
	T(link("l", "m"));
	cmp_lstat("m");
	T(linkat(AT_FDCWD, "l", AT_FDCWD, "n", AT_SYMLINK_FOLLOW));
	cmp_lstat("n");
	T(linkat(AT_FDCWD, "dangling", AT_FDCWD, "o", AT_SYMLINK_FOLLOW));
	T(link("dangling", "o"));
	cmp_lstat("o");
	T(linkat(AT_FDCWD, "f", AT_FDCWD, "p", 0x10000));
	cmp_lstat("d");
}

static void
shared_inode(void)
{
	struct stat a, b;
	int fd;

	cmp_put("f", "text");
	T(link("f", "g"));
	T(stat("f", &a));
	T(stat("g", &b));
	cmp_say("same inode", "%d", a.st_ino == b.st_ino);
	T(chmod("g", 0600));
	cmp_lstat("f");
	fd = FD(open("g", O_WRONLY | O_APPEND));
	T(write(fd, "more", 4));
	(void)close(fd);
	cmp_text("f");
	T(truncate("f", 2));
	cmp_text("g");
	T(unlink("f"));
	cmp_lstat("g");
	cmp_text("g");
	T(link("g", "f"));
	T(unlink("g"));
	cmp_text("f");
	cmp_lstat("f");
}

static void
many(void)
{
	char name[16];

	cmp_put("f", "text");
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "l%d", i);
		cmp_need(link("f", name), "link");
	}
	cmp_lstat("f");
	for (int i = 0; i < 200; i += 2) {
		(void)snprintf(name, sizeof(name), "l%d", i);
		cmp_need(unlink(name), "unlink");
	}
	cmp_lstat("f");
	cmp_text("l199");
}

static void
other_kinds(void)
{
	cmp_need(mkfifo("p", 0600), "mkfifo");
	T(link("p", "p2"));
	cmp_lstat("p2");
	T(mknod("s", S_IFSOCK | 0600, 0));
	T(link("s", "s2"));
	cmp_lstat("s2");
	T(unlink("s"));
	cmp_lstat("s2");
}

static void
times(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	TIMES("f . d", link("f", "d/g"));
	TIMES("f . d", unlink("d/g"));
	TIMES("f .", link("f", "f"));
	TIMES("d .", symlink("x", "d/l"));
	TIMES("d d/l", unlink("d/l"));
}

/* fs.protected_hardlinks may have a say: the same on both sides. */
static void
permission(void)
{
	cmp_dir("d");
	cmp_need(chown("d", CMP_USER, CMP_USER), "chown");
	cmp_put("roots", "text");
	cmp_dir("closed");
	cmp_as(CMP_USER);
	cmp_put("d/mine", "text");
	T(link("d/mine", "d/second"));
	T(link("d/mine", "closed/second"));
	T(link("roots", "d/roots"));
	T(symlink("x", "closed/l"));
	T(symlink("x", "d/l"));
	cmp_lstat("d/l");
	cmp_lstat("d/mine");
}

static void
by_descriptor(void)
{
	char path[64];
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	T(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
	cmp_lstat("g");
	T(linkat(fd, "", AT_FDCWD, "h", AT_EMPTY_PATH));
	cmp_lstat("h");
	T(linkat(fd, "", AT_FDCWD, "i", 0));
	(void)close(fd);
}

static void
symbolic(void)
{
	char target[PATH_MAX + 1];

	T(symlink("target", "l"));
	cmp_lstat("l");
	T(symlink("other", "l"));
	T(symlink("", "empty"));
	T(symlink("x", ""));
	T(symlink("x", "no/l"));
	T(symlink("x", "l/"));
	cmp_dir("d");
	T(symlink("x", "d"));
	T(symlink("x", "d/"));
	T(symlink("/absolute/no/where", "abs"));
	cmp_lstat("abs");
	cmp_bytes("readlink(abs)", target, readlink("abs", target, 4096));
	cmp_bytes("readlink(l, 3)", target, readlink("l", target, 3));
	cmp_bytes("readlink(l)", target, readlink("l", target, 4096));
	T(readlink("l", target, 0));
	T(readlink("d", target, sizeof(target)));
	T(readlink("no", target, sizeof(target)));
	T(readlink("l/x", target, sizeof(target)));
	T(readlink("", target, sizeof(target)));
	T(symlink("a\xff b\n", "odd"));
	cmp_bytes("readlink(odd)", target, readlink("odd", target, 4096));
}

static void
symbolic_lengths(void)
{
	static const size_t lengths[] = {1, 59, 60, 61, 255, 1000, 4000, 4095,
	    4096};
	char target[PATH_MAX + 1], name[16];
	struct stat st;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		(void)snprintf(name, sizeof(name), "l%zu", lengths[i]);
		T(symlink(cmp_repeat('t', lengths[i]), name));
		cmp_bytes(name, target, readlink(name, target, PATH_MAX));
		if (lstat(name, &st) == 0)
			cmp_lstat(name);
	}
}

static void
symbolic_attributes(void)
{
	T(symlink("f", "l"));
	T(chmod("l", 0600));
	cmp_put("f", "text");
	T(chmod("l", 0600));
	cmp_lstat("f");
	cmp_lstat("l");
	T(fchmodat(AT_FDCWD, "l", 0640, AT_SYMLINK_NOFOLLOW));
	T(lchown("l", 7, 8));
	cmp_lstat("l");
	T(chown("l", 9, 10));
	cmp_lstat("f");
	cmp_lstat("l");
	T(truncate("l", 2));
	cmp_text("f");
	T(unlink("l"));
	cmp_type("f");
}

static void
walking(void)
{
	cmp_dir("d");
	cmp_dir("d/e");
	cmp_put("d/f", "text");
	T(symlink("d", "to_d"));
	T(symlink("../d/f", "d/up"));
	T(symlink("to_d/e", "two"));
	cmp_text("to_d/f");
	cmp_text("d/up");
	cmp_text("two/../f");
	TO(open("two/new", O_WRONLY | O_CREAT, 0600));
	cmp_type("d/e/new");
	T(mkdir("to_d/m", 0755));
	T(rename("to_d/m", "two/m"));
	T(rmdir("d/e/m"));
	T(rmdir("two"));
	T(access("two/.", F_OK));
}

const struct cmp_case cmp_link_cases[] = {
    {"link.hard", hard},
    {"link.shared_inode", shared_inode},
    {"link.many", many},
    {"link.other_kinds", other_kinds},
    {"link.times", times},
    {"link.permission", permission},
    {"link.by_descriptor", by_descriptor},
    {"link.symbolic", symbolic},
    {"link.symbolic_lengths", symbolic_lengths},
    {"link.symbolic_attributes", symbolic_attributes},
    {"link.walking", walking},
    {NULL, NULL},
};
