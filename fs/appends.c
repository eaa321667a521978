#include "fs/appends.h"

#include <stdlib.h>

#include "base/hash.h"
#include "fs/appends_impl.h"
#include "fs/call_impl.h"
#include "fs/impl.h"

void
zk_appends_init(struct zk_appends *appends)
{
	(void)pthread_mutex_init(&appends->lock, NULL);
}

void
zk_appends_fini(struct zk_appends *appends)
{
	for (size_t i = 0; i < ZK_APPENDS_BUCKETS; i++) {
		while (appends->buckets[i] != NULL) {
			struct zk_appended *a = appends->buckets[i];

			appends->buckets[i] = a->next;
			free(a);
		}
		while (appends->topics[i] != NULL) {
			struct zk_append_topic *t = appends->topics[i];

			appends->topics[i] = t->next;
			free(t);
		}
	}
	(void)pthread_mutex_destroy(&appends->lock);
}

struct zk_appended **
zk_appends_place(struct zk_appends *appends, uint64_t partition)
{
	struct zk_appended **at =
	    &appends->buckets[zk_mix64(partition) % ZK_APPENDS_BUCKETS];

	while (*at != NULL && (*at)->partition != partition)
		at = &(*at)->next;
	return at;
}

bool
zk_appends_make_due(struct zk_appends *appends, struct zk_appended *a)
{
	if (!a->is_due) {
		a->is_due = true;
		a->next_due = appends->due;
		appends->due = a;
	}
	if (atomic_load(&appends->due_ms) != 0)
		return false;
	atomic_store(&appends->due_ms, zk_now_ms() + ZK_APPENDS_DUE_MS);
	return true;
}

static bool
is_before(const struct zk_stamp *a, const struct zk_stamp *b)
{
	return a->sec < b->sec || (a->sec == b->sec && a->nsec < b->nsec);
}

bool
zk_appends_set_base(struct zk_appends *appends, struct zk_appended *a,
    uint64_t end, const struct zk_stamp *time)
{
	a->based = true;
	a->seen = a->told = end;
	a->own = 0;
	a->news = end > 0 && !a->mute && !is_before(time, &a->since);
	return a->news && zk_appends_make_due(appends, a);
}

void
zk_appends_wake(struct zk_fs *fs)
{
	(void)pthread_mutex_lock(&fs->calls.lock);
	zk_calls_kick_locked(&fs->calls);
	(void)pthread_mutex_unlock(&fs->calls.lock);
}

void
zk_appends_kick(struct zk_fs *fs)
{
	if (atomic_load(&fs->appends.work))
		zk_appends_wake(fs);
}

/* --- what happens --------------------------------------------------------- */

void
zk_appends_begin(struct zk_fs *fs, uint64_t partition, size_t len)
{
	struct zk_appends *appends = &fs->appends;
	struct zk_port_partition info;
	struct zk_appended *a;
	bool fresh, known, wake = false;

	(void)pthread_mutex_lock(&appends->lock);
	a = *zk_appends_place(appends, partition);
	if (a != NULL)
		a->flying += len;
	fresh = a != NULL && !a->based;
	(void)pthread_mutex_unlock(&appends->lock);
	if (!fresh || fs->port.glimpse == NULL)
		return;
	/* What is there already is not this one. */
	known = fs->port.glimpse(fs->port.impl, partition, &info) == 0;
	(void)pthread_mutex_lock(&appends->lock);
	a = *zk_appends_place(appends, partition);
	if (a != NULL && !a->based && known)
		wake = zk_appends_set_base(appends, a, info.end, &info.time);
	else if (a != NULL && !a->based)
		a->mute = true;
	(void)pthread_mutex_unlock(&appends->lock);
	if (wake)
		zk_appends_wake(fs);
}

void
zk_appends_end(struct zk_fs *fs, uint64_t partition, size_t len,
    const uint64_t *off)
{
	struct zk_appended *a;

	(void)pthread_mutex_lock(&fs->appends.lock);
	a = *zk_appends_place(&fs->appends, partition);
	if (a != NULL) {
		a->flying -= len < a->flying ? len : a->flying;
		/* What is before that has been looked at. */
		if (off != NULL && a->based && *off >= a->told)
			a->own += len;
	}
	(void)pthread_mutex_unlock(&fs->appends.lock);
}

void
zk_appends_moved(struct zk_fs *fs, uint64_t partition, uint64_t end,
    const struct zk_stamp *time)
{
	struct zk_appended *a;
	bool first = false;

	(void)pthread_mutex_lock(&fs->appends.lock);
	a = *zk_appends_place(&fs->appends, partition);
	if (a != NULL && !a->based) {
		first = zk_appends_set_base(&fs->appends, a, end, time);
	} else if (a != NULL && end > a->seen) {
		a->seen = end;
		first = zk_appends_make_due(&fs->appends, a);
	}
	(void)pthread_mutex_unlock(&fs->appends.lock);
	if (first)
		zk_appends_wake(fs);
}

/*
 * Under the lock.  Whether another has appended; *ret_again: that is known when
 * what is under way is answered.
 */
static bool
is_by_others(struct zk_appended *a, bool *ret_again)
{
	bool others = a->news;

	a->news = false;
	/* Of our own not all may be seen here yet. */
	if (a->seen < a->told + a->own)
		return others;
	*ret_again = !others && a->seen - a->told > a->own &&
	    a->seen - a->told <= a->own + a->flying;
	if (*ret_again)
		return false;
	others = others || a->seen - a->told > a->own;
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
		a->next_due = *again;
		*again = a;
	}
	(void)pthread_mutex_unlock(&appends->lock);
	return partition;
}

static void
raise_due(struct zk_fs *fs)
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
	/* Nobody else frees them. */
	while ((a = again) != NULL) {
		again = a->next_due;
		(void)zk_appends_make_due(appends, a);
	}
	if (appends->due != NULL && atomic_load(&appends->due_ms) == 0)
		atomic_store(&appends->due_ms, zk_now_ms() + ZK_APPENDS_DUE_MS);
	(void)pthread_mutex_unlock(&appends->lock);
}

void
zk_appends_serve(struct zk_fs *fs)
{
	zk_appends_serve_changed(fs);
	raise_due(fs);
}
