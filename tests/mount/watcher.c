/*
 * watcher: inotify(7) as it comes, one event a line.
 *
 *   watcher LABEL=PATH...   "ready", then lines of
 *                           EVENT[,EVENT...] LABEL[/NAME] [#COOKIE]
 *
 * Cookies are counted from 1, in the order in which they come.  Ends when
 * nobody reads.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define WATCHES_MAX 64

static const struct {
	uint32_t bit;
	const char *name;
} names[] = {
    {IN_ACCESS, "ACCESS"},
    {IN_MODIFY, "MODIFY"},
    {IN_ATTRIB, "ATTRIB"},
    {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
    {IN_OPEN, "OPEN"},
    {IN_MOVED_FROM, "MOVED_FROM"},
    {IN_MOVED_TO, "MOVED_TO"},
    {IN_CREATE, "CREATE"},
    {IN_DELETE, "DELETE"},
    {IN_DELETE_SELF, "DELETE_SELF"},
    {IN_MOVE_SELF, "MOVE_SELF"},
    {IN_UNMOUNT, "UNMOUNT"},
    {IN_Q_OVERFLOW, "Q_OVERFLOW"},
    {IN_IGNORED, "IGNORED"},
    {IN_ISDIR, "ISDIR"},
};

static const char *labels[WATCHES_MAX];
static int watches[WATCHES_MAX];
static int watch_count;

static const char *
label_of(int wd)
{
	for (int i = 0; i < watch_count; i++)
		if (watches[i] == wd)
			return labels[i];
	return "?";
}

/* The last ones are enough: both halves of a rename come together. */
static unsigned
cookie_number(uint32_t cookie)
{
	static uint32_t seen[16];
	static unsigned count;

	for (unsigned i = 0; i < 16 && i < count; i++)
		if (seen[(count - 1 - i) % 16] == cookie)
			return count - i;
	seen[count % 16] = cookie;
	return ++count;
}

static void
print_event(const struct inotify_event *event)
{
	const char *separator = "";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if ((event->mask & names[i].bit) != 0) {
			(void)printf("%s%s", separator, names[i].name);
			separator = ",";
		}
	(void)printf(" %s", label_of(event->wd));
	if (event->len > 0)
		(void)printf("/%s", event->name);
	if (event->cookie != 0)
		(void)printf(" #%u", cookie_number(event->cookie));
	(void)putchar('\n');
}

int
main(int argc, char *argv[])
{
	static char buf[65536]
	    __attribute__((aligned(__alignof__(struct inotify_event))));
	const int fd = inotify_init1(IN_CLOEXEC);
	ssize_t n;

	for (int i = 1; i < argc && i <= WATCHES_MAX; i++) {
		char *path = strchr(argv[i], '=');
		if (path == NULL)
			return 2;
		*path++ = '\0';
		labels[watch_count] = argv[i];
		watches[watch_count] =
		    inotify_add_watch(fd, path, IN_ALL_EVENTS);
		if (watches[watch_count++] < 0) {
			(void)fprintf(stderr, "watcher: %s: %s\n", path,
			    strerror(errno));
			return 1;
		}
	}
	(void)puts("ready");
	while (fflush(stdout) == 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n;) {
			/* Aligned by the kernel. */
			const struct inotify_event *event = (const void *)at;
			print_event(event);
			at += sizeof(*event) + event->len;
		}
	return 1;
}
