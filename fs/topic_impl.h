#ifndef ZK_FS_TOPIC_IMPL_H
#define ZK_FS_TOPIC_IMPL_H

#include "fs/call.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/topic.h"

/* What topic*.c and stream*.c share. */

/* So long what is known of a partition may be asked for, if any is known. */
#define ZK_TOPIC_INFO_MS 1000u

/* A call that asks this, then answers; NULL: it has replied ENOMEM. */
struct zk_call *zk_topic_ask(struct zk_fs *fs, fuse_req_t req,
    const struct zk_ask *ask, zk_answer_fn answer);

/* topic.c: what an extended attribute says, into size bytes; 0: how long. */
void zk_topic_reply_xattr(fuse_req_t req, const char *text, size_t len,
    size_t size);

/*
 * topic_reset.c: whether the name, without the prefix, is a time: then where
 * the partition's first record is that is not older.
 */
bool zk_topic_time_xattr(fuse_req_t req, uint64_t ino, const char *name,
    size_t size);

/* topic_any.c: which of so many partitions is next for this file, `any`. */
int zk_topic_pick_any(struct zk_fs *fs, const struct zk_handle *handle,
    uint32_t partitions, uint64_t *ret_partition);

/* topic_lines.c: cutting what is written into records; pure. */

/*
 * How many of the bytes a batch of at most max can take: all, or whole lines.
 * 0: not even one line.
 */
size_t zk_lines_fit(const char *buf, size_t len, size_t max);
/* Bytes up to and including the last newline. */
size_t zk_lines_whole(const char *buf, size_t len);
/* 0, or -EMSGSIZE: a line, with its newline, is longer than max. */
int zk_lines_check(const char *buf, size_t len, size_t max);

#endif
