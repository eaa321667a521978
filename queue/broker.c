#include "queue/broker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/* How often leaders look after members and retention. */
#define MANAGE_MS 250u
/* ... and look at the clock when nothing at all happens. */
#define REST_MS 5000u

/* --- the turn's transaction ----------------------------------------------- */

int
zk_broker_fail(struct zk_broker *b, int rc)
{
	if (rc < 0 && b->fatal == 0)
		b->fatal = rc;
	return rc;
}

void
zk_broker_touch(struct zk_part *part)
{
	struct zk_broker *b = part->broker;

	if (part->touched)
		return;
	part->touched = true;
	part->next_touched = b->touched;
	b->touched = part;
}

/* --- requests ------------------------------------------------------------- */

void
zk_broker_answer(struct zk_broker *b, struct zk_request *request, int rc)
{
	request->reply.rc = rc;
	zk_request_list_add(&b->answered, request);
}

static void
watch(struct zk_broker *b, struct zk_request *request)
{
	struct zk_part *part = zk_part_find(b, request->partition);

	if (part == NULL || part->spec.id == 0) {
		zk_broker_answer(b, request, -ENOENT);
		return;
	}
	if (request->kind == ZK_REQUEST_WATCH) {
		part->watch_count++;
		part->watch_ms = 0;
		zk_part_busy(part);
	} else if (part->watch_count > 0) {
		part->watch_count--;
	}
	zk_broker_touch(part);
	zk_broker_answer(b, request, 0);
}

static void
tell_tree(struct zk_broker *b, struct zk_request *request)
{
	struct zk_part *part = zk_part_find(b, request->partition);
	int rc = 0;

	if (request->kind == ZK_REQUEST_SET)
		rc = zk_part_set(b, request->spec);
	else if (request->kind == ZK_REQUEST_PRUNE)
		rc = zk_part_prune(b);
	else if (part != NULL && !part->gone)
		rc = zk_part_drop(b, part);
	zk_broker_answer(b, request, rc);
}

void
zk_broker_submit(struct zk_broker *b, struct zk_request_list *list)
{
	struct zk_request *request;

	while ((request = zk_request_list_pop(list)) != NULL) {
		b->waiting_count++;
		b->waiting_bytes += request->len;
		request->deadline_ms = zk_broker_now(b) +
		    (request->limit_ms != 0 ? request->limit_ms
		                            : b->options.op_timeout_ms);
		switch (request->kind) {
		case ZK_REQUEST_APPEND:
			zk_append_submit(b, request);
			break;
		case ZK_REQUEST_INFO:
		case ZK_REQUEST_READ:
		case ZK_REQUEST_TIME:
		case ZK_REQUEST_RECORD:
		case ZK_REQUEST_DIGEST:
		case ZK_REQUEST_SYNC:
			zk_ask_submit(b, request);
			break;
		case ZK_REQUEST_SET:
		case ZK_REQUEST_DROP:
		case ZK_REQUEST_PRUNE:
			tell_tree(b, request);
			break;
		case ZK_REQUEST_WATCH:
		case ZK_REQUEST_UNWATCH:
			watch(b, request);
			break;
		case ZK_REQUEST_FOLLOW:
		case ZK_REQUEST_UNFOLLOW:
			zk_follow_submit(b, request);
			break;
		}
	}
}

bool
zk_broker_is_full(const struct zk_broker *b)
{
	return b->waiting_count >= ZK_BROKER_WAIT_COUNT_MAX ||
	    b->waiting_bytes + ZK_BROKER_TURN_BYTES_MAX >
	    ZK_BROKER_WAIT_BYTES_MAX;
}

static void
tell_answers(struct zk_broker *b)
{
	struct zk_request_list list = b->answered;
	struct zk_request *request;

	if (list.first == NULL)
		return;
	zk_request_list_init(&b->answered);
	while ((request = zk_request_list_pop(&list)) != NULL) {
		ZK_ASSERT(b->waiting_count > 0);
		b->waiting_count--;
		b->waiting_bytes -= request->len;
		if (request->done != NULL)
			request->done(request->arg, &request->reply);
		zk_request_free(request);
	}
}

/* --- turns ---------------------------------------------------------------- */

static void
look_for_room(struct zk_broker *b)
{
	struct zk_env *env = zk_plog_env(b->plog);
	const bool had = b->room;

	/* Where there are no partitions, no disk is taken. */
	b->room = b->part_count == 0 || zk_env_has_room(env, b->now.mono_ms);
	b->last_room = b->room || zk_env_has_last_room(env);
	/* The others should know at once. */
	if (b->room != had)
		b->beacon_ms = 0;
}

void
zk_broker_begin(struct zk_broker *b, const struct zk_broker_time *now)
{
	ZK_ASSERT(b->tx == NULL);
	ZK_ASSERT(b->held_count == 0);
	ZK_ASSERT(now->mono_ms >= b->now.mono_ms);

	b->now = *now;
	b->wrote = false;
	b->more = false;
	b->served_bytes = 0;
	b->stored_rows = 0;
	look_for_room(b);
	zk_fence_look(b);
}

static void
tick(struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);
	uint64_t passed = now - b->ticked_ms;

	if (passed < b->options.heartbeat_ms / 2)
		return;
	b->ticked_ms = now;
	if (passed > UINT32_MAX)
		passed = UINT32_MAX;
	zk_host_tick(b);
	for (struct zk_part *part = zk_part_next(b, NULL);
	     b->awake_count > 0 && part != NULL; part = zk_part_next(b, part)) {
		struct zk_group *g = part->group;
		uint64_t elapsed = passed;

		if (g == NULL || g->asleep)
			continue;
		/* The others may have been told of it only now. */
		if (zk_part_is_unborn(part))
			elapsed = 2ull * b->options.election_ms;
		(void)zk_group_tick(g, (uint32_t)elapsed);
		zk_group_doze(g);
	}
	zk_append_tick(b);
	zk_ask_tick(b);
}

/* Members, leadership and retention; not in every turn. */
static void
manage(struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);

	if (now - b->manage_ms < MANAGE_MS)
		return;
	b->manage_ms = now;
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		if (part->group == NULL)
			continue;
		(void)zk_group_manage(part->group);
		(void)zk_group_retain(part->group);
	}
}

/* What grows faster than we are managing. */
static void
retain_grown(struct zk_broker *b)
{
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched)
		if (part->group != NULL && zk_group_outgrew(part->group))
			(void)zk_group_retain(part->group);
}

/*
 * The flush that makes a turn durable comes at its end, and of a group of one
 * nobody hears before it: Raft may be told now.
 */
static void
before_flush(struct zk_broker *b)
{
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched) {
		struct zk_group *g;

		if (part->queued.first != NULL)
			zk_append_pump(part);
		g = part->group;
		if (g != NULL && g->wrote && zk_group_is_alone(g)) {
			(void)zk_group_stored(g);
			zk_group_doze(g);
		}
	}
	(void)zk_part_clean(b);
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched)
		if (part->group != NULL)
			(void)zk_group_save(part->group);
}

static int
send_held(struct zk_broker *b)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < b->held_count; i++)
		if (b->held[i].group != NULL)
			rc = zk_group_send(b->held[i].group, &b->held[i].msg);
	b->held_count = 0;
	return rc;
}

/* Told after the flush, Raft asks for nothing that needs another. */
static void
after_flush(struct zk_broker *b)
{
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched) {
		struct zk_group *g = part->group;
		const bool wrote = g != NULL && g->wrote;

		if (g == NULL)
			continue;
		g->wrote = false;
		if (wrote)
			(void)zk_group_stored(g);
	}
	(void)send_held(b);
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched) {
		if (part->group == NULL)
			continue;
		(void)zk_group_apply(part->group);
		ZK_ASSERT(!part->group->wrote);
	}
	ZK_ASSERT(b->tx == NULL || b->tx->changes == 0);
}

/* What others, and other threads, are to know. */
static void
tell_part(struct zk_part *part)
{
	struct zk_broker *b = part->broker;

	zk_append_seen(part);
	zk_sync_finish(part);
	if (part->info_changed) {
		part->info_changed = false;
		if (zk_part_publish(part)) {
			b->options.sink.changed(b->options.sink.arg,
			    &part->info);
			zk_ask_watchers(part);
			zk_follow_changed(part);
		}
	}
	if (part->asks.first != NULL || part->watch_count > 0)
		zk_ask_pump(part);
	zk_late_ask(part);
	b->more = b->more || zk_append_can_send(part);
}

static void
tell(struct zk_broker *b)
{
	struct zk_part *part;

	while ((part = b->touched) != NULL) {
		b->touched = part->next_touched;
		part->touched = false;
		tell_part(part);
	}
}

/* Batches that were held back for a moment. */
static void
touch_held(struct zk_broker *b)
{
	for (struct zk_part *part = b->busy; part != NULL;
	     part = part->next_busy)
		if (zk_append_can_send(part))
			zk_broker_touch(part);
}

static uint32_t
at_most(uint64_t wait_ms, uint64_t other_ms)
{
	return (uint32_t)(wait_ms < other_ms ? wait_ms : other_ms);
}

static uint32_t
wait_of(const struct zk_broker *b)
{
	const uint64_t follow_ms = zk_follow_wait_ms(b);
	bool shares = b->shares_stale;
	uint64_t wait_ms = b->options.heartbeat_ms / 2;

	if (b->more)
		return 0;
	for (struct zk_part *part = b->busy; part != NULL;
	     part = part->next_busy)
		if (part->queued.first != NULL &&
		    part->hold_ms > zk_broker_now(b) &&
		    part->hold_ms - zk_broker_now(b) < wait_ms)
			wait_ms = part->hold_ms - zk_broker_now(b);
	if (b->hidden != NULL && b->options.settle_ms < wait_ms)
		wait_ms = b->options.settle_ms;
	if (b->late != NULL && b->options.linger_ms < wait_ms)
		wait_ms = b->options.linger_ms;
	for (uint32_t i = 0; i < b->host_count; i++)
		shares = shares || b->hosts[i].shared;
	if (b->awake_count > 0 || b->busy != NULL || b->hidden != NULL)
		return at_most(wait_ms, follow_ms);
	if (shares)
		return at_most(b->options.heartbeat_ms, follow_ms);
	return at_most(b->retains ? REST_MS : UINT32_MAX, follow_ms);
}

int
zk_broker_end(struct zk_broker *b, uint32_t *ret_wait_ms)
{
	int rc;

	tick(b);
	manage(b);
	retain_grown(b);
	touch_held(b);
	zk_follow_serve(b);
	before_flush(b);
	zk_broker_end_reader(b);
	/* Others may write while we do. */
	if (b->fatal == 0)
		zk_host_flush(b);
	rc = zk_broker_flush(b);
	if (rc < 0)
		return zk_broker_fail(b, rc);
	after_flush(b);
	tell(b);
	zk_late_send(b);
	zk_host_flush(b);
	zk_broker_end_readers(b);
	tell_answers(b);
	zk_part_forget_gone(b);
	*ret_wait_ms = wait_of(b);
	return b->fatal;
}

/* --- life ----------------------------------------------------------------- */

static int
first_turn(struct zk_broker *b, const struct zk_broker_time *now)
{
	uint32_t wait_ms;
	int rc;

	zk_broker_begin(b, now);
	rc = zk_part_load(b);
	/* Groups of one elect themselves in this very turn. */
	for (struct zk_part *part = zk_part_next(b, NULL);
	     rc == 0 && part != NULL; part = zk_part_next(b, part))
		if (part->group != NULL)
			rc = zk_group_tick(part->group, 1);
	if (rc < 0) {
		if (b->tx != NULL)
			zk_env_abort(b->tx);
		b->tx = NULL;
		zk_broker_end_reader(b);
		return rc;
	}
	return zk_broker_end(b, &wait_ms);
}

int
zk_broker_claim(const char *dir, struct zk_store *store)
{
	return zk_plog_claim(dir, store);
}

int
zk_broker_open(const struct zk_broker_options *options,
    const struct zk_broker_time *now, struct zk_broker **ret_broker)
{
	struct zk_broker *b = calloc(1, sizeof(*b));
	struct zk_plog_options plog;
	int rc;

	ZK_ASSERT(options->self != 0);
	ZK_ASSERT(options->seed != 0);
	ZK_ASSERT(now->mono_ms > 0);

	if (b == NULL)
		return -ENOMEM;
	b->options = *options;
	b->session = options->seed;
	b->ticked_ms = b->beacon_ms = b->manage_ms = now->mono_ms;
	b->now.mono_ms = now->mono_ms;
	zk_request_list_init(&b->answered);
	(void)pthread_mutex_init(&b->lock, NULL);
	plog.dir = options->dir;
	plog.self = options->self;
	plog.map_bytes = options->map_bytes;
	plog.background = options->background;
	rc = zk_plog_open(&plog, &b->plog);
	b->options.dir = NULL;
	/* Another thread may take over. */
	b->options.settle_ms = 0;
	if (rc == 0)
		rc = first_turn(b, now);
	b->options.settle_ms = options->settle_ms;
	if (rc < 0) {
		zk_broker_close(b);
		return rc;
	}
	*ret_broker = b;
	return 0;
}

void
zk_broker_stop(struct zk_broker *b)
{
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		zk_append_fail(part, -ESTALE);
		zk_ask_fail(part, -ESTALE);
	}
	tell_answers(b);
}

void
zk_broker_close(struct zk_broker *b)
{
	if (b == NULL)
		return;
	if (b->tx != NULL)
		zk_env_abort(b->tx);
	b->tx = NULL;
	zk_broker_end_reader(b);
	zk_broker_stop(b);
	for (size_t i = 0; i < b->bucket_count; i++) {
		struct zk_part *part;

		while ((part = b->buckets[i]) != NULL) {
			b->buckets[i] = part->next;
			zk_part_free(part);
		}
	}
	zk_host_free(b);
	zk_plog_close(b->plog);
	(void)pthread_mutex_destroy(&b->lock);
	free(b->buckets);
	free(b->held);
	free(b->read_bytes);
	free(b);
}

const struct zk_broker_counts *
zk_broker_counts(const struct zk_broker *b)
{
	return &b->counts;
}

bool
zk_broker_keeps(const struct zk_broker *b)
{
	return b->replica_count > 0;
}

void
zk_broker_usage(struct zk_broker *b, struct zk_broker_usage *ret_usage)
{
	struct zk_broker_usage usage = {
	    .partitions = b->part_count,
	    .awake = b->awake_count,
	    .has_room = b->room,
	};
	struct zk_env_usage env;

	zk_env_usage(zk_plog_env(b->plog), &env);
	usage.file_bytes = env.file_bytes;
	usage.free_bytes = zk_env_free_bytes(zk_plog_env(b->plog));
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		usage.replicas += part->group != NULL;
		usage.leading +=
		    part->group != NULL && zk_group_leads(part->group);
	}
	*ret_usage = usage;
}
