#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "fs/replay.h"

static struct zk_order_side **
bucket_of(struct zk_replay_queue *q, uint64_t dir, const char *name, size_t len)
{
	uint64_t hash = zk_mix64(dir);

	for (size_t i = 0; i < len; i++)
		hash = zk_mix64(hash ^ (uint8_t)name[i]);
	return &q->buckets[hash % ZK_REPLAY_BUCKETS];
}

static enum zk_order_kind
kind_of(enum zk_change_kind kind)
{
	switch (kind) {
	case ZK_CHANGE_CREATE:
		return ZK_ORDER_CREATE;
	case ZK_CHANGE_DELETE:
		return ZK_ORDER_DELETE;
	case ZK_CHANGE_RENAME:
		return ZK_ORDER_RENAME;
	case ZK_CHANGE_MODIFY:
		return ZK_ORDER_MODIFY;
	case ZK_CHANGE_ATTRIB:
		break;
	}
	return ZK_ORDER_ATTRIB;
}

/* Returns where the next name goes. */
static char *
set_side(struct zk_order *order, int i, uint64_t dir, const char *name,
    size_t name_len, char *to)
{
	struct zk_order_side *side = &order->sides[i];

	if (dir == 0)
		return to;
	side->order = order;
	side->dir = dir;
	side->name = to;
	if (name_len > 0)
		memcpy(to, name, name_len);
	to[name_len] = '\0';
	return to + name_len + 1;
}

void
zk_order_set_leaves(struct zk_order *order, char *no_name)
{
	struct zk_order_side *side = &order->sides[ZK_ORDER_LEAVES];

	side->order = order;
	side->name = no_name;
	if (order->kind == ZK_ORDER_DELETE && order->nlink == 0)
		side->dir = order->ino;
	else if (order->kind == ZK_ORDER_RENAME && !order->exchange &&
	    order->nlink2 == 0)
		side->dir = order->ino2; /* 0: none */
}

struct zk_order *
zk_order_new(const struct zk_change *change)
{
	struct zk_order *order;
	char *to;

	ZK_ASSERT(change->name_len <= ZK_NAME_MAX);
	ZK_ASSERT(change->name2_len <= ZK_NAME_MAX);
	order = calloc(1,
	    sizeof(*order) + change->name_len + change->name2_len + 3);
	if (order == NULL)
		return NULL;
	order->kind = kind_of(change->kind);
	order->exchange = change->exchange;
	order->versions = change->versions;
	order->ino = change->ino;
	order->ino2 = change->ino2;
	order->type = change->type;
	order->type2 = change->type2;
	order->nlink = change->nlink;
	order->nlink2 = change->nlink2;
	to = set_side(order, 0,
	    change->name_len > 0 ? change->parent : change->ino, change->name,
	    change->name_len, order->names);
	to = set_side(order, 1, change->name2_len > 0 ? change->parent2 : 0,
	    change->name2, change->name2_len, to);
	zk_order_set_leaves(order, to);
	return order;
}

void
zk_queue_add(struct zk_replay_queue *q, struct zk_order *order)
{
	for (int i = 0; i < ZK_ORDER_SIDES; i++) {
		struct zk_order_side *side = &order->sides[i], **bucket;

		if (side->dir == 0)
			continue;
		bucket =
		    bucket_of(q, side->dir, side->name, strlen(side->name));
		side->next = *bucket;
		*bucket = side;
	}
	TAILQ_INSERT_TAIL(&q->orders, order, link);
	q->count++;
}

struct zk_order *
zk_queue_take(struct zk_replay_queue *q)
{
	struct zk_order *order = TAILQ_FIRST(&q->orders);

	if (order == NULL)
		return NULL;
	TAILQ_REMOVE(&q->orders, order, link);
	ZK_ASSERT(q->count > 0);
	q->count--;
	return order;
}

void
zk_queue_done(struct zk_replay_queue *q, struct zk_order *order)
{
	for (int i = 0; i < ZK_ORDER_SIDES; i++) {
		struct zk_order_side *side = &order->sides[i], **link;

		if (side->dir == 0)
			continue;
		link = bucket_of(q, side->dir, side->name, strlen(side->name));
		while (*link != side)
			link = &(*link)->next;
		*link = side->next;
	}
	free(order);
}

static bool
is_of(const struct zk_order_side *side, uint64_t dir, const char *name,
    size_t name_len)
{
	return side->dir == dir && strncmp(side->name, name, name_len) == 0 &&
	    side->name[name_len] == '\0';
}

void
zk_queue_overtake(struct zk_replay_queue *q, uint64_t dir, const char *name,
    size_t name_len)
{
	struct zk_order_side *side = *bucket_of(q, dir, name, name_len);

	for (; side != NULL; side = side->next)
		if (is_of(side, dir, name, name_len))
			side->overtaken = true;
}

struct zk_order *
zk_queue_find(struct zk_replay_queue *q, enum zk_order_kind kind, uint64_t dir,
    const char *name, size_t name_len, const struct zk_order *not_this)
{
	struct zk_order_side *side = *bucket_of(q, dir, name, name_len);

	for (; side != NULL; side = side->next)
		if (side->order->kind == kind && side->order != not_this &&
		    !side->overtaken && is_of(side, dir, name, name_len))
			return side->order;
	return NULL;
}

bool
zk_queue_has(struct zk_replay_queue *q, uint64_t dir, const char *name,
    size_t name_len, const struct zk_order *not_this)
{
	const struct zk_order_side *side = *bucket_of(q, dir, name, name_len);

	for (; side != NULL; side = side->next)
		if (side->order != not_this && !side->overtaken &&
		    is_of(side, dir, name, name_len))
			return true;
	return false;
}

bool
zk_order_own(struct zk_order *order, const struct zk_change *change)
{
	if (order->ino != change->ino || order->kind != kind_of(change->kind))
		return false;
	/* Who looks at one event of attributes sees all of them. */
	if (order->kind == ZK_ORDER_ATTRIB)
		order->moot = true;
	else if (order->versions > 0)
		order->moot = --order->versions == 0;
	return true;
}

void
zk_queue_own(struct zk_replay_queue *q, const struct zk_change *change)
{
	struct zk_order *order;

	/* The differences are the latest. */
	TAILQ_FOREACH_REVERSE(order, &q->orders, zk_order_list, link)
	if (zk_order_own(order, change))
		return;
}

bool
zk_queue_leaves(struct zk_replay_queue *q, uint64_t ino)
{
	const struct zk_order_side *side = *bucket_of(q, ino, "", 0);

	for (; side != NULL; side = side->next)
		if (side->dir == ino && !side->order->raised &&
		    side == &side->order->sides[ZK_ORDER_LEAVES])
			return true;
	return false;
}

void
zk_queue_fini(struct zk_replay_queue *q)
{
	struct zk_order *order;

	while ((order = zk_queue_take(q)) != NULL)
		zk_queue_done(q, order);
}
