#include "tests/mount/compare.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

/* open(2): flags, and the walk of a path. */

static void
create(void)
{
	TO(open("f", O_RDONLY));
	TO(open("f", O_WRONLY | O_CREAT, 0640));
	cmp_lstat("f");
	TO(open("f", O_WRONLY | O_CREAT, 0777));
	cmp_lstat("f");
	TO(open("f", O_WRONLY | O_CREAT | O_EXCL, 0777));
	TO(open("g", O_RDONLY | O_CREAT | O_EXCL, 0444));
	cmp_lstat("g");
	TO(open("h", O_RDWR | O_CREAT, 06777));
	cmp_lstat("h");
	TO(open("i", O_RDWR | O_CREAT, 01666));
	cmp_lstat("i");
	TO(creat("j", 0));
	cmp_lstat("j");
	TO(open("no/f", O_WRONLY | O_CREAT, 0640));
	TO(open("f/g", O_WRONLY | O_CREAT, 0640));
	TO(open("f/", O_WRONLY | O_CREAT, 0640));
	TO(open("k/", O_WRONLY | O_CREAT, 0640));
	TO(open("", O_WRONLY | O_CREAT, 0640));
	cmp_type("k");
}

static void
directory(void)
{
	cmp_dir("d");
	cmp_put("f", "text");
	TO(open("d", O_RDONLY));
	TO(open("d", O_WRONLY));
	TO(open("d", O_RDWR));
	TO(open("d", O_RDONLY | O_TRUNC));
	TO(open("d", O_RDONLY | O_CREAT, 0600));
	TO(open("d", O_WRONLY | O_CREAT, 0600));
	TO(open("d", O_WRONLY | O_CREAT | O_EXCL, 0600));
	TO(open("d", O_RDONLY | O_DIRECTORY));
	TO(open("d/.", O_RDONLY | O_CREAT, 0600));
	TO(open("d/..", O_WRONLY | O_CREAT, 0600));
	TO(open("f", O_RDONLY | O_DIRECTORY));
	TO(open("no", O_RDONLY | O_DIRECTORY));
	TO(open("f/.", O_RDONLY));
	TO(open("f/..", O_RDONLY));
	TO(open("no/..", O_RDONLY));
	TO(open("d", O_PATH));
	TO(open("f", O_PATH | O_DIRECTORY));
}

static void
directory_descriptor(void)
{
	char c;
	int fd;

	cmp_dir("d");
	fd = FD(open("d", O_RDONLY));
	T(read(fd, &c, 1));
	T(write(fd, "x", 1));
	T(pread(fd, &c, 1, 0));
	T(ftruncate(fd, 0));
	T(lseek(fd, 0, SEEK_SET));
	T(fsync(fd));
	T(fdatasync(fd));
	T(syncfs(fd));
	T(fchdir(fd));
	(void)close(fd);
}

static void
access_mode(void)
{
	char c;
	int fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDONLY));
	T(write(fd, "x", 1));
	T(ftruncate(fd, 0));
	T(fsync(fd));
	(void)close(fd);
	fd = FD(open("f", O_WRONLY));
	T(read(fd, &c, 1));
	(void)close(fd);
	fd = FD(open("f", O_PATH));
	T(read(fd, &c, 1));
	T(write(fd, "x", 1));
	T(fchmod(fd, 0600));
	T(fchown(fd, 1, 1));
	T(fsync(fd));
	cmp_fstat("fstat(O_PATH)", fd);
	(void)close(fd);
	T(fsync(fd));
	TO(open("f", O_ACCMODE));
	TO(open("f", O_RDWR | O_SYNC));
	TO(open("f", O_RDWR | O_DSYNC));
	TO(open("f", O_RDONLY | O_NOATIME));
	TO(open("f", O_RDWR | O_NONBLOCK));
}

static void
truncation(void)
{
	int fd;

	cmp_put("f", "0123456789");
	TO(open("f", O_RDONLY | O_TRUNC));
	cmp_text("f");
	cmp_put("g", "0123456789");
	TO(open("g", O_RDWR | O_TRUNC));
	cmp_text("g");
	cmp_put("h", "0123456789");
	fd = FD(open("h", O_WRONLY | O_TRUNC | O_APPEND));
	T(write(fd, "ab", 2));
	cmp_text("h");
	T(write(fd, "cd", 2));
	(void)close(fd);
	cmp_text("h");
	cmp_lstat("h");
	cmp_put("i", "0123456789");
	fd = FD(open("i", O_WRONLY | O_TRUNC));
	T(pwrite(fd, "ab", 2, 4));
	(void)close(fd);
	cmp_text("i");
	cmp_put("j", "0123456789");
	TO(open("j", O_WRONLY | O_CREAT | O_EXCL | O_TRUNC, 0600));
	cmp_text("j");
}

/* Between an open that truncates and the first write. */
static void
truncation_window(void)
{
	int fd;

	cmp_put("f", "0123456789");
	fd = FD(open("f", O_WRONLY | O_TRUNC));
	cmp_text("f");
	(void)close(fd);
	cmp_text("f");
}

static void
links(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	cmp_need(symlink("f", "to_f"), "symlink");
	cmp_need(symlink("d", "to_d"), "symlink");
	cmp_need(symlink("loop", "loop"), "symlink");
	cmp_need(symlink("b", "a"), "symlink");
	cmp_need(symlink("a", "b"), "symlink");
	cmp_need(symlink("new", "to_new"), "symlink");
	TO(open("to_f", O_RDONLY));
	TO(open("to_f", O_RDONLY | O_NOFOLLOW));
	TO(open("to_d", O_RDONLY | O_DIRECTORY));
	TO(open("to_d", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	TO(open("to_d/", O_RDONLY | O_NOFOLLOW));
	TO(open("to_f", O_PATH | O_NOFOLLOW));
	TO(open("loop", O_RDONLY));
	TO(open("a", O_RDONLY));
	TO(open("a/x", O_RDONLY));
	TO(open("to_new", O_WRONLY | O_CREAT | O_EXCL, 0600));
	TO(open("to_new", O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
	TO(open("to_new", O_RDONLY));
	TO(open("to_new", O_WRONLY | O_CREAT, 0600));
	cmp_lstat("new");
	TO(open("to_f/x", O_RDONLY));
	TO(open("to_d/x", O_WRONLY | O_CREAT, 0600));
	cmp_type("d/x");
}

/* A chain of 40 links is followed, one of 41 is not. */
static void
chain(void)
{
	char from[16], to[16] = "end";

	cmp_put("end", "end");
	for (int i = 1; i <= 41; i++) {
		(void)snprintf(from, sizeof(from), "l%d", i);
		cmp_need(symlink(to, from), "symlink");
		(void)memcpy(to, from, sizeof(to));
	}
	TO(open("l40", O_RDONLY));
	TO(open("l41", O_RDONLY));
}

static void
long_names(void)
{
	const char *name;

	TO(open((name = cmp_repeat('n', 255)), O_WRONLY | O_CREAT, 0600));
	TO(open((name = cmp_repeat('n', 255)), O_RDONLY));
	TO(open((name = cmp_repeat('n', 256)), O_WRONLY | O_CREAT, 0600));
	TO(open((name = cmp_repeat('n', 256)), O_RDONLY));
	T(mkdir(cmp_repeat('d', 255), 0700));
	T(mkdir(cmp_repeat('d', 256), 0700));
	T(symlink("x", cmp_repeat('s', 255)));
	T(symlink("x", cmp_repeat('s', 256)));
	T(mkfifo(cmp_repeat('p', 255), 0600));
	T(mkfifo(cmp_repeat('p', 256), 0600));
	T(rmdir(cmp_repeat('d', 256)));
	T(unlink(cmp_repeat('n', 256)));
	T(rename("no", cmp_repeat('r', 256)));
	T(link("no", cmp_repeat('r', 256)));
	cmp_put("f", "");
	T(rename("f", cmp_repeat('r', 255)));
	T(rename(cmp_repeat('r', 255), "f"));
	T(rename("f", cmp_repeat('r', 256)));
	T(link("f", cmp_repeat('r', 255)));
	T(link("f", cmp_repeat('r', 256)));
	T(access(cmp_repeat('a', PATH_MAX), F_OK));
	T(access(cmp_repeat('/', PATH_MAX - 1), F_OK));
	T(access(cmp_repeat('/', PATH_MAX), F_OK));
	T(unlink(cmp_repeat('n', 255)));
	T(rmdir(cmp_repeat('d', 255)));
}

static void
deep_path(void)
{
	const char *name;
	int depth;

	for (depth = 0; depth < 40; depth++) {
		name = cmp_repeat('d', 200);
		if (mkdir(name, 0755) < 0 || chdir(name) < 0)
			break;
	}
	cmp_say("depth", "%d", depth);
	cmp_put("f", "deep");
	cmp_text("f");
	T(access("../../../f", F_OK));
}

static void
odd_names(void)
{
	T(mkdir("a b", 0755));
	T(mkdir("new\nline", 0755));
	T(mkdir("\xff\xfe", 0755));
	T(mkdir("...", 0755));
	T(mkdir(" ", 0755));
	T(mkdir("-rf", 0755));
	T(mkdir("\\", 0755));
	T(mkdir("\xc3\xa9", 0755));
	T(mkdir("e\xcc\x81", 0755));
	T(mkdir("Case", 0755));
	T(mkdir("case", 0755));
	cmp_type("a b");
	cmp_type("new\\nline");
	cmp_type("...");
	cmp_type("E");
	T(rmdir("\xff\xfe"));
	T(rmdir("new\nline"));
	T(mkdir("", 0755));
	T(rmdir(""));
	T(unlink(""));
}

static void
permission(void)
{
	cmp_put("r", "text");
	cmp_put("w", "text");
	cmp_put("none", "text");
	cmp_dir("closed");
	cmp_put("closed/f", "text");
	cmp_dir("search");
	cmp_put("search/f", "text");
	cmp_need(chmod("r", 0444), "chmod");
	cmp_need(chmod("w", 0222), "chmod");
	cmp_need(chmod("none", 0), "chmod");
	cmp_need(chmod("closed", 0644), "chmod");
	cmp_need(chmod("search", 0711), "chmod");
	TO(open("none", O_RDWR));
	cmp_as(CMP_USER);
	TO(open("r", O_RDONLY));
	TO(open("r", O_WRONLY));
	TO(open("r", O_RDWR));
	TO(open("r", O_RDONLY | O_TRUNC));
	TO(open("w", O_RDONLY));
	TO(open("w", O_WRONLY));
	TO(open("w", O_RDWR));
	TO(open("none", O_RDONLY));
	TO(open("none", O_PATH));
	TO(open("new", O_WRONLY | O_CREAT, 0600));
	TO(open("r", O_WRONLY | O_CREAT | O_EXCL, 0600));
	TO(open("closed", O_RDONLY));
	TO(open("closed/f", O_RDONLY));
	TO(open("closed/no", O_RDONLY));
	TO(open("search", O_RDONLY));
	TO(open("search/f", O_RDONLY));
	TO(open("search/no", O_RDONLY));
	TO(open("r", O_RDONLY | O_NOATIME));
}

/* Not enough rights for the mode asked for: only the open that makes it. */
static void
create_unreadable(void)
{
	int fd;

	cmp_need(chmod(".", 0777), "chmod");
	cmp_as(CMP_USER);
	fd = FD(open("f", O_RDWR | O_CREAT | O_EXCL, 0));
	T(write(fd, "text", 4));
	cmp_pread("pread", fd, 4, 0);
	(void)close(fd);
	TO(open("f", O_RDONLY));
	TO(open("f", O_RDWR | O_CREAT, 0600));
	cmp_lstat("f");
}

static void
temporary(void)
{
	TO(open(".", O_TMPFILE | O_RDWR, 0600));
	TO(open(".", O_TMPFILE | O_RDONLY, 0600));
	TO(open("no", O_TMPFILE | O_RDWR, 0600));
}

static void
direct(void)
{
	static _Alignas(4096) char block[4096];
	int fd = FD(open("f", O_RDWR | O_CREAT | O_DIRECT, 0600));

	(void)memset(block, 'x', sizeof(block));
	T(write(fd, block, sizeof(block)));
	T(pread(fd, block, sizeof(block), 0));
	T(pread(fd, block, sizeof(block), 4096));
	(void)close(fd);
	cmp_text("f");
}

static void
statvfs_values(void)
{
	struct statvfs vfs;
	struct statfs fs;

	T(statvfs(".", &vfs));
	cmp_say("f_namemax", "%lu", vfs.f_namemax);
	cmp_say("f_frsize", "%lu", vfs.f_frsize);
	cmp_say("space", "%s", vfs.f_blocks > 0 ? "some" : "none");
	cmp_say("free", "%s",
	    vfs.f_bfree <= vfs.f_blocks && vfs.f_bavail <= vfs.f_bfree
	        ? "ordered"
	        : "disordered");
	cmp_say("inodes", "%s", vfs.f_files > 0 ? "some" : "none");
	T(statfs("no", &fs));
	cmp_put("f", "");
	T(statfs("f", &fs));
	cmp_say("pathconf", "%ld %ld", pathconf(".", _PC_NAME_MAX),
	    pathconf(".", _PC_PATH_MAX));
}

const struct cmp_case cmp_open_cases[] = {
    {"open.create", create},
    {"open.directory", directory},
    {"open.directory_descriptor", directory_descriptor},
    {"open.access_mode", access_mode},
    {"open.truncation", truncation},
    {"open.truncation_window", truncation_window},
    {"open.links", links},
    {"open.chain", chain},
    {"open.long_names", long_names},
    {"open.deep_path", deep_path},
    {"open.odd_names", odd_names},
    {"open.permission", permission},
    {"open.create_unreadable", create_unreadable},
    {"open.temporary", temporary},
    {"open.direct", direct},
    {"open.statvfs", statvfs_values},
    {NULL, NULL},
};
