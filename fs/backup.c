#include "fs/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"

struct job {
	struct zk_fs *fs;
	struct zk_handle *handle;
	fuse_req_t req;
	struct fuse_file_info fi;
};

static bool
is_unwanted(void *arg)
{
	const struct job *job = arg;

	return atomic_load(&job->fs->stopping) ||
	    fuse_req_interrupted(job->req) != 0;
}

static void
set_idle(struct zk_fs *fs)
{
	(void)pthread_mutex_lock(&fs->control_lock);
	fs->backup.busy = false;
	(void)pthread_mutex_unlock(&fs->control_lock);
}

static void *
make(void *arg)
{
	struct job *job = arg;
	struct zk_fs *fs = job->fs;
	int fd, rc;

	rc = fs->port.backup(fs->port.impl, is_unwanted, job, &fd);
	if (rc < 0) {
		zk_handle_drop(fs, job->handle);
		zk_reply_rc(job->req, rc);
		set_idle(fs);
		free(job);
		return NULL;
	}
	job->handle->backup = true;
	job->handle->backup_fd = fd;
	job->fi.fh = job->handle->fh;
	job->fi.direct_io = 1;
	if (fuse_reply_open(job->req, &job->fi) != 0)
		zk_handle_drop(fs, job->handle);
	free(job);
	return NULL;
}

/* Under the lock, so that nobody begins in between. */
static int
begin(struct zk_fs *fs, struct job *job)
{
	struct zk_backup *backup = &fs->backup;
	int rc;

	if (backup->busy)
		return -EBUSY;
	/* It gave its answer, and does nothing else. */
	if (backup->started)
		(void)pthread_join(backup->thread, NULL);
	backup->started = false;
	rc = -pthread_create(&backup->thread, NULL, make, job);
	backup->started = backup->busy = rc == 0;
	return rc;
}

void
zk_backup_open(struct zk_fs *fs, struct zk_handle *handle, fuse_req_t req,
    const struct fuse_file_info *fi)
{
	struct job *job;
	int rc = -ENOMEM;

	if (handle->uid != 0 || (fi->flags & O_ACCMODE) != O_RDONLY) {
		rc = handle->uid != 0 ? -EPERM : -EACCES;
		zk_handle_drop(fs, handle);
		zk_reply_rc(req, rc);
		return;
	}
	job = calloc(1, sizeof(*job));
	if (job != NULL) {
		*job = (struct job){fs, handle, req, *fi};
		(void)pthread_mutex_lock(&fs->control_lock);
		rc = begin(fs, job);
		(void)pthread_mutex_unlock(&fs->control_lock);
	}
	if (rc < 0) {
		free(job);
		zk_handle_drop(fs, handle);
		zk_reply_rc(req, rc);
	}
}

void
zk_backup_read(struct zk_handle *handle, fuse_req_t req, size_t size, off_t off)
{
	char *buf = malloc(size + 1);
	ssize_t n;

	ZK_ASSERT(handle->backup);

	if (buf == NULL) {
		zk_reply_rc(req, -ENOMEM);
		return;
	}
	n = pread(handle->backup_fd, buf, size, off);
	if (n < 0)
		zk_reply_rc(req, -errno);
	else
		(void)fuse_reply_buf(req, buf, (size_t)n);
	free(buf);
}

void
zk_backup_close(struct zk_fs *fs, struct zk_handle *handle)
{
	if (!handle->backup)
		return;
	(void)close(handle->backup_fd);
	set_idle(fs);
}

void
zk_backup_stop(struct zk_fs *fs)
{
	bool started;

	(void)pthread_mutex_lock(&fs->control_lock);
	started = fs->backup.started;
	fs->backup.started = false;
	(void)pthread_mutex_unlock(&fs->control_lock);
	if (started)
		(void)pthread_join(fs->backup.thread, NULL);
}
