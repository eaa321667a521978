/*
 * zkfs lock: flock(1) that gives the command its fence and ends it when the
 * lock is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "ctl/child.h"
#include "ctl/ctl.h"
#include "ctl/guard.h"
#include "ctl/say.h"
#include "ctl/value.h"
#include "ctl/where.h"

struct request {
	bool shared, no_wait, has_limit;
	uint32_t wait_ms; /* if has_limit */
	uint32_t grace_ms;
	const char *path;
	char *const *argv;
};

static volatile sig_atomic_t alarm_rang;

static void
on_alarm(int signo)
{
	(void)signo;
	alarm_rang = 1;
}

/*
 * From the end of the wait on the alarm rings again and again: one that came
 * just before the call to flock(2) would be missed.
 */
static void
set_alarm(uint32_t first_ms)
{
	const struct itimerval timer = {
	    .it_value = {.tv_sec = first_ms / 1000,
	        .tv_usec = (suseconds_t)(first_ms % 1000) * 1000},
	    .it_interval = {.tv_usec = 50000},
	};
	const struct itimerval none = {0};
	struct sigaction action = {.sa_handler = on_alarm};

	(void)sigemptyset(&action.sa_mask);
	(void)sigaction(SIGALRM, &action, NULL);
	(void)setitimer(ITIMER_REAL, first_ms > 0 ? &timer : &none, NULL);
}

static int
take_lock(int fd, const struct request *request)
{
	const int how = request->shared ? LOCK_SH : LOCK_EX;
	int rc;

	if (flock(fd, how | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK || request->no_wait)
		return -errno;
	if (request->has_limit && request->wait_ms == 0)
		return -EWOULDBLOCK;
	if (request->has_limit)
		set_alarm(request->wait_ms);
	do
		rc = flock(fd, how) < 0 ? -errno : 0;
	while (rc == -EINTR && alarm_rang == 0);
	if (request->has_limit)
		set_alarm(0);
	return rc == -EINTR ? -EWOULDBLOCK : rc;
}

static int
open_lock(const char *path)
{
	int fd;

	fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
	/* In a sticky directory the kernel may refuse O_CREAT for a file. */
	if (fd < 0 && errno == EACCES) {
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
		/* It is the making that was not allowed. */
		if (fd < 0 && errno == ENOENT)
			errno = EACCES;
	}
	return fd < 0 ? -errno : fd;
}

/* True when the name leads to the file that was locked. */
static bool
is_same_file(int fd, const char *path)
{
	struct stat by_fd, by_path;

	return fstat(fd, &by_fd) == 0 && stat(path, &by_path) == 0 &&
	    by_fd.st_dev == by_path.st_dev && by_fd.st_ino == by_path.st_ino;
}

/* Returns an open and locked file, or -errno. */
static int
lock_file(const char *path, const struct request *request)
{
	int fd, rc;

	for (;;) {
		fd = open_lock(path);
		if (fd < 0)
			return fd;
		rc = take_lock(fd, request);
		if (rc < 0) {
			(void)close(fd);
			return rc;
		}
		/* Removed while we waited: others lock the new one. */
		if (is_same_file(fd, path))
			return fd;
		(void)close(fd);
	}
}

static int
run_locked(const struct zk_ctl *ctl, const struct request *request, int fd,
    const char *path, const struct zk_ctl_mount *mount)
{
	struct zk_ctl_held held = {
	    .fd = fd,
	    .path = path,
	    .mount = mount->dir,
	    .xattr = "user.zkfs.fence",
	};
	struct zk_ctl_child child = {
	    .argv = request->argv,
	    .what = path,
	    .grace_ms = request->grace_ms,
	};
	int rc, status;

	rc = zk_ctl_xattr_number(fd, held.xattr, &held.number);
	if (rc == 0)
		rc = zk_ctl_guard_start(&held, &child.guard);
	if (rc < 0) {
		zk_ctl_say_errno(ctl, path, -rc);
		return ZK_EXIT_TROUBLE;
	}
	child.fence = held.number;
	status = zk_ctl_child_run(ctl, &child);
	zk_ctl_guard_stop(child.guard);
	return status;
}

static int
lock(struct zk_ctl *ctl, const struct request *request)
{
	const struct zk_ctl_mount *mount;
	int status = ZK_EXIT_TROUBLE, fd;
	char *path;

	if (zk_ctl_where_path(ctl, request->path, &path, &mount) < 0)
		return ZK_EXIT_TROUBLE;
	fd = lock_file(path, request);
	if (fd >= 0) {
		status = run_locked(ctl, request, fd, path, mount);
		/* A close does not wait until it is free for others. */
		if (status != ZK_EXIT_LOST)
			(void)flock(fd, LOCK_UN);
		(void)close(fd);
	} else if (fd == -EWOULDBLOCK) {
		zk_ctl_say(ctl, "%s: locked by another process", path);
		status = ZK_EXIT_TAKEN;
	} else {
		zk_ctl_say_errno(ctl, path, -fd);
	}
	free(path);
	return status;
}

/* Returns -1 to go on, else the exit status. */
static int
take_option(struct zk_ctl *ctl, int option, char **argv,
    struct request *request)
{
	switch (option) {
	case 's':
		request->shared = true;
		return -1;
	case 'n':
		request->no_wait = true;
		return -1;
	case 'w':
		request->has_limit = true;
		return zk_ctl_option_seconds(ctl, &request->wait_ms);
	case 'g':
		return zk_ctl_option_seconds(ctl, &request->grace_ms);
	default:
		return zk_ctl_option(ctl, option, argv);
	}
}

static int
run(struct zk_ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
	    ZK_CTL_LONG,
	    {"grace", required_argument, NULL, 'g'},
	    {"nonblock", no_argument, NULL, 'n'},
	    {"shared", no_argument, NULL, 's'},
	    {"wait", required_argument, NULL, 'w'},
	    {0},
	};
	struct request request = {.grace_ms = ZK_CTL_GRACE_DEFAULT_MS};
	int option, status;

	while ((option = getopt_long(argc, argv, ZK_CTL_SHORT "g:nsw:", options,
	            NULL)) != -1) {
		status = take_option(ctl, option, argv, &request);
		if (status >= 0)
			return status;
	}
	argv += optind;
	argc -= optind;
	if (argc < 3 || strcmp(argv[1], "--") != 0)
		return zk_ctl_usage(ctl);
	request.path = argv[0];
	request.argv = argv + 2;
	return lock(ctl, &request);
}

const struct zk_ctl_command zk_ctl_lock = {
    .name = "lock",
    .arguments = "[-ns] [-w SECS] [-g SECS] [-m DIR] PATH -- CMD [ARG...]",
    .summary = "Run a command under a lock",
    .details =
        "Locks PATH as flock(1) does, makes the file where it is missing, and\n"
        "runs CMD with ZKFS_FENCE in its environment.  When the lock is lost,\n"
        "CMD and all it started are ended.\n\n"
        "  -s, --shared      share the lock with others that say -s\n"
        "  -n, --nonblock    do not wait\n"
        "  -w, --wait SECS   wait no longer than this\n"
        "  -g, --grace SECS  between SIGTERM and SIGKILL after a loss (10)\n"
        "  -m, --mount DIR   the mount that PATH is on\n\n"
        "Exit status: that of CMD, 128+N if signal N ended it; 1 locked by\n"
        "another process, 124 the lock was lost, 125 trouble, 126 or 127 CMD\n"
        "cannot run.\n",
    .run = run,
};
