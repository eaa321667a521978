#ifndef ZK_FS_REPLY_H
#define ZK_FS_REPLY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/command.h"
#include "fs/call.h"
#include "fs/fuse.h"

struct zk_fs;

/* Answers that several operations give.  Each uses up req. */

/* rc: 0 or a negative code. */
void zk_reply_rc(fuse_req_t req, int rc);
/* As reply_rc, for what was named by inode: no such inode is ESTALE. */
void zk_reply_rc_ino(fuse_req_t req, int rc);

void zk_stat_of(const struct zk_attr *attr, struct stat *ret_stat);

/*
 * An entry that leads to attr, whose inode has been registered for it.
 * changed: in answer to a change, see ZK_CACHE_S.
 */
struct fuse_entry_param zk_entry_of(struct zk_fs *fs,
    const struct zk_attr *attr, bool changed);
void zk_reply_attr(struct zk_fs *fs, fuse_req_t req, const struct zk_attr *attr,
    bool changed);
void zk_reply_entry(struct zk_fs *fs, fuse_req_t req,
    struct fuse_entry_param *entry);

/*
 * True when a file of about->ino that was just closed here has commands under
 * way: the request waits for them, and resume answers it then.  About locks
 * (ZK_OP_LOCK) it waits for those that drop locks, too.
 */
bool zk_wait_if_closing(struct zk_fs *fs, fuse_req_t req,
    const struct zk_command *about, const struct fuse_file_info *fi,
    zk_resume_fn resume);

/* For calls: only success or an error is told. */
void zk_answer_rc(struct zk_call *call, const struct zk_outcome *out);
void zk_answer_rc_ino(struct zk_call *call, const struct zk_outcome *out);
/* For calls: the kernel was told ETIMEDOUT, and now it happened. */
void zk_late_change(struct zk_call *call, const struct zk_outcome *out);

#endif
