#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/codec.h"
#include "base/hash.h"
#include "fs/appends_impl.h"
#include "fs/impl.h"

/* Which partitions are followed: those that may be watched. */

/* --- the tables; under the lock ------------------------------------------- */

static struct zk_stamp
stamp_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (struct zk_stamp){ts.tv_sec, (uint32_t)ts.tv_nsec};
}

static struct zk_append_topic **
topic_place_of(struct zk_appends *appends, uint64_t ino)
{
	struct zk_append_topic **at =
	    &appends->topics[zk_mix64(ino) % ZK_APPENDS_BUCKETS];

	while (*at != NULL && (*at)->ino != ino)
		at = &(*at)->next;
	return at;
}

static void
mark(struct zk_appends *appends, struct zk_appended *a)
{
	if (!a->is_changed) {
		a->is_changed = true;
		a->next_changed = appends->changed;
		appends->changed = a;
	}
	atomic_store(&appends->work, true);
}

/* Made where there is none; NULL: there is no room for it. */
static struct zk_appended *
get(struct zk_appends *appends, uint64_t partition,
    const struct zk_stamp *since)
{
	struct zk_appended **at = zk_appends_place(appends, partition),
	                   *a = *at;

	if (a != NULL || appends->count == ZK_APPENDS_MAX)
		return a;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return NULL;
	a->partition = partition;
	a->since = *since;
	*at = a;
	appends->count++;
	mark(appends, a);
	return a;
}

static void
know_topic(struct zk_appends *appends, uint64_t ino,
    const struct zk_stamp *since)
{
	struct zk_append_topic **at = topic_place_of(appends, ino);

	if (*at == NULL && appends->topic_count < ZK_APPENDS_MAX) {
		*at = calloc(1, sizeof(**at));
		appends->topic_count += *at != NULL;
	}
	if (*at == NULL)
		return;
	(*at)->ino = ino;
	(*at)->since = *since;
	(*at)->changed = true;
	atomic_store(&appends->work, true);
}

static bool
forget_topic(struct zk_appends *appends, uint64_t ino)
{
	struct zk_append_topic **at = topic_place_of(appends, ino), *t = *at;

	if (t == NULL)
		return false;
	*at = t->next;
	free(t);
	appends->topic_count--;
	appends->sweep = true;
	atomic_store(&appends->work, true);
	return true;
}

/* --- what the kernel knows ------------------------------------------------ */

void
zk_appends_know(struct zk_fs *fs, uint64_t ino, uint32_t kind)
{
	struct zk_appends *appends = &fs->appends;
	const struct zk_stamp now = stamp_now();
	struct zk_appended *a = NULL;

	(void)pthread_mutex_lock(&appends->lock);
	if (kind == ZK_NODE_TOPIC)
		know_topic(appends, ino, &now);
	else
		a = get(appends, ino, &now);
	if (a != NULL)
		a->known = true;
	(void)pthread_mutex_unlock(&appends->lock);
}

void
zk_appends_forgot(void *arg, uint64_t ino)
{
	struct zk_fs *fs = arg;
	struct zk_appends *appends = &fs->appends;
	struct zk_appended *a;

	(void)pthread_mutex_lock(&appends->lock);
	if (!forget_topic(appends, ino)) {
		a = *zk_appends_place(appends, ino);
		if (a != NULL) {
			a->known = false;
			mark(appends, a);
		}
	}
	(void)pthread_mutex_unlock(&appends->lock);
}

/* Under the lock. */
static void
list_again(struct zk_appends *appends, struct zk_append_topic *t)
{
	t->changed = true;
	atomic_store(&appends->work, true);
}

void
zk_appends_tree(struct zk_fs *fs, const struct zk_change *change)
{
	struct zk_appends *appends = &fs->appends;
	struct zk_append_topic *t;

	if (change != NULL &&
	    (change->special != ZK_NODE_PARTITION ||
	        change->kind != ZK_CHANGE_CREATE))
		return;
	(void)pthread_mutex_lock(&appends->lock);
	if (change != NULL) {
		t = *topic_place_of(appends, change->parent);
		if (t != NULL)
			list_again(appends, t);
	}
	for (size_t i = 0; change == NULL && i < ZK_APPENDS_BUCKETS; i++)
		for (t = appends->topics[i]; t != NULL; t = t->next)
			list_again(appends, t);
	(void)pthread_mutex_unlock(&appends->lock);
	zk_appends_kick(fs);
}

/* --- who is followed: the thread of the calls ----------------------------- */

static bool
take_topic(struct zk_appends *appends, struct zk_append_topic *ret_topic)
{
	bool found = false;

	(void)pthread_mutex_lock(&appends->lock);
	for (size_t i = 0; !found && i < ZK_APPENDS_BUCKETS; i++)
		for (struct zk_append_topic *t = appends->topics[i];
		     !found && t != NULL; t = t->next) {
			found = t->changed;
			*ret_topic = *t;
			t->changed = false;
			if (found)
				/* Those that come later are known later. */
				t->since = stamp_now();
		}
	(void)pthread_mutex_unlock(&appends->lock);
	return found;
}

/* The partitions of a topic that the kernel knows. */
static void
list_topic(struct zk_fs *fs, const struct zk_append_topic *t)
{
	const struct zk_fs_port *port = &fs->port;
	struct zk_appends *appends = &fs->appends;
	struct zk_port_topic topic;
	struct zk_appended *a;
	uint64_t partition;

	if (port->topic(port->impl, t->ino, &topic) < 0)
		return;
	for (uint32_t i = 0; i < topic.partitions; i++) {
		if (port->partition(port->impl, t->ino, i, &partition) < 0)
			return;
		(void)pthread_mutex_lock(&appends->lock);
		/* Unless it has been forgotten meanwhile. */
		a = *topic_place_of(appends, t->ino) == NULL
		    ? NULL
		    : get(appends, partition, &t->since);
		if (a != NULL) {
			a->topic = t->ino;
			a->listed = true;
		}
		(void)pthread_mutex_unlock(&appends->lock);
	}
}

/* Partitions whose topic was forgotten. */
static void
sweep(struct zk_appends *appends)
{
	struct zk_appended *a;

	(void)pthread_mutex_lock(&appends->lock);
	for (size_t i = 0; appends->sweep && i < ZK_APPENDS_BUCKETS; i++)
		for (a = appends->buckets[i]; a != NULL; a = a->next)
			if (a->listed &&
			    *topic_place_of(appends, a->topic) == NULL) {
				a->listed = false;
				mark(appends, a);
			}
	appends->sweep = false;
	(void)pthread_mutex_unlock(&appends->lock);
}

/* Under the lock. */
static void
drop(struct zk_appends *appends, struct zk_appended *a)
{
	struct zk_appended **at = zk_appends_place(appends, a->partition),
	                   **due = &appends->due;

	while (a->is_due && *due != a)
		due = &(*due)->next_due;
	if (a->is_due)
		*due = a->next_due;
	*at = a->next;
	appends->count--;
	free(a);
}

enum step { STEP_NONE, STEP_NOTHING, STEP_FOLLOW, STEP_LEAVE };

/* What is to be done about the next one. */
static enum step
take_changed(struct zk_appends *appends, uint64_t *ret_partition)
{
	enum step step = STEP_NONE;
	struct zk_appended *a;

	(void)pthread_mutex_lock(&appends->lock);
	a = appends->changed;
	if (a != NULL) {
		appends->changed = a->next_changed;
		a->is_changed = false;
		*ret_partition = a->partition;
		step = STEP_NOTHING;
		if ((a->known || a->listed) && !a->follows)
			step = STEP_FOLLOW;
		else if (!a->known && !a->listed && a->follows)
			step = STEP_LEAVE;
		if (!a->known && !a->listed)
			drop(appends, a);
	}
	(void)pthread_mutex_unlock(&appends->lock);
	return step;
}

/* False: not now. */
static bool
follow(struct zk_fs *fs, uint64_t partition)
{
	const struct zk_fs_port *port = &fs->port;
	struct zk_appends *appends = &fs->appends;
	struct zk_port_partition info = {.end = 0};
	struct zk_appended *a;
	bool knows = false;
	int rc = 0;

	if (port->follow != NULL) {
		rc = port->follow(port->impl, partition, true);
		knows = port->glimpse(port->impl, partition, &info) == 0;
	}
	(void)pthread_mutex_lock(&appends->lock);
	a = *zk_appends_place(appends, partition);
	if (a != NULL) {
		/* One that is gone has nothing to tell. */
		a->follows = rc == 0 || rc == -ENOENT;
		if (!a->follows)
			mark(appends, a);
		if (knows && !a->based) {
			(void)zk_appends_set_base(appends, a, info.end,
			    &info.time);
		} else if (knows && info.end > a->seen) {
			a->seen = info.end;
			(void)zk_appends_make_due(appends, a);
		}
	}
	(void)pthread_mutex_unlock(&appends->lock);
	return rc == 0 || rc == -ENOENT;
}

void
zk_appends_serve_changed(struct zk_fs *fs)
{
	struct zk_appends *appends = &fs->appends;
	struct zk_append_topic topic;
	uint64_t partition = 0;
	enum step step;

	if (!atomic_exchange(&appends->work, false))
		return;
	while (take_topic(appends, &topic))
		list_topic(fs, &topic);
	sweep(appends);
	while ((step = take_changed(appends, &partition)) != STEP_NONE) {
		if (step == STEP_LEAVE && fs->port.follow != NULL)
			(void)fs->port.follow(fs->port.impl, partition, false);
		if (step != STEP_FOLLOW || follow(fs, partition))
			continue;
		/* The others wait as well; after a while all are tried. */
		(void)pthread_mutex_lock(&appends->lock);
		if (atomic_load(&appends->due_ms) == 0)
			atomic_store(&appends->due_ms,
			    zk_now_ms() + ZK_APPENDS_DUE_MS);
		(void)pthread_mutex_unlock(&appends->lock);
		return;
	}
}

/* --- for who takes over --------------------------------------------------- */

void
zk_appends_save(struct zk_enc *enc, const struct zk_appends *appends)
{
	zk_enc_u64(enc, appends->count);
	for (size_t i = 0; i < ZK_APPENDS_BUCKETS; i++)
		for (const struct zk_appended *a = appends->buckets[i];
		     a != NULL; a = a->next) {
			zk_enc_u64(enc, a->partition);
			zk_enc_i64(enc, a->since.sec);
			zk_enc_u32(enc, a->since.nsec);
			zk_enc_u8(enc, a->based);
			zk_enc_u8(enc, a->news);
			zk_enc_u64(enc, a->seen);
			zk_enc_u64(enc, a->told);
			zk_enc_u64(enc, a->own);
		}
}

void
zk_appends_take(struct zk_fs *fs, struct zk_dec *dec)
{
	struct zk_appends *appends = &fs->appends;
	const uint64_t count = zk_dec_u64(dec);

	for (uint64_t i = 0; i < count && !dec->failed; i++) {
		const uint64_t partition = zk_dec_u64(dec);
		struct zk_stamp since = {.sec = zk_dec_i64(dec)};
		struct zk_appended *a;

		since.nsec = zk_dec_u32(dec);
		a = partition == 0 ? NULL : get(appends, partition, &since);
		if (a == NULL) {
			dec->failed = true;
			return;
		}
		a->since = since;
		a->based = zk_dec_u8(dec) != 0;
		a->news = zk_dec_u8(dec) != 0;
		a->seen = zk_dec_u64(dec);
		a->told = zk_dec_u64(dec);
		a->own = zk_dec_u64(dec);
		if (a->based)
			(void)zk_appends_make_due(appends, a);
	}
}
