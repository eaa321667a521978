#ifndef ZK_FS_BACKUP_H
#define ZK_FS_BACKUP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/fuse.h"

struct zk_fs;
struct zk_handle;

/*
 * .zkfs/backup: opening it makes a backup, in a thread of its own and in a
 * file without a name in the data directory; reading reads that.  So the tree
 * is as of the opening, and a slow reader holds up nothing but disk space.
 * Root only; one at a time, from the opening to the closing.
 */
struct zk_backup {
	bool busy;    /* being made, or open; protected by control_lock */
	bool started; /* the thread is to be joined; by control_lock */
	pthread_t thread;
};

/* Answers the open: -EPERM, -EBUSY, or what port.backup says.  Takes handle. */
void zk_backup_open(struct zk_fs *fs, struct zk_handle *handle, fuse_req_t req,
    const struct fuse_file_info *fi);
void zk_backup_read(struct zk_handle *handle, fuse_req_t req, size_t size,
    off_t off);
/* The handle goes; nothing where it has none. */
void zk_backup_close(struct zk_fs *fs, struct zk_handle *handle);

/* With the workers stopped: one under way gives up, and is waited for. */
void zk_backup_stop(struct zk_fs *fs);

#endif
