/*
 * Preloaded into a daemon: its disk, as far as the tree and its
 * journal go, does what the
 * file named by DISK_CONTROL says, from one call to the next.  No such file,
 * or an empty one: it works.
 *
 *   slow MS        each flush takes so much longer
 *   hang           flushes do not return until the file says something else
 *   sync ERRNO     the next flush fails, once; the file is removed then
 *   lot ERRNO      so does the next sync_file_range(2), before a flush
 *   lots MS        each of those takes so much longer
 *   write ERRNO    writes fail, with ENOSPC for one
 *
 * A flush is fdatasync(2), fsync(2) or a write through an O_DSYNC descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The files that matter, in whatever data directory. */
static const char *const targets[] = {"/tree.mdb", "/journal"};

/* How long a disk that hangs waits before it looks again. */
#define LOOK_MS 20

struct order {
	char what[8];
	int number;
};

static struct order
read_order(void)
{
	const char *path = getenv("DISK_CONTROL");
	struct order order = {.what = ""};
	char text[32] = "", *space;
	ssize_t len;
	int fd;

	if (path == NULL)
		return order;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return order;
	len = syscall(SYS_read, fd, text, sizeof(text) - 1);
	(void)close(fd);
	if (len <= 0)
		return order;
	text[strcspn(text, "\n")] = '\0';
	space = strchr(text, ' ');
	if (space != NULL) {
		*space = '\0';
		order.number = (int)strtol(space + 1, NULL, 10);
	}
	(void)snprintf(order.what, sizeof(order.what), "%.7s", text);
	return order;
}

static int
is(const struct order *order, const char *what)
{
	return strcmp(order->what, what) == 0;
}

static int
is_target(int fd)
{
	char link[64], path[PATH_MAX];
	const int saved = errno;
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	errno = saved;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const size_t tail = strlen(targets[i]);

		if (len >= (ssize_t)tail &&
		    memcmp(path + len - tail, targets[i], tail) == 0)
			return 1;
	}
	return 0;
}

static void
pass_time(int ms)
{
	(void)poll(NULL, 0, ms);
}

/* Once; 0, or -1 with errno. */
static int
fails(const struct order *order, const char *what)
{
	const char *path = getenv("DISK_CONTROL");

	if (path == NULL || !is(order, what))
		return 0;
	(void)unlink(path);
	errno = order->number;
	return -1;
}

/* 0, or -1 with errno: what the flush is to return. */
static int
flushes(void)
{
	struct order order = read_order();

	if (is(&order, "slow"))
		pass_time(order.number);
	while (is(&order, "hang")) {
		pass_time(LOOK_MS);
		order = read_order();
	}
	return fails(&order, "sync");
}

static int
writes(int fd)
{
	const struct order order = read_order();

	if (is(&order, "write")) {
		errno = order.number;
		return -1;
	}
	return (fcntl(fd, F_GETFL) & O_DSYNC) != 0 ? flushes() : 0;
}

/* The system's headers use reserved names for these parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

ssize_t
pwrite(int fd, const void *data, size_t len, off_t off)
{
	if (is_target(fd) && writes(fd) < 0)
		return -1;
	return syscall(SYS_pwrite64, fd, data, len, off);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t off)
{
	return pwrite(fd, data, len, off);
}

ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	if (is_target(fd) && writes(fd) < 0)
		return -1;
	return syscall(SYS_writev, fd, iov, count);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int count, off_t off)
{
	if (is_target(fd) && writes(fd) < 0)
		return -1;
	return syscall(SYS_pwritev, fd, iov, count, off, 0L);
}

ssize_t
pwritev64(int fd, const struct iovec *iov, int count, off64_t off)
{
	return pwritev(fd, iov, count, off);
}

ssize_t
write(int fd, const void *data, size_t len)
{
	if (is_target(fd) && writes(fd) < 0)
		return -1;
	return syscall(SYS_write, fd, data, len);
}

int
fdatasync(int fd)
{
	if (is_target(fd) && flushes() < 0)
		return -1;
	return (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	if (is_target(fd) && flushes() < 0)
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

int
sync_file_range(int fd, off64_t at, off64_t len, unsigned flags)
{
	const struct order order = read_order();

	if (is_target(fd) && is(&order, "lots"))
		pass_time(order.number);
	if (is_target(fd) && fails(&order, "lot") < 0)
		return -1;
	return (int)syscall(SYS_sync_file_range, fd, at, len, flags);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
