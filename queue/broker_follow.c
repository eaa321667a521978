#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * Hosts that are to know where a partition ends whose data is elsewhere, for
 * who may watch it there.  That may be thousands of partitions for days, most
 * of them idle, so it must cost nothing but where something happens.
 *
 * FOLLOW says up to where the partition is known, to one replica, the leader if
 * possible; the first time, that it is not known.  When its end is beyond that,
 * at once or at any time within a lease, the replica answers with one INFO and
 * forgets about it.  Who gets that follows again a moment later, so that it sets
 * the pace.  Long before the lease is over it follows again, with all that it
 * follows in as few frames as possible: that finds what was lost on the way, too.
 * A replica that does not lead and has no leader, or is none any more, says
 * ELSEWHERE; for one that is silent, or whose connection was lost, another is
 * taken.
 */

/* After news; so often one host tells another of one partition. */
#define PACE_MS 50u
/* Whether the one who was asked lives is looked at after this long. */
#define CHECK_MS 300u
/* Until it is asked for again, and how much earlier with others. */
#define REFRESH_MS 5000u
#define EARLY_MS   1000u
/* How long a replica remembers. */
#define LEASE_MS 16000u

/* --- who follows ---------------------------------------------------------- */

static void
due_at(struct zk_part *part, uint64_t ms)
{
	struct zk_broker *b = part->broker;

	part->follow.ms = ms;
	if (ms < b->follow_ms)
		b->follow_ms = ms;
}

static void
due_now(struct zk_part *part)
{
	part->follow.asked_ms = 0;
	due_at(part, zk_broker_now(part->broker));
}

void
zk_follow_end(struct zk_part *part)
{
	struct zk_part *next = part->follow.next;

	if (!part->follow.on)
		return;
	*part->follow.at = next;
	if (next != NULL)
		next->follow.at = part->follow.at;
	part->follow.on = false;
}

void
zk_follow_submit(struct zk_broker *b, struct zk_request *request)
{
	struct zk_part *part = zk_part_find(b, request->partition);

	if (part == NULL || part->spec.id == 0) {
		zk_broker_answer(b, request, -ENOENT);
		return;
	}
	if (request->kind == ZK_REQUEST_UNFOLLOW) {
		zk_follow_end(part);
		/* What is known of it gets old from now on. */
		part->info_changed = true;
		zk_broker_touch(part);
	} else if (!part->follow.on) {
		part->follow.on = true;
		part->follow.heard = false;
		part->follow.next = b->followed;
		part->follow.at = &b->followed;
		if (b->followed != NULL)
			b->followed->follow.at = &part->follow.next;
		b->followed = part;
		part->follow.node = 0;
		due_now(part);
	}
	zk_broker_answer(b, request, 0);
}

/* Another one shall be asked, soon. */
static void
turn_away(struct zk_part *part, uint32_t ms)
{
	if (part->leader == part->follow.node)
		part->leader = 0;
	part->rotate++;
	part->follow.node = 0;
	part->follow.asked_ms = 0;
	due_at(part, zk_broker_now(part->broker) + ms);
}

static void
ask(struct zk_part *part)
{
	struct zk_broker *b = part->broker;
	const uint64_t now = zk_broker_now(b);
	struct zk_host *host;
	uint64_t node = part->leader;
	struct zk_enc enc;

	part->follow.asked_ms = 0;
	due_at(part, now + REFRESH_MS);
	/* What is here is told by itself. */
	if (zk_part_is_local(part)) {
		part->follow.node = 0;
		part->follow.heard = false;
		return;
	}
	if (node == 0 || node == b->options.self)
		node = part->follow.node;
	if (node == 0)
		node = zk_part_aim(part);
	host = node == b->options.self ? NULL : zk_host_get(b, node);
	part->follow.node = host == NULL ? 0 : node;
	part->follow.asked_ms = now;
	due_at(part, now + CHECK_MS);
	if (host == NULL ||
	    !zk_host_begin(part, node, ZK_BROKER_FAST, ZK_TELL_FOLLOW, 8, &enc))
		return;
	zk_enc_u64(&enc, part->follow.heard ? part->seen : UINT64_MAX);
	zk_host_commit(b, node, ZK_BROKER_FAST, &enc);
}

/* It was asked for; whoever was asked has been heard of since, or has not. */
static void
check(struct zk_part *part)
{
	const uint64_t asked_ms = part->follow.asked_ms;
	const struct zk_host *host =
	    zk_host_find(part->broker, part->follow.node);

	if (host == NULL || host->heard_ms < asked_ms) {
		turn_away(part, 0);
		return;
	}
	part->follow.asked_ms = 0;
	due_at(part, asked_ms + REFRESH_MS);
}

void
zk_follow_serve(struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);
	bool refresh = false;

	if (b->followed == NULL || now < b->follow_ms)
		return;
	for (struct zk_part *part = b->followed; part != NULL;
	     part = part->follow.next) {
		if (part->follow.asked_ms != 0 && part->follow.ms <= now)
			check(part);
		refresh = refresh || part->follow.ms <= now;
	}
	b->follow_ms = UINT64_MAX;
	for (struct zk_part *part = b->followed; part != NULL;
	     part = part->follow.next) {
		const uint64_t ms = part->follow.ms;

		if (ms <= now ||
		    (refresh && part->follow.asked_ms == 0 &&
		        ms <= now + EARLY_MS))
			ask(part);
		else
			due_at(part, ms);
	}
}

uint64_t
zk_follow_wait_ms(const struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);

	if (b->followed == NULL)
		return UINT64_MAX;
	return b->follow_ms > now ? b->follow_ms - now : 0;
}

void
zk_follow_heard(struct zk_part *part, uint64_t from)
{
	const uint64_t again_ms = zk_broker_now(part->broker) + PACE_MS;

	if (!part->follow.on || part->follow.node != from)
		return;
	part->follow.heard = true;
	if (part->follow.asked_ms != 0 || again_ms < part->follow.ms) {
		part->follow.asked_ms = 0;
		due_at(part, again_ms);
	}
}

int
zk_follow_on_elsewhere(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t leader = zk_dec_u64(dec);

	if (dec->failed)
		return -EPROTO;
	if (part == NULL || !part->follow.on || part->follow.node != from)
		return 0;
	turn_away(part, CHECK_MS);
	if (leader != 0 && leader != from && leader != b->options.self)
		part->leader = leader;
	return 0;
}

void
zk_follow_peer(struct zk_broker *b, uint64_t node, bool up)
{
	for (struct zk_part *part = b->followed; part != NULL;
	     part = part->follow.next)
		if (part->follow.node == node && up)
			due_now(part);
		else if (part->follow.node == node)
			turn_away(part, 0);
}

/* --- who is followed ------------------------------------------------------ */

static void
tell_elsewhere(struct zk_part *part, uint64_t to)
{
	struct zk_broker *b = part->broker;
	struct zk_enc enc;

	if (!zk_host_begin(part, to, ZK_BROKER_FAST, ZK_TELL_ELSEWHERE, 8,
	        &enc))
		return;
	zk_enc_u64(&enc, part->info.leader);
	zk_host_commit(b, to, ZK_BROKER_FAST, &enc);
}

static bool
is_here(const struct zk_part *part)
{
	return part->group != NULL && part->info.local;
}

static void
remember(struct zk_part *part, uint64_t node, uint64_t seen)
{
	const uint64_t now = zk_broker_now(part->broker);
	uint32_t i = 0;

	if (part->follow.followers == NULL)
		part->follow.followers =
		    calloc(ZK_WATCHERS_MAX, sizeof(*part->follow.followers));
	if (part->follow.followers == NULL)
		return;
	while (i < part->follow.follower_count &&
	    part->follow.followers[i].node != node)
		i++;
	for (uint32_t k = 0; i == ZK_WATCHERS_MAX && k < i; k++)
		if (part->follow.followers[k].until_ms < now)
			i = k;
	if (i == ZK_WATCHERS_MAX)
		return;
	if (i == part->follow.follower_count)
		part->follow.follower_count++;
	part->follow.followers[i] =
	    (struct zk_follower){node, now + LEASE_MS, seen};
}

int
zk_follow_on_follow(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct zk_part *part = zk_part_find(b, id);
	const uint64_t seen = zk_dec_u64(dec);

	if (dec->failed)
		return -EPROTO;
	zk_host_answer_alive(b, from);
	if (part == NULL)
		return 0;
	if (is_here(part) && (part->info.end > seen || seen == UINT64_MAX)) {
		zk_ask_tell_info(part, from);
		return 0;
	}
	if (is_here(part))
		remember(part, from, seen);
	if (!is_here(part) || part->info.leader == 0)
		tell_elsewhere(part, from);
	return 0;
}

void
zk_follow_changed(struct zk_part *part)
{
	const uint64_t now = zk_broker_now(part->broker);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < part->follow.follower_count; i++) {
		const struct zk_follower follower = part->follow.followers[i];

		if (follower.until_ms < now)
			continue;
		if (!is_here(part)) {
			tell_elsewhere(part, follower.node);
			continue;
		}
		if (part->info.end > follower.seen) {
			zk_ask_tell_info(part, follower.node);
			continue;
		}
		part->follow.followers[kept++] = follower;
		if (part->info.leader == 0)
			tell_elsewhere(part, follower.node);
	}
	part->follow.follower_count = kept;
	/* A replica that was here tells nothing any more. */
	if (part->follow.on && !part->info.local && part->follow.node == 0 &&
	    part->follow.asked_ms == 0)
		due_now(part);
}
