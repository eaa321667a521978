#ifndef ZK_FS_EVENTS_H
#define ZK_FS_EVENTS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "fs/call.h"
#include "fs/fuse.h"

struct zk_fs;
struct zk_handle;
struct zk_stream;

/*
 * .zkfs/events: what happened, a line each (fs/events_line.h), from the moment
 * of the open(2), or after a revision (events@REV).  At the end a read waits;
 * a thread of its own answers, so that nobody else waits for slow readers.
 *
 * The file can be sought in, because programs seek: bash reads a block and
 * goes back to the end of the line; tail(1) -f goes to the end first.  The
 * offset is a position in what this open file has been given: what was read
 * last can be read again, as far back as the last read began.  A read anywhere
 * else finds the end of the file, once, and the stream goes on from there.
 */

LIST_HEAD(zk_stream_list, zk_stream);

struct zk_events {
	pthread_t thread;
	bool started;
	sem_t work;
	atomic_bool stopping;
	atomic_bool wanted; /* somebody waits for news */
	atomic_bool news;   /* there are some, and work says so */
	pthread_mutex_t lock;
	struct zk_stream_list polls; /* with someone to wake; by lock */
	struct zk_call_list reads;   /* that wait; protected by calls.lock */
};

/*
 * What stat(2) says.  tail(1) -f begins a little before it, reads only while
 * it is another size than what has been read up to, and takes a smaller one
 * for a file cut short.  So it is always more than at the last look, and grows
 * faster than anybody reads.
 */
uint64_t zk_events_size(void);

void zk_events_init(struct zk_events *events);
void zk_events_fini(struct zk_events *events);
int zk_events_start(struct zk_fs *fs);
void zk_events_stop(struct zk_fs *fs);

/* Something happened.  Any thread; cheap, never blocks. */
void zk_events_wake(struct zk_fs *fs);

/* handle reads from now on, or after rev.  0, -ENOMEM, -EIO, ... */
int zk_events_open(struct zk_fs *fs, struct zk_handle *handle, fuse_req_t req,
    bool from_now, uint64_t rev);
void zk_events_close(struct zk_fs *fs, struct zk_handle *handle);

/*
 * For a handover, after the thread has stopped: keep the reads that wait, and
 * wake those who poll, so that they ask anew.  0, -EBUSY, -ENOMEM.
 */
int zk_events_keep(struct zk_fs *fs);
struct zk_enc;
struct zk_dec;
void zk_stream_save(struct zk_enc *enc, const struct zk_stream *s);
/* 0, -EPROTO, -ENOMEM. */
int zk_stream_take(struct zk_dec *dec, struct zk_handle *handle);

/* These answer req. */
void zk_events_read(fuse_req_t req, size_t size, uint64_t off,
    struct fuse_file_info *fi);
void zk_events_poll(fuse_req_t req, struct zk_handle *handle,
    struct fuse_pollhandle *ph);

#endif
