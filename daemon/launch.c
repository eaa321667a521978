#include "daemon/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "daemon/mountpoint.h"

/* Between SIGTERM and SIGKILL, and between that and giving up. */
#define PATIENCE_MS 3000

/* See go_first(). */
#define DAEMON_NICE (-10)

/*
 * The one message on the socket pair, daemon to first process.  Sequenced
 * packets keep it whole, and a copy of the descriptor in a helper of the
 * daemon hides nothing: its death is seen by SIGCHLD, not by end of file.
 */
struct report {
	struct zk_fault fault; /* status ZK_EXIT_OK: ready */
};

/* The first process, waiting. */
struct waiter {
	pid_t daemon;
	int fd;        /* from the daemon */
	int signal_fd; /* SIGCHLD, and what may interrupt us */
	const char *dir;
	bool ended; /* and reaped: the number may be another process's */
	int status; /* how it ended */
};

/* Else /dev/fuse or a socket becomes number 0 to 2, and is closed later. */
static int
open_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0)
			return -errno;
	} while (fd <= STDERR_FILENO);
	(void)close(fd);
	return 0;
}

static void
detach_stdio(void)
{
	const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
		(void)dup2(fd, i);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

int
zk_launch_print(const struct zk_fault *fault)
{
	char line[ZK_FAULT_TEXT_MAX + 16];
	const int n =
	    snprintf(line, sizeof(line), "mount.zkfs: %s\n", fault->text);

	ZK_ASSERT(n > 0 && (size_t)n < sizeof(line));
	(void)!write(STDERR_FILENO, line, (size_t)n);
	return (int)fault->status;
}

/* The signals that the first process reads from a descriptor. */
static void
waiter_signals(sigset_t *ret_set)
{
	static const int signals[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP,
	    SIGQUIT};

	(void)sigemptyset(ret_set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaddset(ret_set, signals[i]);
}

/* Whether the daemon has ended by now. */
static bool
has_ended(struct waiter *waiter)
{
	waiter->ended = waiter->ended ||
	    waitpid(waiter->daemon, &waiter->status, WNOHANG) == waiter->daemon;
	return waiter->ended;
}

/* Wait up to ms for the daemon's end; true when it came. */
static bool
reap(struct waiter *waiter, int64_t ms)
{
	const int64_t deadline = (int64_t)zk_clock_ms() + ms;
	struct pollfd pfd = {.fd = waiter->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;
	int64_t left;

	for (;;) {
		if (has_ended(waiter))
			return true;
		left = deadline - (int64_t)zk_clock_ms();
		if (left <= 0)
			return false;
		if (poll(&pfd, 1, (int)left) > 0)
			(void)!read(waiter->signal_fd, &info, sizeof(info));
	}
}

/* No daemon may go on that nobody knows of, and no dead mount may stay. */
static void
end_daemon(struct waiter *waiter)
{
	struct zk_mountpoint mountpoint = {.state = ZK_MOUNT_DEAD};
	struct zk_fault ignored;

	if (!waiter->ended)
		(void)kill(waiter->daemon, SIGTERM);
	if (!reap(waiter, PATIENCE_MS)) {
		(void)kill(waiter->daemon, SIGKILL);
		(void)reap(waiter, PATIENCE_MS);
	}
	(void)snprintf(mountpoint.dir, sizeof(mountpoint.dir), "%s",
	    waiter->dir);
	if (zk_mountpoint_state(mountpoint.dir) == ZK_MOUNT_DEAD)
		(void)zk_mountpoint_clear(&mountpoint, &ignored);
}

static void
describe_end(int status, struct zk_fault *ret_fault)
{
	if (WIFSIGNALED(status))
		(void)zk_fault_set(ret_fault, -ECHILD, ZK_EXIT_MOUNT,
		    "the daemon was ended by signal %d (%s) before the mount "
		    "was usable",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		(void)zk_fault_set(ret_fault, -ECHILD, ZK_EXIT_MOUNT,
		    "the daemon exited with %d before the mount was usable",
		    WEXITSTATUS(status));
}

/* True once a report is in *ret_fault; false: none (yet). */
static bool
read_report(const struct waiter *waiter, struct zk_fault *ret_fault)
{
	struct report report;
	const ssize_t n =
	    recv(waiter->fd, &report, sizeof(report), MSG_DONTWAIT);

	if (n != (ssize_t)sizeof(report))
		return false;
	report.fault.text[sizeof(report.fault.text) - 1] = '\0';
	*ret_fault = report.fault;
	return true;
}

/* A signal for the first process; true when the waiting is over. */
static bool
take_signal(struct waiter *waiter, struct zk_fault *ret_fault)
{
	struct signalfd_siginfo info;

	if (read(waiter->signal_fd, &info, sizeof(info)) !=
	    (ssize_t)sizeof(info))
		return false;
	if (info.ssi_signo != SIGCHLD) {
		end_daemon(waiter);
		(void)zk_fault_set(ret_fault, -EINTR, ZK_EXIT_INTERRUPTED,
		    "interrupted, nothing is mounted");
		return true;
	}
	if (!has_ended(waiter))
		return false;
	/* It may have said why, and only then exited. */
	if (!read_report(waiter, ret_fault))
		describe_end(waiter->status, ret_fault);
	end_daemon(waiter);
	return true;
}

static void
wait_for_report(struct waiter *waiter, struct zk_fault *ret_fault)
{
	const int64_t patience = ZK_LAUNCH_QUORUM_MS + ZK_LAUNCH_MARGIN_MS;
	const int64_t deadline = (int64_t)zk_clock_ms() + patience;
	struct pollfd pfds[] = {
	    {.fd = waiter->fd, .events = POLLIN},
	    {.fd = waiter->signal_fd, .events = POLLIN},
	};
	int64_t left;

	while ((left = deadline - (int64_t)zk_clock_ms()) > 0) {
		if (poll(pfds, 2, (int)left) < 0 && errno != EINTR)
			break;
		if (read_report(waiter, ret_fault))
			return;
		/* Closed without a word: SIGCHLD tells the rest. */
		if ((pfds[0].revents & POLLHUP) != 0)
			pfds[0].fd = -1;
		if (pfds[1].revents != 0 && take_signal(waiter, ret_fault))
			return;
	}
	end_daemon(waiter);
	(void)zk_fault_set(ret_fault, -ETIMEDOUT, ZK_EXIT_MOUNT,
	    "the daemon was not ready within %d s, it was ended",
	    (int)(patience / 1000));
}

static _Noreturn void
first_process(struct waiter *waiter)
{
	struct zk_fault fault = {.status = ZK_EXIT_OK};

	wait_for_report(waiter, &fault);
	if (fault.status == ZK_EXIT_OK)
		_exit(ZK_EXIT_OK);
	/* When we are gone, so is the daemon and what it had locked. */
	(void)reap(waiter, PATIENCE_MS);
	_exit(zk_launch_print(&fault));
}

static void
become_daemon(const sigset_t *mask)
{
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)setsid();
}

static int
fork_daemon(const char *dir, struct zk_launch *ret_launch)
{
	struct waiter waiter = {.daemon = -1, .signal_fd = -1, .dir = dir};
	int sv[2], rc;
	sigset_t set, old;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	waiter_signals(&set);
	/* Blocked before the fork: the daemon's early death is not missed. */
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	waiter.fd = sv[0];
	waiter.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (waiter.signal_fd >= 0)
		waiter.daemon = fork();
	rc = -errno;
	if (waiter.daemon > 0) {
		(void)close(sv[1]);
		first_process(&waiter);
	}
	(void)close(sv[0]);
	if (waiter.signal_fd >= 0)
		(void)close(waiter.signal_fd);
	if (waiter.daemon == 0) {
		become_daemon(&old);
		ret_launch->fd = sv[1];
		return 0;
	}
	(void)close(sv[1]);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
	return rc;
}

/*
 * What a shell may write is for its own files: a limit on their size would end
 * us at the first larger one.  Where it cannot be lifted, the call fails.
 */
static void
lift_limits(void)
{
	const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};

	(void)setrlimit(RLIMIT_FSIZE, &none);
	(void)signal(SIGXFSZ, SIG_IGN);
}

/*
 * Everybody who runs instead of us may be waiting for us; and other members
 * take a host that is busy for one that is down.  A priority that somebody
 * has chosen stays, and without the right to a better one so does ours.
 */
static void
go_first(void)
{
	if (getpriority(PRIO_PROCESS, 0) == 0)
		(void)setpriority(PRIO_PROCESS, 0, DAEMON_NICE);
}

int
zk_launch_begin(bool foreground, const char *dir, struct zk_launch *ret_launch,
    struct zk_fault *ret_fault)
{
	struct zk_launch launch = {.fd = -1, .foreground = foreground};
	int rc = open_stdio();

	ZK_ASSERT(dir[0] == '/');

	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_SYSTEM,
		    "/dev/null: %s", zk_err_text(rc));
	/* The caller's locks and pipes must not live as long as we do. */
	if (!foreground) {
		(void)close_range(STDERR_FILENO + 1, ~0u, 0);
		rc = fork_daemon(dir, &launch);
	}
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_SYSTEM,
		    "cannot start the daemon: %s", zk_err_text(rc));
	lift_limits();
	go_first();
	/* A directory in use would be held, and could be our own mount. */
	(void)!chdir("/");
	*ret_launch = launch;
	return 0;
}

/* sd_notify(3), without the library. */
static void
notify_systemd(void)
{
	static const char message[] = "READY=1\nSTATUS=mounted\n";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len;
	int fd;

	if (path == NULL || (*path != '/' && *path != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	len += offsetof(struct sockaddr_un, sun_path);
	(void)sendto(fd, message, sizeof(message) - 1, MSG_NOSIGNAL,
	    (const struct sockaddr *)&addr, (socklen_t)len);
	(void)close(fd);
}

static void
send_report(struct zk_launch *launch, const struct zk_fault *fault)
{
	struct report report;

	memset(&report, 0, sizeof(report));
	report.fault.status = fault->status;
	(void)snprintf(report.fault.text, sizeof(report.fault.text), "%s",
	    fault->text);
	(void)send(launch->fd, &report, sizeof(report), MSG_NOSIGNAL);
	(void)close(launch->fd);
	launch->fd = -1;
}

void
zk_launch_ready(struct zk_launch *launch)
{
	const struct zk_fault ready = {.status = ZK_EXIT_OK};

	notify_systemd();
	if (launch->fd < 0)
		return;
	detach_stdio();
	send_report(launch, &ready);
}

_Noreturn void
zk_launch_fail(struct zk_launch *launch, const struct zk_fault *fault)
{
	ZK_ASSERT(fault->status != ZK_EXIT_OK);

	if (launch->fd >= 0)
		send_report(launch, fault);
	else if (launch->foreground)
		(void)zk_launch_print(fault);
	_exit((int)fault->status);
}

void
zk_launch_leave(struct zk_launch *launch)
{
	if (launch->fd >= 0)
		(void)close(launch->fd);
	launch->fd = -1;
	if (!launch->foreground)
		detach_stdio();
}
