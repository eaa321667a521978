/*
 * Preloaded into the workload: writes down, or fails, what the process does
 * to the files that matter: the tree, the partitions, and their journals.  LMDB
 * is a shared library of the system, so this is where its calls can be met.  A
 * flush by any other thread than the first takes its time, to meet later writes.
 *
 * ZKFS_FAULT_LOG=FILE   record each change of them, its data included
 * ZKFS_FAULT=WHAT:N:E   the Nth call of its kind fails with errno E;
 *                       WHAT is data (writes), meta (those of LMDB's two
 *                       first pages), durable (writes through an O_DSYNC
 *                       descriptor), sync, short (a write that does
 *                       half of its work), or full (short, and until somebody
 *                       has asked for room there is none)
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "record.h"

static const char *const targets[] = {"/tree.mdb", "/journal", "/topics.mdb",
    "/topics.journal"};

#define META_END 8192

/* So many writes may come before a flush ends; or so much time. */
#define FLUSH_WRITES 20u
#define FLUSH_MAX_NS 5000000

/* For the workload, through dlsym(3). */
void zk_fault_mark(uint32_t stage);
unsigned int zk_fault_hits(void);

static struct {
	int log_fd;
	char what[16];
	unsigned int countdown, hits;
	int error;
	int full;             /* somebody has yet to ask for room */
	int lost_fd;          /* to which a failed flush was told, or -1 */
	pthread_mutex_t lock; /* order of the record is order of the calls */
	pthread_cond_t written;
	unsigned int writes; /* protected by lock */
} shim = {
    .log_fd = -1,
    .lost_fd = -1,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .written = PTHREAD_COND_INITIALIZER,
};

static void
parse(const char *fault)
{
	const size_t len = strcspn(fault, ":");
	char *end;

	if (len >= sizeof(shim.what) || fault[len] != ':')
		abort();
	memcpy(shim.what, fault, len);
	shim.countdown = (unsigned int)strtoul(fault + len + 1, &end, 10);
	if (*end != ':')
		abort();
	shim.error = (int)strtol(end + 1, &end, 10);
	if (*end != '\0')
		abort();
}

__attribute__((constructor)) static void
init(void)
{
	const char *log = getenv("ZKFS_FAULT_LOG");
	const char *fault = getenv("ZKFS_FAULT");

	if (log != NULL)
		shim.log_fd =
		    open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fault != NULL)
		parse(fault);
}

/* Which of them it is, from 1; 0: none. */
static uint32_t
target_of(int fd)
{
	char link[64], path[PATH_MAX];
	const int saved = errno;
	ssize_t len;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, path, sizeof(path));
	errno = saved;
	for (uint32_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const size_t tail = strlen(targets[i]);

		if (len >= (ssize_t)tail &&
		    memcmp(path + len - tail, targets[i], tail) == 0)
			return i + 1;
	}
	return 0;
}

static int
is_target(int fd)
{
	return target_of(fd) != 0;
}

static int
is_durable(int fd)
{
	return (fcntl(fd, F_GETFL) & O_DSYNC) != 0;
}

static void
put(const void *data, size_t len)
{
	if (syscall(SYS_write, shim.log_fd, data, len) != (ssize_t)len)
		abort();
}

static void
record(uint32_t kind, uint32_t file, uint64_t off, const void *data, size_t len)
{
	const struct zk_fault_record head = {
	    .kind = kind,
	    .file = file,
	    .off = off,
	    .len = len,
	};

	if (shim.log_fd < 0)
		return;
	put(&head, sizeof(head));
	if (data != NULL)
		put(data, len);
}

/* True when this call is the one that fails; errno is set then. */
static int
fails(const char *what)
{
	if (strcmp(shim.what, what) != 0 || shim.countdown == 0 ||
	    --shim.countdown > 0)
		return 0;
	shim.hits++;
	errno = shim.error;
	return 1;
}

void
zk_fault_mark(uint32_t stage)
{
	(void)pthread_mutex_lock(&shim.lock);
	record(ZK_FAULT_MARK, 0, stage, NULL, 0);
	(void)pthread_mutex_unlock(&shim.lock);
}

unsigned int
zk_fault_hits(void)
{
	return shim.hits;
}

/* The system's headers use reserved names for these parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

static ssize_t
write_at(int fd, const void *data, size_t len, off_t off)
{
	const int durable = is_durable(fd);
	const int meta = !durable && off < META_END;
	ssize_t done;

	if (fails(durable ? "durable" : meta ? "meta" : "data"))
		return -1;
	if (!durable && !meta && fails("short"))
		len /= 2;
	if (!durable && !meta && fails("full")) {
		shim.full = 1;
		len /= 2;
	}
	(void)pthread_mutex_lock(&shim.lock);
	done = syscall(SYS_pwrite64, fd, data, len, off);
	if (done > 0)
		record(durable ? ZK_FAULT_WRITE_DURABLE : ZK_FAULT_WRITE,
		    target_of(fd), (uint64_t)off, data, (size_t)done);
	shim.writes++;
	(void)pthread_cond_broadcast(&shim.written);
	(void)pthread_mutex_unlock(&shim.lock);
	return done;
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t off)
{
	if (!is_target(fd))
		return syscall(SYS_pwrite64, fd, data, len, off);
	return write_at(fd, data, len, off);
}

ssize_t
pwrite64(int fd, const void *data, size_t len, off64_t off)
{
	return pwrite(fd, data, len, off);
}

/* One record, since it is one call: how far it got is for the disk to say. */
ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	const off_t off = lseek(fd, 0, SEEK_CUR);
	size_t len = 0, at = 0;
	ssize_t done;
	char *all;

	if (!is_target(fd))
		return syscall(SYS_writev, fd, iov, count);
	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	all = malloc(len);
	if (all == NULL)
		abort();
	for (int i = 0; i < count; i++) {
		memcpy(all + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	done = write_at(fd, all, len, off);
	free(all);
	if (done > 0)
		(void)lseek(fd, off + done, SEEK_SET);
	return done;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)data, len};

	if (!is_target(fd))
		return syscall(SYS_write, fd, data, len);
	return writev(fd, &iov, 1);
}

static void
record_flush(uint32_t kind, int fd)
{
	(void)pthread_mutex_lock(&shim.lock);
	record(kind, target_of(fd), 0, NULL, 0);
	(void)pthread_mutex_unlock(&shim.lock);
}

/* The first thread may be waiting for this one: not for ever. */
static void
wait_for_writes(void)
{
	struct timespec end;
	unsigned int until;
	int rc = 0;

	(void)clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += FLUSH_MAX_NS;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	(void)pthread_mutex_lock(&shim.lock);
	until = shim.writes + FLUSH_WRITES;
	while (rc == 0 && shim.writes < until)
		rc = pthread_cond_timedwait(&shim.written, &shim.lock, &end);
	(void)pthread_mutex_unlock(&shim.lock);
}

static int
flush(int fd, long call)
{
	int rc;

	/* The kernel tells each descriptor of a failed write-back once. */
	if (is_target(fd) && shim.lost_fd >= 0 && shim.lost_fd != fd) {
		shim.lost_fd = -1;
		errno = shim.error;
		return -1;
	}
	if (is_target(fd) && fails("sync")) {
		shim.lost_fd = fd;
		return -1;
	}
	if (is_target(fd))
		record_flush(ZK_FAULT_FLUSH_BEGIN, fd);
	rc = (int)syscall(call, fd);
	if (is_target(fd) && gettid() != getpid())
		wait_for_writes();
	if (rc == 0 && is_target(fd))
		record_flush(ZK_FAULT_FLUSH, fd);
	return rc;
}

int
fdatasync(int fd)
{
	return flush(fd, SYS_fdatasync);
}

int
fsync(int fd)
{
	return flush(fd, SYS_fsync);
}

int
fallocate(int fd, int mode, off_t off, off_t len)
{
	int rc;

	if (shim.full && is_target(fd)) {
		shim.full = 0;
		errno = shim.error;
		return -1;
	}
	(void)pthread_mutex_lock(&shim.lock);
	rc = (int)syscall(SYS_fallocate, fd, mode, off, len);
	if (rc == 0 && (mode & FALLOC_FL_KEEP_SIZE) == 0 && is_target(fd))
		record(ZK_FAULT_SIZE, target_of(fd), (uint64_t)(off + len),
		    NULL, 0);
	(void)pthread_mutex_unlock(&shim.lock);
	return rc;
}

/* What the replay does not know must not happen unseen. */
int
ftruncate(int fd, off_t len)
{
	if (is_target(fd))
		abort();
	return (int)syscall(SYS_ftruncate, fd, len);
}

int
msync(void *at, size_t len, int flags)
{
	(void)at;
	(void)len;
	(void)flags;
	abort();
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
