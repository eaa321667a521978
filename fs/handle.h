#ifndef ZK_FS_HANDLE_H
#define ZK_FS_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/command.h"
#include "fs/expect.h"
#include "fs/fuse.h"

struct zk_call;
struct zk_fs;

/*
 * An open file description.  fuse_file_info.fh is its number; the kernel
 * returns it with every request until RELEASE, which comes once, after the
 * last of them was answered.
 */
struct zk_handle {
	uint64_t fh; /* never 0; used again when it is closed */
	uint64_t id; /* unique within the session, never 0 */
	uint64_t ino;
	uint64_t session;  /* that was alive when it was last bound to it */
	int flags;         /* of open(2) */
	uint32_t uid, gid; /* who opened it */
	pid_t tid;         /* the thread that did; 0: not known */
	bool direct;       /* past the page cache */
	uint8_t face;      /* + 1, that only it appends through; 0: none */

	/* Protected by the lock of the inode table. */
	LIST_ENTRY(zk_handle) link;
	struct zk_call *release; /* its end is this command; NULL: none */
	bool owner;              /* an ephemeral file lives as long as this */
	bool locked;             /* took a lock */
	bool fresh;              /* in the inode's list of that name */
	LIST_ENTRY(zk_handle) fresh_link;
	bool trunc;        /* opened with O_TRUNC, which is not yet done */
	uint64_t trunc_at; /* what the inode had `emptied` then */
	bool carried;      /* its last change was to do it */
	bool refused;      /* that change was: closing does not */

	struct zk_expect
	    met;      /* what its last change was to meet; ino 0: none */
	bool expects; /* closing it truncates only version `expect` */
	uint64_t expect;

	/* What it is besides a file; see fs/topic.h. */
	uint32_t kind;      /* enum zk_node_kind */
	uint32_t partition; /* number */
	uint64_t topic, group;
	struct zk_topic_file *topic_file; /* owned; NULL until needed */
	struct zk_next *next;             /* owned; of an open next */

	/* Virtual files: what was read at open, or the last result. */
	char *text;
	size_t text_len;
	bool text_new;    /* a result that nobody has read: it begins there */
	uint64_t text_at; /* the offset at which it began */
	struct zk_stream *stream; /* .zkfs/events; NULL: another file */
	bool backup;              /* .zkfs/backup: reads are of backup_fd */
	int backup_fd;
};

/* NULL: it has none. */
struct zk_handle *zk_handle_of(const struct fuse_file_info *fi);
/* An empty one of this number, which is free.  NULL without memory. */
struct zk_handle *zk_handle_take(struct zk_fs *fs, uint64_t fh);

/*
 * A handle for the caller of req, not yet open; NULL without memory.
 */
struct zk_handle *zk_handle_new(struct zk_fs *fs, fuse_req_t req, int flags);
/* It is open, on this inode.  Once, before its first use. */
int zk_handle_open(struct zk_fs *fs, struct zk_handle *handle, uint64_t ino);

/*
 * Close for good: frees it, and submits what has to follow from that.
 */
void zk_handle_close(struct zk_fs *fs, struct zk_handle *handle);
/* A command that followed from closing a file of ino has been answered. */
void zk_handle_released(struct zk_fs *fs, uint64_t ino);
/* Frees those that the kernel has not closed.  The mount is gone. */
void zk_handles_fini(struct zk_fs *fs);
/* Frees it after it never came to be open; submits nothing. */
void zk_handle_drop(struct zk_fs *fs, struct zk_handle *handle);

/* The end of this open file shall be a command from now on.  0, -ENOMEM. */
enum zk_handle_tie { ZK_TIE_OWNER, ZK_TIE_LOCK, ZK_TIE_TRUNC };
int zk_handle_tie(struct zk_fs *fs, struct zk_handle *handle,
    enum zk_handle_tie tie);
/* As tie, with the lock of the inode table held. */
int zk_handle_tie_locked(struct zk_fs *fs, struct zk_handle *handle,
    enum zk_handle_tie tie);
/*
 * The caller truncated ino by path.  True when that is the second half of
 * opening a file with O_TRUNC: it will be done with what comes next.
 */
bool zk_handle_defer_trunc(struct zk_fs *fs, uint64_t ino, pid_t tid);

/*
 * What a change of content through this handle (NULL: by path) must carry:
 * caller, fence, the truncation still to be done, an expected version.
 * -ESTALE when the session that the handle belongs to is over.
 */
int zk_handle_stamp(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    struct zk_command *cmd);
/*
 * The command did not happen, so neither did the truncation it carried.  The
 * next write carries it again; if none comes the old value stays, as whoever
 * was refused a new one would wish.  What was expected is expected of the next
 * write too.
 */
void zk_handle_unstamp(struct zk_fs *fs, struct zk_handle *handle,
    const struct zk_command *cmd);

#endif
