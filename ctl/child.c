#include "ctl/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "ctl/say.h"
#include "ctl/tree.h"

/* While ending: how often to look who is left. */
#define ENDING_TICK_MS 20

/* After SIGKILL a process in an uninterruptible call may stay; not we. */
#define KILLED_MS_MAX 5000

static const int passed_on[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
    SIGUSR2};

struct running {
	const struct zk_ctl *ctl;
	const struct zk_ctl_child *child;
	pid_t pid; /* 0: nothing runs */
	int signal_fd;
	int status; /* of waitpid(2), once ended */
	bool ended;
};

/* In the child: never returns. */
static void
become_command(const struct zk_ctl_child *child, pid_t parent,
    const sigset_t *mask, int error_fd)
{
	char fence[24];
	int err;

	/* Whoever kills zkfs frees what it held: nobody may work on. */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(ZK_EXIT_LOST);
	(void)snprintf(fence, sizeof(fence), "%" PRIu64, child->fence);
	if (setenv("ZKFS_FENCE", fence, 1) == 0) {
		(void)sigprocmask(SIG_SETMASK, mask, NULL);
		(void)execvp(child->argv[0], child->argv);
	}
	err = errno;
	(void)!write(error_fd, &err, sizeof(err));
	_exit(ZK_EXIT_TROUBLE);
}

/*
 * Returns 0, or an exit status with everything said.  A pipe that closes on
 * exec tells a command that failed from one that could not be run.
 */
static int
start(struct running *running, const sigset_t *mask)
{
	const pid_t parent = getpid();
	int pipe_fds[2], err = 0;
	ssize_t got;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0) {
		zk_ctl_say_errno(running->ctl, "pipe", errno);
		return ZK_EXIT_TROUBLE;
	}
	running->pid = fork();
	if (running->pid == 0)
		become_command(running->child, parent, mask, pipe_fds[1]);
	if (running->pid < 0)
		err = errno;
	(void)close(pipe_fds[1]);
	if (running->pid > 0) {
		do
			got = read(pipe_fds[0], &err, sizeof(err));
		while (got < 0 && errno == EINTR);
		if (got > 0)
			(void)waitpid(running->pid, NULL, 0);
	}
	(void)close(pipe_fds[0]);
	if (err == 0)
		return 0;
	zk_ctl_say(running->ctl, "%s: %s", running->child->argv[0],
	    strerror(err));
	if (running->pid < 0)
		return ZK_EXIT_TROUBLE;
	return err == ENOENT ? ZK_EXIT_NOT_FOUND : ZK_EXIT_CANNOT_RUN;
}

/* Orphans of the command come to us as well. */
static void
reap(struct running *running)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == running->pid) {
			running->status = status;
			running->ended = true;
		}
}

/* Returns true for a signal that ends a wait without a command. */
static bool
take_signals(struct running *running, bool pass_on)
{
	struct signalfd_siginfo info;
	bool told_to_end = false;

	while (read(running->signal_fd, &info, sizeof(info)) ==
	    (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			reap(running);
			continue;
		}
		told_to_end = running->pid == 0;
		/* What a terminal sends, the command has got as well. */
		if (pass_on && running->pid > 0 && !running->ended &&
		    info.ssi_code != SI_KERNEL)
			(void)kill(running->pid, (int)info.ssi_signo);
	}
	return told_to_end;
}

static int
signal_all(const struct running *running, int signo)
{
	int count = zk_ctl_tree_signal(signo);

	if (count >= 0)
		return count;
	/* Without /proc: the command itself, at least. */
	if (running->ended)
		return 0;
	(void)kill(running->pid, signo);
	return 1;
}

/* SIGTERM, then after a while SIGKILL, to all that is left. */
static void
end_all(struct running *running)
{
	const int64_t grace_ends =
	    (int64_t)zk_clock_ms() + running->child->grace_ms;
	struct pollfd fd = {.fd = running->signal_fd, .events = POLLIN};
	int left = signal_all(running, SIGTERM);

	/* A stopped process takes SIGTERM only when it runs again. */
	(void)signal_all(running, SIGCONT);
	while (
	    left > 0 && (int64_t)zk_clock_ms() < grace_ends + KILLED_MS_MAX) {
		(void)poll(&fd, 1, ENDING_TICK_MS);
		(void)take_signals(running, false);
		reap(running);
		left = signal_all(running,
		    (int64_t)zk_clock_ms() < grace_ends ? 0 : SIGKILL);
	}
	if (left > 0)
		zk_ctl_say(running->ctl,
		    "%d processes do not end, even by SIGKILL", left);
}

static int
exit_status(int status)
{
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static int
attend(struct running *running)
{
	struct zk_ctl_guard *guard = running->child->guard;
	struct pollfd fds[2] = {
	    {.fd = running->signal_fd, .events = POLLIN},
	    {.fd = guard != NULL ? zk_ctl_guard_fd(guard) : -1,
	        .events = POLLIN},
	};
	const char *why;
	int ready;

	for (;;) {
		ready = poll(fds, 2, ZK_CTL_GUARD_TICK_MS);
		if (take_signals(running, true))
			return ZK_EXIT_OK;
		if (running->ended)
			return exit_status(running->status);
		/* The guard counts its calls as ticks: only where one was. */
		if (guard == NULL || (ready > 0 && fds[1].revents == 0))
			continue;
		why = zk_ctl_guard_lost(guard);
		if (why == NULL)
			continue;
		zk_ctl_say(running->ctl, "%s is lost: %s%s",
		    running->child->what, why,
		    running->pid > 0 ? "; ending the command" : "");
		if (running->pid > 0)
			end_all(running);
		return ZK_EXIT_LOST;
	}
}

int
zk_ctl_child_run(const struct zk_ctl *ctl, const struct zk_ctl_child *child)
{
	struct running running = {.ctl = ctl, .child = child};
	sigset_t mask, old;
	int status = 0;

	ZK_ASSERT(child->what != NULL);

	/* Inherited as ignored, it would hide the end of the command. */
	(void)signal(SIGCHLD, SIG_DFL);
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGCHLD);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		(void)sigaddset(&mask, passed_on[i]);
	(void)sigprocmask(SIG_BLOCK, &mask, &old);
	running.signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (running.signal_fd < 0) {
		zk_ctl_say_errno(ctl, "signalfd", errno);
		return ZK_EXIT_TROUBLE;
	}
	if (child->argv != NULL) {
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
		status = start(&running, &old);
	}
	if (status == 0)
		status = attend(&running);
	(void)close(running.signal_fd);
	return status;
}
