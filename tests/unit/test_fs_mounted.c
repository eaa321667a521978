#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>

#include "tests/unit/test_fs_serve.h"

static void
setup(void)
{
	serve_start(10000);
}

TestSuite(fs, .init = setup, .fini = serve_stop);

static off_t
size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? st.st_size : -1;
}

static bool
exists(const char *name)
{
	struct stat st;

	return lstat(name, &st) == 0;
}

static unsigned
applied(const char *op)
{
	char want[64];
	const char *text = get(".zkfs/counts"), *at;

	(void)snprintf(want, sizeof(want), "%s=", op);
	at = strstr(text, want);
	return at == NULL
	    ? 0
	    : (unsigned)atoi(at + strlen(want)); /* NOLINT(cert-err34-c) */
}

Test(fs, a_value_is_replaced_as_one_change)
{
	int fd;

	put("f", "old value");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_expect_str_eq(get("f"), "old value", "nobody sees it empty");
	cr_expect_eq(size_of("f"), 9);
	cr_assert_eq(write(fd, "new", 3), 3);
	cr_expect_str_eq(get("f"), "new");
	cr_expect_eq(size_of("f"), 3);
	cr_assert_eq(write(fd, "er", 2), 2);
	cr_expect_str_eq(get("f"), "newer", "only the first write empties it");
	(void)close(fd);
}

Test(fs, a_file_emptied_by_open_and_close_is_empty_at_the_next_look)
{
	for (int i = 0; i < 50; i++) {
		put("f", "something");
		(void)close(open("f", O_WRONLY | O_TRUNC));
		cr_assert_eq(size_of("f"), 0);
		cr_assert_str_eq(get("f"), "");
	}
}

Test(fs, truncate_by_path_is_not_taken_for_an_open)
{
	int fd;

	put("f", "something");
	fd = open("f", O_WRONLY);
	cr_expect_eq(truncate("f", 0), 0);
	cr_expect_eq(size_of("f"), 0);
	cr_expect_str_eq(get("f"), "");
	(void)close(fd);
}

Test(fs, the_end_of_a_file_just_truncated_is_its_start)
{
	int fd;

	put("f", "something");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_expect_eq(lseek(fd, 0, SEEK_END), 0);
	cr_assert_eq(write(fd, "x", 1), 1);
	(void)close(fd);
	cr_expect_str_eq(get("f"), "x");
}

Test(fs, fsync_does_the_truncation_that_is_still_to_come)
{
	int fd;

	put("f", "something");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_expect_eq(fsync(fd), 0);
	cr_expect_eq(size_of("f"), 0);
	(void)close(fd);
}

Test(fs, an_append_goes_to_the_true_end)
{
	int fd;

	put("f", "0123");
	fd = open("f", O_RDWR);
	cr_assert_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
	serve_tell("append f FOREIGN");
	cr_assert_eq(write(fd, "tail", 4), 4);
	(void)close(fd);
	EVENTUALLY(strcmp(get("f"), "0123FOREIGNtail") == 0);
}

Test(fs, one_write_is_one_change_wherever_it_begins)
{
	static char big[1024 * 1024 - 4096];
	unsigned before;
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	before = applied("write");
	cr_assert_eq(pwrite(fd, big, sizeof(big), 100), (ssize_t)sizeof(big));
	cr_expect_eq(applied("write"), before + 1);
	(void)close(fd);
}

Test(fs, a_file_can_be_mapped_shared)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *p;

	cr_assert_eq(write(fd, "before", 6), 6);
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	cr_assert_neq(p, MAP_FAILED);
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result) */
	memcpy(p, "mapped", 6);
	cr_expect_eq(msync(p, 4096, MS_SYNC), 0);
	cr_expect_str_eq(get("f"), "mapped");
	(void)munmap(p, 4096);
	(void)close(fd);
}

Test(fs, a_value_over_the_limit_changes_nothing)
{
	int fd;

	put("f", "value");
	fd = open("f", O_RDWR);
	cr_expect_eq(pwrite(fd, "x", 1, 4 << 20), -1);
	cr_expect_eq(errno, EFBIG);
	(void)close(fd);
	cr_expect_str_eq(get("f"), "value");
}

Test(fs, what_changes_elsewhere_is_seen_here)
{
	char buf[16] = "";
	int fd;

	cr_expect_not(exists("n"), "and the kernel remembers that");
	serve_tell("write n ");
	EVENTUALLY(exists("n"));
	serve_tell("write n hello");
	EVENTUALLY(strcmp(get("n"), "hello") == 0);
	EVENTUALLY(size_of("n") == 5);
	fd = open("n", O_RDONLY);
	serve_tell("write n HELLO");
	/* What others change arrives when this host applies it, not before
	 * the sender goes on: the kernel's copy is dropped after that. */
	EVENTUALLY(
	    pread(fd, buf, sizeof(buf), 0) == 5 && strcmp(buf, "HELLO") == 0);
	serve_tell("remove n");
	EVENTUALLY(!exists("n"));
	cr_expect_eq(pread(fd, buf, sizeof(buf), 0), 5, "open files stay");
	(void)close(fd);
	EVENTUALLY(applied("reap") > 0);
}

Test(fs, a_file_made_elsewhere_is_opened_by_who_would_create_it)
{
	int fd;

	cr_expect_not(exists("n"));
	serve_tell("write n ");
	fd = open("n", O_WRONLY | O_CREAT, 0600);
	cr_expect(fd >= 0);
	(void)close(fd);
	cr_expect(open("n", O_WRONLY | O_CREAT | O_EXCL, 0600) < 0);
	cr_expect_eq(errno, EEXIST);
}

static int
/* NOLINTNEXTLINE(readability-function-size) */
open_session_dir(void)
{
	cr_assert_eq(mkdir("d", 0755), 0);
	cr_assert_eq(chmod("d", 04755), 0);
	return open("d/e", O_WRONLY | O_CREAT | O_EXCL, 0644);
}

Test(fs, an_ephemeral_lives_as_long_as_its_open_file)
{
	int fd = open_session_dir();
	struct stat st;

	cr_assert(fd >= 0);
	cr_expect_eq(stat("d/e", &st), 0);
	cr_expect((st.st_mode & S_ISVTX) != 0, "ls shows a T");
	cr_expect(open("d/e", O_WRONLY) < 0);
	cr_expect_eq(errno, EBUSY);
	cr_expect(open("d/e", O_RDWR | O_CREAT | O_TRUNC, 0600) < 0);
	cr_expect_eq(errno, EBUSY);
	cr_expect(truncate("d/e", 0) < 0);
	cr_expect_eq(errno, EBUSY);
	cr_expect_str_eq(get("d/e"), "", "reading is open to all");
	(void)close(fd);
	EVENTUALLY(!exists("d/e"));
}

Test(fs, an_ephemeral_just_closed_can_be_made_again)
{
	int fd = open_session_dir();

	for (int i = 0; i < 50 && fd >= 0; i++) {
		(void)close(fd);
		fd = open("d/e", O_WRONLY | O_CREAT | (i % 2 ? O_EXCL : 0),
		    0644);
	}
	cr_expect(fd >= 0, "%s", strerror(errno));
}

Test(fs, the_owner_of_an_ephemeral_removed_by_another_learns_it)
{
	int fd = open_session_dir();

	cr_assert_eq(write(fd, "1", 1), 1);
	cr_assert_eq(unlink("d/e"), 0);
	cr_expect_eq(write(fd, "2", 1), -1);
	cr_expect_eq(errno, ESTALE);
	(void)close(fd);
}

Test(fs, a_file_becomes_ephemeral_for_its_creator_alone)
{
	int fd = open("g", O_RDWR | O_CREAT, 0644);
	char value[8];

	cr_expect_eq(fsetxattr(fd, "user.zkfs.ephemeral", "1", 1, 0), 0);
	cr_expect_eq(getxattr("g", "user.zkfs.ephemeral", value, 8), 1);
	(void)close(fd);
	EVENTUALLY(!exists("g"));
	put("g", "text");
	cr_expect_eq(setxattr("g", "user.zkfs.ephemeral", "1", 1, 0), -1);
	cr_expect_eq(errno, EPERM);
}

Test(fs, copying_an_ephemeral_with_its_attributes_makes_a_plain_file)
{
	int fd = open("copy", O_RDWR | O_CREAT, 0644);
	char value = '\0';

	/* As cp -a and rsync -X do it, in the order of listxattr(2). */
	cr_expect_eq(fsetxattr(fd, "user.zkfs.czxid", "7", 1, 0), 0);
	cr_expect_eq(fsetxattr(fd, "user.zkfs.ephemeral", "1", 1, 0), 0);
	(void)close(fd);
	cr_expect_eq(fsetxattr(fd, "user.zkfs.nonsense", "1", 1, 0), -1);
	cr_expect_eq(getxattr("copy", "user.zkfs.ephemeral", &value, 1), 1);
	cr_expect_eq(value, '0');
}

Test(fs, a_write_that_expects_another_version_does_not_happen)
{
	char version[24] = "";
	int fd;

	put("f", "first");
	fd = open("f", O_WRONLY);
	cr_expect_eq(fsetxattr(fd, "user.zkfs.expect", "99", 2, 0), 0);
	cr_expect_eq(write(fd, "X", 1), -1);
	cr_expect_eq(errno, EAGAIN);
	cr_expect_str_eq(get("f"), "first");
	cr_expect(fgetxattr(fd, "user.zkfs.version", version, 23) > 0);
	cr_expect_eq(
	    fsetxattr(fd, "user.zkfs.expect", version, strlen(version), 0), 0);
	cr_expect_eq(write(fd, "Y", 1), 1);
	cr_expect_eq(write(fd, "Z", 1), 1, "it holds for one write");
	cr_expect_str_eq(get("f"), "YZrst");
	(void)close(fd);
}

static int
expect_and_exec(void)
{
	int fd = open("f", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fsetxattr(fd, "user.zkfs.expect", "99", 2, 0) != 0)
		return 1;
	return execl("/bin/true", "true", NULL);
}

/* execve(2) closes files while it holds a lock that parts of /proc take. */
Test(fs, exec_closes_an_open_file_without_a_deadlock)
{
	put("f", "value");
	(void)alarm(20);
	cr_expect_eq(finish(start(expect_and_exec)), 0);
	EVENTUALLY(strcmp(get("f"), "value") == 0);
}

Test(fs, a_refused_write_leaves_the_value_that_it_was_to_replace)
{
	int fd;

	put("f", "value");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_expect_eq(fsetxattr(fd, "user.zkfs.expect", "99", 2, 0), 0);
	cr_expect_eq(write(fd, "x", 1), -1);
	cr_expect_eq(errno, EAGAIN);
	cr_expect_eq(write(fd, "x", 1), -1, "it is expected until it is so");
	cr_expect_eq(errno, EAGAIN);
	(void)close(fd);
	cr_expect_str_eq(get("f"), "value");
	fd = open("f", O_WRONLY | O_TRUNC);
	cr_expect_eq(pwrite(fd, "x", 1, 4 << 20), -1);
	cr_expect_eq(errno, EFBIG);
	(void)close(fd);
	cr_expect_str_eq(get("f"), "value");
}

static int
posix_lock_and_exit(void)
{
	struct flock lock = {.l_type = F_WRLCK};
	int fd = open("f", O_RDWR);

	return fcntl(fd, F_SETLK, &lock) == 0 ? 0 : errno;
}

Test(fs, a_record_lock_is_gone_when_its_process_is)
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

Test(fs, a_sequential_name_is_told_and_the_one_asked_for_is_not_there)
{
	char name[64] = "";
	int fd = open("job-XXXXXXXXXX", O_WRONLY | O_CREAT, 0644);

	cr_expect_eq(fgetxattr(fd, "user.zkfs.name", name, 63), 14);
	cr_expect_str_eq(name, "job-0000000000");
	(void)close(fd);
	EVENTUALLY(exists("job-0000000000"));
	EVENTUALLY(!exists("job-XXXXXXXXXX"));
}

Test(fs, a_transaction_tells_the_line_that_failed)
{
	char text[64] = "";
	int fd = open(".zkfs/txn", O_RDWR);

	cr_expect_eq(write(fd, "create /a\n", 10), 10);
	cr_expect(pread(fd, text, 63, 0) > 3);
	cr_expect_eq(strncmp(text, "ok ", 3), 0, "and the revision");
	memset(text, 0, sizeof(text));
	cr_expect_eq(write(fd, "bad", 3), -1);
	cr_expect_eq(errno, EINVAL);
	cr_expect_eq(pread(fd, text, 63, 0), 25);
	cr_expect_str_eq(text, "line 2: Invalid argument\n");
	(void)close(fd);
}

Test(fs, the_virtual_directory_stays_as_it_is)
{
	cr_expect_str_eq(get(".zkfs/state"), "connected\n");
	cr_expect_eq(mkdir(".zkfs/x", 0755), -1);
	cr_expect_eq(errno, EPERM);
	cr_expect_eq(rmdir(".zkfs"), -1);
	cr_expect_eq(rename(".zkfs", "z"), -1);
	cr_expect_eq(unlink(".zkfs/state"), -1);
	cr_expect_eq(chmod(".zkfs/state", 0777), -1);
}

static int
lock_once(void)
{
	int fd = open("f", O_RDWR);

	/* Gone with its owner. */
	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

Test(fs, a_lock_is_free_when_close_or_exit_has_returned)
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

Test(fs, who_waits_for_a_lock_can_be_interrupted_or_killed)
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

Test(fs, a_write_after_the_session_of_its_lock_is_stale)
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

Test(fs, a_full_queue_makes_writers_wait_interruptibly)
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
Test(fs, who_waits_for_an_outcome_can_be_killed_or_called_off)
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

Test(fs, who_waits_for_an_outcome_minds_no_children)
{
	pid_t pid;

	put("f", "");
	serve_tell("hold");
	pid = start(write_beside_a_child);
	cr_expect_not(is_over_within(pid, 3000));
	serve_tell("go");
	cr_expect_eq(finish(pid), 0);
}

Test(fs, closing_never_waits)
{
	int fd;

	put("f", "value");
	fd = open("f", O_WRONLY | O_TRUNC);
	serve_tell("hold");
	cr_expect_eq(close(fd), 0, "the truncation is under way");
	serve_tell("go");
	cr_expect_str_eq(get("f"), "");
}

Test(fs, the_mount_ends_though_requests_wait)
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
