#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/ops.h"
#include "fs/reply.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/* A name may lead elsewhere between two looks; not often. */
#define FIND_TRIES 8

/* How long an answer about the size may take, and the kernel to take it. */
#define ANSWER_MS 50u
#define DIGEST_MS 3u

/*
 * The node that name leads to, registered for one reference of the kernel.
 * Read once more after that, see fs/inode.h.
 */
static int
find(struct zk_fs *fs, uint64_t parent, const char *name,
    struct zk_attr *ret_attr)
{
	const struct zk_fs_port *port = &fs->port;
	int rc = 0;

	for (int i = 0; i < FIND_TRIES; i++) {
		uint64_t ino;

		rc = port->lookup(port->impl, parent, name, strlen(name),
		    ret_attr);
		if (rc < 0)
			return rc;
		ino = ret_attr->ino;
		rc = zk_inodes_ref(&fs->inodes, ino);
		if (rc < 0)
			return rc;
		rc = port->getattr(port->impl, ino, ret_attr);
		if (rc == 0 && ret_attr->nlink > 0)
			return 0;
		if (zk_inodes_forget(&fs->inodes, ino, 1))
			zk_calls_reap(fs, ino);
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	return -ENOENT;
}

static void
lookup_now(struct zk_fs *fs, fuse_req_t req, uint64_t parent, const char *name)
{
	struct fuse_entry_param entry = {.entry_timeout = ZK_CACHE_S};
	struct zk_attr attr;
	int rc = find(fs, parent, name, &attr);

	if (rc < 0 && rc != -ENOENT) {
		zk_reply_rc(req, rc);
		return;
	}
	/* Inode 0 is how to say for how long there is none of that name. */
	if (rc == 0)
		entry = zk_entry_of(fs, &attr, false);
	if (rc == 0 && zk_face_has(attr.kind))
		entry.ino = zk_face_find(fs, fuse_req_ctx(req)->pid, attr.ino);
	if (zk_replay_holds(&fs->replay, parent, name) ||
	    (rc == 0 && entry.ino != attr.ino))
		entry.entry_timeout = 0;
	zk_reply_entry(fs, req, &entry);
}

static void
lookup_resume(struct zk_call *call)
{
	/* The name was copied with its NUL. */
	lookup_now(call->fs, call->req, call->cmd.ino2, call->cmd.name);
}

/*
 * Whether a file just closed here has commands under way that the caller
 * must not overtake: what `: > f` or the end of an ephemeral do to it.
 */
static bool
is_closing(struct zk_fs *fs, const struct zk_command *about)
{
	const bool locks = about->op == ZK_OP_LOCK;
	struct zk_inode *inode;
	bool closers, releasing;

	for (int i = 0; i < 2; i++) {
		(void)pthread_mutex_lock(&fs->inodes.lock);
		inode = zk_inodes_find(&fs->inodes, about->ino);
		closers = inode != NULL &&
		    (inode->closers > 0 || (locks && inode->posix_locks));
		releasing = inode != NULL &&
		    (inode->releasing > 0 || (locks && inode->unlocking > 0));
		(void)pthread_mutex_unlock(&fs->inodes.lock);
		if (releasing || !closers)
			return releasing;
		/* The RELEASE may have been read, but not yet looked at. */
		zk_workers_settle(fs);
	}
	return false;
}

bool
zk_wait_if_closing(struct zk_fs *fs, fuse_req_t req,
    const struct zk_command *about, const struct fuse_file_info *fi,
    zk_resume_fn resume)
{
	struct zk_call *call;

	if (!is_closing(fs, about))
		return false;
	call = zk_call_new(fs, req, about, zk_answer_rc);
	if (call == NULL)
		return true;
	if (fi != NULL)
		call->fi = *fi;
	call->resume = resume;
	zk_call_wait(call);
	return true;
}

/* The kernel has a handle (open_by_handle_at(2)), and wants what it means. */
static void
lookup_by_ino(struct zk_fs *fs, fuse_req_t req, uint64_t ino, bool up)
{
	struct fuse_entry_param entry;
	struct zk_attr attr = {0};
	int rc = 0;

	if (up && ino == ZK_INO_SCRATCH)
		ino = ZK_INO_VIRTUAL;
	else if (up && zk_is_virtual(ino))
		ino = ZK_INO_ROOT;
	else if (up)
		rc = fs->port.getattr(fs->port.impl, ino, &attr);
	if (up && attr.ino != 0)
		ino = attr.parent;
	if (rc == 0 && !zk_is_virtual(ino))
		rc = zk_inodes_ref(&fs->inodes, ino);
	if (rc < 0) {
		zk_reply_rc(req, -ESTALE);
		return;
	}
	if (zk_is_virtual(ino))
		rc = zk_control_getattr(fs, ino, &attr);
	else
		rc = fs->port.getattr(fs->port.impl, ino, &attr);
	if (rc == 0) {
		entry = zk_entry_of(fs, &attr, false);
		zk_reply_entry(fs, req, &entry);
		return;
	}
	if (!zk_is_virtual(ino) && zk_inodes_forget(&fs->inodes, ino, 1))
		zk_calls_reap(fs, ino);
	zk_reply_rc_ino(req, rc);
}

/* What is special about a look at a name; true when it has been answered. */
static bool
lookup_special(struct zk_fs *fs, fuse_req_t req, uint64_t parent,
    const char *name)
{
	const bool replay = zk_replay_asks(&fs->replay, req);
	const bool here = strcmp(name, ".") == 0;

	if (replay && zk_replay_lookup(req, parent, name))
		return true;
	if (here || strcmp(name, "..") == 0)
		lookup_by_ino(fs, req, parent, !here);
	else
		return false;
	return true;
}

void
zk_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct fuse_entry_param entry;
	struct zk_command about = {
	    .op = ZK_OP_NOP,
	    .ino2 = parent,
	    .name = name,
	    .name_len = strlen(name) + 1,
	};
	struct zk_attr attr;
	int rc;

	if (lookup_special(fs, req, parent, name))
		return;
	if (zk_control_guards(parent, name)) {
		rc = zk_control_lookup(fs, parent, name, &attr);
		if (rc < 0) {
			zk_reply_rc(req, rc);
			return;
		}
		entry = zk_entry_of(fs, &attr, false);
		zk_reply_entry(fs, req, &entry);
		return;
	}
	rc = fs->port.lookup(fs->port.impl, parent, name, strlen(name), &attr);
	about.ino = attr.ino;
	if (rc == 0 && zk_wait_if_closing(fs, req, &about, NULL, lookup_resume))
		return;
	lookup_now(fs, req, parent, name);
}

static void
forget(struct zk_fs *fs, uint64_t ino, uint64_t nlookup)
{
	zk_control_forget(fs, ino, nlookup);
	/* The root has no references to lose. */
	if (ino != ZK_INO_ROOT && !zk_is_virtual(ino) &&
	    zk_inodes_forget(&fs->inodes, ino, nlookup))
		zk_calls_reap(fs, ino);
}

void
zk_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
	forget(zk_fs_of(req), ino, nlookup);
	zk_appends_kick(zk_fs_of(req));
	fuse_reply_none(req);
}

void
zk_op_forget_multi(fuse_req_t req, size_t count,
    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget(zk_fs_of(req), forgets[i].ino, forgets[i].nlookup);
	zk_appends_kick(zk_fs_of(req));
	fuse_reply_none(req);
}

static void
getattr_now(struct zk_fs *fs, fuse_req_t req, uint64_t ino)
{
	struct zk_attr attr;
	int rc;

	if (zk_is_virtual(ino))
		rc = zk_control_getattr(fs, ino, &attr);
	else
		rc = fs->port.getattr(fs->port.impl, ino, &attr);
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else if (attr.kind == ZK_NODE_PARTITION)
		zk_topic_getattr(req, &attr);
	else
		zk_reply_attr(fs, req, &attr, false);
}

static void
getattr_resume(struct zk_call *call)
{
	getattr_now(call->fs, call->req, call->cmd.ino);
}

static void
getattr_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc < 0) {
		zk_handle_unstamp(call->fs, call->handle, &call->cmd);
		zk_reply_rc_ino(call->req, out->rc);
		return;
	}
	zk_trunc_done(call->fs, &call->cmd);
	zk_replay_touched(call->fs, call->cmd.ino, true);
	zk_notify_hold(call->fs, call->cmd.ino, DIGEST_MS);
	zk_reply_attr(call->fs, call->req, &out->attr, true);
}

/*
 * The file's own user asks for its size, to seek to the end: a truncation that
 * is still to be done is done now.  True when the reply is under way.
 */
static bool
truncate_first(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle)
{
	struct zk_command cmd = {
	    .op = ZK_OP_SETATTR,
	    .ino = handle->ino,
	    .flags = ZK_SET_SIZE,
	};
	struct zk_call *call;
	bool pending;
	int rc;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	pending = zk_trunc_owes(&fs->inodes, handle);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (!pending)
		return false;
	zk_notify_hold(fs, cmd.ino, ANSWER_MS);
	rc = zk_handle_stamp(fs, req, handle, &cmd);
	if (rc < 0) {
		zk_reply_rc(req, rc);
		return true;
	}
	call = zk_call_new(fs, req, &cmd, getattr_answer);
	if (call == NULL)
		return true;
	call->handle = handle;
	call->late = zk_late_change;
	zk_call_submit(call);
	return true;
}

void
zk_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_command about = {.op = ZK_OP_NOP, .ino = ino};

	if (zk_replay_asks(&fs->replay, req)) {
		if (!zk_replay_getattr(req, ino))
			getattr_now(fs, req, ino);
		return;
	}
	if (!zk_is_virtual(ino)) {
		if (fi != NULL && truncate_first(fs, req, zk_handle_of(fi)))
			return;
		if (zk_wait_if_closing(fs, req, &about, NULL, getattr_resume))
			return;
	}
	getattr_now(fs, req, ino);
}

void
zk_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct zk_fs *fs = zk_fs_of(req);
	char buf[ZK_SYMLINK_MAX + 1];
	size_t len = 0;
	int rc;

	rc = fs->port.readlink(fs->port.impl, ino, buf, sizeof(buf) - 1, &len);
	if (rc < 0) {
		zk_reply_rc_ino(req, rc);
		return;
	}
	buf[len] = '\0';
	(void)fuse_reply_readlink(req, buf);
}

void
zk_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_statfs from;
	struct statvfs to = {.f_bsize = 4096, .f_frsize = 4096};
	int rc;

	(void)ino;
	rc = fs->port.statfs(fs->port.impl, &from);
	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	to.f_blocks = from.bytes_total / to.f_frsize;
	to.f_bfree = from.bytes_free / to.f_frsize;
	to.f_bavail = to.f_bfree;
	/* A node takes no place of its own but bytes; a KiB is typical. */
	to.f_ffree = from.bytes_free / ZK_KIB;
	to.f_favail = to.f_ffree;
	to.f_files = from.nodes_used + to.f_ffree;
	to.f_namemax = ZK_NAME_MAX;
	(void)fuse_reply_statfs(req, &to);
}
