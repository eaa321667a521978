#include "fs/inode.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"

#define BUCKETS_MIN 1024u

static struct zk_inode **
bucket_of(struct zk_inodes *t, uint64_t ino)
{
	return &t->buckets[zk_mix64(ino) & (t->bucket_count - 1)];
}

int
zk_inodes_init(struct zk_inodes *t)
{
	*t = (struct zk_inodes){.bucket_count = BUCKETS_MIN};
	t->buckets = calloc(t->bucket_count, sizeof(void *));
	if (t->buckets == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&t->lock, NULL);
	return 0;
}

void
zk_inodes_fini(struct zk_inodes *t)
{
	if (t->buckets == NULL)
		return;
	for (size_t i = 0; i < t->bucket_count; i++) {
		struct zk_inode *inode = t->buckets[i];
		while (inode != NULL) {
			struct zk_inode *next = inode->next;
			free(inode->name);
			free(inode);
			inode = next;
		}
	}
	free(t->buckets);
	t->buckets = NULL;
	(void)pthread_mutex_destroy(&t->lock);
}

/* Staying small only costs time, so that it may fail. */
static void
grow(struct zk_inodes *t)
{
	struct zk_inodes bigger = {.bucket_count = t->bucket_count * 2};

	bigger.buckets = calloc(bigger.bucket_count, sizeof(void *));
	if (bigger.buckets == NULL)
		return;
	for (size_t i = 0; i < t->bucket_count; i++) {
		struct zk_inode *inode = t->buckets[i];
		while (inode != NULL) {
			struct zk_inode *next = inode->next;
			struct zk_inode **to = bucket_of(&bigger, inode->ino);
			inode->next = *to;
			*to = inode;
			inode = next;
		}
	}
	free(t->buckets);
	t->buckets = bigger.buckets;
	t->bucket_count = bigger.bucket_count;
}

struct zk_inode *
zk_inodes_find(struct zk_inodes *t, uint64_t ino)
{
	struct zk_inode *inode = *bucket_of(t, ino);

	while (inode != NULL && inode->ino != ino)
		inode = inode->next;
	return inode;
}

struct zk_inode *
zk_inodes_get(struct zk_inodes *t, uint64_t ino)
{
	struct zk_inode *inode = zk_inodes_find(t, ino), **bucket;

	ZK_ASSERT(ino != 0);
	if (inode != NULL)
		return inode;
	inode = calloc(1, sizeof(*inode));
	if (inode == NULL)
		return NULL;
	if (t->count >= t->bucket_count)
		grow(t);
	inode->ino = ino;
	bucket = bucket_of(t, ino);
	inode->next = *bucket;
	*bucket = inode;
	t->count++;
	return inode;
}

bool
zk_inodes_put(struct zk_inodes *t, struct zk_inode *inode)
{
	struct zk_inode **link;
	bool orphan = inode->orphan;

	if (inode->nlookup > 0 || inode->opens > 0 || inode->releasing > 0 ||
	    inode->unlocking > 0)
		return false;
	/* Nobody knows it, so there is nobody to tell; the queue frees it. */
	inode->orphan = false;
	if (inode->queued)
		return orphan;
	link = bucket_of(t, inode->ino);
	while (*link != inode)
		link = &(*link)->next;
	*link = inode->next;
	t->count--;
	if (inode->topical != 0)
		t->forgot(t->forgot_arg, inode->ino);
	free(inode->name);
	free(inode);
	return orphan;
}

int
zk_inodes_ref(struct zk_inodes *t, uint64_t ino)
{
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&t->lock);
	inode = zk_inodes_get(t, ino);
	if (inode != NULL)
		inode->nlookup++;
	(void)pthread_mutex_unlock(&t->lock);
	return inode == NULL ? -ENOMEM : 0;
}

bool
zk_inodes_forget(struct zk_inodes *t, uint64_t ino, uint64_t n)
{
	struct zk_inode *inode;
	bool reap = false;

	(void)pthread_mutex_lock(&t->lock);
	inode = zk_inodes_find(t, ino);
	/* A count that is too high is the kernel's; do not trust it. */
	if (inode != NULL) {
		inode->nlookup -= n < inode->nlookup ? n : inode->nlookup;
		reap = zk_inodes_put(t, inode);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return reap;
}
