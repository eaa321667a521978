#include <sys/mman.h>
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
