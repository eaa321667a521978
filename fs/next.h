#ifndef ZK_FS_NEXT_H
#define ZK_FS_NEXT_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/fuse.h"

struct zk_fs;
struct zk_handle;
struct zk_next;
struct zk_call;

/*
 * Open files of a group's `next`.  Opening joins the group, closing leaves.
 * A read at a position acknowledges the records before it, and gets records of
 * the partitions that are this member's, as they come; see fs/window.h for
 * what stays until it is acknowledged.
 *
 * A partition that is to be another's is given up as soon as nothing of it is
 * left that was delivered and not acknowledged.
 *
 * Whoever works on a stream has taken it (busy): a worker with a read, or the
 * thread of the calls, never for long.  A read that finds it taken, or nothing
 * to deliver, is held until the thread of the calls looks.
 */
TAILQ_HEAD(zk_next_list, zk_next);
LIST_HEAD(zk_share_list, zk_share);
#define ZK_SHARE_BUCKETS 256u

struct zk_nexts {
	pthread_mutex_t lock; /* protects what is here, and as next.c says */
	struct zk_next_list all, dirty;
	pthread_cond_t given; /* a stream was, for which somebody waits */
	unsigned awaiting;    /* how many wait for that */
	/* Acknowledgements and departures under way, or put off. */
	_Atomic size_t unsettled;
	_Atomic uint64_t due_ms; /* when one is that was put off; 0: none is */
	/* Shares by their partition. */
	struct zk_share_list buckets[ZK_SHARE_BUCKETS];
};

void zk_nexts_init(struct zk_nexts *nexts);
void zk_nexts_fini(struct zk_nexts *nexts);

/* Replies to OPEN, once the file is a member. */
void zk_next_open(fuse_req_t req, uint64_t ino, struct zk_handle *handle,
    const struct fuse_file_info *fi);
void zk_next_read(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off, int flags);
void zk_next_poll(fuse_req_t req, struct zk_handle *handle,
    struct fuse_pollhandle *ph);
/* The file is closed: say what is acknowledged; it leaves after this. */
void zk_next_close(struct zk_handle *handle);
/* NULL is fine. */
void zk_next_free(struct zk_fs *fs, struct zk_handle *handle);

/*
 * Whether commands about groups are under way that whoever now asks how far a
 * group is must not overtake.  FUSE worker.
 */
bool zk_nexts_unsettled(struct zk_fs *fs);
/* The command of this call is one of these; it was answered. */
void zk_nexts_settle(struct zk_call *call);
void zk_nexts_settled(struct zk_call *call);

/* Something has changed; any thread. */
void zk_nexts_group(struct zk_fs *fs, uint64_t group);
void zk_nexts_appended(struct zk_fs *fs, uint64_t partition);
void zk_nexts_session(struct zk_fs *fs);

/*
 * For a handover, when nothing else runs: keep the reads that are held, and
 * wake those who poll, so that they ask anew.  Then what only memory has.
 */
struct zk_enc;
struct zk_dec;
void zk_nexts_keep(struct zk_fs *fs);
void zk_next_save(struct zk_enc *enc, const struct zk_next *s);
/*
 * The handle is a member again; tries: what was written tells of those, too.
 * 0, -EPROTO, -ENOMEM.
 */
int zk_next_restore(struct zk_fs *fs, struct zk_dec *dec,
    struct zk_handle *handle, bool tries);

/* Work on the streams for which something has; the thread of the calls. */
void zk_nexts_serve(struct zk_fs *fs);

#endif
