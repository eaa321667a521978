#ifndef ZK_FS_APPENDS_H
#define ZK_FS_APPENDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/change.h"
#include "base/node.h"

/*
 * inotify for what others append to a partition.  The kernel raises events for
 * the system calls of this host; who else has appended nobody says, but it can
 * be counted: what the end has moved, less what was appended here.  It is
 * looked at a moment after the end has moved, so that many appends are one
 * event.  What is appended here through another file, as by-key, is another's:
 * the kernel has told nobody who watches the partition.
 *
 * Who watches is not known, but what may be watched is: partitions that the
 * kernel knows, and all those of a topic that it knows, for a watch on the
 * directory lasts when the kernel has forgotten what is in it.  Of these, and
 * only these, the end is followed, wherever the data is.
 *
 * Where a partition ends when it is first followed is no news, unless its last
 * record is younger than the kernel's knowledge of it: who watches since then
 * has not been told of that one.
 *
 * Any thread; nothing blocks.  The lock comes after the inode table's.
 */
#define ZK_APPENDS_MAX     16384u /* partitions; of more nothing is told */
#define ZK_APPENDS_BUCKETS 256u

struct zk_enc;
struct zk_dec;
struct zk_fs;

struct zk_appends {
	pthread_mutex_t lock;
	/* Protected by lock: */
	struct zk_appended *buckets[ZK_APPENDS_BUCKETS];
	struct zk_appended *due;     /* to be looked at */
	struct zk_appended *changed; /* to be followed, or not any more */
	size_t count;
	struct zk_append_topic *topics[ZK_APPENDS_BUCKETS];
	size_t topic_count;
	bool sweep; /* topics are not known any more */

	_Atomic uint64_t due_ms; /* when to do that; 0: none is due */
	atomic_bool work;        /* something is changed */
};

void zk_appends_init(struct zk_appends *appends);
void zk_appends_fini(struct zk_appends *appends);

/*
 * The kernel gets to know a topic or a partition; it has forgotten one.  With
 * the lock of the inode table held; zk_appends_kick() when it is not any more.
 */
void zk_appends_know(struct zk_fs *fs, uint64_t ino, uint32_t kind);
void zk_appends_forgot(void *arg, uint64_t ino);
void zk_appends_kick(struct zk_fs *fs);

/* A topic may have got partitions; any may have (NULL). */
void zk_appends_tree(struct zk_fs *fs, const struct zk_change *change);

/* len bytes are appended here; then they are at *off; NULL: maybe not. */
void zk_appends_begin(struct zk_fs *fs, uint64_t partition, size_t len);
void zk_appends_end(struct zk_fs *fs, uint64_t partition, size_t len,
    const uint64_t *off);

/* Up to there it can be read; that may be nothing new.  time: as in info. */
void zk_appends_moved(struct zk_fs *fs, uint64_t partition, uint64_t end,
    const struct zk_stamp *time);

/* The thread of the calls: raises what is due. */
void zk_appends_serve(struct zk_fs *fs);

/* For who takes over; after the inodes.  Nothing else runs. */
void zk_appends_save(struct zk_enc *enc, const struct zk_appends *appends);
void zk_appends_take(struct zk_fs *fs, struct zk_dec *dec);

#endif
