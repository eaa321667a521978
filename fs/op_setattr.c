#include <errno.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"
#include "fs/trunc.h"

static void
answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0) {
		zk_handle_unstamp(call->fs, call->handle, &call->cmd);
		zk_reply_rc_ino(call->req, out->rc);
		return;
	}
	if ((call->cmd.flags & ZK_F_TRUNCATE) != 0) {
		zk_trunc_done(call->fs, &call->cmd);
		zk_notify_inode(call->fs, call->cmd.ino, true);
	}
	zk_reply_attr(call->fs, call->req, &out->attr, true);
}

static const struct {
	int fuse;
	uint32_t set;
} fields[] = {
    {FUSE_SET_ATTR_MODE, ZK_SET_MODE},
    {FUSE_SET_ATTR_UID, ZK_SET_UID},
    {FUSE_SET_ATTR_GID, ZK_SET_GID},
    {FUSE_SET_ATTR_SIZE, ZK_SET_SIZE},
    {FUSE_SET_ATTR_ATIME, ZK_SET_ATIME},
    {FUSE_SET_ATTR_MTIME, ZK_SET_MTIME},
    {FUSE_SET_ATTR_ATIME_NOW, ZK_SET_ATIME_NOW},
    {FUSE_SET_ATTR_MTIME_NOW, ZK_SET_MTIME_NOW},
};

static void
fill(struct zk_command *cmd, const struct stat *attr, int to_set)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if ((to_set & fields[i].fuse) != 0)
			cmd->flags |= fields[i].set;
	/* The kernel sets both for "now"; that is the leader's clock. */
	if ((cmd->flags & ZK_SET_ATIME_NOW) != 0)
		cmd->flags &= ~(uint32_t)ZK_SET_ATIME;
	if ((cmd->flags & ZK_SET_MTIME_NOW) != 0)
		cmd->flags &= ~(uint32_t)ZK_SET_MTIME;
	if ((cmd->flags & ZK_SET_MODE) != 0)
		cmd->mode = attr->st_mode & 07777;
	if ((cmd->flags & ZK_SET_UID) != 0)
		cmd->uid = attr->st_uid;
	if ((cmd->flags & ZK_SET_GID) != 0)
		cmd->gid = attr->st_gid;
	if ((cmd->flags & ZK_SET_SIZE) != 0)
		cmd->len = (uint64_t)attr->st_size;
	if ((cmd->flags & ZK_SET_ATIME) != 0)
		cmd->atime = (struct zk_stamp){attr->st_atim.tv_sec,
		    (uint32_t)attr->st_atim.tv_nsec};
	if ((cmd->flags & ZK_SET_MTIME) != 0)
		cmd->mtime = (struct zk_stamp){attr->st_mtim.tv_sec,
		    (uint32_t)attr->st_mtim.tv_nsec};
	/*
	 * chown(2), whoever calls it, ends the set-id bits; with neither
	 * owner nor group to set, it does just that, and changes ctime.
	 */
	if (cmd->flags == 0 || (cmd->flags & (ZK_SET_UID | ZK_SET_GID)) != 0)
		cmd->flags |= ZK_F_KILL_PRIV;
}

/*
 * What can be said here about a new size: 0, a negative code, or 1 when the
 * request has been answered.
 */
static int
check_size(struct zk_fs *fs, fuse_req_t req, struct zk_command *cmd,
    struct zk_handle *handle)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_attr attr;
	int rc;

	rc = fs->port.getattr(fs->port.impl, cmd->ino, &attr);
	if (rc == 0)
		rc = zk_topic_check_size(&attr);
	if (rc < 0)
		return rc;
	if (cmd->len > fs->max_file)
		return -EFBIG;
	if (handle != NULL)
		return zk_handle_stamp(fs, req, handle, cmd);
	/* As opening it for writing: an ephemeral is its owner's alone. */
	if (attr.session != 0)
		return -EBUSY;
	if (cmd->len == 0 && zk_handle_defer_trunc(fs, cmd->ino, ctx->pid)) {
		/* It keeps its size, so that no reader sees it empty. */
		zk_reply_attr(fs, req, &attr, true);
		return 1;
	}
	return zk_handle_stamp(fs, req, NULL, cmd);
}

/* Truncating a virtual file, as > does, means nothing. */
static void
setattr_virtual(struct zk_fs *fs, fuse_req_t req, uint64_t ino, int to_set)
{
	struct zk_attr attr;
	int rc = -EPERM;

	if ((to_set & ~(FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_CTIME)) == 0)
		rc = zk_control_getattr(fs, ino, &attr);
	if (rc < 0)
		zk_reply_rc(req, rc);
	else
		zk_reply_attr(fs, req, &attr, true);
}

void
zk_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_command cmd = {.op = ZK_OP_SETATTR, .ino = ino};
	struct zk_call *call;
	int rc = 0;

	if (zk_replay_asks(&fs->replay, req)) {
		zk_replay_setattr(req, ino);
		return;
	}
	if (zk_is_virtual(ino)) {
		setattr_virtual(fs, req, ino, to_set);
		return;
	}
	fill(&cmd, attr, to_set);
	if ((cmd.flags & ZK_SET_SIZE) != 0)
		rc = check_size(fs, req, &cmd, handle);
	else if ((cmd.flags & (ZK_SET_MTIME | ZK_SET_MTIME_NOW)) != 0 &&
	    zk_trunc_is_owed(fs, ino)) {
		/* Emptied only when it is closed, it would lose that time. */
		cmd.flags |= ZK_SET_SIZE;
		rc = zk_handle_stamp(fs, req, handle, &cmd);
	} else
		handle = NULL;
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	if (rc != 0)
		return;
	call = zk_call_new(fs, req, &cmd, answer);
	if (call == NULL)
		return;
	call->handle = handle;
	call->late = zk_late_change;
	zk_call_submit(call);
}
