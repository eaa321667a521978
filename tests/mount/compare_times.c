#include "tests/mount/compare.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Which times each call changes, on the file and on its directory. */

static void
making(void)
{
	struct stat st;

	cmp_dir("d");
	TIMES("d .", open("d/f", O_WRONLY | O_CREAT, 0600) < 0 ? -1 : 0);
	TIMES("d d/f", open("d/f", O_WRONLY | O_CREAT, 0600) < 0 ? -1 : 0);
	TIMES("d d/f", open("d/f", O_WRONLY | O_CREAT | O_EXCL, 0600));
	TIMES("d .", mkdir("d/e", 0700));
	TIMES("d d/e", mkdir("d/e", 0700));
	TIMES("d .", symlink("x", "d/l"));
	TIMES("d .", mknod("d/p", S_IFIFO | 0600, 0));
	TIMES("d d/e .", rmdir("d/e"));
	TIMES("d d/l", unlink("d/l"));
	TIMES("d d/f", unlink("d/f"));
	TIMES("d", unlink("d/no"));
	cmp_put("f", "");
	T(stat("f", &st));
	cmp_say("all three at birth", "%s",
	    st.st_atim.tv_sec == st.st_mtim.tv_sec &&
	            st.st_atim.tv_nsec == st.st_mtim.tv_nsec &&
	            st.st_atim.tv_nsec == st.st_ctim.tv_nsec
	        ? "equal"
	        : "different");
}

static void
content(void)
{
	char text[16];
	int fd;

	cmp_put("f", "0123456789");
	fd = FD(open("f", O_RDWR));
	TIMES("f .", write(fd, "x", 1));
	TIMES("f .", write(fd, "", 0));
	TIMES("f .", pwrite(fd, "x", 1, 100));
	TIMES("f .", ftruncate(fd, 50));
	TIMES("f .", ftruncate(fd, 50));
	TIMES("f .", truncate("f", 40));
	TIMES("f .", truncate("f", 40));
	TIMES("f .", ftruncate(fd, -1));
	TIMES("f .", fallocate(fd, 0, 0, 60));
	TIMES("f .", fallocate(fd, 0, 0, 10));
	TIMES("f .", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10));
	TIMES("f .",
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 9));
	TIMES("f .", fsync(fd));
	TIMES("f .", lseek(fd, 0, SEEK_SET));
	(void)close(fd);
	TIMES("f .", access("f", R_OK));
	TIMES("f .", open("f", O_RDONLY) < 0 ? -1 : 0);
	fd = FD(open("f", O_RDONLY));
	TIMES("f .", pread(fd, text, 0, 0));
	(void)close(fd);
}

static void
truncating_open(void)
{
	int fd;

	cmp_put("f", "0123456789");
	TIMES("f .", (fd = open("f", O_RDWR | O_TRUNC)) < 0 ? -1 : close(fd));
	TIMES("f .", (fd = open("f", O_RDWR | O_TRUNC)) < 0 ? -1 : close(fd));
	TIMES("f .", (fd = open("f", O_WRONLY)) < 0 ? -1 : close(fd));
	TIMES("f .",
	    (fd = open("f", O_RDWR | O_CREAT, 0600)) < 0 ? -1 : close(fd));
}

/* Access times of what is read: a mount may keep them or not. */
static void
reading(void)
{
	char text[16];
	int fd;

	cmp_put("f", "0123456789");
	cmp_need(symlink("f", "l"), "symlink");
	fd = FD(open("f", O_RDONLY));
	TIMES("f", read(fd, text, 5));
	(void)close(fd);
	TIMES("l f", readlink("l", text, sizeof(text)));
}

static void
attributes(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	TIMES("f .", setxattr("f", "user.a", "1", 1, 0));
	TIMES("f .", setxattr("f", "user.a", "1", 1, 0));
	TIMES("f .", removexattr("f", "user.a"));
	TIMES("f .", removexattr("f", "user.a"));
	TIMES("d .", setxattr("d", "user.a", "1", 1, 0));
	TIMES("d .", chmod("d", 0700));
	TIMES("d .", chown("d", 1, 1));
	TIMES("f .", getxattr("f", "user.no", NULL, 0));
}

static void
mapped(void)
{
	char *map;
	int fd;

	cmp_put("f", "0123456789");
	fd = FD(open("f", O_RDWR));
	map = mmap(NULL, 10, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cmp_need(map == MAP_FAILED ? -1 : 0, "mmap");
	TIMES("f .", map[0] = 'x', msync(map, 10, MS_SYNC));
	(void)close(fd);
}

static void
unlinked(void)
{
	cmp_put("f", "text");
	cmp_need(link("f", "g"), "link");
	TIMES("f .", unlink("g"));
	TIMES("f .", unlink("f"));
	cmp_dir("d");
	TIMES("d .", rmdir("d"));
}

const struct cmp_case cmp_times_cases[] = {
    {"times.making", making},
    {"times.content", content},
    {"times.truncating_open", truncating_open},
    {"times.reading", reading},
    {"times.attributes", attributes},
    {"times.mapped", mapped},
    {"times.unlinked", unlinked},
    {NULL, NULL},
};
