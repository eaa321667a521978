#include "tests/mount/compare.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* mkdir(2), rmdir(2), unlink(2), the sticky bit. */

static void
make(void)
{
	cmp_lstat(".");
	T(mkdir("d", 0755));
	cmp_lstat("d");
	cmp_lstat(".");
	T(mkdir("d", 0755));
	T(mkdir("d/", 0755));
	T(mkdir("e/", 0700));
	cmp_lstat("e");
	T(mkdir("f", 0777));
	cmp_lstat("f");
	T(mkdir("g", 01777));
	cmp_lstat("g");
	T(mkdir("h", 02777));
	cmp_lstat("h");
	T(mkdir(".", 0755));
	T(mkdir("..", 0755));
	T(mkdir("no/d", 0755));
	T(mkdir("d/.", 0755));
	T(mkdir("no/.", 0755));
	cmp_put("file", "");
	T(mkdir("file", 0755));
	T(mkdir("file/d", 0755));
	cmp_need(symlink("target", "link"), "symlink");
	T(mkdir("link", 0755));
	T(mkdir("link/", 0755));
	cmp_type("target");
	cmp_lstat(".");
}

static void
subdirectories_count(void)
{
	char name[16];

	cmp_dir("d");
	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		cmp_dir(name);
	}
	cmp_put("d/file", "");
	cmp_lstat("d");
	T(rmdir("d/7"));
	cmp_lstat("d");
	T(unlink("d/file"));
	cmp_lstat("d");
}

static void
remove_directory(void)
{
	cmp_dir("d");
	cmp_dir("d/e");
	cmp_put("f", "");
	cmp_need(symlink("d", "to_d"), "symlink");
	T(rmdir("d"));
	T(rmdir("d/e/."));
	T(rmdir("d/e/.."));
	T(rmdir("."));
	T(rmdir(".."));
	T(rmdir("f"));
	T(rmdir("to_d"));
	T(rmdir("to_d/"));
	T(rmdir("no"));
	T(rmdir("f/d"));
	T(unlink("d"));
	T(unlink("d/"));
	T(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	T(unlinkat(AT_FDCWD, "d/e", AT_REMOVEDIR));
	T(unlinkat(AT_FDCWD, "d", 0x10));
	cmp_put("d/.hidden", "");
	T(rmdir("d"));
	T(unlink("d/.hidden"));
	T(rmdir("d"));
	cmp_type("d");
	cmp_lstat(".");
}

/* Gone while it is the working directory and open. */
static void
removed(void)
{
	char cwd[4096];
	int fd;

	cmp_dir("d");
	fd = FD(open("d", O_RDONLY));
	cmp_need(chdir("d"), "chdir");
	T(rmdir("../d"));
	cmp_fstat("fstat(removed)", fd);
	T(mkdir("e", 0755));
	TO(open("f", O_WRONLY | O_CREAT, 0600));
	T(symlink("x", "l"));
	T(mkfifo("p", 0600));
	T(access(".", F_OK));
	T(access("..", F_OK));
	T(access("no", F_OK));
	T(link("../no", "l"));
	T(rename(".", "../e"));
	T(chmod(".", 0700));
	T(fchmod(fd, 0711));
	cmp_fstat("fstat(removed, changed)", fd);
	cmp_say("getcwd", "%s", getcwd(cwd, sizeof(cwd)) ? "ok" : "fails");
	T(rmdir("../d"));
	T(mkdir("../d", 0755));
	TO(open("../d/f", O_WRONLY | O_CREAT, 0600));
	TO(openat(fd, "f", O_RDONLY));
	TO(openat(fd, "f", O_WRONLY | O_CREAT, 0600));
	(void)close(fd);
}

static void
remove_file(void)
{
	cmp_put("f", "");
	cmp_dir("d");
	cmp_need(symlink("f", "l"), "symlink");
	cmp_need(symlink("no", "dangling"), "symlink");
	T(unlink("f/"));
	T(unlink("no"));
	T(unlink("f/g"));
	T(unlink("d"));
	T(unlink("."));
	T(unlink(".."));
	T(unlink("l/"));
	T(unlink("l"));
	T(unlink("dangling"));
	cmp_type("f");
	T(unlink("f"));
	T(unlink("f"));
	T(remove("d"));
}

static void
remove_permission(void)
{
	cmp_dir("d");
	cmp_put("d/f", "");
	cmp_dir("d/e");
	cmp_dir("open");
	cmp_need(chmod("open", 0777), "chmod");
	cmp_put("open/f", "");
	cmp_dir("open/e");
	cmp_dir("open/full");
	cmp_put("open/full/f", "");
	cmp_as(CMP_USER);
	T(unlink("d/f"));
	T(unlink("d/no"));
	T(rmdir("d/e"));
	T(mkdir("d/g", 0755));
	T(mkdir("d/e", 0755));
	T(unlink("open/f"));
	T(rmdir("open/full"));
	T(unlink("open/full/f"));
	T(rmdir("open/e"));
	T(mkdir("open/mine", 0750));
	cmp_lstat("open/mine");
	T(mkfifo("d/p", 0600));
	T(symlink("x", "d/l"));
}

/* Names of others in a directory like /tmp. */
static void
sticky(void)
{
	cmp_dir("t");
	cmp_need(chmod("t", 01777), "chmod");
	cmp_put("t/roots", "");
	cmp_dir("t/dir");
	cmp_as(CMP_OTHER);
	cmp_put("t/others", "");
	cmp_as(CMP_USER);
	cmp_put("t/mine", "");
	cmp_dir("t/my_dir");
	T(unlink("t/roots"));
	T(unlink("t/others"));
	T(rmdir("t/dir"));
	T(rename("t/others", "t/x"));
	T(rename("t/mine", "t/others"));
	T(rename("t/mine", "t/renamed"));
	T(link("t/renamed", "t/second"));
	T(unlink("t/second"));
	T(unlink("t/renamed"));
	T(rmdir("t/my_dir"));
	T(unlink("t/no"));
	cmp_as_root();
	cmp_need(chown("t", CMP_USER, 0), "chown");
	cmp_as(CMP_USER);
	T(unlink("t/others"));
	T(unlink("t/roots"));
	T(rmdir("t/dir"));
}

static void
setgid_inheritance(void)
{
	cmp_dir("d");
	cmp_need(chown("d", 0, CMP_GROUP), "chown");
	cmp_need(chmod("d", 02777), "chmod");
	T(mkdir("d/root", 0755));
	cmp_lstat("d/root");
	TO(open("d/file", O_WRONLY | O_CREAT, 02755));
	cmp_lstat("d/file");
	cmp_as(CMP_USER);
	T(mkdir("d/mine", 0755));
	cmp_lstat("d/mine");
	T(mkdir("d/mine/inner", 0700));
	cmp_lstat("d/mine/inner");
	TO(open("d/f", O_WRONLY | O_CREAT, 0644));
	cmp_lstat("d/f");
	TO(open("d/g", O_WRONLY | O_CREAT, 02775));
	cmp_lstat("d/g");
	T(symlink("x", "d/l"));
	cmp_lstat("d/l");
	T(mkfifo("d/p", 0600));
	cmp_lstat("d/p");
	cmp_as(CMP_OTHER);
	T(mkdir("d/others", 0755));
	cmp_lstat("d/others");
	TO(open("d/h", O_WRONLY | O_CREAT, 02775));
	cmp_lstat("d/h");
	TO(open("d/i", O_WRONLY | O_CREAT, 02745));
	cmp_lstat("d/i");
}

static void
masks(void)
{
	(void)umask(077);
	T(mkdir("d", 0777));
	cmp_lstat("d");
	TO(open("f", O_WRONLY | O_CREAT, 0666));
	cmp_lstat("f");
	T(mkfifo("p", 0666));
	cmp_lstat("p");
	(void)umask(0);
	T(mkdir("e", 0777));
	cmp_lstat("e");
	TO(open("g", O_WRONLY | O_CREAT, 0666));
	cmp_lstat("g");
	T(mkfifo("q", 0666));
	cmp_lstat("q");
	(void)umask(0777);
	T(mkdir("h", 0777));
	cmp_lstat("h");
	T(symlink("x", "l"));
	cmp_lstat("l");
}

static void
by_descriptor(void)
{
	int fd;

	cmp_dir("d");
	cmp_put("f", "");
	fd = FD(open("d", O_RDONLY | O_DIRECTORY));
	T(mkdirat(fd, "e", 0755));
	TO(openat(fd, "f", O_WRONLY | O_CREAT, 0600));
	T(symlinkat("f", fd, "l"));
	T(linkat(fd, "f", fd, "g", 0));
	T(renameat(fd, "g", fd, "h"));
	T(faccessat(fd, "h", F_OK, 0));
	T(unlinkat(fd, "h", 0));
	T(unlinkat(fd, "e", 0));
	T(unlinkat(fd, "e", AT_REMOVEDIR));
	TO(openat(fd, "../f", O_RDONLY));
	TO(openat(fd, "", O_RDONLY));
	(void)close(fd);
	fd = FD(open("f", O_RDONLY));
	T(mkdirat(fd, "e", 0755));
	TO(openat(fd, "x", O_RDONLY));
	(void)close(fd);
	T(mkdirat(fd, "e", 0755));
	cmp_lstat("d");
}

const struct cmp_case cmp_dir_cases[] = {
    {"dir.make", make},
    {"dir.subdirectories_count", subdirectories_count},
    {"dir.remove_directory", remove_directory},
    {"dir.removed", removed},
    {"dir.remove_file", remove_file},
    {"dir.remove_permission", remove_permission},
    {"dir.sticky", sticky},
    {"dir.setgid_inheritance", setgid_inheritance},
    {"dir.masks", masks},
    {"dir.by_descriptor", by_descriptor},
    {NULL, NULL},
};
