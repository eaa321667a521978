#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/make.h"
#include "fs/next.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/*
 * A page cache cannot show two sizes of a file at once: who has opened it
 * before a change and reads after it may get the new value cut to the size of
 * the old one (measured: one of a hundred changes under two readers that do
 * nothing else).  So a file that is being replaced again and again is opened
 * past it, until it has not been for this long; for much less where such a
 * file cannot be mapped.  So is one that was replaced a moment ago: who reads
 * it then has been told, and it may go on.
 */
#define SETTLE_MS          1000u
#define SETTLE_MAPPABLE_MS 600000u

/*
 * Under the lock: the inode that is being opened, and whether its content may
 * still be seen changing.
 */
static bool
is_unsettled(const struct zk_fs *fs, const struct zk_inode *inode)
{
	uint64_t now = zk_now_ms();

	/* What the kernel is about to be told may be about its pages. */
	if (inode->truncs > 0 || inode->releasing > 0 || inode->queued)
		return true;
	/* Replaced once, it may stay so; twice, somebody goes on with it. */
	if (inode->replaced_before_ms == 0)
		return fs->mappable && inode->replaced_ms != 0 &&
		    now - inode->replaced_ms <= SETTLE_MS;
	if (fs->mappable)
		return now - inode->replaced_ms <= SETTLE_MAPPABLE_MS;
	return now - inode->replaced_before_ms <= SETTLE_MS;
}

/* Sets how the kernel is to treat the open file. */
static void
set_caching(struct zk_fs *fs, struct zk_handle *handle,
    struct fuse_file_info *fi)
{
	bool read_only = (handle->flags & O_ACCMODE) == O_RDONLY;
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	ZK_ASSERT(inode != NULL);
	/* By its own idea of the size the kernel would not even ask. */
	if ((handle->flags & O_DIRECT) != 0 &&
	    (handle->flags & O_ACCMODE) != O_WRONLY)
		handle->direct = true;
	else if (read_only)
		handle->direct = is_unsettled(fs, inode);
	/* If it had O_TRUNC, which we are not told, that comes next. */
	if ((handle->flags & O_ACCMODE) == O_WRONLY) {
		LIST_INSERT_HEAD(&inode->fresh, handle, fresh_link);
		handle->fresh = true;
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	fi->fh = handle->fh;
	fi->direct_io = handle->direct;
	/* Changes invalidate what is cached, so that it may be kept. */
	fi->keep_cache = read_only && !handle->direct;
}

/* 0 when the caller may open this. */
static int
check_open(struct zk_fs *fs, const struct zk_attr *attr, int flags)
{
	struct zk_inode *inode;
	bool held;
	bool busy = attr->session != 0 && (flags & O_ACCMODE) != O_RDONLY;

	if (attr->nlink > 0)
		return busy ? -EBUSY : 0;
	/*
	 * Without a name it can only be reached through an open file, or by
	 * whoever has just looked it up: then it was there, and is opened as
	 * it was.  If not, the kernel's idea of the name is out of date.
	 */
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, attr->ino);
	held = inode != NULL &&
	    (inode->opens > 0 || zk_now_ms() - inode->named_ms <= SETTLE_MS);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return held && !busy ? 0 : -ESTALE;
}

static void
open_node(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr,
    struct fuse_file_info *fi)
{
	struct zk_handle *handle = NULL;
	int rc;

	rc = check_open(fs, attr, fi->flags);
	if (rc == 0)
		rc = zk_topic_check_open(attr, fi->flags);
	if (rc == 0) {
		handle = zk_handle_new(fs, req, fi->flags);
		rc = handle == NULL ? -ENOMEM
		                    : zk_handle_open(fs, handle, attr->ino);
	}
	if (rc == 0)
		rc = zk_topic_opened(fs, handle, attr);
	if (rc == 0 && zk_face_has(attr->kind))
		rc = zk_face_claim(fs, handle, zk_worker_face());
	if (rc < 0) {
		zk_handle_drop(fs, handle);
		zk_reply_rc_ino(req, rc);
		return;
	}
	ZK_ASSERT(handle != NULL);
	if (attr->kind == ZK_NODE_NEXT) {
		zk_next_open(req, attr->ino, handle, fi);
		return;
	}
	if (handle->direct &&
	    (zk_topic_is_special(attr->kind) || attr->kind == ZK_NODE_OFFSET)) {
		fi->fh = handle->fh;
		fi->direct_io = 1;
	} else {
		set_caching(fs, handle, fi);
	}
	/* Not taken: nobody will close it. */
	if (fuse_reply_open(req, fi) != 0)
		zk_handle_drop(fs, handle);
}

/* What is opened after all waiting. */
static void
surveyed_resume(struct zk_call *call)
{
	struct zk_fs *fs = call->fs;
	struct zk_attr attr;
	int rc = fs->port.getattr(fs->port.impl, call->cmd.ino, &attr);

	if (rc < 0)
		zk_reply_rc_ino(call->req, rc);
	else
		open_node(fs, call->req, &attr, &call->fi);
}

static void
settled_resume(struct zk_call *call)
{
	struct zk_fs *fs = call->fs;
	struct zk_attr attr;
	int rc = fs->port.getattr(fs->port.impl, call->cmd.ino, &attr);

	if (rc < 0)
		zk_reply_rc_ino(call->req, rc);
	else if (!zk_topic_survey(fs, call->req, &attr, &call->fi,
	             surveyed_resume))
		open_node(fs, call->req, &attr, &call->fi);
}

static void
barrier_answer(struct zk_call *call, const struct zk_outcome *out)
{
	/* Refused: then what is known here is what there is. */
	(void)out;
	zk_call_defer(call);
}

/*
 * Who asks how far a group is finds done what this host's consumers have done
 * before.  True when the reply is under way.
 */
static bool
settle_group(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr,
    const struct fuse_file_info *fi)
{
	const struct zk_command barrier = {.op = ZK_OP_NOP};
	struct zk_call *call;

	if ((attr->kind != ZK_NODE_OFFSET && attr->kind != ZK_NODE_LAG &&
	        attr->kind != ZK_NODE_MEMBERS) ||
	    !zk_nexts_unsettled(fs))
		return false;
	call = zk_call_new(fs, req, &barrier, barrier_answer);
	if (call == NULL)
		return true;
	call->cmd.ino = attr->ino;
	call->fi = *fi;
	call->resume = settled_resume;
	zk_call_submit(call);
	return true;
}

static void
open_now(struct zk_fs *fs, fuse_req_t req, uint64_t ino,
    struct fuse_file_info *fi)
{
	struct zk_attr attr;
	int rc = fs->port.getattr(fs->port.impl, ino, &attr);

	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else if (!settle_group(fs, req, &attr, fi) &&
	    !zk_topic_survey(fs, req, &attr, fi, surveyed_resume))
		open_node(fs, req, &attr, fi);
}

static void
open_resume(struct zk_call *call)
{
	open_now(call->fs, call->req, call->cmd.ino, &call->fi);
}

void
zk_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command about = {.op = ZK_OP_NOP, .ino = ino};

	if (zk_replay_asks(&fs->replay, req)) {
		zk_replay_open(req, ino, fi);
		return;
	}
	if (zk_is_virtual(ino)) {
		zk_control_open(req, ino, fi);
		return;
	}
	if (!zk_wait_if_closing(fs, req, &about, fi, open_resume))
		open_now(fs, req, ino, fi);
}

/* The file is made: open it.  Returns false when the kernel did not care. */
static bool
reply_created(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_fs *fs = call->fs;
	struct zk_handle *handle = call->made;
	struct fuse_entry_param entry = zk_made_entry(call, out);
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, out->attr.ino);
	if (inode != NULL)
		inode->creator = handle;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	call->fi.fh = handle->fh;
	call->fi.direct_io = handle->direct;
	call->made = NULL;
	return fuse_reply_create(call->req, &entry, &call->fi) == 0;
}

/* It was made, but nobody has it open: so an ephemeral ends again. */
static void
unmake(struct zk_fs *fs, struct zk_handle *handle, uint64_t ino)
{
	if (handle->ino != 0 || zk_handle_open(fs, handle, ino) == 0)
		zk_handle_close(fs, handle);
	else
		zk_handle_drop(fs, handle);
}

static void
create_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_fs *fs = call->fs;
	struct zk_handle *handle = call->made;
	uint64_t ino = out->attr.ino;
	int rc = out->rc;

	/*
	 * Someone else was faster.  ESTALE makes the kernel look again, check
	 * the permissions of what is there, and open that.
	 */
	if (rc == -EEXIST && (handle->flags & O_EXCL) == 0)
		rc = -ESTALE;
	if (rc < 0) {
		zk_reply_rc(call->req, rc);
		return;
	}
	rc = zk_inodes_ref(&fs->inodes, ino);
	if (rc == 0)
		rc = zk_handle_open(fs, handle, ino);
	if (rc < 0) {
		call->made = NULL;
		unmake(fs, handle, ino);
		zk_reply_rc(call->req, rc);
		return;
	}
	if (!reply_created(call, out)) {
		unmake(fs, handle, ino);
		if (zk_inodes_forget(&fs->inodes, ino, 1))
			zk_calls_reap(fs, ino);
	}
}

static void
create_late(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_handle *handle = call->made;

	zk_late_change(call, out);
	if (out->rc < 0)
		return;
	call->made = NULL;
	unmake(call->fs, handle, out->attr.ino);
}

void
zk_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .flags = ZK_F_EXCL,
	    .uid = ctx->uid,
	    .gid = ctx->gid,
	    .ino = parent,
	    .name = name,
	    .name_len = strlen(name),
	    .mode = S_IFREG | (mode & 07777),
	};
	struct zk_handle *handle;
	struct zk_call *call;
	struct zk_attr attr = {0};
	int rc = -EPERM;

	if (!zk_control_guards(parent, name))
		rc = zk_inherit(fs, parent, &cmd, &attr);
	handle = rc < 0 ? NULL : zk_handle_new(fs, req, fi->flags);
	if (rc == 0 && handle == NULL)
		rc = -ENOMEM;
	/* s for session: what is made there lives while it is held open. */
	if (rc == 0 && (attr.mode & S_ISUID) != 0) {
		cmd.flags |= ZK_F_EPHEMERAL;
		rc = zk_handle_tie(fs, handle, ZK_TIE_OWNER);
	}
	if (rc < 0) {
		zk_handle_drop(fs, handle);
		zk_reply_rc(req, rc);
		return;
	}
	cmd.handle = handle->id;
	call = zk_call_new(fs, req, &cmd, create_answer);
	if (call == NULL) {
		zk_handle_drop(fs, handle);
		return;
	}
	call->fi = *fi;
	call->made = handle;
	call->late = create_late;
	zk_call_submit(call);
}

static void
unlock_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_fs *fs = call->fs;
	uint64_t ino = call->cmd.ino;
	struct zk_inode *inode;
	bool reap = false;

	/* Refused only when the session is over, and its locks with it. */
	(void)out;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL) {
		ZK_ASSERT(inode->unlocking > 0);
		inode->unlocking--;
		reap = zk_inodes_put(&fs->inodes, inode);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (reap)
		zk_calls_reap(fs, ino);
	zk_calls_kick(fs);
}

/* fcntl(2): any close by a process ends all its locks on the file. */
static int
drop_posix_locks(struct zk_fs *fs, uint64_t ino,
    const struct fuse_file_info *fi)
{
	struct zk_command cmd = {
	    .op = ZK_OP_UNLOCK_OWNER,
	    .ino = ino,
	    .handle = zk_handle_of(fi)->id,
	    .owner = fi->lock_owner,
	};
	struct zk_inode *inode;
	struct zk_call *call;
	bool locks;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	locks = inode != NULL && inode->posix_locks;
	call = locks ? zk_call_new(fs, NULL, &cmd, unlock_answer) : NULL;
	if (call != NULL)
		inode->unlocking++;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (call != NULL)
		zk_call_submit(call);
	return locks && call == NULL ? -ENOMEM : 0;
}

void
zk_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_expect expect;
	bool trunc;

	/* The helper's: see zk_replay_open(). */
	if (handle == NULL) {
		zk_reply_rc(req, 0);
		return;
	}
	(void)pthread_mutex_lock(&fs->inodes.lock);
	trunc = handle->trunc && !handle->expects;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	/* The last time that the caller is known, if this closes the file. */
	if (trunc &&
	    zk_expects_take(&fs->expects, ino, fuse_req_ctx(req)->pid,
	        &expect)) {
		(void)pthread_mutex_lock(&fs->inodes.lock);
		handle->expects = true;
		handle->expect = expect.version;
		(void)pthread_mutex_unlock(&fs->inodes.lock);
	}
	/* At once: whoever is killed while he waits here cannot die. */
	zk_reply_rc(req, drop_posix_locks(fs, ino, fi));
}

void
zk_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	if (zk_handle_of(fi) != NULL)
		zk_handle_close(zk_fs_of(req), zk_handle_of(fi));
	zk_reply_rc(req, 0);
}

static void
fsync_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0)
		zk_handle_unstamp(call->fs, call->handle, &call->cmd);
	else if ((call->cmd.flags & ZK_F_TRUNCATE) != 0) {
		zk_trunc_done(call->fs, &call->cmd);
		zk_notify_inode(call->fs, call->cmd.ino, true);
		zk_replay_touched(call->fs, call->cmd.ino, true);
	}
	zk_reply_rc_ino(call->req, out->rc);
}

/*
 * The kernel holds the lock of a directory that is synced, so that names in it
 * cannot be told meanwhile: do not wait for those.
 */
#define SHOWN_DIR_MS 20u

static void
caught_up(struct zk_call *call)
{
	zk_reply_rc(call->req, 0);
}

static void
sync_partition(struct zk_call *call)
{
	zk_topic_sync(call->fs, call->req, call->cmd.ino);
}

static void
barrier_answer_partition(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0)
		zk_reply_rc(call->req, out->rc);
	else
		zk_call_defer(call);
}

static void
barrier_answer_file(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0 || !zk_call_defer_shown(call, ZK_SHOWN_MS))
		zk_reply_rc(call->req, out->rc);
}

static void
barrier_answer_dir(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc == 0)
		zk_notify_names_now(call->fs);
	if (out->rc < 0 || !zk_call_defer_shown(call, SHOWN_DIR_MS))
		zk_reply_rc(call->req, out->rc);
}

/* Answered when all that was agreed before has been applied here. */
static void
barrier(struct zk_fs *fs, fuse_req_t req, uint64_t ino, zk_answer_fn answer,
    zk_resume_fn resume)
{
	struct zk_command cmd = {.op = ZK_OP_NOP};
	struct zk_call *call = zk_call_new(fs, req, &cmd, answer);

	if (call == NULL)
		return;
	call->cmd.ino = ino;
	call->resume = resume;
	zk_call_submit(call);
}

void
zk_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_command cmd = {
	    .op = ZK_OP_SETATTR,
	    .ino = ino,
	    .flags = ZK_SET_SIZE,
	};
	struct zk_call *call;
	bool trunc;
	int rc;

	(void)datasync;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	trunc = zk_trunc_owes(&fs->inodes, handle);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	/* sync(1) opens for reading: it asks for what others have done. */
	if (!trunc && (handle->flags & O_ACCMODE) == O_RDONLY &&
	    !zk_is_virtual(ino)) {
		if (handle->kind == ZK_NODE_PARTITION)
			barrier(fs, req, ino, barrier_answer_partition,
			    sync_partition);
		else
			barrier(fs, req, ino, barrier_answer_file, caught_up);
		return;
	}
	/* Every answered write is durable already, but for the topics'. */
	if (!trunc) {
		if (!zk_topic_fsync(req, handle))
			zk_reply_rc(req, 0);
		return;
	}
	rc = zk_handle_stamp(fs, req, handle, &cmd);
	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	call = zk_call_new(fs, req, &cmd, fsync_answer);
	if (call == NULL)
		return;
	call->handle = handle;
	call->late = zk_late_change;
	zk_call_submit(call);
}

void
zk_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	if (zk_is_virtual(ino))
		zk_reply_rc(req, 0);
	else
		barrier(zk_fs_of(req), req, ino, barrier_answer_dir, caught_up);
}
