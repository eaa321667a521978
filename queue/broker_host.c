#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * Other hosts: what is to be sent to each is put together into frames, and
 * each tells the others in regular intervals that it lives, once for all
 * partitions.  Groups that sleep rely on that.
 */

#define MESSAGE_HEAD (1u + 8)

/* How long a host that was last heard of then is taken to live. */
static uint64_t
silence_ms(const struct zk_broker *b)
{
	return b->options.election_ms;
}

struct zk_host *
zk_host_find(struct zk_broker *b, uint64_t node)
{
	for (uint32_t i = 0; i < b->host_count; i++)
		if (b->hosts[i].node == node)
			return &b->hosts[i];
	return NULL;
}

struct zk_host *
zk_host_get(struct zk_broker *b, uint64_t node)
{
	struct zk_host *host = zk_host_find(b, node);

	if (host != NULL || node == 0 || node == b->options.self)
		return host;
	/* The place of one that is not heard of and not needed. */
	for (uint32_t i = 0; i < b->host_count && host == NULL; i++)
		if (!b->hosts[i].shared && !b->hosts[i].alive &&
		    b->host_count == ZK_HOSTS_MAX &&
		    b->hosts[i].out[ZK_BROKER_FAST].len == 0 &&
		    b->hosts[i].out[ZK_BROKER_BULK].len == 0)
			host = &b->hosts[i];
	if (host != NULL) {
		for (unsigned lane = 0; lane < ZK_BROKER_LANES; lane++)
			free(host->out[lane].bytes);
	} else if (b->host_count < ZK_HOSTS_MAX) {
		host = &b->hosts[b->host_count++];
	} else {
		return NULL;
	}
	*host = (struct zk_host){.node = node, .room = true};
	return host;
}

bool
zk_host_is_alive(struct zk_broker *b, uint64_t node)
{
	const struct zk_host *host = zk_host_find(b, node);

	return host != NULL && host->alive;
}

/* --- frames --------------------------------------------------------------- */

static void
flush_lane(struct zk_broker *b, struct zk_host *host, unsigned lane)
{
	struct zk_out *out = &host->out[lane];

	if (out->len > 0) {
		b->options.sink.send(b->options.sink.arg, host->node, lane,
		    out->bytes, out->len);
		b->counts.frames++;
	}
	out->len = 0;
	out->answers_at = 0;
}

static bool
reserve(struct zk_out *out, size_t bytes)
{
	size_t cap = out->cap == 0 ? 1024 : out->cap;
	void *grown;

	while (cap - out->len < bytes)
		cap *= 2;
	if (cap == out->cap)
		return true;
	grown = realloc(out->bytes, cap);
	if (grown == NULL)
		return false;
	out->bytes = grown;
	out->cap = cap;
	return true;
}

static bool
begin(struct zk_broker *b, uint64_t to, unsigned lane, size_t bytes,
    struct zk_enc *ret_enc)
{
	const size_t max =
	    lane == ZK_BROKER_FAST ? ZK_FAST_FRAME_MAX : ZK_BULK_FRAME_MAX;
	struct zk_host *host = zk_host_get(b, to);
	struct zk_out *out;

	if (host == NULL)
		return false;
	bytes += MESSAGE_HEAD;
	ZK_ASSERT(bytes <= max);
	out = &host->out[lane];
	if (out->len + bytes > max ||
	    (lane == ZK_BROKER_BULK && out->len >= ZK_BULK_FRAME_AIM))
		flush_lane(b, host, lane);
	if (!reserve(out, bytes))
		return false;
	zk_enc_init(ret_enc, out->bytes, out->len + bytes);
	ret_enc->len = out->len;
	return true;
}

bool
zk_host_begin(const struct zk_part *part, uint64_t to, unsigned lane,
    enum zk_message_kind kind, size_t bytes, struct zk_enc *ret_enc)
{
	if (!begin(part->broker, to, lane, bytes, ret_enc))
		return false;
	zk_enc_u8(ret_enc, (uint8_t)kind);
	zk_enc_u64(ret_enc, part->id);
	return true;
}

void
zk_host_commit(struct zk_broker *b, uint64_t to, unsigned lane,
    const struct zk_enc *enc)
{
	struct zk_host *host = zk_host_find(b, to);

	ZK_ASSERT(host != NULL);
	ZK_ASSERT(!enc->failed);
	ZK_ASSERT(enc->buf == host->out[lane].bytes);

	host->out[lane].len = enc->len;
	host->out[lane].answers_at = 0;
}

void
zk_host_urgent(struct zk_broker *b, uint64_t to)
{
	struct zk_host *host = zk_host_find(b, to);

	ZK_ASSERT(host != NULL);
	host->urgent = true;
}

/* One frame costs less than two, and messages have no order between lanes. */
static void
merge_lanes(struct zk_host *host)
{
	struct zk_out *fast = &host->out[ZK_BROKER_FAST];
	struct zk_out *bulk = &host->out[ZK_BROKER_BULK];

	if (host->urgent || fast->len == 0 || bulk->len == 0 ||
	    fast->len + bulk->len > ZK_BULK_FRAME_SMALL ||
	    !reserve(bulk, fast->len))
		return;
	memcpy(bulk->bytes + bulk->len, fast->bytes, fast->len);
	bulk->len += fast->len;
	fast->len = 0;
	fast->answers_at = 0;
}

void
zk_host_tell_alive(struct zk_broker *b, struct zk_host *host)
{
	struct zk_enc enc;

	if (!begin(b, host->node, ZK_BROKER_FAST, 24, &enc))
		return;
	zk_enc_u8(&enc, ZK_TELL_ALIVE);
	zk_enc_u64(&enc, 0);
	zk_enc_u64(&enc, b->session);
	zk_enc_u64(&enc, zk_broker_now(b));
	zk_enc_u8(&enc, b->room ? 1 : 0);
	zk_host_commit(b, host->node, ZK_BROKER_FAST, &enc);
	host->urgent = true;
	host->told_ms = zk_broker_now(b);
}

void
zk_host_flush(struct zk_broker *b)
{
	for (uint32_t i = 0; i < b->host_count; i++) {
		struct zk_host *host = &b->hosts[i];

		if (host->answer_alive)
			zk_host_tell_alive(b, host);
		host->answer_alive = false;
		merge_lanes(host);
		host->urgent = false;
		for (unsigned lane = 0; lane < ZK_BROKER_LANES; lane++)
			flush_lane(b, host, lane);
	}
}

void
zk_host_free(struct zk_broker *b)
{
	for (uint32_t i = 0; i < b->host_count; i++)
		for (unsigned lane = 0; lane < ZK_BROKER_LANES; lane++)
			free(b->hosts[i].out[lane].bytes);
	b->host_count = 0;
}

/* --- life ----------------------------------------------------------------- */

/* Groups that sleep, or work, with this host as a member. */
static void
came_to_life(struct zk_broker *b, const struct zk_host *host)
{
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		struct zk_group *g = part->group;

		if (g != NULL && zk_group_leads(g) &&
		    zk_raft_conf_slot(zk_raft_conf(&g->raft), host->node) >= 0)
			zk_group_wake(g);
	}
}

void
zk_host_down(struct zk_broker *b, struct zk_host *host)
{
	const struct zk_event lost = {
	    .type = ZK_EV_PEER_LOST,
	    .peer = host->node,
	};

	host->alive = false;
	host->boot = 0;
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		struct zk_group *g = part->group;

		if (part->leader == host->node) {
			part->leader = 0;
			part->info_changed = true;
			zk_broker_touch(part);
		}
		if (part->aimed == host->node)
			zk_append_retarget(part);
		if (g == NULL ||
		    zk_raft_conf_slot(zk_raft_conf(&g->raft), host->node) < 0)
			continue;
		/* Who leads sleeps on if enough others live. */
		if (!zk_group_leads(g) ? g->raft.leader == host->node
		                       : !zk_group_quorum_lives(g))
			zk_group_wake(g);
		(void)zk_group_step(g, &lost);
	}
}

void
zk_host_heard(struct zk_broker *b, uint64_t from)
{
	struct zk_host *host = zk_host_get(b, from);

	if (host == NULL)
		return;
	host->heard_ms = zk_broker_now(b);
	if (host->alive)
		return;
	host->alive = true;
	host->alive_since_ms = host->heard_ms;
	came_to_life(b, host);
}

int
zk_host_on_alive(struct zk_broker *b, uint64_t from, struct zk_dec *dec)
{
	const uint64_t boot = zk_dec_u64(dec);
	const uint64_t clock = zk_dec_u64(dec);
	const uint8_t flags = zk_dec_u8(dec);
	struct zk_host *host = zk_host_find(b, from);

	if (dec->failed || boot == 0)
		return -EPROTO;
	if (host == NULL)
		return 0;
	/* Another run of it knows nothing of what it slept on. */
	if (host->boot != 0 && host->boot != boot) {
		zk_host_down(b, host);
		zk_host_heard(b, from);
	}
	host->boot = boot;
	host->clock = (struct zk_clock){boot, clock};
	host->room = (flags & 1) != 0;
	return 0;
}

void
zk_host_answer_alive(struct zk_broker *b, uint64_t node)
{
	struct zk_host *host = zk_host_get(b, node);

	/* The others are told in any case. */
	if (host != NULL && !host->shared)
		host->answer_alive = true;
}

/* Which hosts have a group in common with this one. */
static void
find_shared(struct zk_broker *b)
{
	b->shares_stale = false;
	for (uint32_t i = 0; i < b->host_count; i++)
		b->hosts[i].shared = false;
	for (struct zk_part *part = zk_part_next(b, NULL); part != NULL;
	     part = zk_part_next(b, part)) {
		const struct zk_conf *conf;

		if (part->group == NULL)
			continue;
		conf = zk_raft_conf(&part->group->raft);
		for (uint32_t i = 0; i < conf->count; i++) {
			struct zk_host *host = zk_host_get(b, conf->ids[i]);

			if (host != NULL)
				host->shared = true;
		}
	}
}

void
zk_host_tick(struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);

	if (b->shares_stale)
		find_shared(b);
	for (uint32_t i = 0; i < b->host_count; i++) {
		struct zk_host *host = &b->hosts[i];

		if (host->alive && now - host->heard_ms > silence_ms(b))
			zk_host_down(b, host);
	}
	if (now - b->beacon_ms < b->options.heartbeat_ms)
		return;
	b->beacon_ms = now;
	for (uint32_t i = 0; i < b->host_count; i++)
		if (b->hosts[i].shared)
			zk_host_tell_alive(b, &b->hosts[i]);
}

/* --- connections ---------------------------------------------------------- */

/* Under the lock. */
static uint32_t
find_linked(const struct zk_broker *b, uint64_t node)
{
	uint32_t at = 0;

	while (at < ZK_HOSTS_MAX && b->linked[at] != node)
		at++;
	return at;
}

void
zk_broker_peer(struct zk_broker *b, uint64_t peer, bool up)
{
	struct zk_host *host = zk_host_find(b, peer);
	uint32_t at;

	(void)pthread_mutex_lock(&b->lock);
	at = find_linked(b, peer);
	if (at < ZK_HOSTS_MAX)
		b->linked[at] = 0;
	at = find_linked(b, 0);
	if (up && at < ZK_HOSTS_MAX)
		b->linked[at] = peer;
	(void)pthread_mutex_unlock(&b->lock);
	if (!up && host != NULL)
		zk_host_down(b, host);
	zk_follow_peer(b, peer, up);
}

static uint32_t
count_linked(const struct zk_broker *b, const uint64_t *nodes, uint32_t count)
{
	uint32_t linked = 0;

	for (uint32_t i = 0; i < count; i++)
		linked += nodes[i] == b->options.self ||
		    find_linked(b, nodes[i]) < ZK_HOSTS_MAX;
	return linked;
}

void
zk_host_reach(const struct zk_broker *b, struct zk_partition_info *info)
{
	/* What was heard of where it is may be old, or the tree be ahead. */
	const uint32_t there =
	    count_linked(b, info->replicas, info->replica_count);
	const uint32_t to_be =
	    count_linked(b, info->wanted, info->wanted_count);

	info->alone = there == 0 && to_be == 0;
	/* Of one that is elsewhere nobody tells when it is led. */
	info->served = (there > info->replica_count / 2 ||
	                   to_be > info->wanted_count / 2) &&
	    (!info->local || info->leader != 0);
}
