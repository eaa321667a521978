#ifndef ZK_FS_CONTROL_H
#define ZK_FS_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/node.h"
#include "fs/fuse.h"

struct zk_fs;

/*
 * The virtual directory /.zkfs.  Its files are what the port's control
 * function says at open; nothing in it can be made or removed.  Listing the
 * root does not show it, so that nothing that copies a tree takes it along.
 *
 * txn: one write(2) is one transaction.  Reading the same open file gives the
 * result of its last one, once from wherever the descriptor is: "ok", or
 * "line N: reason".  member: the same, for requests about members, by root.
 * backup: see fs/backup.h.
 */
#define ZK_CONTROL_NAME ".zkfs"
/* An empty directory in it, not listed: for fs/replay.h. */
#define ZK_CONTROL_SCRATCH ".scratch"

static inline bool
zk_is_virtual(uint64_t ino)
{
	return ino >= ZK_INO_EVENTS;
}

/* Whether the name in this directory may not be made, changed or removed. */
bool zk_control_guards(uint64_t parent, const char *name);

/* 0 or -ENOENT, for `.zkfs` itself and for what is in it. */
int zk_control_lookup(struct zk_fs *fs, uint64_t parent, const char *name,
    struct zk_attr *ret_attr);
int zk_control_getattr(struct zk_fs *fs, uint64_t ino,
    struct zk_attr *ret_attr);
/* The i-th name in it, or NULL, and its inode. */
const char *zk_control_name(struct zk_fs *fs, uint64_t i, uint64_t *ret_ino);

/* SEEK_DATA, SEEK_HOLE.  -EINVAL but for files that have a size. */
int zk_control_seek(struct zk_fs *fs, uint64_t ino, uint64_t off, int whence,
    uint64_t *ret_off);

/* Handlers for inodes that are virtual. */
void zk_control_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi);
void zk_control_read(fuse_req_t req, size_t size, off_t off,
    struct fuse_file_info *fi);
void zk_control_write(fuse_req_t req, uint64_t ino, const char *buf,
    size_t size, struct fuse_file_info *fi);

#endif
