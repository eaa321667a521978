#ifndef ZK_FS_APPENDS_H
#define ZK_FS_APPENDS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * inotify for what others append to a partition.  The kernel raises events for
 * the system calls of this host; who else has appended nobody says, but it can
 * be counted: what the end has moved, less what was appended here.  It is
 * looked at a moment after the end has moved, so that many appends are one
 * event.  What is appended here through another file, as by-key, is another's:
 * the kernel has told nobody who watches the partition.
 *
 * Any thread; nothing blocks.
 */
#define ZK_APPENDS_MAX     16384u /* partitions; of more nothing is told */
#define ZK_APPENDS_BUCKETS 256u

struct zk_fs;

struct zk_appends {
	pthread_mutex_t lock;
	/* Protected by lock: */
	struct zk_appended *buckets[ZK_APPENDS_BUCKETS];
	struct zk_appended *due; /* to be looked at */
	size_t count;

	_Atomic uint64_t due_ms; /* when to do that; 0: none is due */
};

void zk_appends_init(struct zk_appends *appends);
void zk_appends_fini(struct zk_appends *appends);

/* len bytes are appended here; then they are at *off; NULL: maybe not. */
void zk_appends_begin(struct zk_fs *fs, uint64_t partition, size_t len);
void zk_appends_end(struct zk_fs *fs, uint64_t partition, size_t len,
    const uint64_t *off);

/* Up to there it can be read; that may be nothing new. */
void zk_appends_moved(struct zk_fs *fs, uint64_t partition, uint64_t end);

/* The thread of the calls: raises what is due. */
void zk_appends_serve(struct zk_fs *fs);

#endif
