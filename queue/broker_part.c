#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/hash.h"
#include "queue/broker_impl.h"

/* The table of partitions, and what the tree says of them. */

#define BUCKETS_MIN 64u

/* Rows deleted in one turn, beside as many as were written. */
#define CLEAN_ROWS 128u

bool
zk_spec_has(const struct zk_partition_spec *spec, uint64_t node)
{
	for (uint32_t i = 0; i < spec->replica_count; i++)
		if (spec->replicas[i] == node)
			return true;
	return false;
}

/* --- the table ------------------------------------------------------------ */

static size_t
bucket_of(const struct zk_broker *b, uint64_t id)
{
	return zk_mix64(id) & (b->bucket_count - 1);
}

struct zk_part *
zk_part_find(struct zk_broker *b, uint64_t id)
{
	struct zk_part *part = NULL;

	if (b->bucket_count > 0)
		part = b->buckets[bucket_of(b, id)];
	while (part != NULL && part->id != id)
		part = part->next;
	return part;
}

struct zk_part *
zk_part_next(struct zk_broker *b, const struct zk_part *part)
{
	size_t bucket = 0;

	if (part != NULL && part->next != NULL)
		return part->next;
	if (part != NULL)
		bucket = bucket_of(b, part->id) + 1;
	for (; bucket < b->bucket_count; bucket++)
		if (b->buckets[bucket] != NULL)
			return b->buckets[bucket];
	return NULL;
}

/* Under the lock. */
static int
table_grow(struct zk_broker *b)
{
	const size_t old_count = b->bucket_count;
	struct zk_part **old = b->buckets, **buckets;

	if (b->part_count < old_count)
		return 0;
	b->bucket_count = old_count == 0 ? BUCKETS_MIN : 2 * old_count;
	buckets = calloc(b->bucket_count, sizeof(struct zk_part *));
	if (buckets == NULL) {
		b->bucket_count = old_count;
		return -ENOMEM;
	}
	b->buckets = buckets;
	for (size_t i = 0; i < old_count; i++) {
		struct zk_part *part;

		while ((part = old[i]) != NULL) {
			const size_t to = bucket_of(b, part->id);

			old[i] = part->next;
			part->next = buckets[to];
			buckets[to] = part;
		}
	}
	free(old);
	return 0;
}

int
zk_part_add(struct zk_broker *b, uint64_t id, struct zk_part **ret_part)
{
	struct zk_part *part = calloc(1, sizeof(*part));
	int rc;

	if (part == NULL)
		return -ENOMEM;
	part->id = id;
	part->broker = b;
	part->trash = ZK_PART_LIVE;
	part->info.id = part->heard.id = id;
	zk_request_list_init(&part->queued);
	zk_request_list_init(&part->flight);
	zk_request_list_init(&part->unseen);
	zk_request_list_init(&part->asks);
	(void)pthread_mutex_lock(&b->lock);
	rc = table_grow(b);
	if (rc == 0) {
		const size_t to = bucket_of(b, id);

		part->next = b->buckets[to];
		b->buckets[to] = part;
		b->part_count++;
	}
	(void)pthread_mutex_unlock(&b->lock);
	if (rc < 0) {
		free(part);
		return rc;
	}
	*ret_part = part;
	return 0;
}

void
zk_part_free(struct zk_part *part)
{
	zk_group_close(part->group);
	zk_follow_end(part);
	free(part->watchers);
	free(part->follow.followers);
	free(part);
}

/* Out of the table, and gone; nothing waits for it. */
static void
forget(struct zk_broker *b, struct zk_part *part)
{
	struct zk_part **at = &b->buckets[bucket_of(b, part->id)];

	ZK_ASSERT(!part->touched);
	ZK_ASSERT(!part->busy);

	(void)pthread_mutex_lock(&b->lock);
	while (*at != part)
		at = &(*at)->next;
	*at = part->next;
	b->part_count--;
	(void)pthread_mutex_unlock(&b->lock);
	zk_part_free(part);
}

void
zk_part_forget_gone(struct zk_broker *b)
{
	struct zk_part *part;

	if (!b->any_gone)
		return;
	b->any_gone = false;
	part = zk_part_next(b, NULL);
	while (part != NULL) {
		struct zk_part *next = zk_part_next(b, part);

		if (part->gone && !part->busy && !part->touched &&
		    !part->hidden)
			forget(b, part);
		else
			b->any_gone = b->any_gone || part->gone;
		part = next;
	}
}

bool
zk_part_is_local(const struct zk_part *part)
{
	const struct zk_group *g = part->group;

	if (g == NULL || !zk_group_is_readable(g) || g->end < part->told)
		return false;
	/* One that is to leave may have left, and hears of nothing any more. */
	return part->spec.id == 0 || zk_group_leads(g) ||
	    zk_spec_has(&part->spec, g->raft.self);
}

void
zk_part_picture(const struct zk_part *part, struct zk_partition_info *ret_info)
{
	const struct zk_group *g = part->group;
	struct zk_partition_info info = part->heard;
	const struct zk_conf *conf;

	/* Also when the replica has just left. */
	if (info.start < part->info.start)
		info.start = part->info.start;
	if (info.end < part->info.end) {
		info.end = part->info.end;
		info.time = part->info.time;
	}
	info.known = info.known || part->info.known;
	if (info.end < part->told)
		info.end = part->told;
	info.local = zk_part_is_local(part);
	info.wanted_count = part->spec.replica_count;
	memcpy(info.wanted, part->spec.replicas, sizeof(info.wanted));
	info.current = info.local || (part->follow.on && part->follow.heard);
	if (info.local) {
		info.start = g->state.base_offset;
		info.end = g->end;
		info.leader = g->raft.leader;
		info.stored = g->end - g->state.base_offset;
		info.time = g->state.time;
		info.known = true;
		info.replica_count = 0;
		conf = zk_raft_conf(&g->raft);
		for (uint32_t i = 0; i < conf->count; i++)
			if ((conf->voter_bits >> i & 1) != 0)
				info.replicas[info.replica_count++] =
				    conf->ids[i];
	} else if (part->spec.id == 0) {
		info.replica_count = 0;
	} else {
		info.leader = part->leader;
		if (info.replica_count == 0) {
			info.replica_count = part->spec.replica_count;
			memcpy(info.replicas, part->spec.replicas,
			    sizeof(info.replicas));
		}
	}
	*ret_info = info;
}

bool
zk_part_publish(struct zk_part *part)
{
	const struct zk_partition_info before = part->info;
	struct zk_broker *b = part->broker;
	struct zk_group *g = part->group;
	struct zk_partition_info info;

	zk_part_picture(part, &info);
	if (info.end > part->seen)
		part->seen = info.end;
	(void)pthread_mutex_lock(&b->lock);
	part->info = info;
	part->base_index = info.local ? g->state.base_index : 0;
	part->applied_index = info.local ? g->state.commit_index : 0;
	(void)pthread_mutex_unlock(&b->lock);
	return info.start != before.start || info.end != before.end ||
	    info.leader != before.leader || info.local != before.local ||
	    info.current != before.current ||
	    info.replica_count != before.replica_count ||
	    memcmp(info.replicas, before.replicas,
	        info.replica_count * sizeof(info.replicas[0])) != 0;
}

void
zk_part_hide(struct zk_part *part)
{
	struct zk_broker *b = part->broker;

	if (part->hidden)
		return;
	(void)pthread_mutex_lock(&b->lock);
	part->hidden = true;
	part->visible_index = part->applied_index;
	/* Of what is elsewhere others tell the end. */
	part->visible_end = part->info.local ? part->info.end : 0;
	(void)pthread_mutex_unlock(&b->lock);
	part->next_hidden = b->hidden;
	b->hidden = part;
}

void
zk_part_show_all(struct zk_broker *b)
{
	(void)pthread_mutex_lock(&b->lock);
	while (b->hidden != NULL) {
		b->hidden->hidden = false;
		b->hidden = b->hidden->next_hidden;
	}
	(void)pthread_mutex_unlock(&b->lock);
}

/* --- what the tree says --------------------------------------------------- */

bool
zk_part_is_unborn(const struct zk_part *part)
{
	return part->group->raft.last_index == 0 &&
	    part->group->state.confs[0].conf.count > 0 &&
	    part->spec.founders[0] == part->broker->options.self;
}

/* Makes the replica that should be here and is not. */
static int
settle(struct zk_part *part)
{
	const struct zk_partition_spec *spec = &part->spec;
	struct zk_broker *b = part->broker;
	struct zk_conf conf = {.count = 0};
	uint64_t term, vote;
	struct zk_tx *tx;
	bool founder = false;
	int rc;

	if (part->group != NULL || part->trash != ZK_PART_LIVE)
		return 0;
	rc = zk_broker_reader(b, &tx);
	if (rc < 0)
		return rc;
	rc = zk_phard_get(tx, part->id, &term, &vote);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	for (uint32_t i = 0; i < spec->founder_count; i++) {
		founder = founder || spec->founders[i] == b->options.self;
		conf.voter_bits |= 1u << i;
		conf.ids[conf.count++] = spec->founders[i];
	}
	/* One that was here before comes back as a new one; see raft.h. */
	if (!founder || rc == 0)
		conf = (struct zk_conf){.count = 0};
	/*
	 * A founder begins the partition even if it is to be elsewhere by
	 * now: it may be the only one who can.
	 */
	if (conf.count == 0 && !zk_spec_has(spec, b->options.self))
		return 0;
	b->counts.moved_in += conf.count == 0;
	rc = zk_group_found(part, &conf);
	if (rc == 0 && zk_part_is_unborn(part))
		rc = zk_group_tick(part->group, 2 * b->options.election_ms);
	return rc;
}

int
zk_part_set(struct zk_broker *b, const struct zk_partition_spec *spec)
{
	struct zk_part *part = zk_part_find(b, spec->id);
	int rc;

	if (part == NULL) {
		rc = zk_part_add(b, spec->id, &part);
		if (rc < 0)
			return rc;
	}
	/* A partition that was dropped does not come back. */
	if (part->gone || part->trash == ZK_PART_DROPPED)
		return 0;
	/* What was put off until then may be due by the new setting. */
	if (part->group != NULL &&
	    part->spec.retention_ms != spec->retention_ms)
		part->group->look_ms = 0;
	part->spec = *spec;
	part->info_changed = true;
	if (spec->retention_ms != 0 || spec->retention_bytes != 0)
		b->retains = true;
	if (part->group != NULL)
		zk_group_wake(part->group);
	zk_append_retarget(part);
	zk_broker_touch(part);
	return zk_broker_fail(b, settle(part));
}

/* The group ends; its log is deleted by and by. */
static int
discard(struct zk_part *part, enum zk_pstatus status)
{
	const struct zk_group *g = part->group;
	struct zk_broker *b = part->broker;
	struct zk_pstate state;
	uint64_t term;
	int rc;

	ZK_ASSERT(g != NULL);

	rc = zk_broker_tx(b);
	/* Who was here does not begin the partition again. */
	if (rc == 0)
		rc = zk_phard_put(b->tx, part->id, g->raft.term, g->raft.vote);
	/* What it answered for, it answers for when it is back. */
	term = zk_raft_term_at(&g->raft, g->raft.last_index);
	if (rc == 0 && !zk_group_is_behind(g, term, g->raft.last_index))
		rc = zk_pfloor_put(b->tx, part->id, term, g->raft.last_index);
	state = part->group->state;
	state.status = status;
	state.base_index = state.commit_index = part->group->raft.last_index;
	part->trash = status;
	part->trash_first = state.disk_first;
	part->trash_last = state.base_index;
	b->trash = true;
	zk_group_close(part->group);
	if (rc == 0)
		rc = zk_pstate_put(b->tx, part->id, &state);
	b->wrote = true;
	zk_broker_touch(part);
	return rc;
}

int
zk_part_leave(struct zk_part *part)
{
	return discard(part, ZK_PART_LEFT);
}

int
zk_part_drop(struct zk_broker *b, struct zk_part *part)
{
	int rc = 0;

	part->spec = (struct zk_partition_spec){0};
	part->watch_count = 0;
	zk_follow_end(part);
	part->info_changed = true;
	zk_append_fail(part, -ENOENT);
	zk_ask_fail(part, -ENOENT);
	if (part->group != NULL) {
		rc = discard(part, ZK_PART_DROPPED);
	} else if (part->trash == ZK_PART_LIVE) {
		rc = zk_broker_tx(b);
		if (rc == 0)
			rc = zk_phard_delete(b->tx, part->id);
		b->wrote = b->wrote || rc == 0;
		rc = rc == -ENOENT ? 0 : rc;
		part->gone = b->any_gone = true;
	} else {
		part->trash = ZK_PART_DROPPED;
	}
	zk_broker_touch(part);
	return zk_broker_fail(b, rc);
}

int
zk_part_prune(struct zk_broker *b)
{
	uint64_t id = 0;
	int rc = 0;

	for (struct zk_part *part = zk_part_next(b, NULL);
	     rc == 0 && part != NULL; part = zk_part_next(b, part))
		if (part->spec.id == 0 && !part->gone)
			rc = zk_part_drop(b, part);
	/* Terms that outlived their replica. */
	if (rc == 0)
		rc = zk_broker_tx(b);
	while (rc == 0 && (rc = zk_phard_next(b->tx, id, &id)) == 0) {
		if (zk_part_find(b, id) != NULL)
			continue;
		rc = zk_phard_delete(b->tx, id);
		b->wrote = true;
	}
	return zk_broker_fail(b, rc == -ENOENT ? 0 : rc);
}

/* --- deleting ------------------------------------------------------------- */

static int
clean_trash(struct zk_part *part, uint32_t rows, bool *ret_left)
{
	struct zk_broker *b = part->broker;
	int rc;

	rc = zk_plog_trim(b->tx, part->id, part->trash_first, part->trash_last,
	    rows, &part->trash_first);
	b->wrote = true;
	*ret_left = part->trash_first <= part->trash_last;
	if (rc < 0 || *ret_left)
		return rc;
	rc = zk_writers_delete(b->tx, part->id);
	if (rc == 0)
		rc = zk_pstate_delete(b->tx, part->id);
	if (rc == 0 && part->trash == ZK_PART_DROPPED) {
		rc = zk_phard_delete(b->tx, part->id);
		rc = rc == -ENOENT ? 0 : rc;
		part->gone = b->any_gone = true;
	}
	part->trash = ZK_PART_LIVE;
	zk_broker_touch(part);
	if (rc == 0 && part->spec.id != 0)
		rc = settle(part);
	return rc;
}

static int
clean_group(struct zk_group *g, uint32_t rows, bool *ret_left)
{
	struct zk_broker *b = g->part->broker;
	int rc;

	rc = zk_plog_trim(b->tx, g->part->id, g->state.disk_first,
	    g->state.base_index, rows, &g->state.disk_first);
	*ret_left = g->state.disk_first <= g->state.base_index;
	/* The beginning of the log goes with what is before it. */
	g->state_due = true;
	zk_broker_touch(g->part);
	return rc;
}

int
zk_part_clean(struct zk_broker *b)
{
	/* More goes than comes, or it would never be done. */
	const uint32_t rows = CLEAN_ROWS + 2 * b->stored_rows;
	bool left = false, some = false;
	int rc = 0;

	if (!b->trash)
		return 0;
	for (struct zk_part *part = zk_part_next(b, NULL);
	     rc == 0 && part != NULL; part = zk_part_next(b, part)) {
		const struct zk_group *g = part->group;
		const bool behind =
		    g != NULL && g->state.disk_first <= g->state.base_index;

		if (part->trash == ZK_PART_LIVE && !behind)
			continue;
		rc = zk_broker_tx(b);
		if (rc == 0 && behind)
			rc = clean_group(part->group, rows, &left);
		else if (rc == 0)
			rc = clean_trash(part, rows, &left);
		some = some || left;
	}
	b->trash = some;
	b->more = b->more || some;
	return zk_broker_fail(b, rc);
}

/* --- the beginning -------------------------------------------------------- */

static int
load_one(struct zk_broker *b, struct zk_tx *tx, uint64_t id)
{
	struct zk_pstate state;
	struct zk_part *part = NULL;
	int rc;

	rc = zk_pstate_get(tx, id, &state);
	if (rc == 0)
		rc = zk_part_add(b, id, &part);
	if (rc < 0)
		return rc;
	ZK_ASSERT(part != NULL);
	if (state.status == ZK_PART_LIVE) {
		b->trash = b->trash || state.disk_first <= state.base_index;
		return zk_group_open(part, &state);
	}
	part->trash = state.status;
	part->trash_first = state.disk_first;
	part->trash_last = state.base_index;
	b->trash = true;
	zk_broker_touch(part);
	return 0;
}

int
zk_part_load(struct zk_broker *b)
{
	uint64_t id = 0;
	struct zk_tx *tx;
	int rc;

	rc = zk_broker_reader(b, &tx);
	while (rc == 0 && (rc = zk_pstate_next(tx, id, &id)) == 0)
		rc = load_one(b, tx, id);
	return rc == -ENOENT ? 0 : rc;
}
