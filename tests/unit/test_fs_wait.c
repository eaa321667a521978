/*
 * Waiting: for locks, for room in a queue, for an outcome; and who is killed,
 * interrupted or closed meanwhile.
 */
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "tests/unit/test_fs_serve.h"

static void
setup(void)
{
	serve_start(10000);
}

TestSuite(fs_wait, .init = setup, .fini = serve_stop);

static int
posix_lock_and_exit(void)
{
	struct flock lock = {.l_type = F_WRLCK};
	int fd = open("f", O_RDWR);

	return fcntl(fd, F_SETLK, &lock) == 0 ? 0 : errno;
}

Test(fs_wait, a_record_lock_is_gone_when_its_process_is)
{
	struct flock lock = {.l_type = F_WRLCK};
	int fd;

	put("f", "");
	fd = open("f", O_RDWR);
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(finish(start(posix_lock_and_exit)), 0);
		lock.l_type = F_WRLCK;
		cr_assert_eq(fcntl(fd, F_GETLK, &lock), 0);
		cr_assert_eq(lock.l_type, F_UNLCK);
	}
	(void)close(fd);
}

static int
lock_once(void)
{
	int fd = open("f", O_RDWR);

	/* Gone with its owner. */
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

Test(fs_wait, a_lock_is_free_when_close_or_exit_has_returned)
{
	put("f", "");
	for (int i = 0; i < 100; i++) {
		int fd = open("f", O_RDWR);
		cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
		(void)close(fd);
		cr_assert_eq(finish(start(lock_once)), 0);
	}
}

static void
ignore(int signal)
{
	(void)signal;
}

/* Again and again: the first may come before there is anything to interrupt. */
static void
be_interrupted(void)
{
	const struct itimerval often = {{0, 200000}, {0, 200000}};
	struct sigaction action = {.sa_handler = ignore};

	(void)sigaction(SIGALRM, &action, NULL);
	(void)setitimer(ITIMER_REAL, &often, NULL);
}

static int
lock_interrupted(void)
{
	int fd = open("f", O_RDWR);

	be_interrupted();
	return flock(fd, LOCK_EX) == 0 ? 0 : errno;
}

static int
lock_wait(void)
{
	int fd = open("f", O_RDWR);

	return flock(fd, LOCK_EX) == 0 ? 0 : errno;
}

Test(fs_wait, who_waits_for_a_lock_can_be_interrupted_or_killed)
{
	pid_t pid;
	int fd;

	put("f", "");
	fd = open("f", O_RDWR);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	cr_expect_eq(finish(start(lock_interrupted)), EINTR);
	pid = start(lock_wait);
	EVENTUALLY(applied("lock") >= 3);
	(void)kill(pid, SIGKILL);
	cr_expect_eq(finish(pid), -SIGKILL);
	cr_expect_eq(flock(fd, LOCK_UN), 0);
	cr_expect_eq(finish(start(lock_once)), 0, "nobody waits any more");
	(void)close(fd);
}

Test(fs_wait, a_write_after_the_session_of_its_lock_is_stale)
{
	int fd;

	put("f", "");
	fd = open("f", O_RDWR);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	cr_expect_eq(write(fd, "1", 1), 1);
	serve_tell("session");
	cr_expect_eq(write(fd, "2", 1), -1);
	cr_expect_eq(errno, ESTALE);
	(void)close(fd);
}

static int
write_once(void)
{
	int fd = open("f", O_WRONLY);

	return write(fd, "x", 1) == 1 ? 0 : errno;
}

static int
write_interrupted(void)
{
	int fd = open("f", O_WRONLY);

	be_interrupted();
	return write(fd, "x", 1) == 1 ? 0 : errno;
}

Test(fs_wait, a_full_queue_makes_writers_wait_interruptibly)
{
	pid_t pids[8];

	put("f", "");
	serve_tell("full");
	cr_expect_eq(finish(start(write_interrupted)), EINTR);
	for (size_t i = 0; i < 8; i++)
		pids[i] = start(write_once);
	serve_tell("go");
	for (size_t i = 0; i < 8; i++)
		cr_expect_eq(finish(pids[i]), 0);
}

static int
write_killed(void)
{
	(void)alarm(1);
	return write_once();
}

static bool
is_over_within(pid_t pid, int ms)
{
	struct pollfd pfd = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
	const bool over = poll(&pfd, 1, ms) == 1;

	(void)close(pfd.fd);
	return over;
}

/* Long before the time that an operation may take, see setup(). */
Test(fs_wait, who_waits_for_an_outcome_can_be_killed_or_called_off)
{
	pid_t pid;

	put("f", "");
	serve_tell("hold");
	pid = start(write_killed);
	cr_expect(is_over_within(pid, 6000));
	cr_expect_eq(finish(pid), -SIGALRM);
	pid = start(write_interrupted);
	cr_expect(is_over_within(pid, 6000));
	cr_expect_eq(finish(pid), ETIMEDOUT, "and not EINTR: it may happen");
	serve_tell("go");
	EVENTUALLY(strcmp(get("f"), "x") == 0);
}

/* Its child ends after a second; to be told so is no reason to give up. */
static int
write_beside_a_child(void)
{
	struct sigaction action = {.sa_handler = ignore};

	(void)sigaction(SIGCHLD, &action, NULL);
	if (fork() == 0) {
		(void)alarm(1);
		(void)pause();
	}
	return write_once();
}

Test(fs_wait, who_waits_for_an_outcome_minds_no_children)
{
	pid_t pid;

	put("f", "");
	serve_tell("hold");
	pid = start(write_beside_a_child);
	cr_expect_not(is_over_within(pid, 3000));
	serve_tell("go");
	cr_expect_eq(finish(pid), 0);
}

Test(fs_wait, closing_never_waits)
{
	int fd;

	put("f", "value");
	fd = open("f", O_WRONLY | O_TRUNC);
	serve_tell("hold");
	cr_expect_eq(close(fd), 0, "the truncation is under way");
	serve_tell("go");
	cr_expect_str_eq(get("f"), "");
}

Test(fs_wait, the_mount_ends_though_requests_wait)
{
	pid_t writer, locker;
	int fd;

	put("f", "");
	fd = open("f", O_RDWR);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	locker = start(lock_wait);
	EVENTUALLY(applied("lock") >= 2);
	serve_tell("hold");
	writer = start(write_once);
	serve_stop();
	cr_expect(finish(writer) != 0);
	cr_expect(finish(locker) != 0);
	(void)close(fd);
}

TestSuite(fs_late, .fini = serve_stop);

static int
create_and_rename(void)
{
	int rc = 0;

	if (open("c", O_WRONLY | O_CREAT | O_EXCL, 0644) >= 0 ||
	    errno != ETIMEDOUT)
		rc = 1;
	if (rename("a", "b") == 0 || errno != ETIMEDOUT)
		rc = 2;
	if (open("d/e", O_WRONLY | O_CREAT, 0644) >= 0 || errno != ETIMEDOUT)
		rc = 3;
	return rc;
}

Test(fs_late, what_happens_after_a_time_out_is_seen_when_it_has)
{
	/* Long enough for what is not held, on a machine that is busy. */
	serve_start(2000);
	put("a", "");
	cr_assert_eq(mkdir("d", 0755), 0);
	cr_assert_eq(chmod("d", 04755), 0);
	cr_expect_not(exists("b"));
	cr_expect_not(exists("c"));
	serve_tell("hold");
	cr_expect_eq(finish(start(create_and_rename)), 0);
	cr_expect(exists("a"));
	serve_tell("go");
	EVENTUALLY(exists("c"));
	EVENTUALLY(exists("b") && !exists("a"));
	EVENTUALLY(!exists("d/e"));
}
