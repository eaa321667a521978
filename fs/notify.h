#ifndef ZK_FS_NOTIFY_H
#define ZK_FS_NOTIFY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zk_fs;
struct zk_inode;

/*
 * Tells the kernel what changed behind its back, from a thread of its own:
 * invalidating a name waits for the lock of its directory, which the kernel
 * holds during other requests (libfuse, doc/README.notifications).  Nobody
 * waits for this thread, but those who were promised to see what was agreed
 * before: a caller who got a lock or has caught up; and even they for no
 * longer than they have to, for a caller may hold what the kernel waits for.
 *
 * Inodes queue through their own fields, so the queue is bounded by the
 * inodes that the kernel knows.  Names are equal or different; when more than
 * ZK_NOTIFY_NAMES_MAX different ones wait, one message invalidates every name
 * at once, where the kernel can do that (Linux 6.16).
 */
#define ZK_NOTIFY_NAMES_MAX 65536u
#define ZK_NOTIFY_BUCKETS   1024u

struct zk_stale_name {
	struct zk_stale_name *next;   /* in its bucket */
	struct zk_stale_name *q_next; /* in the order of arrival */
	uint64_t seq;                 /* as in zk_notifier */
	uint64_t parent;
	size_t name_len;
	char name[];
};

struct zk_notifier {
	pthread_t thread;
	bool started;
	/* Protected by the lock of the inode table: */
	pthread_cond_t work;
	bool stopping;
	bool paused;    /* queue, and tell nothing */
	bool telling;   /* the lock is off for it */
	bool has_epoch; /* the kernel can invalidate all names at once */
	bool all_names; /* and has to */
	/*
	 * What is stale is numbered and told in that order, but for an inode
	 * that the kernel is to hear of later.
	 */
	uint64_t seq;         /* of the latest */
	uint64_t telling_seq; /* of what is being told; 0: nothing */
	uint64_t all_seq;     /* of all_names */
	bool telling_name;
	uint64_t awaited; /* the lowest that a call waits for; 0: none */
	struct zk_inode *inode_first, **inode_last;
	struct zk_inode *delayed; /* to be told again, later */
	struct zk_stale_name *name_first, **name_last;
	struct zk_stale_name *buckets[ZK_NOTIFY_BUCKETS];
	size_t name_count;
};

void zk_notifier_init(struct zk_notifier *n);
void zk_notifier_fini(struct zk_notifier *n);
int zk_notifier_start(struct zk_fs *fs);
/* Waits for the thread: only when the kernel cannot hold it up. */
void zk_notifier_stop(struct zk_fs *fs);
/*
 * Tell nothing until resumed.  False: it is still waiting for the kernel at
 * that time.
 */
bool zk_notifier_pause(struct zk_fs *fs, uint64_t until_ms);
void zk_notifier_resume(struct zk_fs *fs);

/* Any thread; none of these blocks or fails. */
void zk_notify_name(struct zk_fs *fs, uint64_t parent, const char *name,
    size_t name_len);
/* All names at once. */
void zk_notify_all_names(struct zk_fs *fs);
/* Everything that the kernel may have cached. */
void zk_notify_all(struct zk_fs *fs);
/*
 * The number of the latest that is stale; and whether all up to a number is
 * told.  If not, the thread of the calls is woken when it is.
 */
uint64_t zk_notify_ticket(struct zk_fs *fs);
bool zk_notify_has_told(struct zk_fs *fs, uint64_t ticket);
/*
 * For a caller who holds the lock of a directory, so that the names in it
 * cannot be told: no name is valid from here on, where the kernel can do that.
 */
void zk_notify_names_now(struct zk_fs *fs);
/*
 * The kernel waits for an answer about the size: let that arrive first, but
 * for no longer than this.  _wait: until then, for others who invalidate.
 */
void zk_notify_hold(struct zk_fs *fs, uint64_t ino, uint32_t ms);
void zk_notify_wait(struct zk_fs *fs, uint64_t ino);
/* data: the content too. */
void zk_notify_inode(struct zk_fs *fs, uint64_t ino, bool data);

#endif
