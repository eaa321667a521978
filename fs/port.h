#ifndef ZK_FS_PORT_H
#define ZK_FS_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/command.h"
#include "base/node.h"
#include "base/past.h"

/*
 * What fs/ needs from the rest of the daemon; daemon/port.c provides it, and
 * tests give it a fake.  Every function may be called by any FUSE worker.
 */

/*
 * Called exactly once for an accepted command, from the node thread, after
 * the change is durable, applied here and visible to the reads below.  It
 * must not block and must not submit while it holds a lock that a handler
 * takes around submit.  *out is borrowed.
 */
typedef void (*zk_done_fn)(void *arg, const struct zk_outcome *out);

/*
 * One directory entry.  Returns false when the listing is to stop; the entry
 * is then delivered again by the next call with the cookie before it.
 * cookie: where the entry after this one begins; > 2.
 */
struct zk_dirent {
	const char *name; /* borrowed, not terminated */
	size_t name_len;
	uint64_t ino;
	uint32_t type; /* S_IF* */
	uint64_t cookie;
	const struct zk_attr *attr; /* only where asked for, else NULL */
};
typedef bool (*zk_dirent_fn)(void *arg, const struct zk_dirent *entry);

struct zk_statfs {
	uint64_t bytes_total, bytes_free;
	uint64_t nodes_used;
};

struct zk_lock_info {
	enum zk_lock_type type; /* ZK_LOCK_NONE: nothing in the way */
	uint64_t off, len;
	uint32_t pid;
	uint64_t session;
};

/* What is known of a partition: the bytes [start, end) can be read. */
struct zk_port_partition {
	uint64_t start, end;
	uint64_t stored;      /* bytes of disk, about */
	struct zk_stamp time; /* of the last record; 0: none yet */
	bool local;           /* it is read from this host's disk */
};

enum zk_ask_kind {
	ZK_ASK_APPEND, /* bytes: whole records; offset: where they went */
	ZK_ASK_INFO,
	ZK_ASK_READ,   /* up to want bytes from offset */
	ZK_ASK_TIME,   /* offset: of the first record not older than time */
	ZK_ASK_RECORD, /* offset: of the first that begins there or later */
	/* What READ gives at the replica of that number: bytes << 32 | CRC. */
	ZK_ASK_DIGEST,
	ZK_ASK_SYNC, /* what was appended before is read here after it */
};

struct zk_ask {
	enum zk_ask_kind kind;
	uint64_t partition; /* the inode number of its file */
	uint64_t offset;
	struct zk_stamp time;
	uint32_t want;
	uint32_t replica;  /* DIGEST: its place in user.zkfs.replicas */
	uint32_t limit_ms; /* what is asked others; 0: op_timeout */
	uint64_t session;  /* APPEND: as of session(); not after that is over */
	const void *bytes;
	size_t len;
};

/*
 * The answer; borrowed.  rc: 0, -ENOENT (the partition is gone), -ETIMEDOUT,
 * -ENOSPC, -EROFS (APPEND: its session is over, and nothing was appended),
 * -ENODATA (READ, RECORD: before the start, which info tells), -ESTALE, ...
 */
struct zk_told {
	int rc;
	uint64_t offset;
	const void *bytes;
	size_t len;
	struct zk_port_partition info; /* not for APPEND */
};

/* Called exactly once for what was accepted; as zk_done_fn. */
typedef void (*zk_told_fn)(void *arg, const struct zk_told *told);

/* A share of a group, as one of its members sees it. */
struct zk_port_share {
	uint32_t number;
	uint64_t partition; /* inode number of the topic's file */
	uint64_t committed;
	uint64_t since; /* differs whenever it was given to someone */
	bool mine;      /* nobody else delivers it */
	bool wanted;    /* it is to be, or to stay, this member's */
	uint32_t tries; /* of the record at committed, so far */
};
typedef void (*zk_share_fn)(void *arg, const struct zk_port_share *share);

struct zk_port_topic {
	uint32_t partitions;
	uint32_t record_max; /* bytes, its newline included */
};

struct zk_fs_port {
	void *impl;

	/*
	 * Queue a command; everything it points to is copied.  Returns 0, and
	 * done is called later; or a negative code, and done never is:
	 * -EAGAIN when the queue is full (the caller parks the request and
	 * tries again), -ESTALE when this host's session is over, -EROFS,
	 * -ENOSPC, -EMSGSIZE.
	 * *ret_number (may be NULL) names the command for a later
	 * ZK_OP_LOCK_CANCEL.  Commands of one thread are applied in the order
	 * of their submission.
	 */
	int (*submit)(void *impl, const struct zk_command *cmd, zk_done_fn done,
	    void *arg, uint64_t *ret_number);

	/* Reads of this host's copy.  0, -ENOENT, -ZK_ECORRUPT, ... */
	int (*getattr)(void *impl, uint64_t ino, struct zk_attr *ret_attr);
	int (*lookup)(void *impl, uint64_t parent, const char *name,
	    size_t name_len, struct zk_attr *ret_attr);
	/*
	 * One of the node's names, in the directory ret_attr->parent, into
	 * ZK_NAME_MAX + 1 bytes; *ret_len 0: it has none, or none is known.
	 */
	int (*name)(void *impl, uint64_t ino, struct zk_attr *ret_attr,
	    char *buf, size_t *ret_len);
	/* buf gets at most cap bytes; a hole reads as zeros. */
	int (*read)(void *impl, uint64_t ino, uint64_t off, void *buf,
	    size_t cap, size_t *ret_len);
	/* The next byte of data (hole: false) or of a hole; -ENXIO. */
	int (*seek)(void *impl, uint64_t ino, uint64_t off, bool hole,
	    uint64_t *ret_off);
	int (*readlink)(void *impl, uint64_t ino, char *buf, size_t cap,
	    size_t *ret_len);
	/* Entries after cookie (0: from the first), without . and .. */
	int (*readdir)(void *impl, uint64_t ino, uint64_t cookie, bool attrs,
	    zk_dirent_fn fn, void *arg);
	/* -ENODATA; -ERANGE when cap is too small (cap 0: only the length) */
	int (*getxattr)(void *impl, uint64_t ino, const char *name,
	    size_t name_len, void *buf, size_t cap, size_t *ret_len);
	/* Names, each ended by a NUL, as listxattr(2). */
	int (*listxattr)(void *impl, uint64_t ino, char *buf, size_t cap,
	    size_t *ret_len);
	/* The first lock that would stop this one (F_GETLK). */
	int (*getlock)(void *impl, const struct zk_command *lock,
	    struct zk_lock_info *ret_info);
	/* The newest fence that this host's session holds on ino, or 0. */
	int (*fence)(void *impl, uint64_t ino, uint64_t *ret_fence);
	int (*statfs)(void *impl, struct zk_statfs *ret_statfs);

	/*
	 * What happened, from *at on and in order, until fn wants no more, or
	 * a bounded part of it; moves *at on.  *ret_end: all was looked at
	 * that this host has applied.  -ENODATA: some of it is forgotten.
	 */
	int (*history)(void *impl, struct zk_past_at *at, zk_past_fn fn,
	    void *arg, bool *ret_end);
	/* The newest entry that this host has applied. */
	int (*revision)(void *impl, uint64_t *ret_rev);

	/*
	 * The text of the virtual file .zkfs/name, at most cap bytes.
	 * -ENOENT when there is none of that name.
	 */
	int (*control)(void *impl, const char *name, char *buf, size_t cap,
	    size_t *ret_len);
	/* The i-th name below .zkfs, or NULL; static. */
	const char *(*control_name)(void *impl, size_t i);

	/*
	 * A request written to .zkfs/member, as a command; its strings are
	 * parts of text, which is changed.  -EINVAL; and why, for people: the
	 * text of a request's outcome.  NULL: there is no such file.
	 */
	int (*member_request)(void *impl, char *text,
	    struct zk_command *ret_cmd);
	const char *(*member_reason)(void *impl, int rc);

	/*
	 * Topics.  The inode number of one of a topic's partitions; what a
	 * topic is set to.
	 */
	int (*topic)(void *impl, uint64_t topic, struct zk_port_topic *ret);
	int (*partition)(void *impl, uint64_t topic, uint32_t number,
	    uint64_t *ret_ino);
	/*
	 * What is known here, without asking: -ENOENT; -EREMOTE: only others
	 * know.  fetch: up to cap bytes from off, 0 at the end; -ENODATA:
	 * before the start.
	 */
	int (*info)(void *impl, uint64_t partition,
	    struct zk_port_partition *ret_info);
	int (*fetch)(void *impl, uint64_t partition, uint64_t off, void *buf,
	    size_t cap, size_t *ret_len);
	/*
	 * What was known last of one that others have.  -EREMOTE: nothing ever
	 * was.  alone, set in any case: none of them can be asked.
	 */
	int (*memory)(void *impl, uint64_t partition,
	    struct zk_port_partition *ret_info, bool *ret_alone);
	/*
	 * Ask whoever has the partition; what is asked is copied.  0, and told
	 * is called later, within op_timeout; -EAGAIN: too much is under way.
	 */
	int (*ask)(void *impl, const struct zk_ask *ask, zk_told_fn told,
	    void *arg);
	/* False: who can append elsewhere as well had better do so. */
	bool (*served)(void *impl, uint64_t partition);
	/* Which of so many partitions a key belongs to. */
	uint32_t (*partition_of)(void *impl, const void *key, size_t len,
	    uint32_t partitions);
	/* Its end is to be told by zk_fs_appended(), until as many unwatch. */
	void (*watch)(void *impl, uint64_t partition, bool on);
	/*
	 * The same without haste, and for nearly nothing while nothing is
	 * appended; until it is not to be told any more.  0, -ENOENT; others:
	 * not now.  glimpse: what was told of it since, wherever it is read;
	 * -EREMOTE: nothing yet.  One is there when the other is.
	 */
	int (*follow)(void *impl, uint64_t partition, bool on);
	int (*glimpse)(void *impl, uint64_t partition,
	    struct zk_port_partition *ret_info);
	/* What user.zkfs.NAME of a partition is: start, end, ... */
	int (*partition_text)(void *impl, uint64_t partition, const char *name,
	    const struct zk_port_partition *info, char *buf, size_t cap);
	/* The shares of a group that are this open file's, or are to be. */
	int (*shares)(void *impl, uint64_t group, uint64_t session,
	    uint64_t handle, zk_share_fn fn, void *arg);
	/* One of them, whosever it is; mine and wanted are not told. */
	int (*share)(void *impl, uint64_t group, uint32_t number,
	    struct zk_port_share *ret_share);
	/* The text of a group's `lag` or `members`: attr says which. */
	int (*group_text)(void *impl, const struct zk_attr *attr, char *buf,
	    size_t cap, size_t *ret_len);

	/*
	 * A backup of what is applied here, as a file of its own, which is
	 * the caller's.  It may take long, and gives up with -EINTR when
	 * stop(arg) says so.  NULL: there is no such file.
	 */
	int (*backup)(void *impl, bool (*stop)(void *arg), void *arg,
	    int *ret_fd);

	/* The id of this host's session, for ephemerals and handles. */
	uint64_t (*session)(void *impl);
};

#endif
