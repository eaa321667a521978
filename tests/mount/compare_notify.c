#include "tests/mount/compare.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/*
 * inotify(7) of what this host does itself: the kernel raises these events
 * before the call returns, so each is there to read right after it.
 */

static int queue = -1;
static int watches[8];
static const char *watched[8];
static size_t watch_count;

static void
watch(const char *path)
{
	if (queue < 0)
		queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	cmp_need(queue, "inotify_init1");
	watches[watch_count] =
	    inotify_add_watch(queue, path, IN_ALL_EVENTS | IN_DONT_FOLLOW);
	cmp_need(watches[watch_count], path);
	watched[watch_count++] = path;
}

static const char *
watched_name(int wd)
{
	for (size_t i = 0; i < watch_count; i++)
		if (watches[i] == wd)
			return watched[i];
	return "?";
}

static size_t
put_mask(char *line, size_t size, uint32_t mask)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} bits[] = {{IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"},
	    {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"},
	    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"},
	    {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"},
	    {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"},
	    {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
	    {IN_IGNORED, "IGNORED"}, {IN_Q_OVERFLOW, "OVERFLOW"},
	    {IN_UNMOUNT, "UNMOUNT"}, {IN_ISDIR, "(dir)"}};
	size_t used = 0;

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if ((mask & bits[i].bit) != 0 && used < size)
			used += (size_t)snprintf(line + used, size - used, "%s",
			    bits[i].name);
	return used;
}

/* Everything raised so far, in order: "WATCH:EVENT NAME, ...". */
static void
say_events(const char *text)
{
	_Alignas(struct inotify_event) char buffer[16384];
	const struct inotify_event *event;
	char line[4000] = "";
	uint32_t cookie = 0;
	size_t used = 0;
	ssize_t len;

	while ((len = read(queue, buffer, sizeof(buffer))) > 0)
		for (ssize_t at = 0; at < len && used < 3500;
		     at += (ssize_t)(sizeof(*event) + event->len)) {
			event = (const void *)(buffer + at);
			used += (size_t)snprintf(line + used,
			    sizeof(line) - used, "%s%s:", used ? ", " : "",
			    watched_name(event->wd));
			used += put_mask(line + used, sizeof(line) - used,
			    event->mask);
			if (event->len > 0)
				used += (size_t)snprintf(line + used,
				    sizeof(line) - used, " %s", event->name);
			if (event->cookie != 0)
				used += (size_t)snprintf(line + used,
				    sizeof(line) - used, "%s",
				    cookie == event->cookie ? " (same)" : "");
			cookie = event->cookie;
		}
	cmp_say(text, "%s", used > 0 ? line : "nothing");
}

static void
files(void)
{
	int fd;

	watch(".");
	fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0600);
	say_events("create");
	(void)!write(fd, "text", 4);
	say_events("write");
	(void)ftruncate(fd, 2);
	say_events("ftruncate");
	(void)close(fd);
	say_events("close");
	watch("f");
	cmp_put("f", "other");
	say_events("write a value");
	/*
	 * Opening with O_TRUNC and closing is not compared: the file is empty
	 * only then, and that is told once more (test_watch.sh).
	 */
	fd = open("f", O_WRONLY | O_TRUNC);
	(void)!write(fd, "x", 1);
	(void)close(fd);
	say_events("replace the value");
	(void)truncate("f", 10);
	say_events("truncate");
	(void)chmod("f", 0644);
	say_events("chmod");
	(void)chown("f", 1, 1);
	say_events("chown");
	(void)utimensat(AT_FDCWD, "f", NULL, 0);
	say_events("touch");
	(void)setxattr("f", "user.a", "1", 1, 0);
	say_events("setxattr");
	(void)removexattr("f", "user.a");
	say_events("removexattr");
	cmp_text("f");
	say_events("read");
	(void)unlink("f");
	say_events("unlink");
}

static void
renames(void)
{
	cmp_dir("a");
	cmp_dir("b");
	cmp_put("a/f", "");
	cmp_put("a/g", "");
	cmp_dir("a/d");
	watch("a");
	watch("b");
	watch("a/f");
	watch("a/d");
	(void)rename("a/f", "a/h");
	say_events("in one directory");
	(void)rename("a/h", "b/f");
	say_events("to another");
	(void)rename("b/f", "a/g");
	say_events("over a file");
	(void)rename("a/d", "b/d");
	say_events("a directory");
	(void)renameat2(AT_FDCWD, "a/g", AT_FDCWD, "b/d", RENAME_EXCHANGE);
	say_events("exchange");
	(void)rename("no", "b/x");
	say_events("nothing there");
}

static void
directories(void)
{
	int fd;

	watch(".");
	cmp_dir("d");
	say_events("mkdir");
	watch("d");
	cmp_put("d/f", "");
	say_events("create in it");
	(void)chmod("d", 0700);
	say_events("chmod");
	(void)mkfifo("d/p", 0600);
	say_events("mkfifo");
	(void)symlink("x", "d/l");
	say_events("symlink");
	(void)link("d/f", "g");
	say_events("link");
	(void)unlink("d/f");
	(void)unlink("d/p");
	(void)unlink("d/l");
	say_events("unlink");
	fd = open("d", O_RDONLY);
	(void)close(fd);
	say_events("open");
	(void)rmdir("d");
	say_events("rmdir");
}

static void
refused_calls(void)
{
	cmp_put("f", "");
	cmp_dir("d");
	watch(".");
	watch("d");
	(void)open("f", O_WRONLY | O_CREAT | O_EXCL, 0600);
	(void)mkdir("f", 0700);
	(void)unlink("d");
	(void)rmdir("f");
	(void)rename("no", "x");
	(void)link("d", "x");
	(void)chmod("no", 0600);
	say_events("none of them");
}

/* A file without a name is not deleted before it is closed. */
static void
unlinked(void)
{
	int fd;

	cmp_put("f", "");
	fd = open("f", O_RDWR);
	watch("f");
	(void)unlink("f");
	say_events("unlink");
	(void)!write(fd, "x", 1);
	say_events("write");
	(void)close(fd);
	say_events("close");
}

const struct cmp_case cmp_notify_cases[] = {
    {"notify.files", files},
    {"notify.renames", renames},
    {"notify.directories", directories},
    {"notify.refused_calls", refused_calls},
    {"notify.unlinked", unlinked},
    {NULL, NULL},
};
