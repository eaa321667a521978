#include "fs/appends.h"

#include <stdlib.h>

#include "base/hash.h"
#include "fs/call_impl.h"
#include "fs/impl.h"

/* So long after the first of them, appends become one event. */
#define DUE_MS 50u

/* A partition of which something was appended. */
struct zk_appended {
	struct zk_appended *next, *next_due;
	uint64_t partition;
	uint64_t seen;   /* its end */
	uint64_t told;   /* up to there all is told */
	uint64_t own;    /* bytes appended here behind that, and answered */
	uint64_t flying; /* bytes of appends that are not answered */
	bool is_due;
};

void
zk_appends_init(struct zk_appends *appends)
{
	(void)pthread_mutex_init(&appends->lock, NULL);
}

void
zk_appends_fini(struct zk_appends *appends)
{
	for (size_t i = 0; i < ZK_APPENDS_BUCKETS; i++)
		while (appends->buckets[i] != NULL) {
			struct zk_appended *a = appends->buckets[i];

			appends->buckets[i] = a->next;
			free(a);
		}
	(void)pthread_mutex_destroy(&appends->lock);
}

/* Under the lock.  Made where there is none; NULL: there is no room for it. */
static struct zk_appended *
find(struct zk_appends *appends, uint64_t partition)
{
	struct zk_appended **bucket =
	    &appends->buckets[zk_mix64(partition) % ZK_APPENDS_BUCKETS];
	struct zk_appended *a = *bucket;

	while (a != NULL && a->partition != partition)
		a = a->next;
	if (a != NULL || appends->count == ZK_APPENDS_MAX)
		return a;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->partition = partition;
	a->next = *bucket;
	*bucket = a;
	appends->count++;
	return a;
}

void
zk_appends_begin(struct zk_fs *fs, uint64_t partition, size_t len)
{
	struct zk_port_partition info = {.end = 0};
	struct zk_appended *a;
	bool fresh;

	(void)pthread_mutex_lock(&fs->appends.lock);
	a = find(&fs->appends, partition);
	if (a != NULL)
		a->flying += len;
	fresh = a != NULL && a->seen == 0;
	(void)pthread_mutex_unlock(&fs->appends.lock);
	if (!fresh || fs->port.info(fs->port.impl, partition, &info) < 0)
		return;
	/* What is there already is not news. */
	(void)pthread_mutex_lock(&fs->appends.lock);
	if (a->seen == 0)
		a->seen = a->told = info.end;
	(void)pthread_mutex_unlock(&fs->appends.lock);
}

void
zk_appends_end(struct zk_fs *fs, uint64_t partition, size_t len,
    const uint64_t *off)
{
	struct zk_appended *a;

	(void)pthread_mutex_lock(&fs->appends.lock);
	a = find(&fs->appends, partition);
	if (a != NULL) {
		a->flying -= len < a->flying ? len : a->flying;
		/* What is before that has been looked at. */
		if (off != NULL && *off >= a->told)
			a->own += len;
	}
	(void)pthread_mutex_unlock(&fs->appends.lock);
}

/* Under the lock.  Whether the thread of the calls has to be told. */
static bool
make_due(struct zk_appends *appends, struct zk_appended *a)
{
	if (!a->is_due) {
		a->is_due = true;
		a->next_due = appends->due;
		appends->due = a;
	}
	if (atomic_load(&appends->due_ms) != 0)
		return false;
	atomic_store(&appends->due_ms, zk_now_ms() + DUE_MS);
	return true;
}

void
zk_appends_moved(struct zk_fs *fs, uint64_t partition, uint64_t end)
{
	struct zk_appended *a;
	bool first = false;

	(void)pthread_mutex_lock(&fs->appends.lock);
	a = find(&fs->appends, partition);
	if (a != NULL && end > a->seen) {
		a->seen = end;
		first = make_due(&fs->appends, a);
	}
	(void)pthread_mutex_unlock(&fs->appends.lock);
	if (!first)
		return;
	(void)pthread_mutex_lock(&fs->calls.lock);
	zk_calls_kick_locked(&fs->calls);
	(void)pthread_mutex_unlock(&fs->calls.lock);
}

/*
 * Under the lock.  Whether another has appended; *ret_again: that is known when
 * what is under way is answered.
 */
static bool
is_by_others(struct zk_appended *a, bool *ret_again)
{
	bool others;

	/* Of our own not all may be seen here yet. */
	if (a->seen < a->told + a->own)
		return false;
	others = a->seen - a->told > a->own + a->flying;
	*ret_again = !others && a->seen - a->told > a->own;
	if (*ret_again)
		return false;
	a->own = 0;
	a->told = a->seen;
	return others;
}

/* The next that is due, and whether it is to be told; 0: there is none. */
static uint64_t
take_due(struct zk_appends *appends, struct zk_appended **again,
    bool *ret_others)
{
	uint64_t partition = 0;
	struct zk_appended *a;
	bool later = false;

	(void)pthread_mutex_lock(&appends->lock);
	a = appends->due;
	if (a != NULL) {
		appends->due = a->next_due;
		a->is_due = false;
		partition = a->partition;
		*ret_others = is_by_others(a, &later);
	}
	if (later) {
		a->is_due = true;
		a->next_due = *again;
		*again = a;
	}
	(void)pthread_mutex_unlock(&appends->lock);
	return partition;
}

void
zk_appends_serve(struct zk_fs *fs)
{
	struct zk_appends *appends = &fs->appends;
	const uint64_t due_ms = atomic_load(&appends->due_ms);
	struct zk_appended *again = NULL, *a;
	uint64_t partition;
	bool others = false;

	if (due_ms == 0 || zk_now_ms() < due_ms)
		return;
	while ((partition = take_due(appends, &again, &others)) != 0)
		if (others)
			zk_replay_touched(fs, partition, true);
	(void)pthread_mutex_lock(&appends->lock);
	atomic_store(&appends->due_ms, 0);
	while ((a = again) != NULL) {
		again = a->next_due;
		a->is_due = false;
		(void)make_due(appends, a);
	}
	if (appends->due != NULL && atomic_load(&appends->due_ms) == 0)
		atomic_store(&appends->due_ms, zk_now_ms() + DUE_MS);
	(void)pthread_mutex_unlock(&appends->lock);
}
