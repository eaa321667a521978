#include "fs/trunc.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/command.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/inode.h"

static bool
owes(const struct zk_inode *inode, const struct zk_handle *handle)
{
	return handle->trunc && !handle->refused &&
	    handle->trunc_at == inode->emptied;
}

/* Under the lock, before it changes what owes() looks at. */
static void
forgive(struct zk_inodes *t, struct zk_inode *inode,
    const struct zk_handle *handle)
{
	if (!owes(inode, handle))
		return;
	ZK_ASSERT(inode->owed > 0);
	inode->owed--;
	atomic_fetch_sub(&t->owed, 1);
}

void
zk_trunc_begin(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle)
{
	if (handle->trunc)
		return;
	inode->truncs++;
	inode->owed++;
	atomic_fetch_add(&t->owed, 1);
	handle->trunc = true;
	handle->trunc_at = inode->emptied;
	handle->refused = false;
}

void
zk_trunc_end(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle)
{
	if (!handle->trunc)
		return;
	forgive(t, inode, handle);
	handle->trunc = false;
	ZK_ASSERT(inode->truncs > 0);
	inode->truncs--;
}

void
zk_trunc_refused(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle)
{
	forgive(t, inode, handle);
	handle->refused = handle->trunc;
}

bool
zk_trunc_owes(struct zk_inodes *t, const struct zk_handle *handle)
{
	const struct zk_inode *inode = zk_inodes_find(t, handle->ino);

	return inode != NULL && owes(inode, handle);
}

void
zk_trunc_refuse(struct zk_fs *fs, struct zk_handle *handle)
{
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, handle->ino);
	if (inode != NULL)
		zk_trunc_refused(&fs->inodes, inode, handle);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

bool
zk_trunc_is_owed(struct zk_fs *fs, uint64_t ino)
{
	const struct zk_inode *inode;
	bool owed;

	if (atomic_load(&fs->inodes.owed) == 0)
		return false;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	owed = inode != NULL && inode->owed > 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return owed;
}

void
zk_trunc_stamp(struct zk_fs *fs, struct zk_handle *handle,
    struct zk_command *cmd)
{
	struct zk_inode *inode = zk_inodes_find(&fs->inodes, cmd->ino);

	if (handle != NULL) {
		handle->carried = inode != NULL && handle->trunc &&
		    ((handle->flags & O_APPEND) == 0 || handle->refused ||
		        owes(inode, handle));
		if (handle->carried)
			cmd->flags |= ZK_F_TRUNCATE;
		if (inode != NULL)
			zk_trunc_end(&fs->inodes, inode, handle);
		handle->refused = false;
	}
	if (inode != NULL && inode->owed > 0)
		cmd->flags |= ZK_F_TRUNCATE;
}

void
zk_trunc_done(struct zk_fs *fs, const struct zk_command *cmd)
{
	struct zk_inode *inode;

	/* As nearly always: it was nobody's but its own. */
	if ((cmd->flags & ZK_F_TRUNCATE) == 0 ||
	    atomic_load(&fs->inodes.owed) == 0)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, cmd->ino);
	if (inode != NULL) {
		inode->emptied++;
		atomic_fetch_sub(&fs->inodes.owed, inode->owed);
		inode->owed = 0;
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}
