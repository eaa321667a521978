#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/* One request is one look at the tree, so it never shows two versions. */
static void
read_now(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    uint64_t ino, uint64_t off, size_t size)
{
	size_t len = 0;
	void *buf;
	int rc;

	if (zk_topic_read_offset(req, handle, size, off))
		return;
	buf = malloc(size + 1);
	if (buf == NULL) {
		zk_reply_rc(req, -ENOMEM);
		return;
	}
	rc = fs->port.read(fs->port.impl, ino, off, buf, size, &len);
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else
		(void)fuse_reply_buf(req, buf, len);
	free(buf);
}

static void
read_resume(struct zk_call *call)
{
	read_now(call->fs, call->req, call->handle, call->cmd.ino,
	    call->cmd.off, call->size);
}

static void
barrier_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0)
		zk_reply_rc(call->req, out->rc);
	else if (!zk_call_defer_shown(call, ZK_SHOWN_MS))
		zk_call_defer(call);
}

void
zk_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_command barrier = {.op = ZK_OP_NOP};
	struct zk_call *call;

	if (zk_is_virtual(ino)) {
		zk_control_read(req, size, off, fi);
		return;
	}
	if (handle->next != NULL) {
		zk_next_read(req, handle, size, (uint64_t)off, fi->flags);
		return;
	}
	if (handle->kind == ZK_NODE_PARTITION) {
		if ((fi->flags & O_DIRECT) != 0)
			zk_topic_read_synced(req, handle, size, (uint64_t)off);
		else
			zk_topic_read(req, handle, size, (uint64_t)off);
		return;
	}
	if (handle->text != NULL) {
		zk_control_read(req, size, off, fi);
		return;
	}
	if ((fi->flags & O_DIRECT) == 0) {
		read_now(fs, req, handle, ino, (uint64_t)off, size);
		return;
	}
	/* O_DIRECT asks the ensemble, not this host's copy. */
	call = zk_call_new(fs, req, &barrier, barrier_answer);
	if (call == NULL)
		return;
	call->handle = handle;
	call->cmd.ino = ino;
	call->cmd.off = (uint64_t)off;
	call->size = size;
	call->resume = read_resume;
	zk_call_submit(call);
}

/* The kernel takes its own view of size and content for true; correct it. */
static void
correct_cache(struct zk_call *call)
{
	const struct zk_command *cmd = &call->cmd;
	struct zk_fs *fs = call->fs;
	struct zk_inode *inode;
	bool set_id = false;

	zk_trunc_done(fs, cmd);
	/* It has put appended data where it thinks the end is. */
	if ((cmd->flags & ZK_F_TRUNCATE) != 0 ||
	    ((cmd->flags & ZK_F_APPEND) != 0 && !call->handle->direct))
		zk_notify_inode(fs, cmd->ino, true);
	if ((cmd->flags & ZK_F_KILL_PRIV) == 0)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, cmd->ino);
	if (inode != NULL)
		set_id = (inode->mode_told & (S_ISUID | S_ISGID)) != 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (set_id)
		zk_notify_inode(fs, cmd->ino, false);
}

static void
write_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0) {
		zk_handle_unstamp(call->fs, call->handle, &call->cmd);
		zk_reply_rc_ino(call->req, out->rc);
		return;
	}
	correct_cache(call);
	(void)fuse_reply_write(call->req, call->size);
}

/* As write_answer, for what only succeeds or not. */
static void
fallocate_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0)
		zk_handle_unstamp(call->fs, call->handle, &call->cmd);
	else
		correct_cache(call);
	zk_reply_rc_ino(call->req, out->rc);
}

/* Stamp and submit a change of content through this handle. */
static void
submit(fuse_req_t req, struct zk_handle *handle, struct zk_command *cmd,
    size_t size, zk_answer_fn answer)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_call *call;
	int rc;

	rc = zk_handle_stamp(fs, req, handle, cmd);
	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	call = zk_call_new(fs, req, cmd, answer);
	if (call == NULL)
		return;
	call->handle = handle;
	call->size = size;
	call->late = zk_late_change;
	zk_call_submit(call);
}

/* As if apply had refused it: the value stays, also at close. */
static void
refuse_size(fuse_req_t req, struct zk_handle *handle)
{
	struct zk_fs *fs = zk_fs_of(req);

	zk_trunc_refuse(fs, handle);
	zk_reply_rc(req, -EFBIG);
}

void
zk_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .ino = ino,
	    .off = (uint64_t)off,
	    .data = buf,
	    .data_len = size,
	};

	if (zk_is_virtual(ino)) {
		zk_control_write(req, ino, buf, size, fi);
		return;
	}
	if (zk_topic_is_special(zk_handle_of(fi)->kind)) {
		zk_topic_write(req, zk_handle_of(fi), buf, size, fi->flags);
		return;
	}
	if (zk_handle_of(fi)->kind == ZK_NODE_OFFSET &&
	    zk_topic_reset(req, zk_handle_of(fi), buf, size, fi))
		return;
	/*
	 * The kernel's offset comes from the size that it knows.  A page that
	 * was written through a mapping has its own place.
	 */
	if (!fi->writepage && (fi->flags & O_APPEND) != 0) {
		cmd.flags |= ZK_F_APPEND;
		cmd.off = 0;
	}
	if (size == 0)
		(void)fuse_reply_write(req, 0);
	else if (cmd.off > fs->max_file || size > fs->max_file - cmd.off)
		refuse_size(req, zk_handle_of(fi));
	else
		submit(req, zk_handle_of(fi), &cmd, size, write_answer);
}

void
zk_write_for(fuse_req_t req, uint64_t ino, const char *buf, size_t size,
    size_t told, struct fuse_file_info *fi)
{
	struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .ino = ino,
	    .data = buf,
	    .data_len = size,
	};

	submit(req, zk_handle_of(fi), &cmd, told, write_answer);
}

void
zk_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command cmd = {
	    .op = ZK_OP_FALLOCATE,
	    .ino = ino,
	    .mode = (uint32_t)mode,
	    .off = (uint64_t)off,
	    .len = (uint64_t)len,
	};
	bool known = mode == 0 || mode == FALLOC_FL_KEEP_SIZE ||
	    mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) ||
	    mode == FALLOC_FL_ZERO_RANGE ||
	    mode == (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;

	if (!known || zk_is_virtual(ino))
		zk_reply_rc(req, -EOPNOTSUPP);
	else if (off < 0 || len <= 0)
		zk_reply_rc(req, -EINVAL);
	else if (!punch &&
	    (cmd.off > fs->max_file || cmd.len > fs->max_file - cmd.off))
		zk_reply_rc(req, -EFBIG);
	else
		submit(req, zk_handle_of(fi), &cmd, 0, fallocate_answer);
}

void
zk_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	uint64_t to = 0;
	int rc = -EINVAL;

	if (off >= 0 && !zk_is_virtual(ino) &&
	    zk_topic_is_special(zk_handle_of(fi)->kind)) {
		zk_topic_lseek(req, zk_handle_of(fi), (uint64_t)off, whence);
		return;
	}
	/* SEEK_SET, _CUR and _END are the kernel's. */
	if (off < 0)
		rc = -ENXIO;
	else if (zk_is_virtual(ino))
		rc = zk_control_seek(fs, ino, (uint64_t)off, whence, &to);
	else if (whence == SEEK_DATA || whence == SEEK_HOLE)
		rc = fs->port.seek(fs->port.impl, ino, (uint64_t)off,
		    whence == SEEK_HOLE, &to);
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else
		(void)fuse_reply_lseek(req, (off_t)to);
}

/* What is in a file can be read; only streams have to wait. */
void
zk_op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph)
{
	struct zk_handle *handle = zk_handle_of(fi);

	(void)ino;
	if (handle != NULL && handle->next != NULL) {
		zk_next_poll(req, handle, ph);
		return;
	}
	if (handle != NULL && handle->stream != NULL) {
		zk_events_poll(req, handle, ph);
		return;
	}
	if (ph != NULL)
		fuse_pollhandle_destroy(ph);
	(void)fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}
