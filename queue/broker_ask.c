#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "queue/broker_impl.h"

/*
 * Questions of this host about partitions whose data is elsewhere, and of
 * others about what is here.  Any replica may answer that has all that the one
 * who asks has been told of.
 */

#define AGAIN_MS 300u
#define SOON_MS  30u
/* Elections are over after so many times: there is no majority to ask. */
#define LEADERLESS     40u
#define WATCH_AGAIN_MS 500u
#define WATCH_FOR_MS   2500u

/* To others in one turn; more is asked for again. */
#define SERVED_BYTES_MAX 8388608ul

#define INFO_BYTES_MAX (8u * 4 + 12 + 1 + 8 * ZK_REPLICAS_MAX)

/* --- infos ---------------------------------------------------------------- */

static void
enc_info(struct zk_enc *enc, const struct zk_partition_info *info)
{
	zk_enc_u64(enc, info->start);
	zk_enc_u64(enc, info->end);
	zk_enc_u64(enc, info->leader);
	zk_enc_u64(enc, info->stored);
	zk_enc_i64(enc, info->time.sec);
	zk_enc_u32(enc, info->time.nsec);
	zk_enc_u8(enc, (uint8_t)info->replica_count);
	for (uint32_t i = 0; i < info->replica_count; i++)
		zk_enc_u64(enc, info->replicas[i]);
}

static int
dec_info(struct zk_dec *dec, uint64_t id, struct zk_partition_info *ret_info)
{
	struct zk_partition_info info = {.id = id, .known = true};

	info.start = zk_dec_u64(dec);
	info.end = zk_dec_u64(dec);
	info.leader = zk_dec_u64(dec);
	info.stored = zk_dec_u64(dec);
	info.time.sec = zk_dec_i64(dec);
	info.time.nsec = zk_dec_u32(dec);
	info.replica_count = zk_dec_u8(dec);
	if (info.replica_count > ZK_REPLICAS_MAX || info.start > info.end)
		return -EPROTO;
	for (uint32_t i = 0; i < info.replica_count; i++)
		info.replicas[i] = zk_dec_u64(dec);
	if (dec->failed)
		return -EPROTO;
	*ret_info = info;
	return 0;
}

/* What another says; it may be late. */
static void
note_info(struct zk_part *part, const struct zk_partition_info *info)
{
	struct zk_partition_info *heard = &part->heard;
	const struct zk_partition_info before = *heard;

	if (info->leader != 0 && info->leader != part->broker->options.self)
		part->leader = info->leader;
	*heard = *info;
	if (heard->start < before.start)
		heard->start = before.start;
	if (heard->end < before.end) {
		heard->end = before.end;
		heard->time = before.time;
	}
	part->info_changed = true;
	zk_broker_touch(part);
}

/* --- answering ------------------------------------------------------------ */

struct question {
	uint8_t kind;
	uint64_t offset;
	struct zk_stamp time;
	uint32_t want;
};

static int
sum_up(struct zk_part *part, struct zk_tx *tx, const struct zk_bounds *bounds,
    const struct question *q, uint64_t *ret_sum)
{
	struct zk_broker *b = part->broker;
	size_t len = 0;
	int rc;

	if (b->read_bytes == NULL)
		b->read_bytes = malloc(ZK_PARTITION_READ_MAX);
	if (b->read_bytes == NULL)
		return -ENOMEM;
	rc =
	    zk_bounds_read(tx, bounds, q->offset, b->read_bytes, q->want, &len);
	if (rc == 0)
		*ret_sum =
		    (uint64_t)len << 32 | zk_crc32c(0, b->read_bytes, len);
	return rc;
}

/* *ret_len bytes are in b->read_bytes. */
static int
answer_here(struct zk_part *part, const struct question *q,
    uint64_t *ret_offset, size_t *ret_len)
{
	const struct zk_group *g = part->group;
	struct zk_broker *b = part->broker;
	const struct zk_bounds bounds = {
	    .id = part->id,
	    .base_index = g->state.base_index,
	    .applied_index = g->state.commit_index,
	    .start = g->state.base_offset,
	    .end = g->end,
	};
	struct zk_tx *tx;
	int rc;

	*ret_offset = 0;
	*ret_len = 0;
	rc = zk_broker_reader(b, &tx);
	if (rc < 0)
		return rc;
	switch (q->kind) {
	case ZK_REQUEST_TIME:
		return zk_bounds_time(tx, &bounds, q->time, ret_offset);
	case ZK_REQUEST_RECORD:
		return zk_bounds_record(tx, &bounds, q->offset, ret_offset);
	case ZK_REQUEST_READ:
		if (b->read_bytes == NULL)
			b->read_bytes = malloc(ZK_PARTITION_READ_MAX);
		if (b->read_bytes == NULL)
			return -ENOMEM;
		*ret_offset = q->offset;
		return zk_bounds_read(tx, &bounds, q->offset, b->read_bytes,
		    q->want, ret_len);
	case ZK_REQUEST_DIGEST:
		return sum_up(part, tx, &bounds, q, ret_offset);
	default:
		return 0;
	}
}

static int
reply(struct zk_part *part, uint64_t to, uint64_t number, int rc,
    uint64_t offset, size_t len)
{
	const unsigned lane = len > 0 ? ZK_BROKER_BULK : ZK_BROKER_FAST;
	struct zk_broker *b = part->broker;
	struct zk_partition_info info;
	struct zk_enc enc;

	zk_part_picture(part, &info);
	if (!zk_host_begin(part, to, lane, ZK_TELL_REPLY,
	        8 + 8 + 8 + INFO_BYTES_MAX + 4 + len, &enc))
		return 0;
	zk_enc_u64(&enc, number);
	zk_enc_i64(&enc, rc);
	zk_enc_u64(&enc, offset);
	enc_info(&enc, &info);
	zk_enc_bytes(&enc, b->read_bytes, len);
	zk_host_commit(b, to, lane, &enc);
	b->served_bytes += len;
	return 0;
}

int
zk_ask_on_ask(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t number = zk_dec_u64(dec);
	struct question q = {.kind = zk_dec_u8(dec)};
	uint64_t seen, offset = 0;
	size_t len = 0;
	int rc;

	q.offset = zk_dec_u64(dec);
	q.time.sec = zk_dec_i64(dec);
	q.time.nsec = zk_dec_u32(dec);
	q.want = zk_dec_u32(dec);
	seen = zk_dec_u64(dec);
	if (dec->failed || q.kind < ZK_REQUEST_INFO ||
	    q.kind > ZK_REQUEST_SYNC || q.want > ZK_PARTITION_READ_MAX)
		return -EPROTO;
	if (part == NULL)
		return 0;
	if (q.kind == ZK_REQUEST_SYNC && part->group != NULL) {
		rc = zk_sync_begin(part->group, from, number);
		if (rc == 0)
			return 0;
		return reply(part, from, number,
		    rc == -ZK_ENOTLEADER ? rc : -EAGAIN, 0, 0);
	}
	if (part->group == NULL || !zk_group_is_readable(part->group) ||
	    part->group->end < seen ||
	    (part->group->raft.leader == 0 && q.kind == ZK_REQUEST_INFO))
		return reply(part, from, number, -ZK_ENOTLEADER, 0, 0);
	if (b->served_bytes > SERVED_BYTES_MAX)
		return reply(part, from, number, -EAGAIN, 0, 0);
	/* Damage is told to whoever asks, as here. */
	rc = answer_here(part, &q, &offset, &len);
	return reply(part, from, number, rc, offset, len);
}

/* --- asking --------------------------------------------------------------- */

void
zk_ask_submit(struct zk_broker *b, struct zk_request *request)
{
	struct zk_part *part = zk_part_find(b, request->partition);

	if (part == NULL || part->spec.id == 0) {
		zk_broker_answer(b, request, -ENOENT);
		return;
	}
	request->number = ++b->last_question;
	zk_request_list_add(&part->asks, request);
	zk_part_busy(part);
	zk_broker_touch(part);
}

static void
answer_own(struct zk_part *part, struct zk_request *request)
{
	const struct question q = {
	    .kind = (uint8_t)request->kind,
	    .offset = request->offset,
	    .time = request->time,
	    .want = request->want,
	};
	struct zk_broker *b = part->broker;
	struct zk_reply *reply = &request->reply;
	size_t len = 0;
	int rc;

	rc = answer_here(part, &q, &reply->offset, &len);
	if (rc == 0 && len > 0) {
		request->copy = malloc(len);
		rc = request->copy == NULL ? -ENOMEM : 0;
	}
	if (rc == 0 && len > 0) {
		memcpy(request->copy, b->read_bytes, len);
		reply->bytes = request->copy;
		reply->len = len;
	}
	reply->info = part->info;
	zk_broker_answer(b, request, rc);
}

static void
ask(struct zk_part *part, struct zk_request *request, uint64_t to)
{
	struct zk_broker *b = part->broker;
	struct zk_enc enc;

	request->asked_ms = zk_broker_now(b);
	if (request->kind == ZK_REQUEST_INFO)
		request->asked++;
	if (!zk_host_begin(part, to, ZK_BROKER_FAST, ZK_TELL_ASK, 64, &enc))
		return;
	zk_enc_u64(&enc, request->number);
	zk_enc_u8(&enc, (uint8_t)request->kind);
	zk_enc_u64(&enc, request->offset);
	zk_enc_i64(&enc, request->time.sec);
	zk_enc_u32(&enc, request->time.nsec);
	zk_enc_u32(&enc, request->want);
	zk_enc_u64(&enc, part->seen);
	zk_host_commit(b, to, ZK_BROKER_FAST, &enc);
}

/* What lies behind what is known here may be there all the same. */
static bool
is_for_us(const struct zk_part *part, const struct zk_request *request)
{
	if (request->kind == ZK_REQUEST_SYNC)
		return false;
	if (request->node != 0)
		return request->node == part->broker->options.self;
	return request->kind != ZK_REQUEST_RECORD ||
	    zk_group_leads(part->group) || request->offset <= part->info.end;
}

/* All but what another replica is to answer. */
static void
answer_all_own(struct zk_part *part)
{
	struct zk_request_list list = part->asks;
	struct zk_request *request;

	zk_request_list_init(&part->asks);
	while ((request = zk_request_list_pop(&list)) != NULL)
		if (is_for_us(part, request))
			answer_own(part, request);
		else
			zk_request_list_add(&part->asks, request);
}

static void
ask_all(struct zk_part *part, uint64_t aim)
{
	const uint64_t self = part->broker->options.self;

	for (struct zk_request *request = part->asks.first; request != NULL;
	     request = request->next) {
		uint64_t to = request->node != 0 ? request->node : aim;

		if (request->asked_ms != 0)
			continue;
		if (request->kind == ZK_REQUEST_SYNC)
			to = zk_sync_aim(part, request);
		if (to != 0 && to != self)
			ask(part, request, to);
	}
}

void
zk_ask_pump(struct zk_part *part)
{
	struct zk_broker *b = part->broker;
	uint64_t aim;

	if (zk_part_is_local(part)) {
		answer_all_own(part);
		ask_all(part, zk_part_aim(part));
		return;
	}
	aim = zk_part_aim(part);
	ask_all(part, aim);
	if (part->watch_count > 0 && aim != 0 &&
	    (part->watch_ms == 0 ||
	        zk_broker_now(b) - part->watch_ms >= WATCH_AGAIN_MS)) {
		struct zk_enc enc;

		part->watch_ms = zk_broker_now(b);
		if (zk_host_begin(part, aim, ZK_BROKER_FAST, ZK_TELL_WATCH, 0,
		        &enc))
			zk_host_commit(b, aim, ZK_BROKER_FAST, &enc);
	}
}

/* Some are given less time than others. */
static void
expire(struct zk_part *part)
{
	struct zk_request_list list = part->asks;
	struct zk_request *request;

	zk_request_list_init(&part->asks);
	while ((request = zk_request_list_pop(&list)) != NULL)
		if (request->deadline_ms <= zk_broker_now(part->broker))
			zk_broker_answer(part->broker, request, -ETIMEDOUT);
		else
			zk_request_list_add(&part->asks, request);
}

void
zk_ask_tick(struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);

	for (struct zk_part *part = b->busy; part != NULL;
	     part = part->next_busy) {
		bool silent = false;

		if (part->asks.first != NULL)
			expire(part);
		for (struct zk_request *request = part->asks.first;
		     request != NULL; request = request->next) {
			if (request->asked_ms == 0 ||
			    now - request->asked_ms < AGAIN_MS)
				continue;
			request->asked_ms = 0;
			silent = true;
		}
		if (silent) {
			part->leader = 0;
			part->rotate++;
		}
		if (part->asks.first != NULL ||
		    (part->watch_count > 0 &&
		        now - part->watch_ms >= WATCH_AGAIN_MS))
			zk_broker_touch(part);
	}
}

static struct zk_request *
find_ask(struct zk_part *part, uint64_t number)
{
	struct zk_request *request = part->asks.first;

	while (request != NULL && request->number != number)
		request = request->next;
	return request;
}

static void
take_ask(struct zk_part *part, const struct zk_request *request)
{
	struct zk_request_list list = part->asks;
	struct zk_request *at;

	zk_request_list_init(&part->asks);
	while ((at = zk_request_list_pop(&list)) != NULL)
		if (at != request)
			zk_request_list_add(&part->asks, at);
}

void
zk_ask_synced(struct zk_part *part, uint64_t from, uint64_t number, int rc)
{
	struct zk_broker *b = part->broker;
	struct zk_request *request;

	if (from != b->options.self) {
		(void)reply(part, from, number, rc, part->group->end, 0);
		return;
	}
	request = find_ask(part, number);
	if (request == NULL)
		return;
	if (rc < 0) {
		request->asked_ms = zk_broker_now(b) - AGAIN_MS + SOON_MS;
		return;
	}
	zk_sync_seen(part, part->group->end);
	zk_part_picture(part, &request->reply.info);
	take_ask(part, request);
	zk_broker_answer(b, request, 0);
}

/* Nobody leads; what is known there is no older than what is known here. */
static bool
is_known_at_least(const struct zk_part *part, const struct zk_request *request,
    const struct zk_partition_info *info)
{
	return request->kind == ZK_REQUEST_INFO &&
	    request->asked >= LEADERLESS && info->leader == 0 &&
	    info->end >= part->seen && info->end >= part->heard.end;
}

int
zk_ask_on_reply(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t number = zk_dec_u64(dec);
	int64_t rc = zk_dec_i64(dec);
	const uint64_t offset = zk_dec_u64(dec);
	struct zk_partition_info info = {.id = id};
	struct zk_request *request;
	const void *bytes;
	size_t len;

	if (dec_info(dec, id, &info) < 0)
		return -EPROTO;
	bytes = zk_dec_bytes(dec, ZK_PARTITION_READ_MAX, &len);
	if (dec->failed || rc > 0 || rc < -ZK_EPENDING)
		return -EPROTO;
	request = part != NULL ? find_ask(part, number) : NULL;
	if (request == NULL)
		return 0;
	if (rc == -ZK_ENOTLEADER && is_known_at_least(part, request, &info))
		rc = 0;
	if (rc == -ZK_ENOTLEADER || rc == -EAGAIN) {
		if (rc == -ZK_ENOTLEADER && request->node == 0)
			zk_part_hear_leader(part, from, info.leader, 0);
		/* Soon again. */
		request->asked_ms = zk_broker_now(b) - AGAIN_MS + SOON_MS;
		return 0;
	}
	note_info(part, &info);
	if (request->kind == ZK_REQUEST_SYNC && rc == 0)
		zk_sync_seen(part, offset);
	request->reply.offset = offset;
	zk_part_picture(part, &request->reply.info);
	if (len > 0 && (request->copy = malloc(len)) != NULL) {
		memcpy(request->copy, bytes, len);
		request->reply.bytes = request->copy;
		request->reply.len = len;
	}
	take_ask(part, request);
	zk_broker_answer(b, request,
	    len > 0 && request->copy == NULL ? -ENOMEM : (int)rc);
	return 0;
}

void
zk_ask_fail(struct zk_part *part, int rc)
{
	struct zk_request *request;

	while ((request = zk_request_list_pop(&part->asks)) != NULL)
		zk_broker_answer(part->broker, request, rc);
}

/* --- watching ------------------------------------------------------------- */

void
zk_ask_tell_info(struct zk_part *part, uint64_t to)
{
	struct zk_broker *b = part->broker;
	struct zk_enc enc;

	if (!zk_host_begin(part, to, ZK_BROKER_FAST, ZK_TELL_INFO,
	        INFO_BYTES_MAX, &enc))
		return;
	enc_info(&enc, &part->info);
	zk_host_commit(b, to, ZK_BROKER_FAST, &enc);
}

void
zk_ask_watchers(struct zk_part *part)
{
	const uint64_t now = zk_broker_now(part->broker);
	uint32_t kept = 0;

	if (part->group == NULL || !part->info.local)
		return;
	for (uint32_t i = 0; i < part->watcher_count; i++) {
		const struct zk_watcher watcher = part->watchers[i];

		if (watcher.until_ms < now)
			continue;
		part->watchers[kept++] = watcher;
		/* A member has it from Raft. */
		if (zk_raft_conf_slot(zk_raft_conf(&part->group->raft),
		        watcher.node) < 0)
			zk_ask_tell_info(part, watcher.node);
	}
	part->watcher_count = kept;
}

int
zk_ask_on_watch(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t until_ms = zk_broker_now(b) + WATCH_FOR_MS;

	(void)dec;
	if (part == NULL || part->group == NULL || !part->info.local)
		return 0;
	if (part->watchers == NULL)
		part->watchers =
		    calloc(ZK_WATCHERS_MAX, sizeof(*part->watchers));
	if (part->watchers == NULL)
		return 0;
	zk_ask_tell_info(part, from);
	for (uint32_t i = 0; i < part->watcher_count; i++)
		if (part->watchers[i].node == from) {
			part->watchers[i].until_ms = until_ms;
			return 0;
		}
	if (part->watcher_count < ZK_WATCHERS_MAX)
		part->watchers[part->watcher_count++] =
		    (struct zk_watcher){from, until_ms};
	return 0;
}

int
zk_ask_on_info(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	struct zk_partition_info info;

	if (dec_info(dec, id, &info) < 0)
		return -EPROTO;
	if (part != NULL && part->spec.id != 0) {
		note_info(part, &info);
		zk_follow_heard(part, from);
	}
	return 0;
}
