#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/make.h"
#include "fs/ops.h"
#include "fs/reply.h"

/*
 * Making, naming and removing nodes.  A name in these requests is looked up
 * and its directory locked by the kernel before it asks; that is what orders
 * the replies against invalidations of the same names.
 */

int
zk_inherit(struct zk_fs *fs, uint64_t parent, struct zk_command *cmd,
    struct zk_attr *ret_parent)
{
	int rc = fs->port.getattr(fs->port.impl, parent, ret_parent);

	if (rc < 0)
		return rc;
	/* inode(7): below a set-group-ID directory all is its group's. */
	if ((ret_parent->mode & S_ISGID) != 0) {
		cmd->gid = ret_parent->gid;
		if (S_ISDIR(cmd->mode))
			cmd->mode |= S_ISGID;
	}
	return 0;
}

struct fuse_entry_param
zk_made_entry(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_fs *fs = call->fs;
	const struct zk_command *cmd = &call->cmd;
	struct fuse_entry_param entry = zk_entry_of(fs, &out->attr, true);
	struct zk_inode *inode;

	if (cmd->op != ZK_OP_CREATE || out->name_len == 0)
		return entry;
	/*
	 * A sequential name.  The kernel puts the node under the name that
	 * was asked for, so that goes away again; and what it may believe of
	 * the name made, it learnt before that was.
	 */
	entry.entry_timeout = 0;
	zk_notify_name(fs, cmd->ino, cmd->name, cmd->name_len);
	zk_notify_name(fs, cmd->ino, out->name, out->name_len);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, out->attr.ino);
	if (inode != NULL && inode->name == NULL)
		inode->name = strndup(out->name, out->name_len);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	zk_replay_made(fs, cmd->ino, cmd->name, cmd->name_len, out);
	return entry;
}

static void
entry_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct fuse_entry_param entry;
	int rc = out->rc;

	if (rc == 0)
		rc = zk_inodes_ref(&call->fs->inodes, out->attr.ino);
	if (rc < 0) {
		zk_reply_rc(call->req, rc);
		return;
	}
	entry = zk_made_entry(call, out);
	zk_reply_entry(call->fs, call->req, &entry);
}

static void
submit(fuse_req_t req, const struct zk_command *cmd, zk_answer_fn answer)
{
	struct zk_call *call = zk_call_new(zk_fs_of(req), req, cmd, answer);

	if (call == NULL)
		return;
	call->late = zk_late_change;
	zk_call_submit(call);
}

static void
make(fuse_req_t req, uint64_t parent, const char *name, struct zk_command *cmd)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_attr attr;
	int rc;

	if (zk_replay_asks(&zk_fs_of(req)->replay, req)) {
		zk_replay_make(req, parent, name);
		return;
	}
	if (zk_control_guards(parent, name)) {
		zk_reply_rc(req, -EPERM);
		return;
	}
	cmd->op = ZK_OP_CREATE;
	cmd->flags = ZK_F_EXCL;
	cmd->ino = parent;
	cmd->name = name;
	cmd->name_len = strlen(name);
	cmd->uid = ctx->uid;
	cmd->gid = ctx->gid;
	rc = zk_inherit(zk_fs_of(req), parent, cmd, &attr);
	if (rc < 0)
		zk_reply_rc(req, rc);
	else
		submit(req, cmd, entry_answer);
}

void
zk_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
    dev_t rdev)
{
	struct zk_command cmd = {.mode = mode, .rdev = rdev};

	make(req, parent, name, &cmd);
}

void
zk_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct zk_command cmd = {.mode = S_IFDIR | (mode & 07777)};

	make(req, parent, name, &cmd);
}

void
zk_op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
    const char *name)
{
	struct zk_command cmd = {
	    .mode = S_IFLNK | 0777,
	    .data = link,
	    .data_len = strlen(link),
	};

	if (cmd.data_len > ZK_SYMLINK_MAX)
		zk_reply_rc(req, -ENAMETOOLONG);
	else
		make(req, parent, name, &cmd);
}

void
zk_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
    const char *newname)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_command cmd = {
	    .op = ZK_OP_LINK,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .ino = newparent,
	    .ino2 = ino,
	    .name = newname,
	    .name_len = strlen(newname),
	};

	if (zk_control_guards(newparent, newname) || zk_is_virtual(ino))
		zk_reply_rc(req, -EPERM);
	else
		submit(req, &cmd, entry_answer);
}

static void
remove_name(fuse_req_t req, uint64_t parent, const char *name, enum zk_op op)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_command cmd = {
	    .op = op,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .ino = parent,
	    .name = name,
	    .name_len = strlen(name),
	};

	if (zk_replay_asks(&zk_fs_of(req)->replay, req))
		zk_replay_remove(req, parent, name);
	else if (zk_control_guards(parent, name))
		zk_reply_rc(req, -EPERM);
	else
		submit(req, &cmd, zk_answer_rc);
}

void
zk_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, ZK_OP_UNLINK);
}

void
zk_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	remove_name(req, parent, name, ZK_OP_RMDIR);
}

void
zk_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
    fuse_ino_t newparent, const char *newname, unsigned int flags)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_command cmd = {
	    .op = ZK_OP_RENAME,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .mode = flags,
	    .ino = parent,
	    .name = name,
	    .name_len = strlen(name),
	    .ino2 = newparent,
	    .name2 = newname,
	    .name2_len = strlen(newname),
	};

	if (zk_replay_asks(&zk_fs_of(req)->replay, req))
		zk_replay_rename(req, parent, name, newparent, newname);
	else if (zk_control_guards(parent, name) ||
	    zk_control_guards(newparent, newname))
		zk_reply_rc(req, -EPERM);
	else
		submit(req, &cmd, zk_answer_rc);
}
