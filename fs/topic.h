#ifndef ZK_FS_TOPIC_H
#define ZK_FS_TOPIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/node.h"
#include "fs/call.h"
#include "fs/fuse.h"

struct zk_fs;
struct zk_handle;

/*
 * Files of topics: partitions, `by-key` and `any`, which are appended to, and
 * `lag` and `members`, which are what they say at open.  `next` is in
 * fs/next.h; all others are plain files to fs/.
 *
 * Appending: one write(2) is one batch of whole lines.  Bytes after the last
 * newline are a record, too, and get their newline, unless the write looks
 * like a part of something longer that a buffer has cut (bash cuts at 8,192
 * bytes, stdio at 4,096): then they wait in the open file for the rest, which
 * the next write brings, or its end.
 *
 * Reading: offsets are those of the partition.  Who reads from 0 on gets what
 * is retained, as if it began there: the offsets of such a reader are smaller
 * than those of the bytes he gets, as long as he reads on without seeking.  If
 * he asks for little he gets one line with each read: read of bash, head and
 * others seek back to behind the lines that they want, and there is nothing to
 * seek back from then.
 */
#define ZK_TOPIC_CUT_MIN       4096u
#define ZK_TOPIC_LINE_READ_MAX 8192u

struct zk_topic_file {
	uint64_t shift;  /* of a reader from 0: offset 0 is this one */
	uint64_t follow; /* the offset where he would read on */
	bool counted;    /* among the inode's closers */
	size_t tail_len, tail_cap;
	char *tail; /* the beginning of a line */
};

/* Whether a node of this kind is handled here or by the stream. */
bool zk_topic_is_special(uint32_t kind);

/* 0 when the caller may open this node with these flags. */
int zk_topic_check_open(const struct zk_attr *attr, int flags);
/* Whoever truncates, or changes the size: 0 when it may go to the tree. */
int zk_topic_check_size(const struct zk_attr *attr);

/*
 * Before an open: true when something has to be asked for first; then it
 * resumes, or replies.
 */
bool zk_topic_survey(struct zk_fs *fs, fuse_req_t req,
    const struct zk_attr *attr, const struct fuse_file_info *fi,
    zk_resume_fn resume);
/* The open file is of this node; prepares it. */
int zk_topic_opened(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_attr *attr);

/* Requests for handles whose kind is one of ours. */
void zk_topic_read(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off);
/* ... with O_DIRECT: of all that was appended before. */
void zk_topic_read_synced(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off);
/* Replies when who reads here gets all that was appended before. */
void zk_topic_sync(struct zk_fs *fs, fuse_req_t req, uint64_t partition);
/* False: it is no group's offset, or is read as any file. */
bool zk_topic_read_offset(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off);
void zk_topic_write(fuse_req_t req, struct zk_handle *handle, const char *buf,
    size_t size, int flags);
/* fsync(2): true when something waits; then it is appended, and it replies. */
bool zk_topic_fsync(fuse_req_t req, struct zk_handle *handle);
/* Replies to an ioctl(2); see base/digest.h. */
struct zk_partition_digest;
void zk_topic_digest(fuse_req_t req, struct zk_handle *handle,
    const struct zk_partition_digest *digest);
/*
 * A write to a group's offset: true when it says where, instead of a number;
 * then it replies.
 */
bool zk_topic_reset(fuse_req_t req, struct zk_handle *handle, const char *buf,
    size_t size, const struct fuse_file_info *fi);
void zk_topic_lseek(fuse_req_t req, struct zk_handle *handle, uint64_t off,
    int whence);

/* stat(2) of a partition: its size and times are not the tree's. */
void zk_topic_getattr(fuse_req_t req, const struct zk_attr *attr);
/* True when name is one that a partition has; then it replies. */
bool zk_topic_getxattr(fuse_req_t req, uint64_t ino, const char *name,
    size_t size);
/* The i-th such name, without its prefix; NULL: no more. */
const char *zk_topic_xattr_name(size_t i);

/* The open file is closed: what waits for its newline is appended. */
void zk_topic_close(struct zk_fs *fs, struct zk_handle *handle);
void zk_topic_file_free(struct zk_handle *handle);

#endif
