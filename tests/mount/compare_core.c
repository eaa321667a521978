#include "tests/mount/compare.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The outcome of a call, and what it did to times. */

#define WATCHED_MAX  6
#define OLD_SECONDS  1000000000
#define TICK_TRIES   200
#define REPEAT_MAX   70000
#define CONTENT_MAX  (1u << 20)
#define RUN_LONG_MIN 8

static const char *case_name = "";

static struct watched {
	const char *path;
	size_t path_len;
	int fd;
	struct stat before;
} watched[WATCHED_MAX];
static size_t watched_count;

void
cmp_begin(const char *name)
{
	case_name = name;
	(void)setvbuf(stdout, NULL, _IOLBF, 1 << 16);
}

void
cmp_say(const char *text, const char *fmt, ...)
{
	va_list ap;

	(void)printf("%s: %s = ", case_name, text);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	(void)putchar('\n');
}

static const char *
outcome(long result)
{
	static char number[32];
	const char *name;

	if (result == 0)
		return "ok";
	if (result == -1) {
		name = strerrorname_np(errno);
		if (name != NULL)
			return name;
		(void)snprintf(number, sizeof(number), "errno %d", errno);
		return number;
	}
	(void)snprintf(number, sizeof(number), "%ld", result);
	return number;
}

long
cmp_step(const char *text, long result)
{
	cmp_say(text, "%s", outcome(result));
	return result;
}

int
cmp_fd(const char *text, int fd)
{
	cmp_say(text, "%s", outcome(fd < 0 ? -1 : 0));
	return fd;
}

void
cmp_opened(const char *text, int fd)
{
	(void)cmp_fd(text, fd);
	if (fd >= 0)
		(void)close(fd);
}

static char
type_letter(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFCHR:
		return 'c';
	case S_IFBLK:
		return 'b';
	default:
		return '?';
	}
}

static void
say_stat(const char *text, int result, const struct stat *st)
{
	char size[32] = "";

	if (result < 0) {
		cmp_say(text, "%s", outcome(-1));
		return;
	}
	if (!S_ISDIR(st->st_mode))
		(void)snprintf(size, sizeof(size), " size %lld",
		    (long long)st->st_size);
	cmp_say(text, "%c %04o nlink %lu%s %u:%u", type_letter(st->st_mode),
	    st->st_mode & 07777u, (unsigned long)st->st_nlink, size, st->st_uid,
	    st->st_gid);
}

static const char *
shown(const char *call, const char *path)
{
	static char text[400];

	(void)snprintf(text, sizeof(text), "%s(%.300s)", call, path);
	return text;
}

void
cmp_lstat(const char *path)
{
	struct stat st;

	say_stat(shown("lstat", path), lstat(path, &st), &st);
}

void
cmp_fstat(const char *text, int fd)
{
	struct stat st;

	say_stat(text, fstat(fd, &st), &st);
}

void
cmp_type(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		cmp_say(shown("type", path), "%s", outcome(-1));
	else
		cmp_say(shown("type", path), "%c", type_letter(st.st_mode));
}

void
cmp_bytes(const char *text, const char *data, ssize_t len)
{
	char out[600];
	size_t used = 0, run;

	if (len < 0) {
		cmp_say(text, "%s", outcome(-1));
		return;
	}
	for (size_t i = 0; i < (size_t)len && used < 500; i += run) {
		for (run = 1; i + run < (size_t)len; run++)
			if (data[i + run] != data[i])
				break;
		if (run < RUN_LONG_MIN)
			run = 1;
		used += (size_t)snprintf(out + used, sizeof(out) - used,
		    isprint((unsigned char)data[i]) ? "%c" : "\\%03o",
		    (unsigned char)data[i]);
		if (run > 1)
			used += (size_t)snprintf(out + used, sizeof(out) - used,
			    "{%zu}", run);
	}
	out[used] = '\0';
	cmp_say(text, "%zd \"%s\"", len, out);
}

void
cmp_pread(const char *text, int fd, size_t len, off_t offset)
{
	char *data = calloc(1, len + 1);

	cmp_need(data == NULL ? -1 : 0, "calloc");
	cmp_bytes(text, data, pread(fd, data, len, offset));
	free(data);
}

void
cmp_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		cmp_say(shown("content", path), "%s", outcome(-1));
		return;
	}
	cmp_pread(shown("content", path), fd, CONTENT_MAX, 0);
	(void)close(fd);
}

/* ---- times ---- */

/* Later changes get a later time, however coarse the kernel's clock. */
static void
pass_tick(const struct timespec *than)
{
	struct timespec now;

	for (int i = 0; i < TICK_TRIES; i++) {
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (now.tv_sec > than->tv_sec ||
		    (now.tv_sec == than->tv_sec && now.tv_nsec > than->tv_nsec))
			return;
		(void)poll(NULL, 0, 1);
	}
}

/* An open descriptor, so that a file can be asked after it lost its name. */
static int
open_watched(const char *path)
{
	struct stat st;

	cmp_need(lstat(path, &st), path);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		return open(path, O_RDONLY | O_CLOEXEC);
	return open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

void
cmp_times_begin(const char *paths)
{
	const struct timespec old[2] = {{OLD_SECONDS, 0}, {OLD_SECONDS, 0}};
	struct watched *w;
	char path[256];
	uid_t uid = geteuid();

	cmp_as_root();
	watched_count = 0;
	while (*paths != '\0' && watched_count < WATCHED_MAX) {
		w = &watched[watched_count++];
		w->path = paths;
		w->path_len = strcspn(paths, " ");
		paths += w->path_len;
		paths += strspn(paths, " ");
		(void)snprintf(path, sizeof(path), "%.*s", (int)w->path_len,
		    w->path);
		w->fd = open_watched(path);
		cmp_need(w->fd, path);
		cmp_need(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW),
		    "utimensat");
	}
	for (size_t i = 0; i < watched_count; i++) {
		cmp_need(fstat(watched[i].fd, &watched[i].before), "fstat");
		pass_tick(&watched[i].before.st_ctim);
	}
	if (uid != 0)
		cmp_as(uid);
}

static bool
differ(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

void
cmp_times_end(const char *text, long result)
{
	char line[512];
	struct stat st;
	struct watched *w;
	size_t used;

	used = (size_t)snprintf(line, sizeof(line), "%s", outcome(result));
	for (size_t i = 0; i < watched_count; i++) {
		bool a, m, c;

		w = &watched[i];
		cmp_need(fstat(w->fd, &st), "fstat of an open file");
		a = differ(&st.st_atim, &w->before.st_atim);
		m = differ(&st.st_mtim, &w->before.st_mtim);
		c = differ(&st.st_ctim, &w->before.st_ctim);
		used += (size_t)snprintf(line + used, sizeof(line) - used,
		    " %.*s:%s%s%s%s", (int)w->path_len, w->path, a ? "a" : "",
		    m ? "m" : "", c ? "c" : "", a || m || c ? "" : "-");
		(void)close(w->fd);
	}
	watched_count = 0;
	cmp_say(text, "%s", line);
}

/* ---- making things ---- */

void
cmp_need(int result, const char *what)
{
	if (result >= 0)
		return;
	cmp_say(what, "CANNOT: %s", outcome(-1));
	(void)fflush(stdout);
	_exit(1);
}

void
cmp_put(const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	size_t len = strlen(content);

	cmp_need(fd, path);
	if (len > 0 && write(fd, content, len) != (ssize_t)len)
		cmp_need(-1, path);
	cmp_need(close(fd), path);
}

void
cmp_dir(const char *path)
{
	cmp_need(mkdir(path, 0755), path);
}

const char *
cmp_repeat(char c, size_t count)
{
	static char text[REPEAT_MAX + 1];

	if (count > REPEAT_MAX)
		count = REPEAT_MAX;
	(void)memset(text, c, count);
	text[count] = '\0';
	return text;
}

/* ---- who ---- */

void
cmp_as(uid_t uid)
{
	const gid_t groups[2] = {uid, CMP_GROUP};

	cmp_as_root();
	cmp_need(setgroups(uid == CMP_USER ? 2 : 1, groups), "setgroups");
	cmp_need(setresgid((gid_t)-1, uid, (gid_t)-1), "setresgid");
	cmp_need(setresuid((uid_t)-1, uid, (uid_t)-1), "setresuid");
}

void
cmp_as_root(void)
{
	const gid_t group = 0;

	cmp_need(setresuid((uid_t)-1, 0, (uid_t)-1), "setresuid");
	cmp_need(setresgid((gid_t)-1, 0, (gid_t)-1), "setresgid");
	cmp_need(setgroups(1, &group), "setgroups");
}

void
cmp_become(uid_t uid)
{
	cmp_as(uid);
	cmp_need(setresuid((uid_t)-1, 0, (uid_t)-1), "setresuid");
	cmp_need(setresgid(uid, uid, uid), "setresgid");
	cmp_need(setresuid(uid, uid, uid), "setresuid");
}

/* ---- processes ---- */

pid_t
cmp_spawn(void (*fn)(void *arg), void *arg)
{
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	cmp_need(pid, "fork");
	if (pid == 0) {
		(void)alarm(100);
		fn(arg);
		(void)fflush(stdout);
		_exit(0);
	}
	return pid;
}

void
cmp_join(pid_t pid)
{
	int status = 0;

	cmp_need(waitpid(pid, &status, 0), "waitpid");
	if (WIFSIGNALED(status))
		cmp_say("child", "died of SIG%s",
		    sigabbrev_np(WTERMSIG(status)));
}

void
cmp_child(void (*fn)(void *arg), void *arg)
{
	cmp_join(cmp_spawn(fn, arg));
}
