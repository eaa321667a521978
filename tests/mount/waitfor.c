/*
 * waitfor: the bounded waits of the tests of the mount.
 *
 *   waitfor gone SECONDS PID             until the process has ended
 *   waitfor mounted SECONDS DIR [PID]    until something is mounted on DIR;
 *                                        fails at once when PID ends
 *   waitfor unmounted SECONDS DIR        until nothing is
 *   waitfor text SECONDS FILE TEXT       until FILE has a line with TEXT
 *   waitfor asleep SECONDS PID           until a thread of it waits for an answer
 *                                        of a FUSE file system
 *   waitfor turns SECONDS                a newline on stdout every 10 ms, but
 *                                        only while the last one was read
 *
 *   waitfor passed SECONDS               for a fault that lasts so long
 *
 * Exit status 0: it came; 1: the time is over; 2: wrong use.  Every wait is a
 * ppoll(2) of what tells the event: a pidfd, mountinfo, an inotify queue.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TURN_MS 10
/* A text file is looked at again this often even without an event. */
#define LOOK_MS 200

static int64_t deadline_ms;

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Wait for an event, at most bound_ms (below 0: the deadline). */
static bool
wait_event(struct pollfd *fds, nfds_t count, int bound_ms)
{
	int64_t left = deadline_ms - now_ms();
	struct timespec ts;

	if (left <= 0)
		return false;
	if (bound_ms >= 0 && left > bound_ms)
		left = bound_ms;
	ts.tv_sec = (time_t)(left / 1000);
	ts.tv_nsec = (long)(left % 1000) * 1000000;
	if (ppoll(fds, count, &ts, NULL) < 0 && errno != EINTR)
		perror("waitfor: ppoll");
	return true;
}

static int
open_pid(const char *text)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(text, NULL, 10), 0);

	if (fd < 0 && errno != ESRCH)
		perror("waitfor: pidfd_open");
	return fd;
}

static int
wait_gone(const char *pid)
{
	struct pollfd pfd = {open_pid(pid), POLLIN, 0};

	if (pfd.fd < 0)
		return errno == ESRCH ? 0 : 2;
	(void)poll(&pfd, 1, 0); /* SECONDS may be 0 */
	while (pfd.revents == 0)
		if (!wait_event(&pfd, 1, -1))
			return 1;
	return 0;
}

/* The fifth field of a line of mountinfo is the directory. */
static bool
is_mounted(FILE *mountinfo, const char *dir)
{
	char line[8192], field[4097];
	bool found = false;

	rewind(mountinfo);
	while (fgets(line, sizeof(line), mountinfo) != NULL)
		if (sscanf(line, "%*s %*s %*s %*s %4096s", field) == 1 &&
		    strcmp(field, dir) == 0)
			found = true;
	return found;
}

static int
wait_mount(const char *dir, bool wanted, const char *pid)
{
	FILE *mountinfo = fopen("/proc/self/mountinfo", "re");
	struct pollfd fds[2] = {{-1, POLLPRI, 0}, {-1, POLLIN, 0}};

	if (mountinfo == NULL)
		return 2;
	fds[0].fd = fileno(mountinfo);
	if (pid != NULL) {
		fds[1].fd = open_pid(pid);
		if (fds[1].fd < 0)
			return 1;
	}
	while (is_mounted(mountinfo, dir) != wanted) {
		if (fds[1].revents != 0)
			return 1;
		if (!wait_event(fds, 2, -1))
			return 1;
	}
	return 0;
}

static bool
has_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	if (file == NULL)
		return false;
	while (!found && getline(&line, &size, file) >= 0)
		found = strstr(line, text) != NULL;
	free(line);
	(void)fclose(file);
	return found;
}

/* The directory is watched too: the file may not be there yet. */
static int
wait_text(const char *path, const char *text)
{
	struct pollfd pfd = {inotify_init1(IN_CLOEXEC | IN_NONBLOCK), POLLIN,
	    0};
	const char *slash = strrchr(path, '/');
	char *dir = slash != NULL ? strndup(path, (size_t)(slash - path) + 1)
	                          : strdup(".");
	char events[4096];

	if (dir == NULL)
		return 2;
	(void)inotify_add_watch(pfd.fd, dir, IN_MODIFY | IN_CREATE | IN_MOVE);
	free(dir);
	while (!has_text(path, text)) {
		if (!wait_event(&pfd, 1, LOOK_MS))
			return 1;
		while (read(pfd.fd, events, sizeof(events)) > 0)
			;
	}
	return 0;
}

/* Whether a thread's kernel stack ends in fs/fuse's wait for an answer. */
static bool
is_asking(const char *pid, const char *tid)
{
	char path[128], text[64] = "";
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/wchan", pid,
	    tid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	(void)!fgets(text, sizeof(text), file);
	(void)fclose(file);
	return strstr(text, "request_wait") != NULL;
}

/* Nothing tells when a process falls asleep: so look at each turn. */
static int
wait_asleep(const char *pid)
{
	char path[64];
	struct dirent *task;
	bool asks = false;
	DIR *tasks;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/task", pid);
	do {
		tasks = opendir(path);
		if (tasks == NULL)
			return 1;
		while (!asks && (task = readdir(tasks)) != NULL)
			asks = is_asking(pid, task->d_name);
		(void)closedir(tasks);
	} while (!asks && wait_event(NULL, 0, TURN_MS));
	return asks ? 0 : 1;
}

static int
give_turns(void)
{
	struct pollfd pfd = {STDOUT_FILENO, 0, 0}; /* POLLERR: no reader */
	int unread = 0;

	while (wait_event(&pfd, 1, TURN_MS)) {
		if (pfd.revents != 0)
			return 0;
		if (ioctl(STDOUT_FILENO, FIONREAD, &unread) < 0)
			return 2;
		if (unread == 0 && write(STDOUT_FILENO, "\n", 1) != 1)
			return 0;
	}
	return 1;
}

static int
let_pass(void)
{
	while (wait_event(NULL, 0, TURN_MS))
		;
	return 0;
}

int
main(int argc, char **argv)
{
	double seconds = argc > 2 ? strtod(argv[2], NULL) : 0;
	const char *verb = argc > 2 ? argv[1] : "";

	deadline_ms = now_ms() + (int64_t)(seconds * 1000);
	if (strcmp(verb, "gone") == 0 && argc == 4)
		return wait_gone(argv[3]);
	if (strcmp(verb, "mounted") == 0 && (argc == 4 || argc == 5))
		return wait_mount(argv[3], true, argc == 5 ? argv[4] : NULL);
	if (strcmp(verb, "unmounted") == 0 && argc == 4)
		return wait_mount(argv[3], false, NULL);
	if (strcmp(verb, "text") == 0 && argc == 5)
		return wait_text(argv[3], argv[4]);
	if (strcmp(verb, "asleep") == 0 && argc == 4)
		return wait_asleep(argv[3]);
	if (strcmp(verb, "turns") == 0 && argc == 3)
		return give_turns();
	if (strcmp(verb, "passed") == 0 && argc == 3)
		return let_pass();
	(void)fputs(
	    "usage: waitfor gone|mounted|unmounted|text|asleep|turns|passed "
	    "SECONDS [ARGUMENT...]\n",
	    stderr);
	return 2;
}
