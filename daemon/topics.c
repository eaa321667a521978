#include "daemon/topics.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/datadir.h"
#include "store/inode.h"
#include "store/session.h"
#include "store/topic.h"

/* What the partitions of this host were told of one of them. */
struct told {
	uint64_t id;
	uint64_t changed;
	uint64_t retention_ms, retention_bytes;
	bool seen; /* while the tree is looked at */
};

struct zk_topics {
	struct zk_topics_options options;
	struct zk_topics_node *node;
	pthread_t thread;
	bool running;

	/* Held while the tree is looked at and what it says is passed on. */
	pthread_mutex_t table_lock;
	struct told *table; /* by id, under table_lock */
	size_t count, cap;
	bool pruned;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool dirty, stopping; /* under lock */
};

/* --- what was told -------------------------------------------------------- */

/* The place of id in the table, or where it would be. */
static size_t
place_of(const struct zk_topics *t, uint64_t id)
{
	size_t low = 0, high = t->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (t->table[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct told *
find_told(struct zk_topics *t, uint64_t id)
{
	const size_t at = place_of(t, id);

	return at < t->count && t->table[at].id == id ? &t->table[at] : NULL;
}

static struct told *
add_told(struct zk_topics *t, uint64_t id)
{
	const size_t at = place_of(t, id);

	if (t->count == t->cap) {
		const size_t cap = t->cap == 0 ? 64 : 2 * t->cap;
		void *grown = reallocarray(t->table, cap, sizeof(*t->table));

		if (grown == NULL)
			return NULL;
		t->table = grown;
		t->cap = cap;
	}
	memmove(&t->table[at + 1], &t->table[at],
	    (t->count - at) * sizeof(*t->table));
	t->count++;
	t->table[at] = (struct told){.id = id};
	return &t->table[at];
}

static void
remove_told(struct zk_topics *t, size_t at)
{
	t->count--;
	memmove(&t->table[at], &t->table[at + 1],
	    (t->count - at) * sizeof(*t->table));
}

/* --- telling -------------------------------------------------------------- */

static int
tell(struct zk_topics *t, enum zk_request_kind kind, uint64_t id,
    struct zk_partition_spec *spec)
{
	const struct zk_request request = {
	    .kind = kind,
	    .partition = id,
	    .spec = spec,
	};

	return zk_topics_node_submit(t->node, &request, NULL, 0);
}

/* Under table_lock: the partition is as these rows say. */
static int
tell_partition(struct zk_topics *t, const struct zk_topic *topic,
    const struct zk_partition *p)
{
	struct zk_partition_spec spec = {
	    .id = p->ino,
	    .founder_count = p->founder_count,
	    .replica_count = p->replica_count,
	    .retention_ms = topic->config.retention_ms,
	    .retention_bytes = topic->config.retention_bytes,
	};
	struct told *told = find_told(t, p->ino);
	int rc;

	memcpy(spec.founders, p->founders, sizeof(spec.founders));
	memcpy(spec.replicas, p->replicas, sizeof(spec.replicas));
	if (told != NULL) {
		told->seen = true;
		if (told->changed == p->changed &&
		    told->retention_ms == spec.retention_ms &&
		    told->retention_bytes == spec.retention_bytes)
			return 0;
	} else {
		told = add_told(t, p->ino);
		if (told == NULL)
			return -ENOMEM;
	}
	rc = tell(t, ZK_REQUEST_SET, p->ino, &spec);
	if (rc < 0)
		return rc;
	*told = (struct told){
	    .id = p->ino,
	    .changed = p->changed,
	    .retention_ms = spec.retention_ms,
	    .retention_bytes = spec.retention_bytes,
	    .seen = true,
	};
	return 0;
}

int
zk_topics_set(struct zk_topics *t, uint64_t partition)
{
	struct zk_partition p;
	struct zk_topic topic;
	struct zk_attr attr;
	struct zk_tx *tx;
	int rc;

	/* What is dropped after this look is dropped for good: see look(). */
	(void)pthread_mutex_lock(&t->table_lock);
	rc = zk_read_begin(t->options.store, &tx);
	if (rc == 0) {
		rc = zk_inode_attr(tx, partition, &attr);
		if (rc == 0 && attr.kind != ZK_NODE_PARTITION)
			rc = -ENOENT;
		if (rc == 0)
			rc = zk_partition_get(tx, attr.topic, attr.partition,
			    &p);
		if (rc == 0)
			rc = zk_topic_get(tx, attr.topic, &topic);
		zk_read_end(tx);
	}
	if (rc == 0)
		rc = tell_partition(t, &topic, &p);
	(void)pthread_mutex_unlock(&t->table_lock);
	return rc;
}

static int
tell_all(struct zk_topics *t)
{
	struct zk_partition p = {.topic = 0};
	struct zk_topic topic = {.ino = 0};
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(t->options.store, &tx);
	while (rc == 0) {
		rc = zk_partition_next(tx, p.topic, p.number, &p);
		if (rc == 0 && p.topic != topic.ino)
			rc = zk_topic_get(tx, p.topic, &topic);
		if (rc == 0)
			rc = tell_partition(t, &topic, &p);
		p.number++;
	}
	zk_read_end(tx);
	return rc == -ENOENT ? 0 : rc;
}

/* Compare what was told with what the tree says now. */
static int
look(struct zk_topics *t)
{
	int rc;

	(void)pthread_mutex_lock(&t->table_lock);
	for (size_t i = 0; i < t->count; i++)
		t->table[i].seen = false;
	rc = tell_all(t);
	for (size_t i = t->count; rc == 0 && i-- > 0;)
		if (!t->table[i].seen) {
			rc = tell(t, ZK_REQUEST_DROP, t->table[i].id, NULL);
			if (rc == 0)
				remove_told(t, i);
		}
	if (rc == 0 && !t->pruned) {
		rc = tell(t, ZK_REQUEST_PRUNE, 0, NULL);
		t->pruned = rc == 0;
	}
	(void)pthread_mutex_unlock(&t->table_lock);
	return rc;
}

#define RETRY_MS 200

static void *
keep_telling(void *arg)
{
	struct zk_topics *t = arg;

	(void)pthread_mutex_lock(&t->lock);
	while (!t->stopping) {
		struct timespec until;
		int rc;

		if (!t->dirty) {
			(void)pthread_cond_wait(&t->wake, &t->lock);
			continue;
		}
		t->dirty = false;
		(void)pthread_mutex_unlock(&t->lock);
		rc = look(t);
		(void)pthread_mutex_lock(&t->lock);
		if (rc == 0 || t->stopping)
			continue;
		/* No memory, most likely: look again after a while. */
		t->dirty = true;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += RETRY_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&t->wake, &t->lock, &until);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return NULL;
}

void
zk_topics_changed(struct zk_topics *t, const struct zk_change *change)
{
	if (change != NULL && change->special != ZK_NODE_PARTITION &&
	    change->special != ZK_NODE_CONFIG)
		return;
	(void)pthread_mutex_lock(&t->lock);
	t->dirty = true;
	(void)pthread_cond_signal(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
}

/* --- life ----------------------------------------------------------------- */

static void
on_changed(void *arg, const struct zk_partition_info *info)
{
	struct zk_topics *t = arg;

	t->options.changed(t->options.arg, info);
}

static uint64_t
own_session(void *arg, uint64_t *ret_left_ms)
{
	const struct zk_topics *t = arg;

	return zk_node_lease(t->options.node, ret_left_ms);
}

/* One that is opened later than what was applied here is not known here. */
static int
is_over(void *arg, uint64_t session)
{
	const struct zk_topics *t = arg;
	struct zk_session found;
	struct zk_tx *tx;
	bool known;
	int rc = zk_read_begin(t->options.store, &tx);

	if (rc < 0)
		return rc;
	known = session <= tx->state.applied_index;
	rc = zk_session_get(tx, session, &found);
	zk_read_end(tx);
	return rc == -ENOENT ? known : rc;
}

static void
on_fatal(void *arg, int rc, const char *what)
{
	struct zk_topics *t = arg;

	t->options.fatal(t->options.arg, rc, what);
}

static _Atomic bool keeps = true;

const _Atomic bool *
zk_topics_keeps(void)
{
	return &keeps;
}

static void
init_sync(struct zk_topics *t)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&t->table_lock, NULL);
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&t->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int
zk_topics_claim(const char *dir, struct zk_store *store, char **ret_why)
{
	const int rc = zk_broker_claim(dir, store);

	if (rc < 0 &&
	    asprintf(ret_why, "%s/%s: %s", dir, ZK_DATADIR_TOPICS,
	        zk_err_text(rc)) < 0)
		*ret_why = NULL;
	return rc;
}

int
zk_topics_open(const struct zk_topics_options *options, char **ret_why,
    struct zk_topics **ret_topics)
{
	struct zk_topics_node_options node = {
	    .dir = options->dir,
	    .store = options->store,
	    .op_timeout_ms = options->op_timeout_ms,
	    .network = options->network,
	    .changed = on_changed,
	    .fatal = on_fatal,
	};
	struct zk_topics *t = calloc(1, sizeof(*t));
	int rc = t == NULL ? -ENOMEM : 0;

	if (rc == 0 &&
	    getrandom(&node.seed, sizeof(node.seed), 0) !=
	        (ssize_t)sizeof(node.seed))
		rc = -EIO;
	if (rc < 0) {
		free(t);
		return rc;
	}
	node.seed |= 1;
	node.sessions = (struct zk_broker_sessions){t, own_session, is_over};
	node.arg = t;
	node.keeps = &keeps;
	t->options = *options;
	init_sync(t);
	rc = zk_topics_node_open(&node, ret_why, &t->node);
	if (rc == 0) {
		/*
		 * Before anybody can append: after an upgrade files are open
		 * already.  Should it fail, the thread tries again.
		 */
		t->dirty = look(t) < 0;
		rc = -pthread_create(&t->thread, NULL, keep_telling, t);
		t->running = rc == 0;
	}
	if (rc < 0) {
		zk_topics_close(t);
		return rc;
	}
	*ret_topics = t;
	return 0;
}

void
zk_topics_stop(struct zk_topics *t)
{
	if (t == NULL)
		return;
	if (t->running) {
		(void)pthread_mutex_lock(&t->lock);
		t->stopping = true;
		(void)pthread_cond_signal(&t->wake);
		(void)pthread_mutex_unlock(&t->lock);
		(void)pthread_join(t->thread, NULL);
		t->running = false;
	}
	if (t->node != NULL)
		zk_topics_node_stop(t->node);
}

void
zk_topics_close(struct zk_topics *t)
{
	if (t == NULL)
		return;
	zk_topics_stop(t);
	zk_topics_node_close(t->node);
	(void)pthread_cond_destroy(&t->wake);
	(void)pthread_mutex_destroy(&t->lock);
	(void)pthread_mutex_destroy(&t->table_lock);
	free(t->table);
	free(t);
}

struct zk_topics_node *
zk_topics_node_of(struct zk_topics *t)
{
	return t->node;
}
