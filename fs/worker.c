#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/assert.h"
#include "fs/impl.h"

/*
 * The threads that read requests.  Own ones instead of fuse_session_loop_mt():
 * one of them reads at a time, which gives every request a number in the order
 * in which the kernel sent it, and a poll(2) in between makes them easy to
 * stop.  No handler blocks, so a few are enough.
 *
 * Where changes come faster than they are served, the one who reads takes
 * several at a time, and reads on when it has passed them on: to wake another
 * one for each of them took a third of the workers' time.  One that comes
 * alone is served by who has read it, while another one reads.
 */

/* More than this takes a while to copy. */
#define BRIEF_BYTES_MAX 16384u

static _Thread_local struct zk_worker *self;

/* What it is working on; see zk_worker_request(). */
static _Thread_local struct {
	const void *bytes;
	size_t len;
	int face;
} request = {.face = -1};

size_t
zk_worker_request(uint8_t *buf)
{
	if (request.len == 0 || request.len > ZK_REQUEST_BYTES_MAX)
		return 0;
	memcpy(buf, request.bytes, request.len);
	return request.len;
}

void
zk_worker_set_request(const void *bytes, size_t len)
{
	request.bytes = bytes;
	request.len = len;
}

int
zk_worker_face(void)
{
	return request.face;
}

void
zk_worker_serve(struct zk_fs *fs, void *bytes, size_t len)
{
	const struct fuse_buf buf = {.size = len, .mem = bytes};

	request.face = (int)zk_face_strip(bytes, len);
	zk_worker_set_request(bytes, len);
	fuse_session_process_buf(fs->session, &buf);
	zk_worker_set_request(NULL, 0);
	request.face = -1;
}

/* Its handler does nothing but check it and pass it on. */
static bool
is_brief(const struct fuse_buf *buf)
{
	struct fuse_in_header head;

	if (buf->size < sizeof(head) || buf->size > BRIEF_BYTES_MAX)
		return false;
	memcpy(&head, buf->mem, sizeof(head));
	return head.opcode == FUSE_WRITE || head.opcode == FUSE_CREATE ||
	    head.opcode == FUSE_UNLINK || head.opcode == FUSE_MKDIR ||
	    head.opcode == FUSE_RMDIR;
}

/* False: there will be none. */
static bool
wait_for_request(struct zk_fs *fs, struct fuse_buf *buf)
{
	struct pollfd fds[] = {
	    {.fd = fuse_session_fd(fs->session), .events = POLLIN},
	    {.fd = fs->stop_fd, .events = POLLIN},
	};
	int n;

	while (!fs->stopping && !fuse_session_exited(fs->session)) {
		n = fuse_session_receive_buf(fs->session, buf);
		if (n != -EAGAIN && n != -EINTR)
			return n > 0;
		(void)poll(fds, 2, -1);
	}
	return false;
}

/*
 * The next requests of the kernel, by one worker at a time.  How many they
 * are; 0 when there will be none.
 */
static size_t
receive(struct zk_worker *worker)
{
	struct zk_fs *fs = worker->fs;
	struct fuse_buf *batch = worker->batch;
	size_t n = 0;

	zk_calls_wait_room(fs);
	if (!worker->reads)
		(void)pthread_mutex_lock(&fs->receive);
	if (wait_for_request(fs, &batch[0]))
		n = 1;
	while (n > 0 && n < ZK_BATCH_MAX && is_brief(&batch[n - 1]) &&
	    fuse_session_receive_buf(fs->session, &batch[n]) > 0)
		n++;
	if (n > 0)
		atomic_store(&worker->ticket, fs->ticket_last + 1);
	fs->ticket_last += n;
	worker->reads = n > 1 && is_brief(&batch[n - 1]);
	if (!worker->reads)
		(void)pthread_mutex_unlock(&fs->receive);
	return n;
}

/* Their memory is as large as the largest: it is not kept for each. */
static void
serve(struct zk_worker *worker, struct fuse_buf *buf)
{
	(void)atomic_fetch_add(&worker->fs->requests, 1);
	zk_worker_serve(worker->fs, buf->mem, buf->size);
	if (buf != worker->batch && buf->size > BRIEF_BYTES_MAX) {
		free(buf->mem);
		buf->mem = NULL;
	}
}

static void *
work(void *arg)
{
	struct zk_worker *worker = arg;
	struct zk_fs *fs = worker->fs;
	size_t n;

	self = worker;
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	while ((n = receive(worker)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (i > 0)
				(void)atomic_fetch_add(&worker->ticket, 1);
			serve(worker, &worker->batch[i]);
		}
		atomic_store(&worker->ticket, 0);
	}
	/* Nobody has asked for it: the kernel will send nothing more. */
	if (!atomic_load(&fs->stopping))
		atomic_store(&fs->over, true);
	(void)sem_post(&fs->ended);
	return NULL;
}

void
zk_workers_settle(struct zk_fs *fs)
{
	uint64_t mine, theirs;

	/* Resumed calls come from elsewhere; they have waited already. */
	if (self == NULL)
		return;
	mine = atomic_load(&self->ticket);
	ZK_ASSERT(mine != 0);
	for (size_t i = 0; i < ZK_WORKERS; i++)
		for (;;) {
			theirs = atomic_load(&fs->workers[i].ticket);
			if (theirs == 0 || theirs >= mine)
				break;
			(void)sched_yield();
		}
}

int
zk_workers_start(struct zk_fs *fs)
{
	sigset_t all, old;
	int rc = 0;

	fs->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->stop_fd < 0)
		return -errno;
	/* Signals are the main thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	for (size_t i = 0; i < ZK_WORKERS && rc == 0; i++) {
		struct zk_worker *worker = &fs->workers[i];
		worker->fs = fs;
		rc = pthread_create(&worker->thread, NULL, work, worker);
		worker->started = rc == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -rc;
}

void
zk_workers_stop(struct zk_fs *fs)
{
	if (fs->stop_fd < 0)
		return;
	atomic_store(&fs->stopping, true);
	(void)eventfd_write(fs->stop_fd, 1);
	(void)pthread_mutex_lock(&fs->calls.lock);
	(void)pthread_cond_broadcast(&fs->calls.room);
	(void)pthread_mutex_unlock(&fs->calls.lock);
	for (size_t i = 0; i < ZK_WORKERS; i++) {
		struct zk_worker *worker = &fs->workers[i];
		if (worker->started)
			(void)pthread_join(worker->thread, NULL);
		worker->started = false;
		for (size_t k = 0; k < ZK_BATCH_MAX; k++) {
			free(worker->batch[k].mem);
			worker->batch[k].mem = NULL;
		}
	}
	(void)close(fs->stop_fd);
	fs->stop_fd = -1;
}
