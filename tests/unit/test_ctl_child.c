/*
 * The command that runs while something is held, on an ordinary directory:
 * what becomes of its status, its signals, its descriptors, and of everything
 * it started when what was held is lost.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

/* The objects of ctl/ belong to its program: a test brings what it tests. */
/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "ctl/child.c"
#include "ctl/guard.c"
#include "ctl/text.c"
#include "ctl/tree.c"
/* NOLINTEND(bugprone-suspicious-include) */

static const struct zk_ctl_command command = {.name = "test"};
static const struct zk_ctl context = {.command = &command};
static char said[512];

/* Vectors of arguments are not const. */
static char word_sh[] = "sh", word_c[] = "-c";

/* In the place of those that want the mount. */
void
zk_ctl_say(const struct zk_ctl *ctl, const char *fmt, ...)
{
	va_list ap;

	(void)ctl;
	va_start(ap, fmt);
	(void)vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
}

void
zk_ctl_say_errno(const struct zk_ctl *ctl, const char *what, int err)
{
	zk_ctl_say(ctl, "%s: %s", what, strerror(err));
}

int
zk_ctl_xattr_number(int fd, const char *name, uint64_t *ret_number)
{
	(void)fd;
	(void)name;
	(void)ret_number;
	return -EOPNOTSUPP;
}

static int
run_shell(const char *script)
{
	char *const argv[] = {word_sh, word_c, (char *)(uintptr_t)script, NULL};
	const struct zk_ctl_child child = {
	    .argv = argv,
	    .what = "nothing",
	    .fence = 42,
	    .grace_ms = 100,
	};

	return zk_ctl_child_run(&context, &child);
}

static int
run_program(const char *path)
{
	char *const argv[] = {(char *)(uintptr_t)path, NULL};
	const struct zk_ctl_child child = {.argv = argv, .what = "nothing"};

	return zk_ctl_child_run(&context, &child);
}

Test(ctl_child, status_of_the_command_is_passed_on)
{
	cr_expect_eq(run_shell("exit 0"), 0);
	cr_expect_eq(run_shell("exit 7"), 7);
	cr_expect_eq(run_shell("kill -KILL $$"), 128 + SIGKILL);
}

Test(ctl_child, command_that_cannot_run_is_told_from_one_that_failed)
{
	cr_expect_eq(run_program("/nonexistent/program"), ZK_EXIT_NOT_FOUND);
	cr_expect_str_eq(said,
	    "/nonexistent/program: No such file or directory");
	cr_expect_eq(run_program("/"), ZK_EXIT_CANNOT_RUN);
	cr_expect_str_eq(said, "/: Permission denied");
}

Test(ctl_child, fence_is_in_the_environment)
{
	cr_expect_eq(run_shell("test \"$ZKFS_FENCE\" = 42"), 0);
}

/* A lock that the command inherited would outlive it in its children. */
Test(ctl_child, descriptors_do_not_leak_into_the_command)
{
	int fd = open("/", O_RDONLY | O_CLOEXEC);
	char script[128];

	cr_assert_geq(fd, 0);
	(void)snprintf(script, sizeof(script),
	    "test -z \"$(ls -l /proc/self/fd | grep -e ' %d -> ' -e signalfd "
	    "-e eventfd -e inotify)\"",
	    fd);
	cr_expect_eq(run_shell(script), 0);
	(void)close(fd);
}

Test(ctl_child, command_starts_with_no_signal_blocked)
{
	cr_expect_eq(run_shell("grep -q '^SigBlk:\t0*$' /proc/self/status"), 0);
}

Test(ctl_child, signal_for_the_end_is_passed_on)
{
	cr_expect_eq(run_shell("trap 'exit 9' TERM; kill -TERM $PPID; "
	                       "while :; do :; done"),
	    9);
}

Test(ctl_child, signal_of_the_users_is_passed_on)
{
	cr_expect_eq(run_shell("trap 'exit 8' USR1; kill -USR1 $PPID; "
	                       "while :; do :; done"),
	    8);
}

Test(ctl_child, command_that_a_passed_signal_ends_shows_it)
{
	cr_expect_eq(run_shell("kill -HUP $PPID; while :; do :; done"),
	    128 + SIGHUP);
}

Test(ctl_child, without_a_command_a_signal_ends_the_wait)
{
	const struct zk_ctl_child nothing = {.what = "nothing"};
	sigset_t mask;

	/* Blocked, so that it is there when the wait begins. */
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	cr_assert_eq(kill(getpid(), SIGTERM), 0);
	cr_expect_eq(zk_ctl_child_run(&context, &nothing), ZK_EXIT_OK);
}

/* A file in a directory of its own, held open, and a guard over it. */
struct fixture {
	char dir[64], path[128];
	struct zk_ctl_held held;
	struct zk_ctl_guard *guard;
};

static void
hold_file(struct fixture *f)
{
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/zkfs-child-XXXXXX");
	cr_assert_not_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/held", f->dir);
	f->held.fd =
	    open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert_geq(f->held.fd, 0);
	f->held.path = f->path;
	cr_assert_eq(zk_ctl_guard_start(&f->held, &f->guard), 0);
}

static void
drop_file(struct fixture *f)
{
	char script[256];

	zk_ctl_guard_stop(f->guard);
	(void)close(f->held.fd);
	(void)snprintf(script, sizeof(script), "rm -r '%s'", f->dir);
	cr_expect_eq(system(script), 0);
}

static int
run_held(const struct fixture *f, const char *script)
{
	char *const argv[] = {word_sh, word_c, (char *)(uintptr_t)script,
	    word_sh, (char *)(uintptr_t)f->dir, NULL};
	const struct zk_ctl_child child = {
	    .argv = argv,
	    .what = f->path,
	    .grace_ms = 200,
	    .guard = f->guard,
	};

	return zk_ctl_child_run(&context, &child);
}

Test(ctl_child, command_ends_while_it_is_held)
{
	struct fixture f = {0};

	hold_file(&f);
	cr_expect_eq(run_held(&f, "exit 3"), 3);
	drop_file(&f);
}

Test(ctl_child, loss_ends_the_command)
{
	struct fixture f = {0};

	hold_file(&f);
	cr_expect_eq(run_held(&f, "rm \"$1/held\"; exec tail -f /dev/null"),
	    ZK_EXIT_LOST);
	cr_expect_not_null(strstr(said, "is lost: it was removed"), "%s", said);
	drop_file(&f);
}

Test(ctl_child, rename_is_a_loss)
{
	struct fixture f = {0};

	hold_file(&f);
	cr_expect_eq(run_held(&f,
	                 "mv \"$1/held\" \"$1/moved\"; "
	                 "exec tail -f /dev/null"),
	    ZK_EXIT_LOST);
	drop_file(&f);
}

Test(ctl_child, replacement_is_a_loss)
{
	struct fixture f = {0};

	hold_file(&f);
	cr_expect_eq(run_held(&f,
	                 "echo new > \"$1/new\"; "
	                 "mv \"$1/new\" \"$1/held\"; exec tail -f /dev/null"),
	    ZK_EXIT_LOST);
	drop_file(&f);
}

static pid_t
pid_in_file(const char *dir)
{
	char path[128], text[32] = {0};
	int fd;

	(void)snprintf(path, sizeof(path), "%s/pid", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert_geq(fd, 0);
	cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
	(void)close(fd);
	return (pid_t)strtol(text, NULL, 10);
}

/* Deaf to SIGTERM, in a session of its own, its parent gone. */
Test(ctl_child, loss_ends_everything_that_the_command_started)
{
	struct fixture f = {0};

	hold_file(&f);
	cr_expect_eq(
	    run_held(&f,
	        "(setsid sh -c 'trap \"\" TERM; echo $$ > \"$1/new\"; "
	        "mv \"$1/new\" \"$1/pid\"; exec tail -f /dev/null' sh \"$1\" "
	        "&); until test -e \"$1/pid\"; do :; done; "
	        "rm \"$1/held\"; exec tail -f /dev/null"),
	    ZK_EXIT_LOST);
	cr_expect_eq(kill(pid_in_file(f.dir), 0), -1);
	cr_expect_eq(errno, ESRCH);
	drop_file(&f);
}

Test(ctl_child, whoever_the_command_leaves_behind_lives_on_without_loss)
{
	struct fixture f = {0};
	struct pollfd end;
	pid_t left;

	hold_file(&f);
	cr_expect_eq(run_held(&f, "tail -f /dev/null & echo $! > \"$1/pid\""),
	    0);
	left = pid_in_file(f.dir);
	cr_expect_eq(kill(left, 0), 0);
	end.fd = (int)syscall(SYS_pidfd_open, left, 0);
	end.events = POLLIN;
	cr_assert_geq(end.fd, 0);
	cr_expect_eq(kill(left, SIGKILL), 0);
	cr_expect_eq(poll(&end, 1, 10000), 1);
	(void)close(end.fd);
	drop_file(&f);
}

Test(ctl_child, without_descendants_there_is_nothing_to_end)
{
	cr_expect_eq(zk_ctl_tree_signal(0), 0);
}

Test(ctl_child, descendants_are_found_down_the_tree_and_among_the_dead)
{
	int gate[2], done[2];
	siginfo_t info;
	char byte;
	pid_t pid;

	cr_assert_eq(pipe(gate), 0);
	cr_assert_eq(pipe(done), 0);
	pid = fork();
	if (pid == 0) {
		/* Two grandchildren: one dead at once, one that waits. */
		if (fork() == 0)
			_exit(0);
		if (fork() == 0) {
			(void)close(gate[1]);
			(void)!read(gate[0], &byte, 1);
			_exit(0);
		}
		(void)waitid(P_ALL, 0, &info, WEXITED | WNOWAIT);
		(void)!write(done[1], "", 1);
		(void)pause();
	}
	cr_assert_eq(read(done[0], &byte, 1), 1);
	cr_expect_eq(zk_ctl_tree_signal(0), 2);
	cr_expect_eq(zk_ctl_tree_signal(SIGKILL), 2);
	cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static unsigned
ticks_until_lost(struct zk_ctl_guard *guard)
{
	unsigned ticks = 1;

	while (zk_ctl_guard_lost(guard) == NULL && ticks < 1000)
		ticks++;
	return ticks;
}

/* A mount that hangs: the holder's patience ends before the session. */
Test(ctl_child, silence_is_a_loss_in_bounded_ticks)
{
	struct zk_ctl_guard deaf = {.patience_ms = 7500};
	struct fixture f = {0};

	cr_expect_eq(ticks_until_lost(&deaf) * ZK_CTL_GUARD_TICK_MS, 7500);
	hold_file(&f);
	cr_expect_null(zk_ctl_guard_lost(f.guard));
	cr_expect_lt(f.guard->patience_ms, ZK_SESSION_TIMEOUT_DEFAULT_MS);
	drop_file(&f);
}

Test(ctl_child, patience_follows_the_session_timeout_of_the_mount)
{
	struct zk_ctl_guard guard = {.patience_ms = 1};

	read_patience(&guard, "name = z1\nop_timeout = 5000ms\n");
	cr_expect_eq(guard.patience_ms, 1);
	read_patience(&guard, "name = z1\nsession_timeout = 2000ms\nx = 1\n");
	cr_expect_eq(guard.patience_ms, 1500);
	read_patience(&guard, "session_timeout = lots\n");
	cr_expect_eq(guard.patience_ms, 1500);
}
