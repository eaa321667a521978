#include "tests/mount/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Sizes: truncate(2), holes, fallocate(2), limits. */

static void
by_path(void)
{
	cmp_put("f", "0123456789");
	cmp_dir("d");
	T(truncate("f", 4));
	cmp_text("f");
	T(truncate("f", 8));
	cmp_text("f");
	T(truncate("f", 8));
	T(truncate("f", -1));
	T(truncate("d", 0));
	T(truncate("no", 0));
	T(truncate("f/x", 0));
	T(truncate("", 0));
	T(truncate("f", 100000));
	cmp_lstat("f");
	cmp_text("f");
	T(truncate("f", 0));
	cmp_lstat("f");
	cmp_as(CMP_USER);
	T(truncate("f", 1));
	T(truncate("d", 1));
}

static void
by_descriptor(void)
{
	int fd, ro;

	fd = FD(open("f", O_RDWR | O_CREAT, 0400));
	ro = FD(open("f", O_RDONLY));
	T(write(fd, "0123456789", 10));
	T(ftruncate(fd, 5));
	T(ftruncate(fd, -1));
	T(ftruncate(ro, 0));
	T(lseek(fd, 0, SEEK_CUR));
	T(write(fd, "x", 1));
	cmp_text("f");
	T(truncate("f", 3));
	T(lseek(fd, 0, SEEK_END));
	cmp_pread("pread(ro)", ro, 10, 0);
	cmp_fstat("fstat(fd)", fd);
	T(ftruncate(fd, 20));
	cmp_pread("pread(ro)", ro, 30, 0);
	cmp_pread("pread(ro, 30)", ro, 10, 30);
	(void)close(ro);
	(void)close(fd);
	T(ftruncate(fd, 0));
}

/* What was cut off does not come back when the file grows again. */
static void
regrown(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, cmp_repeat('x', 10000), 10000));
	T(ftruncate(fd, 4097));
	T(ftruncate(fd, 9000));
	cmp_text("f");
	T(ftruncate(fd, 1));
	T(pwrite(fd, "y", 1, 5000));
	cmp_text("f");
	(void)close(fd);
	cmp_text("f");
	cmp_lstat("f");
}

static void
sparse(void)
{
	struct stat st;
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(pwrite(fd, "end", 3, 1000000));
	cmp_lstat("f");
	T(fstat(fd, &st));
	cmp_say("sparse", "%d", st.st_blocks * 512 < st.st_size / 2);
	cmp_pread("pread(hole)", fd, 100000, 500000);
	cmp_pread("pread(end)", fd, 100, 999990);
	T(pwrite(fd, "mid", 3, 500000));
	cmp_pread("pread(mid)", fd, 20, 499990);
	T(lseek(fd, 10, SEEK_END));
	T(write(fd, "z", 1));
	cmp_lstat("f");
	cmp_pread("pread(tail)", fd, 100, 999990);
	(void)close(fd);
}

static void
seek_data(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(lseek(fd, 0, SEEK_DATA));
	T(lseek(fd, 0, SEEK_HOLE));
	T(write(fd, "data", 4));
	T(lseek(fd, 0, SEEK_DATA));
	T(lseek(fd, 2, SEEK_DATA));
	T(lseek(fd, 0, SEEK_HOLE));
	T(lseek(fd, 4, SEEK_DATA));
	T(lseek(fd, 4, SEEK_HOLE));
	T(lseek(fd, 9, SEEK_HOLE));
	T(lseek(fd, -1, SEEK_DATA));
	T(lseek(fd, -1, SEEK_SET));
	T(lseek(fd, -5, SEEK_END));
	T(lseek(fd, 0, 77));
	T(ftruncate(fd, 1 << 20));
	T(fsync(fd));
	T(lseek(fd, 1 << 19, SEEK_DATA));
	T(lseek(fd, 1 << 20, SEEK_HOLE));
	T(lseek(fd, 1 << 19, SEEK_HOLE));
	(void)close(fd);
}

static void
seek(void)
{
	char c;
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600)), copy;

	T(write(fd, "0123456789", 10));
	T(lseek(fd, 3, SEEK_SET));
	cmp_bytes("read", &c, read(fd, &c, 1));
	T(lseek(fd, 0, SEEK_CUR));
	T(lseek(fd, 2, SEEK_CUR));
	T(lseek(fd, -1, SEEK_END));
	T(lseek(fd, 100, SEEK_SET));
	T(read(fd, &c, 1));
	T(lseek(fd, -101, SEEK_CUR));
	copy = dup(fd);
	T(lseek(copy, 7, SEEK_SET));
	cmp_bytes("read(after dup)", &c, read(fd, &c, 1));
	T(pread(fd, &c, 1, -1));
	T(pwrite(fd, "x", 1, -1));
	T(lseek(fd, 0, SEEK_CUR));
	(void)close(copy);
	(void)close(fd);
}

static void
allocate(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600)), ro;

	T(write(fd, "0123456789", 10));
	T(fallocate(fd, 0, 0, 100));
	cmp_text("f");
	T(fallocate(fd, 0, 50, 100));
	cmp_lstat("f");
	T(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
	cmp_lstat("f");
	T(fallocate(fd, 0, 0, 0));
	T(fallocate(fd, 0, -1, 10));
	T(fallocate(fd, 0, 0, -1));
	T(fallocate(fd, 0x4000, 0, 10));
	T(posix_fallocate(fd, 0, 300));
	cmp_lstat("f");
	ro = FD(open("f", O_RDONLY));
	T(fallocate(ro, 0, 0, 100));
	(void)close(ro);
	ro = FD(open(".", O_RDONLY));
	T(fallocate(ro, 0, 0, 100));
	(void)close(ro);
	(void)close(fd);
}

static void
punch(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, cmp_repeat('x', 20000), 20000));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 20));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096,
	    8192));
	cmp_text("f");
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 19000,
	    5000));
	cmp_lstat("f");
	cmp_text("f");
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 30000, 10));
	cmp_lstat("f");
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	T(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 20000));
	cmp_text("f");
	(void)close(fd);
}

static void
zero(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, cmp_repeat('x', 10000), 10000));
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5, 10));
	cmp_text("f");
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 9990, 100));
	cmp_lstat("f");
	T(fallocate(fd, FALLOC_FL_ZERO_RANGE, 9980, 100));
	cmp_lstat("f");
	cmp_text("f");
	(void)close(fd);
}

/* Moving what is behind: in whole blocks, which zkfs has none of. */
static void
shift(void)
{
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, cmp_repeat('x', 20480), 20480));
	T(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 4096, 4096));
	T(fallocate(fd, FALLOC_FL_INSERT_RANGE, 4096, 4096));
	cmp_lstat("f");
	(void)close(fd);
}

/* Beyond what a file can be at all. */
static void
too_large(void)
{
	const off_t far = (off_t)1 << 62;
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, "text", 4));
	T(ftruncate(fd, far));
	T(truncate("f", far));
	T(pwrite(fd, "x", 1, far));
	T(fallocate(fd, 0, far, 10));
	T(fallocate(fd, 0, far, far));
	cmp_text("f");
	(void)close(fd);
}

/* Beyond max_file, 16 MiB here; a disk has no such limit. */
static void
max_file(void)
{
	const off_t limit = 16 << 20;
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	T(write(fd, "text", 4));
	T(ftruncate(fd, limit + 1));
	T(ftruncate(fd, 4));
	T(pwrite(fd, "x", 1, limit));
	T(ftruncate(fd, 4));
	T(pwrite(fd, "xy", 2, limit - 1));
	T(ftruncate(fd, 4));
	T(fallocate(fd, 0, limit, 10));
	T(ftruncate(fd, 4));
	cmp_text("f");
	T(ftruncate(fd, limit));
	T(pwrite(fd, "x", 1, limit - 1));
	cmp_lstat("f");
	(void)close(fd);
}

static void
resource_limit(void)
{
	const struct rlimit limit = {1000, 1000};
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));

	(void)signal(SIGXFSZ, SIG_IGN);
	T(setrlimit(RLIMIT_FSIZE, &limit));
	T(pwrite(fd, "x", 1, 999));
	T(pwrite(fd, "x", 1, 1000));
	T(pwrite(fd, "xyz", 3, 998));
	T(ftruncate(fd, 1001));
	T(ftruncate(fd, 10));
	T(truncate("f", 2000));
	T(fallocate(fd, 0, 0, 2000));
	cmp_lstat("f");
	(void)close(fd);
}

static void
large_values(void)
{
	static char block[1 << 16];
	int fd = FD(open("f", O_RDWR | O_CREAT, 0600));
	int differ = 0;

	for (int i = 0; i < 48; i++) {
		(void)memset(block, 'a' + i % 26, sizeof(block));
		if (write(fd, block, sizeof(block)) != sizeof(block))
			cmp_need(-1, "write");
	}
	cmp_lstat("f");
	for (int i = 0; i < 48; i++) {
		ssize_t got = pread(fd, block, sizeof(block),
		    (off_t)i * (off_t)sizeof(block));
		for (ssize_t k = 0; k < got; k++)
			differ += block[k] != 'a' + i % 26;
		differ += got != sizeof(block);
	}
	cmp_say("bytes that differ", "%d", differ);
	T(ftruncate(fd, 65535));
	cmp_text("f");
	(void)close(fd);
}

const struct cmp_case cmp_size_cases[] = {
    {"size.by_path", by_path},
    {"size.by_descriptor", by_descriptor},
    {"size.regrown", regrown},
    {"size.sparse", sparse},
    {"size.seek_data", seek_data},
    {"size.seek", seek},
    {"size.allocate", allocate},
    {"size.punch", punch},
    {"size.zero", zero},
    {"size.shift", shift},
    {"size.too_large", too_large},
    {"size.max_file", max_file},
    {"size.resource_limit", resource_limit},
    {"size.large_values", large_values},
    {NULL, NULL},
};
