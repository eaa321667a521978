#ifndef ZK_FS_INODE_H
#define ZK_FS_INODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct zk_handle;

/*
 * What the kernel holds of the tree: an inode is here while the kernel has
 * looked it up and not forgotten it, while a file of it is open, or while
 * something about it is still to be said or done.  Only what is here needs to
 * be invalidated when it changes.
 *
 * The order that makes this safe: a reply that will let the kernel cache
 * attributes first registers the inode here and then reads them, while a
 * change is first visible to reads and then announced.  So every change is
 * either in what was read or finds the inode here.
 */
struct zk_inode {
	struct zk_inode *next; /* in its bucket */
	uint64_t ino;
	uint64_t nlookup;   /* references that the kernel holds */
	uint32_t opens;     /* open files */
	uint32_t closers;   /* open files whose end is a command */
	uint32_t truncs;    /* open files with a truncation still to come */
	uint32_t owed;      /* of those, whose close would be it */
	uint64_t emptied;   /* truncations done with a change so far */
	uint32_t releasing; /* commands of closed files under way */
	uint32_t unlocking; /* commands that drop POSIX locks under way */
	uint64_t faces;     /* bits: each has an open file that appends */
	uint32_t mode_told; /* the mode in the last reply */
	uint64_t named_ms;  /* when the last one said that it had a name */
	bool orphan;        /* has no name; to be reaped when forgotten */
	bool posix_locks;   /* a POSIX lock was taken through this host */
	bool copied;        /* someone copies our attributes onto it */
	uint32_t topical;   /* its kind, if zk_inodes.forgot is to hear of it */
	uint32_t turn;      /* of partitions, for `any` */

	/* What the notifier still has to say; see notify.h. */
	bool queued, stale_attr, stale_data;
	uint64_t seq; /* while stale_attr */
	unsigned tries;
	uint64_t retry_ms;
	uint64_t hold_ms;   /* not before that, see tell_inode() */
	uint64_t queued_ms; /* when it was queued */
	struct zk_inode *queue_next;

	/* When the content was replaced, and the time before; 0: long ago. */
	uint64_t replaced_ms, replaced_before_ms;
	struct zk_handle *creator; /* the open file that made it, or NULL */
	char *name; /* the name made from a sequential one, or NULL */

	/* Opened for writing only, and not yet used; the latest first. */
	LIST_HEAD(zk_fresh_list, zk_handle) fresh;
};

struct zk_inodes {
	pthread_mutex_t lock; /* protects everything here and below */
	struct zk_inode **buckets;
	size_t bucket_count, count;
	atomic_size_t owed; /* the sum of all inodes; readable without it */
	LIST_HEAD(zk_handle_list, zk_handle) handles; /* all open files */
	/* One that is topical goes; with the lock held. */
	void (*forgot)(void *arg, uint64_t ino);
	void *forgot_arg;
};

int zk_inodes_init(struct zk_inodes *t);
void zk_inodes_fini(struct zk_inodes *t);

/* Whether the kernel holds it, and so may hold a watch on it. */
static inline bool
zk_inode_is_known(const struct zk_inode *inode)
{
	return inode != NULL && (inode->nlookup > 0 || inode->opens > 0);
}

/* The kernel is told of ino once more.  0 or -ENOMEM. */
int zk_inodes_ref(struct zk_inodes *t, uint64_t ino);

/*
 * The kernel forgets n references.  Returns true when ino is an orphan that
 * nothing here needs any more: the caller reaps it.
 */
bool zk_inodes_forget(struct zk_inodes *t, uint64_t ino, uint64_t n);

/* These want t->lock held. */
struct zk_inode *zk_inodes_find(struct zk_inodes *t, uint64_t ino);
/* As find, and makes it when missing; NULL without memory. */
struct zk_inode *zk_inodes_get(struct zk_inodes *t, uint64_t ino);
/* Frees the inode when nothing needs it.  True when it is to be reaped. */
bool zk_inodes_put(struct zk_inodes *t, struct zk_inode *inode);

#endif
