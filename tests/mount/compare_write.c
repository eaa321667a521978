#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* write(2) and its relatives, and what it does to setuid bits. */

static void
plain(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, "", 0));
	cmp_lstat("f");
	T(write(fd, "hello", 5));
	T(pwrite(fd, "J", 1, 0));
	T(pwrite(fd, "", 0, 100));
	cmp_text("f");
	T(lseek(fd, 2, SEEK_SET));
	T(write(fd, "LL", 2));
	cmp_text("f");
	T(pwrite(fd, "x", 1, 8));
	cmp_text("f");
	T(fsync(fd));
	T(fdatasync(fd));
	T(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	T(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	cmp_text("f");
	(void)close(fd);
	T(write(fd, "x", 1));
	T(write(-1, "x", 1));
}

static void
vectors(void)
{
	char big[5000], text[8] = "";
	struct iovec parts[3] = {{(char[]){"ab"}, 2}, {big, sizeof(big)},
	    {(char[]){"yz"}, 2}};
	struct iovec into[2] = {{text, 3}, {text + 3, 4}};
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	(void)memset(big, '-', sizeof(big));
	T(writev(fd, parts, 3));
	T(pwritev(fd, parts, 2, 1000));
	T(writev(fd, parts, 0));
	cmp_text("f");
	T(preadv(fd, into, 2, 5999));
	cmp_bytes("preadv", text, 7);
	T(pwritev2(fd, parts, 1, 10, RWF_DSYNC));
	T(pwritev2(fd, parts, 1, 20, RWF_APPEND));
	cmp_lstat("f");
	(void)close(fd);
}

static void
append(void)
{
	int fd = FD(open("f", O_WRONLY | O_CREAT | O_APPEND, 0600)), other;

	other = FD(open("f", O_RDWR | O_APPEND));
	T(write(fd, "one ", 4));
	T(write(other, "two ", 4));
	T(write(fd, "three ", 6));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, 0, SEEK_SET));
	T(write(fd, "four ", 5));
	T(pwrite(fd, "five ", 5, 0));
	cmp_text("f");
	T(truncate("f", 3));
	T(write(other, "!", 1));
	cmp_text("f");
	T(lseek(other, 0, SEEK_CUR));
	T(fcntl(other, F_SETFL, 0));
	T(pwrite(other, "O", 1, 0));
	T(fcntl(other, F_SETFL, O_APPEND));
	T(write(other, "?", 1));
	cmp_text("f");
	(void)close(fd);
	(void)close(other);
}

static void
append_many(void *arg)
{
	char line[24];
	int fd = open("f", O_WRONLY | O_APPEND);

	cmp_need(fd, "open");
	for (int i = 0; i < 50; i++) {
		int len = snprintf(line, sizeof(line), "%s %02d\n",
		    (const char *)arg, i);
		cmp_need((int)write(fd, line, (size_t)len), "write");
	}
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Four processes: every line whole, and in the order of its writer. */
static void
append_together(void)
{
	char lines[300][16], line[64], names[4][2] = {"a", "b", "c", "d"};
	size_t count = 0, bad = 0;
	pid_t pids[4];
	FILE *file;

	cmp_put("f", "");
	for (int i = 0; i < 4; i++)
		pids[i] = cmp_spawn(append_many, names[i]);
	for (int i = 0; i < 4; i++)
		cmp_join(pids[i]);
	cmp_lstat("f");
	file = fopen("f", "r");
	cmp_need(file == NULL ? -1 : 0, "fopen");
	while (fgets(line, sizeof(line), file) != NULL && count < 300) {
		bad += strlen(line) != 5;
		(void)snprintf(lines[count++], 16, "%.10s", line);
	}
	(void)fclose(file);
	qsort(lines, count, 16, compare_lines);
	for (size_t i = 1; i < count; i++)
		bad += strcmp(lines[i - 1], lines[i]) == 0;
	cmp_say("lines", "%zu, bad %zu", count, bad);
}

/* A writer without CAP_FSETID takes setuid and setgid away. */
static void
set_bits(mode_t mode)
{
	cmp_as_root();
	cmp_need(chown("f", CMP_USER, CMP_USER), "chown");
	cmp_need(chmod("f", mode), "chmod");
}

static void
suid_by_root(void)
{
	int fd;

	cmp_put("f", "0123456789");
	set_bits(06777);
	fd = FD(open("f", O_WRONLY));
	T(write(fd, "x", 1));
	cmp_lstat("f");
	T(ftruncate(fd, 3));
	cmp_lstat("f");
	(void)close(fd);
	T(truncate("f", 2));
	cmp_lstat("f");
	T(chown("f", CMP_USER, (gid_t)-1));
	cmp_lstat("f");
	set_bits(06777);
	T(chown("f", (uid_t)-1, CMP_OTHER));
	cmp_lstat("f");
	set_bits(02767);
	T(chown("f", 1, 1));
	cmp_lstat("f");
	set_bits(06777);
	T(chown("f", (uid_t)-1, (gid_t)-1));
	cmp_lstat("f");
}

static void
suid_by_owner(void)
{
	int fd;

	cmp_put("f", "0123456789");
	set_bits(06777);
	cmp_as(CMP_USER);
	fd = FD(open("f", O_RDWR));
	cmp_lstat("f");
	T(write(fd, "x", 1));
	cmp_lstat("f");
	set_bits(06777);
	cmp_as(CMP_USER);
	T(pwrite(fd, "", 0, 0));
	cmp_lstat("f");
	T(ftruncate(fd, 5));
	cmp_lstat("f");
	set_bits(06777);
	cmp_as(CMP_USER);
	T(truncate("f", 4));
	cmp_lstat("f");
	set_bits(06777);
	cmp_as(CMP_USER);
	TO(open("f", O_RDWR | O_TRUNC));
	cmp_lstat("f");
	set_bits(06777);
	cmp_as(CMP_USER);
	T(fallocate(fd, 0, 0, 20));
	cmp_lstat("f");
	set_bits(02767);
	cmp_as(CMP_USER);
	T(write(fd, "y", 1));
	cmp_lstat("f");
	set_bits(06777);
	cmp_as(CMP_USER);
	T(chown("f", (uid_t)-1, CMP_GROUP));
	cmp_lstat("f");
	(void)close(fd);
}

static void
suid_by_other(void)
{
	int fd;

	cmp_put("f", "0123456789");
	set_bits(06777);
	cmp_as(CMP_OTHER);
	fd = FD(open("f", O_RDWR));
	T(write(fd, "x", 1));
	cmp_lstat("f");
	T(ftruncate(fd, 5));
	set_bits(02767);
	cmp_as(CMP_OTHER);
	T(write(fd, "x", 1));
	cmp_lstat("f");
	set_bits(04777);
	cmp_as(CMP_OTHER);
	T(ftruncate(fd, 3));
	cmp_lstat("f");
	(void)close(fd);
}

static void
copies(void)
{
	int from, to;
	off_t at = 2, to_at = 1;
	int ends[2];

	cmp_put("f", "0123456789");
	from = FD(open("f", O_RDWR));
	to = FD(open("g", O_RDWR | O_CREAT, 0600));
	T(sendfile(to, from, NULL, 4));
	T(lseek(from, 0, SEEK_CUR));
	T(sendfile(to, from, &at, 100));
	cmp_text("g");
	at = 0;
	T(copy_file_range(from, &at, to, &to_at, 5, 0));
	cmp_say("offsets", "%d %d", (int)at, (int)to_at);
	cmp_text("g");
	at = 100;
	T(copy_file_range(from, &at, to, NULL, 5, 0));
	T(copy_file_range(from, NULL, from, NULL, 5, 1));
	at = 0, to_at = 2;
	T(copy_file_range(from, &at, from, &to_at, 5, 0));
	T(pipe(ends));
	at = 3;
	T(splice(from, &at, ends[1], NULL, 4, 0));
	to_at = 20;
	T(splice(ends[0], NULL, to, &to_at, 4, 0));
	cmp_text("g");
	(void)close(ends[0]);
	(void)close(ends[1]);
	(void)close(from);
	(void)close(to);
}

static void
odd_calls(void)
{
	char *volatile nowhere =
	    mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600)), value = 0;

	T(write(fd, "text", 4));
	T(pwrite(fd, nowhere, 4, 0));
	T(pread(fd, nowhere, 4, 0));
	cmp_text("f");
	T(ioctl(fd, FIONREAD, &value));
	T(ioctl(fd, TIOCGWINSZ, &value));
	T(isatty(fd) - 1);
	T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND));
	T(fcntl(fd, F_SETFL, O_NONBLOCK));
	T(readahead(fd, 0, 4096));
	T(ftruncate(fd, 0));
	T(read(fd, &value, 0));
	(void)close(fd);
}

const struct cmp_case cmp_write_cases[] = {
    {"write.plain", plain},
    {"write.vectors", vectors},
    {"write.append", append},
    {"write.append_together", append_together},
    {"write.suid_by_root", suid_by_root},
    {"write.suid_by_owner", suid_by_owner},
    {"write.suid_by_other", suid_by_other},
    {"write.copies", copies},
    {"write.odd_calls", odd_calls},
    {NULL, NULL},
};
