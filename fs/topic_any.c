#include "fs/topic_impl.h"

/* Which partition a write to `any` goes to. */

/* Each topic has turns of its own. */
static uint32_t
next_turn(struct zk_fs *fs, uint64_t ino)
{
	struct zk_inode *inode;
	uint32_t turn = 0;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL)
		turn = inode->turn++;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return turn;
}

/*
 * The partition whose turn it is, but for those that cannot be reached: each
 * has its turn all the same, so that the next one does not get twice as much.
 * If none can be, the last one waits.
 */
int
zk_topic_pick_any(struct zk_fs *fs, const struct zk_handle *handle,
    uint32_t partitions, uint64_t *ret_partition)
{
	const struct zk_fs_port *port = &fs->port;
	int rc = 0;

	for (uint32_t i = 0; i < partitions && rc == 0; i++) {
		rc = port->partition(port->impl, handle->topic,
		    next_turn(fs, handle->ino) % partitions, ret_partition);
		if (rc == 0 && port->served(port->impl, *ret_partition))
			break;
	}
	return rc;
}
