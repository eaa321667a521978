#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Files without a name that are still open. */

static void
used(void)
{
	char path[64];
	int fd, again;

	cmp_put("f", "0123456789");
	fd = FD(open("f", O_RDWR));
	T(unlink("f"));
	cmp_fstat("fstat", fd);
	cmp_pread("pread", fd, 20, 0);
	T(pwrite(fd, "AB", 2, 9));
	cmp_pread("pread(written)", fd, 20, 0);
	T(ftruncate(fd, 3));
	cmp_pread("pread(cut)", fd, 20, 0);
	T(fallocate(fd, 0, 0, 8));
	cmp_fstat("fstat(grown)", fd);
	T(fchmod(fd, 0600));
	T(fchown(fd, 1, 2));
	cmp_fstat("fstat(changed)", fd);
	T(fsync(fd));
	cmp_type("f");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = FD(open(path, O_RDONLY));
	cmp_pread("pread(reopened)", again, 20, 0);
	(void)close(again);
	again = FD(open(path, O_WRONLY | O_APPEND));
	T(write(again, "more", 4));
	(void)close(again);
	cmp_pread("pread(appended)", fd, 20, 0);
	T(linkat(AT_FDCWD, path, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	T(linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
	cmp_type("back");
	(void)close(fd);
}

static void
name_reused(void)
{
	struct stat old, new;
	int fd, fd2;

	cmp_put("f", "old");
	fd = FD(open("f", O_RDWR));
	T(unlink("f"));
	cmp_put("f", "new");
	fd2 = FD(open("f", O_RDWR));
	T(pwrite(fd, "O", 1, 0));
	T(pwrite(fd2, "N", 1, 0));
	cmp_pread("pread(old)", fd, 10, 0);
	cmp_pread("pread(new)", fd2, 10, 0);
	T(fstat(fd, &old));
	T(fstat(fd2, &new));
	cmp_say("the same inode", "%d", old.st_ino == new.st_ino);
	(void)close(fd);
	cmp_text("f");
	T(unlink("f"));
	cmp_fstat("fstat(new)", fd2);
	(void)close(fd2);
}

static void
one_of_two_names(void)
{
	int fd;

	cmp_put("f", "text");
	cmp_need(link("f", "g"), "link");
	fd = FD(open("f", O_RDWR));
	T(unlink("f"));
	cmp_fstat("fstat", fd);
	T(pwrite(fd, "X", 1, 0));
	cmp_text("g");
	T(unlink("g"));
	cmp_fstat("fstat(none left)", fd);
	cmp_pread("pread", fd, 10, 0);
	(void)close(fd);
}

static void
reader(void *arg)
{
	cmp_pread("pread(child)", *(const int *)arg, 20, 0);
	cmp_fstat("fstat(child)", *(const int *)arg);
}

/* The last of several processes that have it open. */
static void
inherited(void)
{
	int fd, dup_fd;

	cmp_put("f", "text");
	fd = FD(open("f", O_RDWR));
	dup_fd = dup(fd);
	T(unlink("f"));
	(void)close(fd);
	T(write(dup_fd, "T", 1));
	cmp_child(reader, &dup_fd);
	cmp_fstat("fstat(parent)", dup_fd);
	(void)close(dup_fd);
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
	T(unlink("f"));
	(void)close(fd);
	cmp_bytes("the map", map, 10);
	map[0] = 'X';
	T(msync(map, 10, MS_SYNC));
	cmp_bytes("the map, changed", map, 10);
	T(munmap(map, 10));
}

static void
by_rename(void)
{
	int fd;

	cmp_put("f", "value 1");
	fd = FD(open("f", O_RDONLY));
	cmp_put("tmp", "value 2");
	T(rename("tmp", "f"));
	cmp_pread("pread(old)", fd, 20, 0);
	cmp_fstat("fstat(old)", fd);
	(void)close(fd);
	cmp_text("f");
}

const struct cmp_case cmp_orphan_cases[] = {
    {"orphan.used", used},
    {"orphan.name_reused", name_reused},
    {"orphan.one_of_two_names", one_of_two_names},
    {"orphan.inherited", inherited},
    {"orphan.mapped", mapped},
    {"orphan.by_rename", by_rename},
    {NULL, NULL},
};
