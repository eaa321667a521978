#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"

static enum zk_lock_type
type_of(int l_type)
{
	if (l_type == F_RDLCK)
		return ZK_LOCK_SHARED;
	return l_type == F_WRLCK ? ZK_LOCK_EXCLUSIVE : ZK_LOCK_NONE;
}

/* libfuse has made l_whence SEEK_SET, and l_len 0 for "to the end". */
static void
fill(struct zk_command *cmd, uint64_t ino, const struct fuse_file_info *fi,
    const struct flock *lock)
{
	const struct zk_handle *handle = zk_handle_of(fi);

	*cmd = (struct zk_command){
	    .op = ZK_OP_LOCK,
	    .ino = ino,
	    .handle = handle->id,
	    .owner = fi->lock_owner,
	    .lock_type = type_of(lock->l_type),
	    .off = (uint64_t)lock->l_start,
	    .len = (uint64_t)lock->l_len,
	    .pid = (uint32_t)lock->l_pid,
	};
}

static void
getlk_now(struct zk_fs *fs, fuse_req_t req, const struct zk_command *cmd)
{
	struct flock found = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	struct zk_lock_info info;
	int rc;

	rc = fs->port.getlock(fs->port.impl, cmd, &info);
	if (rc < 0) {
		zk_reply_rc_ino(req, rc);
		return;
	}
	if (info.type != ZK_LOCK_NONE) {
		found.l_type = info.type == ZK_LOCK_SHARED ? F_RDLCK : F_WRLCK;
		found.l_start = (off_t)info.off;
		found.l_len = (off_t)info.len;
		/* A process of another host has no number here. */
		if (info.session == fs->port.session(fs->port.impl))
			found.l_pid = (pid_t)info.pid;
	}
	(void)fuse_reply_lock(req, &found);
}

static void
getlk_resume(struct zk_call *call)
{
	getlk_now(call->fs, call->req, &call->cmd);
}

void
zk_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct flock *lock)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command cmd;

	if (zk_is_virtual(ino)) {
		zk_reply_rc(req, -EOPNOTSUPP);
		return;
	}
	fill(&cmd, ino, fi, lock);
	if (!zk_wait_if_closing(fs, req, &cmd, NULL, getlk_resume))
		getlk_now(fs, req, &cmd);
}

static void
ignore_answer(struct zk_call *call, const struct zk_outcome *out)
{
	(void)call;
	(void)out;
}

/* Nobody waits for the lock any more, and nobody would let it go. */
static void
lock_late(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_command cmd = call->cmd;
	struct zk_call *undo;

	if (out->rc < 0 || cmd.lock_type == ZK_LOCK_NONE)
		return;
	cmd.lock_type = ZK_LOCK_NONE;
	cmd.flags &= ~(uint32_t)ZK_F_WAIT;
	undo = zk_call_new(call->fs, NULL, &cmd, ignore_answer);
	if (undo != NULL)
		zk_call_submit(undo);
}

static void
lock_seen(struct zk_call *call)
{
	const struct zk_outcome granted = {.rc = 0};
	const bool over = zk_call_is_over(call);

	zk_reply_rc(call->req, over ? -ESTALE : 0);
	if (over)
		lock_late(call, &granted);
}

/* Who has the lock sees what was done under it before. */
static void
lock_answer(struct zk_call *call, const struct zk_outcome *out)
{
	call->resume = lock_seen;
	if (out->rc < 0 || call->cmd.lock_type == ZK_LOCK_NONE ||
	    !zk_call_defer_shown(call, ZK_SHOWN_MS))
		zk_answer_rc_ino(call, out);
}

static void
submit(fuse_req_t req, struct fuse_file_info *fi, struct zk_command *cmd)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_inode *inode;
	struct zk_call *call;
	int rc;

	if (zk_is_virtual(cmd->ino)) {
		zk_reply_rc(req, -EOPNOTSUPP);
		return;
	}
	/*
	 * close(2) returns before its RELEASE is answered; what it unlocks
	 * must not stand in the way of whom its caller wakes next.
	 */
	zk_workers_settle(fs);
	if (cmd->lock_type != ZK_LOCK_NONE) {
		rc = zk_handle_tie(fs, handle, ZK_TIE_LOCK);
		if (rc < 0) {
			zk_reply_rc(req, rc);
			return;
		}
		(void)pthread_mutex_lock(&fs->inodes.lock);
		inode = zk_inodes_find(&fs->inodes, cmd->ino);
		if (inode != NULL && (cmd->flags & ZK_F_FLOCK) == 0)
			inode->posix_locks = true;
		(void)pthread_mutex_unlock(&fs->inodes.lock);
	}
	if ((cmd->flags & ZK_F_WAIT) != 0 && zk_handover_serves())
		cmd->flags |= ZK_F_AGAIN;
	call = zk_call_new(fs, req, cmd, lock_answer);
	if (call == NULL)
		return;
	call->late = lock_late;
	zk_call_submit(call);
}

void
zk_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct flock *lock, int sleep)
{
	struct zk_command cmd;

	fill(&cmd, ino, fi, lock);
	if (sleep && cmd.lock_type != ZK_LOCK_NONE)
		cmd.flags |= ZK_F_WAIT;
	submit(req, fi, &cmd);
}

void
zk_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
	struct flock lock = {.l_type = F_UNLCK};
	struct zk_command cmd;

	if ((op & LOCK_SH) != 0)
		lock.l_type = F_RDLCK;
	else if ((op & LOCK_EX) != 0)
		lock.l_type = F_WRLCK;
	fill(&cmd, ino, fi, &lock);
	cmd.flags |= ZK_F_FLOCK;
	if ((op & LOCK_NB) == 0 && cmd.lock_type != ZK_LOCK_NONE)
		cmd.flags |= ZK_F_WAIT;
	submit(req, fi, &cmd);
}
