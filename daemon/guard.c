#include "daemon/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sent by the kernel when the thread that forked us has ended. */
#define ENDED SIGUSR1

struct watch {
	char dir[PATH_MAX]; /* "": nothing is mounted yet */
	int fd;             /* of dir, O_PATH; only while looking */
	dev_t device;
};

/*
 * The root of what is mounted on dir.  Neither this nor what is done with it
 * asks the daemon anything.
 */
static bool
open_root(struct watch *watch, dev_t *ret_device)
{
	struct statx stx;

	watch->fd = open(watch->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (watch->fd < 0)
		return false;
	if (statx(watch->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &stx) <
	    0) {
		(void)close(watch->fd);
		return false;
	}
	*ret_device = makedev(stx.stx_dev_major, stx.stx_dev_minor);
	return true;
}

/*
 * MNT_FORCE ends all requests.  That the root is open keeps the mount where it
 * is; it would be unmounted, too.
 */
static void
abort_connection(struct watch *watch)
{
	char path[32];
	dev_t device;

	if (watch->dir[0] == '\0' || !open_root(watch, &device))
		return;
	if (device != watch->device)
		return;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", watch->fd);
	(void)umount2(path, MNT_FORCE);
}

/* A directory, in one message; or the end of what the daemon has to say. */
static void
hear(struct watch *watch, int fd)
{
	const ssize_t len = read(fd, watch->dir, sizeof(watch->dir) - 1);

	if (len <= 0)
		_exit(0);
	watch->dir[len] = '\0';
	if (open_root(watch, &watch->device))
		(void)close(watch->fd);
	else
		watch->dir[0] = '\0';
}

static _Noreturn void
serve(int fd, int signal_fd, pid_t daemon)
{
	static struct watch watch;
	struct signalfd_siginfo info;
	struct pollfd pfds[] = {
	    {.fd = signal_fd, .events = POLLIN},
	    {.fd = fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(pfds, 2, -1) < 0)
			continue;
		if ((pfds[0].revents & POLLIN) != 0 &&
		    read(signal_fd, &info, sizeof(info)) ==
		        (ssize_t)sizeof(info) &&
		    info.ssi_pid == (uint32_t)daemon) {
			/* What it said last may not have been heard yet. */
			if ((pfds[1].revents & POLLIN) != 0)
				hear(&watch, fd);
			abort_connection(&watch);
			_exit(0);
		}
		if (pfds[1].revents != 0)
			hear(&watch, fd);
	}
}

static _Noreturn void
become_guard(int fd, pid_t daemon)
{
	sigset_t all, ended;
	int null, signal_fd;

	/* It ends after the daemon, not when somebody ends the group. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)prctl(PR_SET_PDEATHSIG, ENDED);
	if (getppid() != daemon)
		_exit(0);
	(void)prctl(PR_SET_NAME, "zkfs-guard");
	(void)sigemptyset(&ended);
	(void)sigaddset(&ended, ENDED);
	if (dup2(fd, STDERR_FILENO + 1) < 0)
		_exit(1);
	fd = STDERR_FILENO + 1;
	(void)close_range((unsigned)fd + 1, ~0u, 0);
	null = open("/dev/null", O_RDWR);
	for (int i = STDIN_FILENO; i <= STDERR_FILENO && null >= 0; i++)
		(void)dup2(null, i);
	signal_fd = signalfd(-1, &ended, SFD_CLOEXEC);
	if (signal_fd < 0 || chdir("/") < 0)
		_exit(1);
	serve(fd, signal_fd, daemon);
}

int
zk_guard_fork(struct zk_guard *ret_guard)
{
	const pid_t daemon = getpid();
	int fds[2], rc;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		become_guard(fds[0], daemon);
	rc = -errno;
	(void)close(fds[0]);
	if (pid < 0) {
		(void)close(fds[1]);
		return rc;
	}
	*ret_guard = (struct zk_guard){.pid = pid, .fd = fds[1]};
	return 0;
}

void
zk_guard_begin(struct zk_guard *guard, const char *dir)
{
	/* A path fits into a pipe, and is read as one. */
	(void)!write(guard->fd, dir, strlen(dir));
}

void
zk_guard_end(struct zk_guard *guard)
{
	if (guard->pid <= 0)
		return;
	(void)close(guard->fd);
	(void)waitpid(guard->pid, NULL, 0);
	*guard = (struct zk_guard){.fd = -1};
}
