#include "fs/handle.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "fs/events.h"
#include "fs/impl.h"
#include "fs/next.h"
#include "fs/proc.h"
#include "fs/topic.h"
#include "fs/trunc.h"

/* --- numbers -------------------------------------------------------------- */

/*
 * From the number that the kernel has to the handle: numbers, unlike
 * addresses, stay when another program takes over the mount.  One table a
 * process.  Chunks stay for good, so that looking needs no lock.
 */
#define CHUNK_SLOTS 1024u
#define CHUNKS_MAX  16384u

struct slot {
	_Atomic(struct zk_handle *) handle;
	uint64_t next_free; /* number of the next free one; 0: none */
};

static struct {
	pthread_mutex_t lock;
	_Atomic(struct slot *) chunks[CHUNKS_MAX];
	uint64_t count;      /* numbers below and with this have a slot */
	uint64_t first_free; /* 0: none */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct slot *
slot_of(uint64_t fh)
{
	const uint64_t i = fh - 1;
	struct slot *chunk = NULL;

	if (i / CHUNK_SLOTS < CHUNKS_MAX)
		chunk = atomic_load(&table.chunks[i / CHUNK_SLOTS]);
	return chunk == NULL ? NULL : &chunk[i % CHUNK_SLOTS];
}

/* Of a number that was given out. */
static struct slot *
own_slot(uint64_t fh)
{
	struct slot *slot = slot_of(fh);

	ZK_ASSERT(slot != NULL);
	return slot;
}

/* Under the lock: the next number, with a slot; 0 without memory. */
static uint64_t
add_slot(void)
{
	const uint64_t chunk = table.count / CHUNK_SLOTS;

	if (chunk >= CHUNKS_MAX)
		return 0;
	if (atomic_load(&table.chunks[chunk]) == NULL)
		atomic_store(&table.chunks[chunk],
		    calloc(CHUNK_SLOTS, sizeof(struct slot)));
	return atomic_load(&table.chunks[chunk]) == NULL ? 0 : ++table.count;
}

/* Under the lock. */
static void
free_slot(uint64_t fh)
{
	atomic_store(&own_slot(fh)->handle, NULL);
	own_slot(fh)->next_free = table.first_free;
	table.first_free = fh;
}

/* Under the lock: takes this number off the free ones.  False: it is not. */
static bool
claim_slot(uint64_t fh)
{
	uint64_t *link = &table.first_free;

	while (table.count < fh) {
		const uint64_t added = add_slot();

		if (added == 0)
			return false;
		free_slot(added);
	}
	while (*link != 0 && *link != fh)
		link = &own_slot(*link)->next_free;
	if (*link == 0)
		return false;
	*link = own_slot(fh)->next_free;
	return true;
}

/* 0: any number. */
static struct zk_handle *
allocate(uint64_t fh)
{
	struct zk_handle *handle = calloc(1, sizeof(*handle));

	if (handle == NULL)
		return NULL;
	(void)pthread_mutex_lock(&table.lock);
	if (fh != 0) {
		fh = claim_slot(fh) ? fh : 0;
	} else if (table.first_free != 0) {
		fh = table.first_free;
		table.first_free = own_slot(fh)->next_free;
	} else {
		fh = add_slot();
	}
	if (fh != 0)
		atomic_store(&own_slot(fh)->handle, handle);
	(void)pthread_mutex_unlock(&table.lock);
	if (fh == 0) {
		free(handle);
		return NULL;
	}
	handle->fh = fh;
	return handle;
}

static void
destroy(struct zk_fs *fs, struct zk_handle *handle)
{
	(void)pthread_mutex_lock(&table.lock);
	free_slot(handle->fh);
	(void)pthread_mutex_unlock(&table.lock);
	zk_events_close(fs, handle);
	zk_backup_close(fs, handle);
	zk_topic_file_free(handle);
	zk_next_free(fs, handle);
	free(handle->text);
	free(handle);
}

struct zk_handle *
zk_handle_of(const struct fuse_file_info *fi)
{
	struct slot *slot;

	if (fi == NULL || fi->fh == 0)
		return NULL;
	slot = slot_of(fi->fh);
	return slot == NULL ? NULL : atomic_load(&slot->handle);
}

struct zk_handle *
zk_handle_take(struct zk_fs *fs, uint64_t fh)
{
	struct zk_handle *handle = allocate(fh);

	if (handle == NULL)
		return NULL;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	LIST_INSERT_HEAD(&fs->inodes.handles, handle, link);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return handle;
}

/* --- life ----------------------------------------------------------------- */

struct zk_handle *
zk_handle_new(struct zk_fs *fs, fuse_req_t req, int flags)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_handle *handle = allocate(0);

	if (handle == NULL)
		return NULL;
	handle->id = atomic_fetch_add(&fs->handle_last, 1) + 1;
	handle->session = fs->port.session(fs->port.impl);
	handle->flags = flags;
	handle->uid = ctx->uid;
	handle->gid = ctx->gid;
	handle->tid = ctx->pid;
	/*
	 * Past the page cache a write(2) is one request, whatever pages it
	 * crosses, and so is a read(2); see fs/init.h.
	 */
	handle->direct = fs->mappable || (flags & O_ACCMODE) == O_WRONLY ||
	    (flags & O_APPEND) != 0;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	LIST_INSERT_HEAD(&fs->inodes.handles, handle, link);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return handle;
}

int
zk_handle_open(struct zk_fs *fs, struct zk_handle *handle, uint64_t ino)
{
	struct zk_inode *inode;

	ZK_ASSERT(handle->ino == 0);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_get(&fs->inodes, ino);
	if (inode != NULL) {
		inode->opens++;
		inode->closers += handle->release != NULL;
		handle->ino = ino;
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return inode == NULL ? -ENOMEM : 0;
}

void
zk_handle_released(struct zk_fs *fs, uint64_t ino)
{
	struct zk_inode *inode;
	bool reap = false;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL) {
		ZK_ASSERT(inode->releasing > 0);
		inode->releasing--;
		reap = zk_inodes_put(&fs->inodes, inode);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (reap)
		zk_calls_reap(fs, ino);
	zk_calls_kick(fs);
}

static void
release_answer(struct zk_call *call, const struct zk_outcome *out)
{
	if (out->rc == 0 && (call->cmd.flags & ZK_F_TRUNCATE) != 0) {
		zk_notify_inode(call->fs, call->cmd.ino, true);
		zk_replay_touched(call->fs, call->cmd.ino, true);
	}
	zk_nexts_settled(call);
	zk_handle_released(call->fs, call->cmd.ino);
}

/* Made early, so that the end cannot fail for want of memory. */
static struct zk_call *
make_release(struct zk_fs *fs)
{
	struct zk_command cmd = {.op = ZK_OP_RELEASE};

	return zk_call_new(fs, NULL, &cmd, release_answer);
}

/* Under the lock.  Returns release when it was not needed. */
static struct zk_call *
tie_locked(struct zk_fs *fs, struct zk_handle *handle, enum zk_handle_tie tie,
    struct zk_call *release)
{
	struct zk_inode *inode = zk_inodes_find(&fs->inodes, handle->ino);

	if (handle->release == NULL) {
		handle->release = release;
		release = NULL;
		if (handle->ino != 0 && inode != NULL)
			inode->closers++;
	}
	switch (tie) {
	case ZK_TIE_OWNER:
		handle->owner = true;
		break;
	case ZK_TIE_LOCK:
		/* A lock of a new session makes the handle good again. */
		if (!handle->owner)
			handle->session = fs->port.session(fs->port.impl);
		handle->locked = true;
		break;
	case ZK_TIE_TRUNC:
		if (inode != NULL)
			zk_trunc_begin(&fs->inodes, inode, handle);
		break;
	}
	return release;
}

int
zk_handle_tie_locked(struct zk_fs *fs, struct zk_handle *handle,
    enum zk_handle_tie tie)
{
	struct zk_call *release = make_release(fs);

	if (release == NULL)
		return -ENOMEM;
	free(tie_locked(fs, handle, tie, release));
	return 0;
}

int
zk_handle_tie(struct zk_fs *fs, struct zk_handle *handle,
    enum zk_handle_tie tie)
{
	int rc;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	rc = zk_handle_tie_locked(fs, handle, tie);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return rc;
}

/* Under the lock: whatever it does next, it is not opening the file. */
static void
unfresh(struct zk_handle *handle)
{
	if (handle->fresh)
		LIST_REMOVE(handle, fresh_link);
	handle->fresh = false;
}

/* Takes it off its inode.  True when the inode is to be reaped. */
static bool
detach(struct zk_fs *fs, struct zk_handle *handle, bool release)
{
	struct zk_inode *inode = zk_inodes_find(&fs->inodes, handle->ino);

	if (inode == NULL)
		return false;
	zk_trunc_end(&fs->inodes, inode, handle);
	ZK_ASSERT(inode->opens > 0);
	inode->opens--;
	inode->closers -= handle->release != NULL;
	inode->releasing += release;
	if (inode->creator == handle)
		inode->creator = NULL;
	if (handle->face != 0)
		inode->faces &= ~(1ull << (handle->face - 1u));
	unfresh(handle);
	return zk_inodes_put(&fs->inodes, inode);
}

void
zk_handle_close(struct zk_fs *fs, struct zk_handle *handle)
{
	struct zk_call *release = handle->release;
	uint64_t ino = handle->ino;
	bool needed, reap, trunc;

	zk_topic_close(fs, handle);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	trunc = zk_trunc_owes(&fs->inodes, handle);
	needed = release != NULL && (handle->owner || handle->locked || trunc);
	if (needed) {
		release->cmd.ino = ino;
		release->cmd.handle = handle->id;
		release->cmd.uid = handle->uid;
		release->cmd.gid = handle->gid;
	}
	if (needed && trunc) {
		release->cmd.flags |= ZK_F_TRUNCATE;
		if (handle->uid != 0)
			release->cmd.flags |= ZK_F_KILL_PRIV;
		if (handle->expects)
			release->cmd.flags |= ZK_F_EXPECT;
		release->cmd.expect = handle->expect;
	}
	reap = detach(fs, handle, needed);
	LIST_REMOVE(handle, link);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	zk_next_close(handle);
	if (needed && handle->next != NULL)
		zk_nexts_settle(release);
	if (needed)
		zk_call_submit(release);
	else
		free(release);
	if (reap)
		zk_calls_reap(fs, ino);
	destroy(fs, handle);
}

void
zk_handle_drop(struct zk_fs *fs, struct zk_handle *handle)
{
	bool reap = false;

	if (handle == NULL)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	if (handle->ino != 0)
		reap = detach(fs, handle, false);
	LIST_REMOVE(handle, link);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (reap)
		zk_calls_reap(fs, handle->ino);
	free(handle->release);
	destroy(fs, handle);
}

void
zk_handles_fini(struct zk_fs *fs)
{
	struct zk_handle *handle = LIST_FIRST(&fs->inodes.handles);

	while (handle != NULL) {
		struct zk_handle *next = LIST_NEXT(handle, link);
		free(handle->release);
		destroy(fs, handle);
		handle = next;
	}
	LIST_INIT(&fs->inodes.handles);
}

static struct zk_handle *
fresh_of(struct zk_inode *inode, pid_t tid)
{
	struct zk_handle *handle = NULL;

	if (inode != NULL)
		handle = LIST_FIRST(&inode->fresh);
	while (handle != NULL && handle->tid != tid)
		handle = LIST_NEXT(handle, fresh_link);
	return handle;
}

bool
zk_handle_defer_trunc(struct zk_fs *fs, uint64_t ino, pid_t tid)
{
	struct zk_handle *handle;
	bool defer;

	/* 0 stands for every thread outside of our pid namespace. */
	if (tid <= 0)
		return false;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	handle = fresh_of(zk_inodes_find(&fs->inodes, ino), tid);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	/*
	 * truncate(2) by a thread that opened the file before sends the same
	 * request.  In doubt it is the open: that comes right before.
	 */
	if (handle == NULL || zk_proc_in_open(tid) == 0)
		return false;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	handle = fresh_of(zk_inodes_find(&fs->inodes, ino), tid);
	defer = handle != NULL &&
	    zk_handle_tie_locked(fs, handle, ZK_TIE_TRUNC) == 0;
	if (defer)
		unfresh(handle);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return defer;
}

int
zk_handle_stamp(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    struct zk_command *cmd)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct zk_expect expect = {.ino = 0};

	if (ctx->uid != 0)
		cmd->flags |= ZK_F_KILL_PRIV;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	if (handle != NULL) {
		cmd->handle = handle->id;
		unfresh(handle);
		if (handle->owner || handle->locked) {
			cmd->flags |= ZK_F_FENCED;
			cmd->session = handle->session;
		}
		if (handle->expects) {
			cmd->flags |= ZK_F_EXPECT;
			cmd->expect = handle->expect;
			handle->expects = false;
		}
	}
	zk_trunc_stamp(fs, handle, cmd);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if ((cmd->flags & ZK_F_FENCED) != 0 &&
	    cmd->session != fs->port.session(fs->port.impl))
		return -ESTALE;
	if (zk_expects_take(&fs->expects, cmd->ino, ctx->pid, &expect)) {
		cmd->flags |= ZK_F_EXPECT;
		cmd->expect = expect.version;
	}
	if (handle != NULL)
		handle->met = expect;
	return 0;
}

void
zk_handle_unstamp(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_command *cmd)
{
	struct zk_inode *inode;

	if (handle == NULL)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	if (inode != NULL && handle->carried &&
	    (cmd->flags & ZK_F_TRUNCATE) != 0) {
		(void)zk_handle_tie_locked(fs, handle, ZK_TIE_TRUNC);
		zk_trunc_refused(&fs->inodes, inode, handle);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	if (handle->met.ino != 0)
		zk_expects_restore(&fs->expects, &handle->met);
}
