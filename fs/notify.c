#include "fs/notify.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fs/impl.h"

/* FUSE_NOTIFY_INC_EPOCH of <linux/fuse.h> 7.44: no name is valid any more. */
#define NOTIFY_INC_EPOCH 8

/* So long, at most, does an inode wait for one who asks for its size. */
#define HOLD_MAX_MS 50u

/* The longest pause between two tries to tell of one inode. */
#define RETRY_MS_MAX 256u

static struct zk_stale_name **
bucket_of(struct zk_notifier *n, uint64_t parent, const char *name, size_t len)
{
	uint64_t hash = zk_mix64(parent);

	for (size_t i = 0; i < len; i++)
		hash = zk_mix64(hash ^ (uint8_t)name[i]);
	return &n->buckets[hash % ZK_NOTIFY_BUCKETS];
}

static bool
is_queued(const struct zk_stale_name *s, uint64_t parent, const char *name,
    size_t name_len)
{
	while (s != NULL &&
	    (s->parent != parent || s->name_len != name_len ||
	        memcmp(s->name, name, name_len) != 0))
		s = s->next;
	return s != NULL;
}

/* Under the lock. */
static void
set_all_names(struct zk_notifier *n)
{
	if (!n->all_names)
		n->all_seq = ++n->seq;
	n->all_names = true;
}

/* Under the lock. */
static void
queue_name(struct zk_notifier *n, uint64_t parent, const char *name,
    size_t name_len)
{
	struct zk_stale_name **bucket, *stale;

	bucket = bucket_of(n, parent, name, name_len);
	if (is_queued(*bucket, parent, name, name_len))
		return;
	stale = NULL;
	n->seq++;
	if (n->name_count < ZK_NOTIFY_NAMES_MAX || !n->has_epoch)
		stale = malloc(sizeof(*stale) + name_len + 1);
	if (stale == NULL) {
		set_all_names(n);
		return;
	}
	*stale = (struct zk_stale_name){
	    .next = *bucket,
	    .seq = n->seq,
	    .parent = parent,
	    .name_len = name_len,
	};
	memcpy(stale->name, name, name_len);
	stale->name[name_len] = '\0';
	*bucket = stale;
	*n->name_last = stale;
	n->name_last = &stale->q_next;
	n->name_count++;
}

void
zk_notify_name(struct zk_fs *fs, uint64_t parent, const char *name,
    size_t name_len)
{
	struct zk_notifier *n = &fs->notifier;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	/* Of a directory that is not known no name can be cached. */
	if (zk_inode_is_known(zk_inodes_find(&fs->inodes, parent))) {
		queue_name(n, parent, name, name_len);
		(void)pthread_cond_signal(&n->work);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

void
zk_notify_all_names(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	set_all_names(n);
	(void)pthread_cond_signal(&n->work);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

/* Under the lock. */
static void
set_stale(struct zk_notifier *n, struct zk_inode *inode, bool data)
{
	if (!inode->stale_attr)
		inode->seq = ++n->seq;
	inode->stale_attr = true;
	inode->stale_data = inode->stale_data || data;
}

/* Under the lock. */
static void
queue_inode(struct zk_notifier *n, struct zk_inode *inode)
{
	if (!inode->queued)
		inode->queued_ms = zk_now_ms();
	inode->queued = true;
	inode->queue_next = NULL;
	*n->inode_last = inode;
	n->inode_last = &inode->queue_next;
}

void
zk_notify_inode(struct zk_fs *fs, uint64_t ino, bool data)
{
	struct zk_notifier *n = &fs->notifier;
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (zk_inode_is_known(inode)) {
		set_stale(n, inode, data);
		if (!inode->queued)
			queue_inode(n, inode);
		(void)pthread_cond_signal(&n->work);
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

/* Under the lock: the first that is still to be told, or has been begun. */
static uint64_t
first_untold(const struct zk_notifier *n)
{
	uint64_t first = n->seq + 1;

	if (n->telling_seq != 0 && n->telling_seq < first)
		first = n->telling_seq;
	if (n->inode_first != NULL && n->inode_first->seq < first)
		first = n->inode_first->seq;
	if (n->name_first != NULL && n->name_first->seq < first)
		first = n->name_first->seq;
	if (n->all_names && n->all_seq < first)
		first = n->all_seq;
	return first;
}

uint64_t
zk_notify_ticket(struct zk_fs *fs)
{
	uint64_t ticket;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	ticket = fs->notifier.seq;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return ticket;
}

bool
zk_notify_has_told(struct zk_fs *fs, uint64_t ticket)
{
	struct zk_notifier *n = &fs->notifier;
	bool told;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	/* What is not told at an end is told by who comes next, or nobody. */
	told =
	    !n->started || n->stopping || n->paused || first_untold(n) > ticket;
	if (!told && (n->awaited == 0 || ticket < n->awaited))
		n->awaited = ticket;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return told;
}

void
zk_notify_hold(struct zk_fs *fs, uint64_t ino, uint32_t ms)
{
	struct zk_inode *inode;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, ino);
	if (inode != NULL)
		inode->hold_ms = zk_now_ms() + ms;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

void
zk_notify_all(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	for (size_t i = 0; i < fs->inodes.bucket_count; i++)
		for (struct zk_inode *inode = fs->inodes.buckets[i];
		     inode != NULL; inode = inode->next) {
			if (!zk_inode_is_known(inode))
				continue;
			set_stale(n, inode, true);
			if (!inode->queued)
				queue_inode(n, inode);
		}
	if (n->has_epoch)
		set_all_names(n);
	(void)pthread_cond_signal(&n->work);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

/*
 * Whoever has truncated a file on opening it may ask for its size next, to
 * seek to the end.  The kernel drops an answer when it hears of the inode
 * while it waits for it, and goes by what it had, the old size (Linux 6.18,
 * fuse_change_attributes()).  So it hears of it a little later.
 */
static bool
is_held(const struct zk_inode *inode, uint64_t since_ms)
{
	const uint64_t now = zk_now_ms();

	return (inode->truncs > 0 || now < inode->hold_ms) &&
	    now - since_ms < HOLD_MAX_MS;
}

void
zk_notify_wait(struct zk_fs *fs, uint64_t ino)
{
	const uint64_t since_ms = zk_now_ms();
	const struct timespec pause = {.tv_nsec = 1000000};
	const struct zk_inode *inode;
	bool held = true;

	while (held) {
		(void)pthread_mutex_lock(&fs->inodes.lock);
		inode = zk_inodes_find(&fs->inodes, ino);
		held = inode != NULL && is_held(inode, since_ms);
		(void)pthread_mutex_unlock(&fs->inodes.lock);
		if (held)
			(void)nanosleep(&pause, NULL);
	}
}

/* Under the lock. */
static void
queue_inode_first(struct zk_notifier *n, struct zk_inode *inode)
{
	inode->queued = true;
	inode->queued_ms = zk_now_ms();
	inode->queue_next = n->inode_first;
	if (n->inode_first == NULL)
		n->inode_last = &inode->queue_next;
	n->inode_first = inode;
}

static void
delay(struct zk_notifier *n, struct zk_inode *inode, uint64_t ms)
{
	inode->retry_ms = zk_now_ms() + ms;
	inode->queue_next = n->delayed;
	n->delayed = inode;
}

/* Takes the lock off and on again around fn's work, like all below. */
static void
tell_inode(struct zk_fs *fs, struct zk_inode *inode)
{
	struct zk_notifier *n = &fs->notifier;
	bool data = inode->stale_data;
	uint64_t ino = inode->ino;
	int rc = 0;

	if (is_held(inode, inode->queued_ms)) {
		delay(n, inode, 1);
		return;
	}
	/* It stays queued, so that it is not freed meanwhile. */
	inode->stale_attr = false;
	inode->stale_data = false;
	if (zk_inode_is_known(inode)) {
		(void)pthread_mutex_unlock(&fs->inodes.lock);
		/* A negative offset: the attributes alone. */
		rc = fuse_lowlevel_notify_inval_inode(fs->session, ino,
		    data ? 0 : -1, 0);
		(void)pthread_mutex_lock(&fs->inodes.lock);
	}
	/*
	 * The kernel was told of it in a reply that it has not yet digested,
	 * or it is about to forget it.  In the first case what it will cache
	 * is out of date: try until one or the other has happened.
	 */
	if (rc == -ENOENT && zk_inode_is_known(inode)) {
		unsigned shift = inode->tries < 8 ? inode->tries : 8;
		inode->stale_attr = true;
		inode->stale_data = inode->stale_data || data;
		inode->tries++;
		delay(n, inode, 1u << shift);
		return;
	}
	inode->tries = 0;
	inode->queued = false;
	/* It changed meanwhile, before all that waits. */
	if (inode->stale_attr)
		queue_inode_first(n, inode);
	else
		(void)zk_inodes_put(&fs->inodes, inode);
}

static struct zk_stale_name *
pop_name(struct zk_notifier *n)
{
	struct zk_stale_name *stale = n->name_first, **link;

	n->name_first = stale->q_next;
	if (n->name_first == NULL)
		n->name_last = &n->name_first;
	n->name_count--;
	link = bucket_of(n, stale->parent, stale->name, stale->name_len);
	while (*link != stale)
		link = &(*link)->next;
	*link = stale->next;
	return stale;
}

static bool
send_epoch(struct zk_fs *fs)
{
	struct fuse_out_header head = {
	    .len = sizeof(head),
	    .error = NOTIFY_INC_EPOCH,
	};

	return write(fuse_session_fd(fs->session), &head, sizeof(head)) ==
	    (ssize_t)sizeof(head);
}

/* One message for all names that waited when this began. */
static void
tell_all_names(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;

	n->all_names = false;
	while (n->name_first != NULL)
		free(pop_name(n));
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	(void)send_epoch(fs);
	(void)pthread_mutex_lock(&fs->inodes.lock);
}

static void
tell_name(struct zk_fs *fs)
{
	struct zk_stale_name *stale = pop_name(&fs->notifier);

	(void)pthread_mutex_unlock(&fs->inodes.lock);
	/* ENOENT: not cached, so nothing was stale. */
	(void)fuse_lowlevel_notify_inval_entry(fs->session, stale->parent,
	    stale->name, stale->name_len);
	free(stale);
	(void)pthread_mutex_lock(&fs->inodes.lock);
}

/* Back to the queue with what is due; the time of the next, or 0. */
static uint64_t
requeue_due(struct zk_notifier *n)
{
	struct zk_inode **link = &n->delayed;
	uint64_t now = zk_now_ms(), next = 0;

	while (*link != NULL) {
		struct zk_inode *inode = *link;
		if (inode->retry_ms <= now) {
			*link = inode->queue_next;
			queue_inode(n, inode);
			continue;
		}
		if (next == 0 || inode->retry_ms < next)
			next = inode->retry_ms;
		link = &inode->queue_next;
	}
	return next;
}

static void
rest(struct zk_fs *fs, uint64_t until_ms)
{
	struct timespec until = {
	    .tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000) * 1000000,
	};

	if (until_ms == 0)
		(void)pthread_cond_wait(&fs->notifier.work, &fs->inodes.lock);
	else
		(void)pthread_cond_timedwait(&fs->notifier.work,
		    &fs->inodes.lock, &until);
}

void
zk_notify_names_now(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;
	bool any;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	any = n->has_epoch && !n->paused && !n->stopping &&
	    (n->name_first != NULL || n->all_names || n->telling_name);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	/* This takes no lock of the kernel's that a request could hold. */
	if (any)
		(void)send_epoch(fs);
}

/* Under the lock, which is off meanwhile: somebody waits for what is told. */
static void
wake_calls(struct zk_fs *fs)
{
	fs->notifier.awaited = 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	zk_calls_wake(fs);
	(void)pthread_mutex_lock(&fs->inodes.lock);
}

/* Under the lock: the oldest of what is to be told.  False: there is nothing. */
static bool
tell_one(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;
	struct zk_inode *inode = n->inode_first;
	const uint64_t first = first_untold(n);

	if (first > n->seq)
		return false;
	n->telling_seq = first;
	if (inode != NULL && inode->seq == first) {
		n->inode_first = inode->queue_next;
		if (n->inode_first == NULL)
			n->inode_last = &n->inode_first;
		tell_inode(fs, inode);
	} else if (n->all_names && n->all_seq == first) {
		tell_all_names(fs);
	} else {
		n->telling_name = true;
		tell_name(fs);
		n->telling_name = false;
	}
	n->telling_seq = 0;
	return true;
}

static void *
notify(void *arg)
{
	struct zk_fs *fs = arg;
	struct zk_notifier *n = &fs->notifier;

	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	while (!n->stopping) {
		uint64_t next;

		n->telling = false;
		if (n->paused) {
			(void)pthread_cond_broadcast(&n->work);
			rest(fs, 0);
			continue;
		}
		if (n->awaited != 0 && first_untold(n) > n->awaited)
			wake_calls(fs);
		next = requeue_due(n);
		n->telling = true;
		if (!tell_one(fs)) {
			n->telling = false;
			/* Also one who has begun to wait just now. */
			if (n->awaited == 0)
				rest(fs, next);
		}
	}
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return NULL;
}

void
zk_notifier_init(struct zk_notifier *n)
{
	pthread_condattr_t attr;

	n->inode_last = &n->inode_first;
	n->name_last = &n->name_first;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&n->work, &attr);
	(void)pthread_condattr_destroy(&attr);
}

void
zk_notifier_fini(struct zk_notifier *n)
{
	while (n->name_first != NULL)
		free(pop_name(n));
	(void)pthread_cond_destroy(&n->work);
}

int
zk_notifier_start(struct zk_fs *fs)
{
	int rc;

	fs->notifier.has_epoch = send_epoch(fs);
	rc = pthread_create(&fs->notifier.thread, NULL, notify, fs);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	fs->notifier.started = rc == 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return -rc;
}

void
zk_notifier_stop(struct zk_fs *fs)
{
	struct zk_notifier *n = &fs->notifier;

	if (!n->started)
		return;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	n->stopping = true;
	(void)pthread_cond_signal(&n->work);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	(void)pthread_join(n->thread, NULL);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	n->started = false;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}

bool
zk_notifier_pause(struct zk_fs *fs, uint64_t until_ms)
{
	const struct timespec until = {
	    .tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000) * 1000000,
	};
	struct zk_notifier *n = &fs->notifier;
	bool idle;
	int rc = 0;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	n->paused = true;
	(void)pthread_cond_broadcast(&n->work);
	while (n->telling && rc == 0)
		rc = pthread_cond_timedwait(&n->work, &fs->inodes.lock, &until);
	idle = !n->telling;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return idle;
}

void
zk_notifier_resume(struct zk_fs *fs)
{
	(void)pthread_mutex_lock(&fs->inodes.lock);
	fs->notifier.paused = false;
	(void)pthread_cond_broadcast(&fs->notifier.work);
	(void)pthread_mutex_unlock(&fs->inodes.lock);
}
