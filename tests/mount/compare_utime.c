#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* utimensat(2): the times that a program sets. */

static void
say_times(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		T(lstat(path, &st));
		return;
	}
	cmp_say(path, "%lld.%09ld %lld.%09ld", (long long)st.st_atim.tv_sec,
	    st.st_atim.tv_nsec, (long long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec);
}

static int
set(const char *path, long long atime, long long mtime)
{
	const struct timespec ts[2] = {{(time_t)atime, 123456789},
	    {(time_t)mtime, 987654321}};

	return utimensat(AT_FDCWD, path, ts, 0);
}

static int
set_special(const char *path, long atime_nsec, long mtime_nsec)
{
	const struct timespec ts[2] = {{5, atime_nsec}, {6, mtime_nsec}};

	return utimensat(AT_FDCWD, path, ts, AT_SYMLINK_NOFOLLOW);
}

static void
given(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	cmp_need(symlink("f", "l"), "symlink");
	T(set("f", 1, 2));
	say_times("f");
	T(set("f", 0, 0));
	say_times("f");
	T(set("f", -1, -1000000));
	say_times("f");
	T(set("f", 2147483647, 2147483648));
	say_times("f");
	T(set("f", 4294967295, 4294967296));
	say_times("f");
	T(set("f", -2147483647, -2000000000));
	say_times("f");
	T(set("f", 9000000000, 15000000000));
	say_times("f");
	T(set("d", 11, 12));
	say_times("d");
	T(set("l", 21, 22));
	say_times("f");
	T(set_special("l", 1, 2));
	say_times("l");
	T(set_special("f", 999999999, 0));
	say_times("f");
	T(set_special("f", 1000000000, 0));
	T(set_special("f", 0, -1));
	say_times("f");
	T(set("no", 1, 2));
	T(set("f/x", 1, 2));
}

static void
omitted(void)
{
	struct stat st;

	cmp_put("f", "text");
	T(set("f", 1, 2));
	T(set_special("f", UTIME_OMIT, 7));
	say_times("f");
	T(set_special("f", 8, UTIME_OMIT));
	say_times("f");
	T(set_special("f", UTIME_OMIT, UTIME_OMIT));
	say_times("f");
	TIMES("f .", set_special("f", UTIME_OMIT, UTIME_OMIT));
	TIMES("f .", set_special("f", UTIME_NOW, UTIME_OMIT));
	TIMES("f .", set_special("f", UTIME_OMIT, UTIME_NOW));
	TIMES("f .", set_special("f", UTIME_NOW, UTIME_NOW));
	TIMES("f .", utimensat(AT_FDCWD, "f", NULL, 0));
	TIMES("f .", set("f", 1000000000, 1000000000));
	T(set_special("f", UTIME_NOW, UTIME_NOW));
	T(stat("f", &st));
	cmp_say("times now", "%s",
	    st.st_atim.tv_sec == st.st_mtim.tv_sec &&
	            st.st_mtim.tv_sec == st.st_ctim.tv_sec
	        ? "equal"
	        : "not equal");
	cmp_say("near the clock", "%d",
	    st.st_mtim.tv_sec >= time(NULL) - 5 &&
	        st.st_mtim.tv_sec <= time(NULL) + 5);
}

static void
by_descriptor(void)
{
	const struct timespec ts[2] = {{3, 4}, {5, 6}};
	const struct timeval tv[2] = {{7, 8}, {9, 10}};
	int fd;

	cmp_put("f", "text");
	cmp_put("ro", "text");
	fd = FD(open("ro", O_RDONLY));
	T(futimens(fd, ts));
	say_times("ro");
	(void)close(fd);
	fd = FD(open("f", O_RDWR));
	T(futimens(fd, ts));
	say_times("f");
	T(write(fd, "x", 1));
	T(futimens(fd, ts));
	(void)close(fd);
	say_times("f");
	T(utimes("f", tv));
	say_times("f");
	fd = FD(open("f", O_PATH));
	T(futimens(fd, ts));
	T(utimensat(fd, "", ts, AT_EMPTY_PATH));
	(void)close(fd);
	say_times("f");
	T(futimens(-1, ts));
}

static void
permission(void)
{
	cmp_put("mine", "text");
	cmp_need(chown("mine", CMP_USER, CMP_USER), "chown");
	cmp_need(chmod("mine", 0400), "chmod");
	cmp_put("writable", "text");
	cmp_need(chmod("writable", 0666), "chmod");
	cmp_put("roots", "text");
	cmp_as(CMP_USER);
	T(set("mine", 1, 2));
	T(set_special("mine", UTIME_NOW, UTIME_NOW));
	T(set_special("mine", UTIME_OMIT, 5));
	T(set("writable", 1, 2));
	T(set_special("writable", UTIME_NOW, UTIME_NOW));
	T(set_special("writable", UTIME_NOW, UTIME_OMIT));
	T(set_special("writable", UTIME_OMIT, UTIME_NOW));
	T(set_special("writable", UTIME_OMIT, UTIME_OMIT));
	T(utimensat(AT_FDCWD, "writable", NULL, 0));
	T(set("roots", 1, 2));
	T(set_special("roots", UTIME_NOW, UTIME_NOW));
	T(set_special("roots", UTIME_NOW, UTIME_OMIT));
	T(set_special("roots", UTIME_OMIT, UTIME_OMIT));
	T(utimensat(AT_FDCWD, "roots", NULL, 0));
}

static void
survives(void)
{
	cmp_put("f", "text");
	cmp_dir("d");
	T(set("f", 100, 200));
	T(chmod("f", 0600));
	T(rename("f", "d/f"));
	T(link("d/f", "g"));
	say_times("g");
	T(set("d", 100, 200));
	T(rename("d", "e"));
	say_times("e");
	T(chmod("e", 0700));
	say_times("e");
	cmp_text("e/f");
	T(set("e", 300, 400));
	T(set("e/f", 500, 600));
	say_times("e");
}

/* The order of events on one host is the order of their times. */
static void
ordered(void)
{
	struct stat a, b;
	int disorder = 0;
	char name[16];

	cmp_put("start", "");
	T(stat("start", &a));
	for (int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		cmp_put(name, i % 2 ? "text" : "");
		cmp_need(stat(name, &b), "stat");
		disorder += b.st_mtim.tv_sec < a.st_mtim.tv_sec ||
		    (b.st_mtim.tv_sec == a.st_mtim.tv_sec &&
		        b.st_mtim.tv_nsec < a.st_mtim.tv_nsec);
		a = b;
	}
	cmp_say("times that go backward", "%d", disorder);
}

const struct cmp_case cmp_utime_cases[] = {
    {"utime.given", given},
    {"utime.omitted", omitted},
    {"utime.by_descriptor", by_descriptor},
    {"utime.permission", permission},
    {"utime.survives", survives},
    {"utime.ordered", ordered},
    {NULL, NULL},
};
