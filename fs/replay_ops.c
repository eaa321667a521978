#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"
#include "fs/reply.h"

/*
 * What the handlers answer to the helper.  It asks for what its task needs,
 * and is shown the tree as it was at that change: a node that is to be created
 * is not there yet, one that is to be removed still is.  Nothing that it is
 * told may the kernel believe later: all is to be asked for again.
 */

bool
zk_replay_holds(struct zk_replay *r, uint64_t dir, const char *name)
{
	const struct zk_task *task = &r->task;
	bool holds;

	if (!atomic_load(&r->busy))
		return false;
	(void)pthread_mutex_lock(&r->lock);
	holds = (task->dir == dir && strcmp(task->name, name) == 0) ||
	    (task->dir2 == dir && strcmp(task->name2, name) == 0);
	(void)pthread_mutex_unlock(&r->lock);
	return holds;
}

bool
zk_replay_leaves(struct zk_replay *r, uint64_t ino)
{
	bool leaves;

	(void)pthread_mutex_lock(&r->lock);
	leaves = zk_queue_leaves(&r->queue, ino);
	(void)pthread_mutex_unlock(&r->lock);
	return leaves;
}

static uint64_t
place(uint64_t dir)
{
	return dir == 0 ? ZK_INO_SCRATCH : dir;
}

/* Which of its names the task means, as a bit; 0: none. */
static unsigned
which(const struct zk_task *task, uint64_t dir, const char *name)
{
	if (task->name[0] != '\0' && place(task->dir) == dir &&
	    strcmp(task->name, name) == 0)
		return 1;
	if (task->name2[0] != '\0' && place(task->dir2) == dir &&
	    strcmp(task->name2, name) == 0)
		return 2;
	return 0;
}

/* A node of the tree, or what is left of it. */
static void
remember(struct zk_fs *fs, uint64_t ino, uint32_t type, struct zk_attr *ret)
{
	int rc;

	if (zk_is_virtual(ino) && ino < ZK_INO_GHOST)
		rc = zk_control_getattr(fs, ino, ret);
	else
		rc = fs->port.getattr(fs->port.impl, ino, ret);
	if (rc == 0 && (ret->mode & S_IFMT) == type) {
		if (ret->nlink == 0 && zk_replay_leaves(&fs->replay, ino))
			ret->nlink = 1;
		return;
	}
	*ret = (struct zk_attr){
	    .ino = ino,
	    .mode = type | 0600,
	    .nlink = 1,
	};
}

static void
reply_node(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr)
{
	struct fuse_entry_param entry = {.ino = attr->ino};

	zk_stat_of(attr, &entry.attr);
	if (!zk_is_virtual(attr->ino) &&
	    zk_inodes_ref(&fs->inodes, attr->ino) < 0) {
		zk_reply_rc(req, -ENOMEM);
		return;
	}
	zk_reply_entry(fs, req, &entry);
}

/*
 * Directories without a name.
 *
 * open_by_handle_at(2) finds a directory that the kernel has, but wants to know
 * where it is, and when the kernel has dropped its name, it asks: for `..`, and
 * then which entry of that the directory is.  By now it may be in no directory,
 * or in another one; and who looks is heard in those that are watched.  So for
 * the helper it is in the scratch directory, by its number, until the task is
 * done.
 */

enum { HOOKS = 3 };

/* Under the lock: the i-th directory that the task may be at, or 0. */
static uint64_t
dir_of(const struct zk_replay *r, unsigned i)
{
	const struct zk_task *task = &r->task;

	if (i < 2)
		return i == 0 ? task->dir : task->dir2;
	return S_ISDIR(task->type) ? task->ino : 0;
}

/* Under the lock: which of these it is, as bits. */
static unsigned
bits_of(const struct zk_replay *r, uint64_t ino)
{
	unsigned bits = 0;

	for (unsigned i = 0; r->current != NULL && i < HOOKS; i++)
		if (dir_of(r, i) == ino)
			bits |= 1u << i;
	return bits;
}

bool
zk_replay_hook(struct zk_replay *r, uint64_t i, char *name, uint64_t *ret_ino)
{
	if (i >= HOOKS)
		return false;
	*ret_ino = 0;
	(void)pthread_mutex_lock(&r->lock);
	if ((r->hung & (1u << i)) != 0)
		*ret_ino = dir_of(r, (unsigned)i);
	(void)pthread_mutex_unlock(&r->lock);
	(void)snprintf(name, ZK_REPLAY_HOOK_MAX, "%" PRIu64, *ret_ino);
	return true;
}

/* By its number; false: there is none of that name. */
static bool
lookup_hook(fuse_req_t req, const char *name)
{
	struct zk_fs *fs = zk_fs_of(req);
	char hook[ZK_REPLAY_HOOK_MAX];
	struct zk_attr attr;
	uint64_t ino;

	for (uint64_t i = 0; zk_replay_hook(&fs->replay, i, hook, &ino); i++)
		if (ino != 0 && strcmp(hook, name) == 0) {
			remember(fs, ino, S_IFDIR, &attr);
			reply_node(fs, req, &attr);
			return true;
		}
	return false;
}

/*
 * A handle that the kernel does not know, or a directory whose place it does
 * not: `.` or `..`.
 */
static bool
lookup_by_handle(fuse_req_t req, uint64_t ino, bool up)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_replay *r = &fs->replay;
	struct zk_attr attr;

	if (zk_is_virtual(ino))
		return false;
	(void)pthread_mutex_lock(&r->lock);
	if (up)
		r->hung |= bits_of(r, ino);
	else
		r->missing |= bits_of(r, ino);
	(void)pthread_mutex_unlock(&r->lock);
	/* What the kernel does not know the helper need not know either. */
	if (!up || zk_control_getattr(fs, ZK_INO_SCRATCH, &attr) < 0)
		zk_reply_rc(req, -ESTALE);
	else
		reply_node(fs, req, &attr);
	return true;
}

bool
zk_replay_lookup(fuse_req_t req, uint64_t dir, const char *name)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_replay *r = &fs->replay;
	const struct zk_order *order;
	struct zk_attr attr;
	uint32_t type = 0, nlink = 0;
	uint64_t ino = 0;
	unsigned side = 0;
	bool removed = false;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return lookup_by_handle(req, dir, name[1] == '.');
	if (dir == ZK_INO_SCRATCH && lookup_hook(req, name))
		return true;
	(void)pthread_mutex_lock(&r->lock);
	order = r->current;
	if (order != NULL)
		side = which(&r->task, dir, name);
	if (side == 1 && r->task.act != ZK_TASK_CREATE) {
		ino = r->task.ino;
		type = r->task.type;
		nlink = order->kind == ZK_ORDER_DELETE ? order->nlink : 0;
		removed = r->task.act == ZK_TASK_DELETE;
	} else if (side == 2) {
		ino = order->ino2;
		type = order->type2;
		nlink = order->nlink2;
		removed = ino != 0 && r->task.act == ZK_TASK_RENAME;
		/* The other half of an exchange comes as one of its own. */
		if (order->exchange && removed)
			ino = 0;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (side == 0)
		return false;
	if (ino == 0) {
		zk_reply_rc(req, -ENOENT);
		return true;
	}
	remember(fs, ino, type, &attr);
	/* The kernel takes this name off the count. */
	if (removed && !S_ISDIR(type))
		attr.nlink = nlink + 1;
	reply_node(fs, req, &attr);
	return true;
}

bool
zk_replay_getattr(fuse_req_t req, uint64_t ino)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_replay *r = &fs->replay;
	struct zk_attr attr;
	uint32_t type = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (r->current != NULL && r->task.ino == ino)
		type = r->task.type;
	else if (r->current != NULL && r->current->ino2 == ino)
		type = r->current->type2;
	else if ((bits_of(r, ino) & 3u) != 0)
		type = S_IFDIR;
	(void)pthread_mutex_unlock(&r->lock);
	if (type == 0)
		return false;
	remember(fs, ino, type, &attr);
	zk_reply_attr(fs, req, &attr, true);
	return true;
}

/* A name of the task that is still to be raised, and agrees if it has to. */
static int
check(struct zk_fs *fs, uint64_t dir, const char *name, enum zk_task_act act,
    struct zk_attr *ret_node)
{
	struct zk_replay *r = &fs->replay;
	struct zk_attr attr;
	uint64_t ino;
	uint32_t type;
	bool sync;
	int rc = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (r->current == NULL || r->task.act != act ||
	    which(&r->task, dir, name) != 1)
		rc = -EINVAL;
	else if (dir != ZK_INO_SCRATCH && r->current->sides[0].overtaken)
		rc = -ECANCELED;
	sync = rc == 0 && r->current->kind == ZK_ORDER_SYNC;
	ino = r->task.ino;
	type = r->task.type;
	(void)pthread_mutex_unlock(&r->lock);
	if (rc == 0)
		remember(fs, ino, type, ret_node);
	if (!sync)
		return rc;
	rc = fs->port.lookup(fs->port.impl, dir, name, strlen(name), &attr);
	if (act == ZK_TASK_CREATE)
		return rc == 0 && attr.ino == ino ? 0 : -ECANCELED;
	return rc == -ENOENT ? 0 : -ECANCELED;
}

/* From the reply on the event is certain, whatever becomes of the helper. */
static void
mark_raised(struct zk_replay *r)
{
	(void)pthread_mutex_lock(&r->lock);
	if (r->current != NULL)
		r->current->raised = true;
	(void)pthread_mutex_unlock(&r->lock);
}

void
zk_replay_make(fuse_req_t req, uint64_t dir, const char *name)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_attr attr;
	int rc = check(fs, dir, name, ZK_TASK_CREATE, &attr);

	if (rc < 0) {
		zk_reply_rc(req, rc);
		return;
	}
	if (attr.nlink == 0)
		attr.nlink = 1;
	mark_raised(&fs->replay);
	reply_node(fs, req, &attr);
}

void
zk_replay_remove(fuse_req_t req, uint64_t dir, const char *name)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_attr ignored;
	int rc = check(fs, dir, name, ZK_TASK_DELETE, &ignored);

	if (rc == 0)
		mark_raised(&fs->replay);
	zk_reply_rc(req, rc);
}

void
zk_replay_rename(fuse_req_t req, uint64_t dir, const char *name, uint64_t dir2,
    const char *name2)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_replay *r = &fs->replay;
	const struct zk_order *order;
	int rc = 0;

	(void)pthread_mutex_lock(&r->lock);
	order = r->current;
	if (order == NULL || which(&r->task, dir, name) != 1 ||
	    which(&r->task, dir2, name2) != 2)
		rc = -EINVAL;
	else if ((r->task.dir != 0 && order->sides[order->back].overtaken) ||
	    (r->task.dir2 != 0 && order->sides[!order->back].overtaken))
		rc = -ECANCELED;
	if (rc == 0)
		r->current->raised = true;
	(void)pthread_mutex_unlock(&r->lock);
	zk_reply_rc(req, rc);
}

/*
 * A change of this node is to be raised, and under a name that it still has: a
 * rename on this mount, which no lock keeps out here, may have come first.  Who
 * looks at the event of a rename that comes after this has the new content:
 * the kernel was told before the helper was.
 */
static bool
is_to_change(struct zk_fs *fs, uint64_t ino)
{
	struct zk_replay *r = &fs->replay;
	const struct zk_order_side *side;
	char name[ZK_NAME_MAX + 1];
	struct zk_attr attr;
	uint64_t dir = 0;
	bool ours;

	(void)pthread_mutex_lock(&r->lock);
	ours = r->current != NULL && r->task.ino == ino && !r->current->moot;
	side = ours ? &r->current->sides[0] : NULL;
	if (ours && r->task.name[0] != '\0' && !zk_is_virtual(r->task.dir)) {
		if (side->dir == r->task.dir &&
		    strcmp(side->name, r->task.name) == 0) {
			ours = !side->overtaken;
		} else {
			dir = r->task.dir;
			(void)snprintf(name, sizeof(name), "%s", r->task.name);
		}
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (dir == 0)
		return ours;
	return fs->port.lookup(fs->port.impl, dir, name, strlen(name), &attr) ==
	    0 &&
	    attr.ino == ino;
}

void
zk_replay_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
	struct zk_replay *r = &zk_fs_of(req)->replay;
	bool ours;

	(void)pthread_mutex_lock(&r->lock);
	ours = r->task.act == ZK_TASK_WRITE;
	(void)pthread_mutex_unlock(&r->lock);
	if (!ours || !is_to_change(zk_fs_of(req), ino)) {
		zk_reply_rc(req, -ECANCELED);
		return;
	}
	/* Known by having no handle; it must leave the page cache alone. */
	fi->fh = 0;
	fi->direct_io = 1;
	fi->keep_cache = 1;
	fi->noflush = 1;
	(void)fuse_reply_open(req, fi);
}

void
zk_replay_setattr(fuse_req_t req, uint64_t ino)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_replay *r = &fs->replay;
	struct zk_attr attr;
	uint32_t type;

	if (!is_to_change(fs, ino)) {
		zk_reply_rc(req, -ECANCELED);
		return;
	}
	(void)pthread_mutex_lock(&r->lock);
	type = r->task.type;
	(void)pthread_mutex_unlock(&r->lock);
	remember(fs, ino, type, &attr);
	mark_raised(r);
	zk_reply_attr(fs, req, &attr, true);
}
