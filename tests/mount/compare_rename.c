#include "tests/mount/compare.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* rename(2) and renameat2(2). */

static long
rename2(const char *from, const char *to, unsigned flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

/* One of each kind; names tell what they are. */
static void
set_up(void)
{
	cmp_put("file", "file");
	cmp_put("file2", "file2");
	cmp_dir("empty");
	cmp_dir("empty2");
	cmp_dir("full");
	cmp_put("full/inner", "inner");
	cmp_dir("full2");
	cmp_dir("full2/inner");
	cmp_need(symlink("file", "link"), "symlink");
	cmp_need(symlink("empty", "dirlink"), "symlink");
	cmp_need(symlink("no", "dangling"), "symlink");
	cmp_need(mkfifo("fifo", 0600), "mkfifo");
}

static void
file_over(void)
{
	set_up();
	T(rename("file", "new"));
	T(rename("new", "file"));
	T(rename("file", "file2"));
	cmp_text("file2");
	cmp_type("file");
	T(rename("file2", "empty"));
	T(rename("file2", "full"));
	T(rename("file2", "dirlink"));
	cmp_type("dirlink");
	cmp_text("dirlink");
	T(rename("dirlink", "fifo"));
	cmp_type("fifo");
	T(rename("fifo", "dangling"));
	cmp_text("dangling");
	T(rename("dangling", "new/"));
	T(rename("dangling/", "new"));
	T(rename("dangling", "link"));
	cmp_text("link");
	cmp_lstat("link");
}

static void
directory_over(void)
{
	set_up();
	T(rename("empty", "new"));
	T(rename("new", "empty/"));
	T(rename("empty/", "new/"));
	T(rename("new", "empty2"));
	cmp_type("new");
	T(rename("empty2", "file"));
	T(rename("empty2", "link"));
	T(rename("empty2", "dirlink"));
	T(rename("empty2", "fifo"));
	T(rename("empty2", "full"));
	T(rename("full", "full2"));
	T(rename("full", "empty2"));
	cmp_text("empty2/inner");
	cmp_type("full");
	T(rename("empty2", "full2/x"));
	cmp_text("full2/x/inner");
	cmp_lstat("full2");
	cmp_lstat(".");
}

static void
symlink_over(void)
{
	set_up();
	T(rename("link", "link2"));
	cmp_type("link2");
	cmp_type("file");
	T(rename("link2", "file"));
	cmp_type("file");
	T(rename("dangling", "empty"));
	T(rename("dangling", "dirlink"));
	cmp_type("dirlink");
	cmp_type("empty");
	T(rename("dirlink/", "x"));
}

static void
missing(void)
{
	set_up();
	T(rename("no", "new"));
	T(rename("no", "file"));
	T(rename("no/x", "new"));
	T(rename("file", "no/x"));
	T(rename("file/x", "new"));
	T(rename("file", "file2/x"));
	T(rename("", "new"));
	T(rename("file", ""));
	T(rename("empty", ""));
	T(rename("empty", "no/x"));
}

static void
itself(void)
{
	set_up();
	T(rename("file", "file"));
	T(rename("empty", "empty"));
	T(rename("full", "full/x"));
	T(rename("full2", "full2/inner/x"));
	T(rename("full2/inner", "full2"));
	T(rename("full/inner", "full"));
	T(rename("empty", "empty/."));
	T(rename("empty/.", "x"));
	T(rename("empty/..", "x"));
	T(rename("x", "empty/.."));
	T(rename(".", "x"));
	T(rename("..", "x"));
	T(rename("file", "."));
	T(rename("file", ".."));
	T(rename("empty", "."));
	T(rename2("empty", "empty/..", RENAME_EXCHANGE));
}

static void
hard_links(void)
{
	set_up();
	cmp_need(link("file", "same"), "link");
	cmp_lstat("file");
	TIMES("file .", rename("file", "same"));
	cmp_lstat("file");
	cmp_lstat("same");
	T(rename2("file", "same", RENAME_NOREPLACE));
	T(rename2("file", "same", RENAME_EXCHANGE));
	T(rename("file2", "same"));
	cmp_lstat("file");
	cmp_text("same");
}

static void
noreplace(void)
{
	set_up();
	T(rename2("file", "file2", RENAME_NOREPLACE));
	T(rename2("file", "empty", RENAME_NOREPLACE));
	T(rename2("empty", "empty2", RENAME_NOREPLACE));
	T(rename2("file", "dangling", RENAME_NOREPLACE));
	T(rename2("file", "file", RENAME_NOREPLACE));
	T(rename2("no", "file", RENAME_NOREPLACE));
	T(rename2("file", "new", RENAME_NOREPLACE));
	T(rename2("full", "moved", RENAME_NOREPLACE));
	T(rename2("link", "empty/link", RENAME_NOREPLACE));
	T(rename2("moved", "moved/x", RENAME_NOREPLACE));
	cmp_text("new");
	cmp_text("moved/inner");
	cmp_type("empty/link");
}

static void
exchange(void)
{
	set_up();
	T(rename2("file", "file2", RENAME_EXCHANGE));
	cmp_text("file");
	cmp_text("file2");
	T(rename2("file", "full", RENAME_EXCHANGE));
	cmp_text("file/inner");
	cmp_text("full");
	T(rename2("link", "fifo", RENAME_EXCHANGE));
	cmp_type("link");
	cmp_type("fifo");
	T(rename2("file", "new", RENAME_EXCHANGE));
	T(rename2("no", "file", RENAME_EXCHANGE));
	T(rename2("file", "file", RENAME_EXCHANGE));
	T(rename2("full2", "full2/inner", RENAME_EXCHANGE));
	T(rename2("full2/inner", "full2", RENAME_EXCHANGE));
	T(rename2("file", "full", RENAME_EXCHANGE | RENAME_NOREPLACE));
	T(rename2("file", "full", 0x80));
	T(rename2("full/", "empty", RENAME_EXCHANGE));
}

/* The link counts of parents follow the directories. */
static void
counts(void)
{
	cmp_dir("a");
	cmp_dir("b");
	cmp_dir("a/x");
	cmp_dir("b/y");
	cmp_put("a/f", "f");
	cmp_dir("b/z");
	T(rename("a/x", "b/x"));
	cmp_lstat("a");
	cmp_lstat("b");
	T(rename("b/x", "b/y"));
	cmp_lstat("b");
	T(rename2("a/f", "b/y", RENAME_EXCHANGE));
	cmp_lstat("a");
	cmp_lstat("b");
	T(rename2("a/f", "b/z", RENAME_EXCHANGE));
	cmp_lstat("a");
	cmp_lstat("b");
	T(rename("b", "a/b"));
	cmp_lstat("a");
	cmp_lstat("a/b");
	cmp_lstat(".");
	T(access("a/b/..", F_OK));
	T(access("a/b/../f", F_OK));
	T(rename("a/b/z", "z"));
	cmp_lstat(".");
}

static void
times(void)
{
	set_up();
	cmp_dir("from");
	cmp_dir("to");
	cmp_put("from/f", "f");
	cmp_dir("from/d");
	cmp_put("to/old", "old");
	cmp_need(link("to/old", "other"), "link");
	TIMES("from to from/f", rename("from/f", "to/f"));
	TIMES("from to from/d", rename("from/d", "to/d"));
	TIMES("to to/f to/old", rename("to/f", "to/old"));
	cmp_lstat("other");
	TIMES("to to/d full", rename("to/d", "full"));
	TIMES("to . to/d empty", rename2("to/d", "empty", RENAME_EXCHANGE));
	TIMES(". file file2", rename2("file", "file2", RENAME_EXCHANGE));
	TIMES(". link", rename("link", "link3"));
	TIMES(". file full", rename("file", "full"));
}

/* A victim that is still open. */
static void
open_victim(void)
{
	char text[8] = "";
	int fd, dirfd;

	set_up();
	fd = FD(open("file2", O_RDWR));
	dirfd = FD(open("empty2", O_RDONLY));
	T(rename("file", "file2"));
	cmp_pread("pread(victim)", fd, 8, 0);
	T(pwrite(fd, "X", 1, 0));
	cmp_pread("pread(victim, written)", fd, 8, 0);
	cmp_fstat("fstat(victim)", fd);
	cmp_text("file2");
	T(rename("full", "empty2"));
	cmp_fstat("fstat(victim directory)", dirfd);
	TO(openat(dirfd, "inner", O_RDONLY));
	TO(openat(dirfd, "x", O_WRONLY | O_CREAT, 0600));
	(void)close(fd);
	(void)close(dirfd);
	fd = FD(open("file2", O_RDWR));
	T(rename("file2", "empty2/moved"));
	T(pwrite(fd, "Y", 1, 0));
	cmp_text("empty2/moved");
	(void)pread(fd, text, 1, 0);
	(void)close(fd);
}

static void
permission(void)
{
	cmp_dir("mine");
	cmp_need(chown("mine", CMP_USER, CMP_USER), "chown");
	cmp_dir("roots");
	cmp_put("roots/f", "f");
	cmp_dir("all");
	cmp_need(chmod("all", 0777), "chmod");
	cmp_dir("all/roots_dir");
	cmp_put("all/roots", "");
	cmp_as(CMP_USER);
	cmp_put("mine/f", "f");
	cmp_dir("mine/d");
	T(rename("mine/f", "roots/g"));
	T(rename("roots/f", "mine/g"));
	T(rename("mine/f", "all/f"));
	T(rename("all/roots", "mine/roots"));
	T(rename("all/roots_dir", "all/renamed_dir"));
	T(rename("all/renamed_dir", "mine/roots_dir"));
	T(rename("mine/d", "all/d"));
	T(rename2("all/d", "roots/f", RENAME_EXCHANGE));
	T(rename2("all/d", "all/renamed_dir", RENAME_EXCHANGE));
	T(rename("roots/no", "mine/g"));
	T(chmod("all/d", 0555));
	T(chmod("all/renamed_dir", 0555));
	T(rename("all/renamed_dir", "mine/moved"));
	T(rename("all/renamed_dir", "all/again"));
}

static void
sticky(void)
{
	cmp_dir("t");
	cmp_need(chmod("t", 01777), "chmod");
	cmp_dir("mine");
	cmp_need(chown("mine", CMP_USER, CMP_USER), "chown");
	cmp_put("t/roots", "");
	cmp_dir("t/roots_dir");
	cmp_as(CMP_USER);
	cmp_put("t/mine", "");
	cmp_dir("t/my_dir");
	cmp_put("mine/f", "");
	T(rename("t/roots", "t/x"));
	T(rename("t/roots", "mine/x"));
	T(rename("t/mine", "t/roots"));
	T(rename("mine/f", "t/roots"));
	T(rename("t/my_dir", "t/roots_dir"));
	T(rename2("t/mine", "t/roots", RENAME_EXCHANGE));
	T(rename2("t/roots", "t/mine", RENAME_EXCHANGE));
	T(rename2("mine/f", "t/roots", RENAME_EXCHANGE));
	T(rename("t/mine", "t/renamed"));
	T(rename("mine/f", "t/renamed"));
	T(rename("t/my_dir", "mine/my_dir"));
	cmp_type("t/roots");
}

/* Sizes and names of a tree stay when it is moved under an open cwd. */
static void
moved_cwd(void)
{
	cmp_dir("a");
	cmp_dir("b");
	cmp_dir("a/c");
	cmp_need(chdir("a/c"), "chdir");
	T(rename("../../a", "../../b/a"));
	TO(open("f", O_WRONLY | O_CREAT, 0600));
	cmp_type("../../a/c/f");
	cmp_type("../../../b/a/c/f");
	T(rename("f", "../../../f"));
	T(access("../../../f", F_OK));
	T(rename("../../../b", "x"));
}

static void
trees(void)
{
	cmp_dir("a");
	cmp_dir("a/b");
	cmp_dir("a/b/c");
	cmp_dir("x");
	cmp_dir("x/y");
	T(rename2("a/b", "x", RENAME_EXCHANGE));
	cmp_type("a/b/y");
	cmp_type("x/c");
	T(rename("x", "a/b/y"));
	cmp_type("a/b/y/c");
	T(rename("a", "a/b/y/c/a"));
	T(rename2("a", "a/b", RENAME_EXCHANGE));
	T(rename("a/b/y/c", "a/b"));
	T(rename("a/b/y/c", "c"));
	cmp_lstat("a/b");
	cmp_lstat(".");
}

const struct cmp_case cmp_rename_cases[] = {
    {"rename.file_over", file_over},
    {"rename.directory_over", directory_over},
    {"rename.symlink_over", symlink_over},
    {"rename.missing", missing},
    {"rename.itself", itself},
    {"rename.hard_links", hard_links},
    {"rename.noreplace", noreplace},
    {"rename.exchange", exchange},
    {"rename.counts", counts},
    {"rename.times", times},
    {"rename.open_victim", open_victim},
    {"rename.permission", permission},
    {"rename.sticky", sticky},
    {"rename.moved_cwd", moved_cwd},
    {"rename.trees", trees},
    {NULL, NULL},
};
