#include "tests/mount/compare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* readdir(3): what a listing shows, also while the directory changes. */

#define MANY     3000
#define NAME_FMT "entry_%04d"

/* How often each of the MANY names was seen. */
static unsigned char seen[MANY];

/* Several processes at once: what waits for a disk waits together. */
#define MAKERS 16

static int making_count;

static void
make_some(void *arg)
{
	char name[32];

	for (int i = *(const int *)arg; i < making_count; i += MAKERS) {
		(void)snprintf(name, sizeof(name), NAME_FMT, i);
		cmp_need(mknod(name, S_IFREG | 0600, 0), "mknod");
	}
}

static void
make_many(int count)
{
	pid_t pids[MAKERS];

	making_count = count;
	for (int i = 0; i < MAKERS; i++)
		pids[i] = cmp_spawn(make_some, &i);
	for (int i = 0; i < MAKERS; i++)
		cmp_join(pids[i]);
}

static int
note(const char *name)
{
	long i;

	if (strncmp(name, "entry_", 6) != 0)
		return -1;
	i = strtol(name + 6, NULL, 10);
	if (i < 0 || i >= MANY)
		return -1;
	seen[i]++;
	return (int)i;
}

static void
say_seen(const char *text, int from, int to)
{
	int missing = 0, twice = 0;

	for (int i = from; i < to; i++) {
		missing += seen[i] == 0;
		twice += seen[i] > 1;
	}
	cmp_say(text, "missing %d, twice %d", missing, twice);
}

static DIR *
open_list(const char *path)
{
	DIR *dir = opendir(path);

	if (dir == NULL) {
		cmp_need(-1, path);
		abort();
	}
	return dir;
}

static void
list(DIR *dir)
{
	const struct dirent *entry;

	(void)memset(seen, 0, sizeof(seen));
	while ((entry = readdir(dir)) != NULL)
		(void)note(entry->d_name);
}

static char
type_of(const struct dirent *entry)
{
	static const char letters[] = "?pc?d?b?f?l?s";

	if (entry->d_type >= sizeof(letters) - 1)
		return '?';
	return letters[entry->d_type];
}

static int
compare_strings(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void
say_names(const char *path)
{
	char names[32][280], line[2000] = "";
	size_t count = 0, used = 0;
	const struct dirent *entry;
	DIR *dir = open_list(path);

	while ((entry = readdir(dir)) != NULL && count < 32)
		(void)snprintf(names[count++], 280, "%s/%c", entry->d_name,
		    type_of(entry));
	(void)closedir(dir);
	qsort(names, count, sizeof(names[0]), compare_strings);
	for (size_t i = 0; i < count && used < 1600; i++)
		used += (size_t)snprintf(line + used, sizeof(line) - used,
		    " %.40s", names[i]);
	cmp_say(path, "%zu:%s", count, line);
}

static void
types(void)
{
	cmp_dir("d");
	say_names("d");
	cmp_put("d/file", "");
	cmp_dir("d/dir");
	cmp_need(symlink("x", "d/link"), "symlink");
	cmp_need(mkfifo("d/fifo", 0600), "mkfifo");
	cmp_need(mknod("d/sock", S_IFSOCK | 0600, 0), "mknod");
	cmp_need(mknod("d/chr", S_IFCHR | 0600, 0x103), "mknod");
	cmp_need(mknod("d/blk", S_IFBLK | 0600, 0x700), "mknod");
	cmp_put("d/.hidden", "");
	cmp_put("d/a b", "");
	say_names("d");
	T(unlink("d/file"));
	T(rename("d/link", "d/renamed"));
	say_names("d");
	T(rename("d/chr", "moved"));
	T(mkdir("d/file", 0755));
	say_names("d");
}

/* The numbers agree with stat, "." and ".." too. */
static void
numbers(void)
{
	const struct dirent *entry;
	int wrong = 0, count = 0;
	struct stat st;
	DIR *dir;

	cmp_dir("d");
	cmp_dir("d/e");
	cmp_put("d/f", "");
	cmp_need(symlink("f", "d/l"), "symlink");
	dir = open_list("d");
	while ((entry = readdir(dir)) != NULL) {
		count++;
		if (fstatat(dirfd(dir), entry->d_name, &st,
		        AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_ino != entry->d_ino)
			wrong++;
	}
	(void)closedir(dir);
	cmp_say("entries", "%d, wrong numbers %d", count, wrong);
}

static void
many(void)
{
	DIR *dir;

	make_many(MANY);
	dir = open_list(".");
	list(dir);
	say_seen("first", 0, MANY);
	rewinddir(dir);
	list(dir);
	say_seen("again", 0, MANY);
	(void)closedir(dir);
}

/* Names that stay are seen exactly once, whatever happens to others. */
static void
removing(void)
{
	const struct dirent *entry;
	int steps = 0, i;
	char name[32];
	DIR *dir;

	make_many(400);
	dir = open_list(".");
	(void)memset(seen, 0, sizeof(seen));
	while ((entry = readdir(dir)) != NULL) {
		i = note(entry->d_name);
		if (i >= 200 && i % 2 == 0)
			cmp_need(unlink(entry->d_name), "unlink");
		if (steps++ % 10 == 0 && steps <= 400) {
			(void)snprintf(name, sizeof(name), "new_%d", steps);
			cmp_put(name, "");
		}
	}
	say_seen("those that stay", 0, 200);
	rewinddir(dir);
	list(dir);
	say_seen("after", 0, 200);
	for (i = 200, steps = 0; i < 400; i += 2)
		steps += seen[i];
	cmp_say("removed ones left", "%d", steps);
	(void)closedir(dir);
}

/* rm -rf: remove everything on one pass. */
static void
emptying(void)
{
	const struct dirent *entry;
	DIR *dir;

	cmp_dir("d");
	cmp_need(chdir("d"), "chdir");
	make_many(200);
	dir = open_list(".");
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			cmp_need(unlink(entry->d_name), "unlink");
	(void)closedir(dir);
	cmp_need(chdir(".."), "chdir");
	T(rmdir("d"));
}

static void
positions(void)
{
	const struct dirent *entry;
	char name[300] = "";
	int steps = 0;
	long where = 0;
	DIR *dir;

	make_many(300);
	dir = open_list(".");
	while ((entry = readdir(dir)) != NULL) {
		if (steps == 101)
			(void)snprintf(name, sizeof(name), "%s", entry->d_name);
		if (++steps == 101)
			where = telldir(dir);
	}
	cmp_say("entries", "%d", steps);
	seekdir(dir, where);
	entry = readdir(dir);
	cmp_say("the same entry after seekdir", "%d",
	    entry != NULL && strcmp(entry->d_name, name) == 0);
	for (steps = 1; readdir(dir) != NULL; steps++)
		;
	cmp_say("entries from there", "%d", steps);
	seekdir(dir, where);
	cmp_need(unlink(name), "unlink");
	for (steps = 0; readdir(dir) != NULL; steps++)
		;
	cmp_say("at least all but one", "%d", steps == 200 || steps == 201);
	/* Which name it was is the filesystem's affair: put it back. */
	T(mknod(name, S_IFREG | 0600, 0));
	(void)closedir(dir);
}

static void
refused(void)
{
	char buffer[1024];
	int fd;

	cmp_put("f", "");
	cmp_dir("d");
	cmp_dir("closed");
	cmp_need(chmod("closed", 0711), "chmod");
	cmp_say("opendir(f)", "%s",
	    opendir("f") == NULL ? strerrorname_np(errno) : "ok");
	fd = FD(open("f", O_RDONLY));
	T(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)));
	(void)close(fd);
	fd = FD(open("d", O_RDONLY));
	T(syscall(SYS_getdents64, fd, buffer, 8));
	T(rmdir("d"));
	T(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)));
	(void)close(fd);
	cmp_as(CMP_USER);
	cmp_say("opendir(closed)", "%s",
	    opendir("closed") == NULL ? strerrorname_np(errno) : "ok");
}

/* A listing opened before a change and rewound after it. */
static void
rewound(void)
{
	DIR *dir;

	make_many(10);
	dir = open_list(".");
	list(dir);
	say_seen("before", 0, 10);
	T(unlink("entry_0003"));
	T(rename("entry_0004", "entry_0010"));
	rewinddir(dir);
	list(dir);
	say_seen("those that stay", 5, 11);
	say_seen("those that left", 3, 5);
	(void)closedir(dir);
}

const struct cmp_case cmp_readdir_cases[] = {
    {"readdir.types", types},
    {"readdir.numbers", numbers},
    {"readdir.many", many},
    {"readdir.removing", removing},
    {"readdir.emptying", emptying},
    {"readdir.positions", positions},
    {"readdir.refused", refused},
    {"readdir.rewound", rewound},
    {NULL, NULL},
};
