#include "fs/reply.h"

#include <errno.h>
#include <sys/sysmacros.h>

#include "base/assert.h"
#include "base/err.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/trunc.h"

void
zk_reply_rc(fuse_req_t req, int rc)
{
	ZK_ASSERT(rc <= 0);
	(void)fuse_reply_err(req, zk_err_errno(rc));
}

/* ESTALE makes the kernel look the name up again, and try again. */
static int
by_ino(int rc)
{
	return rc == -ENOENT ? -ESTALE : rc;
}

void
zk_reply_rc_ino(fuse_req_t req, int rc)
{
	zk_reply_rc(req, by_ino(rc));
}

static struct timespec
time_of(const struct zk_stamp *stamp)
{
	return (struct timespec){stamp->sec, (long)stamp->nsec};
}

void
zk_stat_of(const struct zk_attr *attr, struct stat *ret_stat)
{
	*ret_stat = (struct stat){
	    .st_ino = attr->ino,
	    .st_mode = attr->mode,
	    .st_nlink = attr->nlink,
	    .st_uid = attr->uid,
	    .st_gid = attr->gid,
	    .st_rdev = attr->rdev,
	    .st_size = (off_t)attr->size,
	    .st_blocks = (blkcnt_t)attr->blocks,
	    .st_blksize = 4096,
	    .st_atim = time_of(&attr->atime),
	    .st_mtim = time_of(&attr->mtime),
	    .st_ctim = time_of(&attr->ctime),
	};
	/* `ls -l` shows an ephemeral file by a T. */
	if (S_ISREG(attr->mode) && attr->session != 0)
		ret_stat->st_mode |= S_ISVTX;
}

/*
 * Whether the kernel is still to be told, by its events, that the node has lost
 * its last name; which may not have been announced yet.  See
 * zk_replay_leaves().
 */
static bool
leaves(struct zk_fs *fs, uint64_t ino)
{
	const struct zk_inode *inode;
	bool announced;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	announced = inode == NULL || inode->orphan;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return !announced || zk_replay_leaves(&fs->replay, ino);
}

/*
 * What the kernel is told of it.  True: that is not the whole truth, and so not
 * to be believed for long.
 */
static bool
stat_of(struct zk_fs *fs, const struct zk_attr *attr, struct stat *ret_stat)
{
	zk_stat_of(attr, ret_stat);
	if (attr->nlink > 0 || zk_is_virtual(attr->ino) ||
	    !leaves(fs, attr->ino))
		return false;
	ret_stat->st_nlink = 1;
	return true;
}

/* Takes note of what the kernel will know; how long it may believe it. */
static double
told(struct zk_fs *fs, const struct zk_attr *attr, bool changed)
{
	struct zk_inode *inode;
	double timeout = changed ? 0 : ZK_CACHE_S;

	if (zk_is_virtual(attr->ino))
		return 0;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, attr->ino);
	if (inode == NULL) {
		timeout = 0;
	} else {
		inode->mode_told = attr->mode;
		if (inode->topical == 0 &&
		    (attr->kind == ZK_NODE_TOPIC ||
		        attr->kind == ZK_NODE_PARTITION)) {
			inode->topical = attr->kind;
			zk_appends_know(fs, attr->ino, attr->kind);
		}
		if (attr->nlink > 0)
			inode->named_ms = zk_now_ms();
		/*
		 * Its size will be another soon, or it may have another face:
		 * let everybody ask.
		 */
		if (zk_face_has(attr->kind) || inode->truncs > 0 ||
		    inode->releasing > 0)
			timeout = 0;
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	zk_appends_kick(fs);
	return timeout;
}

struct fuse_entry_param
zk_entry_of(struct zk_fs *fs, const struct zk_attr *attr, bool changed)
{
	struct fuse_entry_param entry = {
	    .ino = attr->ino,
	    .entry_timeout = zk_is_virtual(attr->ino) ? 0 : ZK_CACHE_S,
	};

	changed = stat_of(fs, attr, &entry.attr) || changed;
	entry.attr_timeout = told(fs, attr, changed);
	return entry;
}

void
zk_reply_attr(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr,
    bool changed)
{
	struct stat st;

	changed = stat_of(fs, attr, &st) || changed;
	(void)fuse_reply_attr(req, &st, told(fs, attr, changed));
}

void
zk_reply_entry(struct zk_fs *fs, fuse_req_t req, struct fuse_entry_param *entry)
{
	const uint64_t ino = zk_face_ino(entry->ino);

	zk_control_ref(fs, ino);
	/* The kernel has not heard of it when the reply was not taken. */
	if (fuse_reply_entry(req, entry) == 0 || ino == 0)
		return;
	zk_control_forget(fs, ino, 1);
	if (zk_inodes_forget(&fs->inodes, ino, 1))
		zk_calls_reap(fs, ino);
}

void
zk_answer_rc(struct zk_call *call, const struct zk_outcome *out)
{
	zk_reply_rc(call->req, out->rc);
}

void
zk_answer_rc_ino(struct zk_call *call, const struct zk_outcome *out)
{
	zk_reply_rc_ino(call->req, out->rc);
}

static bool
changes_content(const struct zk_command *cmd)
{
	if (cmd->op == ZK_OP_SETATTR)
		return (cmd->flags & (ZK_SET_SIZE | ZK_F_TRUNCATE)) != 0;
	return cmd->op == ZK_OP_WRITE || cmd->op == ZK_OP_FALLOCATE;
}

/* The system call had failed, so its events were not raised. */
static void
raise_late(struct zk_fs *fs, const struct zk_command *cmd,
    const struct zk_outcome *out)
{
	if (cmd->op == ZK_OP_CREATE || cmd->op == ZK_OP_LINK ||
	    cmd->op == ZK_OP_UNLINK || cmd->op == ZK_OP_RMDIR ||
	    cmd->op == ZK_OP_RENAME)
		zk_replay_sync(fs, cmd->ino, cmd->name, cmd->name_len, S_IFREG);
	else
		zk_replay_touched(fs, cmd->ino, changes_content(cmd));
	if (cmd->op == ZK_OP_RENAME)
		zk_replay_sync(fs, cmd->ino2, cmd->name2, cmd->name2_len,
		    S_IFREG);
	if (cmd->op == ZK_OP_CREATE)
		zk_replay_sync(fs, cmd->ino, out->name, out->name_len, S_IFREG);
}

void
zk_late_change(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_command *cmd = &call->cmd;
	struct zk_fs *fs = call->fs;

	if (out->rc < 0)
		return;
	zk_trunc_done(fs, cmd);
	if (cmd->name_len > 0 && cmd->op != ZK_OP_XATTR_SET &&
	    cmd->op != ZK_OP_XATTR_REMOVE)
		zk_notify_name(fs, cmd->ino, cmd->name, cmd->name_len);
	if (cmd->name2_len > 0)
		zk_notify_name(fs, cmd->ino2, cmd->name2, cmd->name2_len);
	raise_late(fs, cmd, out);
	zk_notify_inode(fs, cmd->ino, true);
	zk_notify_inode(fs, cmd->ino2, true);
	zk_notify_inode(fs, out->attr.ino, true);
}
