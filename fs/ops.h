#ifndef ZK_FS_OPS_H
#define ZK_FS_OPS_H

#include "fs/fuse.h"

/* The operations of struct fuse_lowlevel_ops; see <fuse_lowlevel.h>. */

/* op_meta.c */
void zk_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void zk_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void zk_op_forget_multi(fuse_req_t req, size_t count,
    struct fuse_forget_data *forgets);
void zk_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void zk_op_readlink(fuse_req_t req, fuse_ino_t ino);
void zk_op_statfs(fuse_req_t req, fuse_ino_t ino);

/* op_setattr.c */
void zk_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
    int to_set, struct fuse_file_info *fi);

/* op_node.c */
void zk_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
    mode_t mode, dev_t rdev);
void zk_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
    mode_t mode);
void zk_op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent,
    const char *name);
void zk_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent,
    const char *newname);
void zk_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void zk_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void zk_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
    fuse_ino_t newparent, const char *newname, unsigned int flags);
void zk_op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
    mode_t mode, struct fuse_file_info *fi);

/* op_open.c */
void zk_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void zk_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void zk_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void zk_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi);
void zk_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
    struct fuse_file_info *fi);

/* op_data.c */
void zk_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);
void zk_op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size,
    off_t off, struct fuse_file_info *fi);
/* As write, of other bytes than the caller gave, who hears of `told`. */
void zk_write_for(fuse_req_t req, uint64_t ino, const char *buf, size_t size,
    size_t told, struct fuse_file_info *fi);
void zk_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off,
    off_t len, struct fuse_file_info *fi);
void zk_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence,
    struct fuse_file_info *fi);
void zk_op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct fuse_pollhandle *ph);

/* next_try.c */
void zk_op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int request,
    void *arg, struct fuse_file_info *fi, unsigned int flags, const void *in,
    size_t in_len, size_t out_len);

/* op_dir.c */
void zk_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);
void zk_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
    struct fuse_file_info *fi);

/* op_lock.c */
void zk_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct flock *lock);
void zk_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    struct flock *lock, int sleep);
void zk_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi,
    int op);

/* op_xattr.c */
void zk_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
    const char *value, size_t size, int flags);
void zk_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
    size_t size);
void zk_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void zk_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
