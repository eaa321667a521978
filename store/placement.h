#ifndef ZK_STORE_PLACEMENT_H
#define ZK_STORE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/topic.h"

/*
 * Which members keep which partition.  Deterministic: it depends on the order
 * of calls and the numbers given alone.  Even first in how many replicas a
 * member keeps, then in how many it leads; ties go to the smaller id.
 */
#define ZK_PLACEMENT_MEMBERS_MAX 32u

struct zk_placement {
	size_t count;
	struct zk_placement_member {
		uint64_t id;
		uint64_t kept, led;          /* so far */
	} members[ZK_PLACEMENT_MEMBERS_MAX]; /* ascending by id */
};

/* Members that keep nothing yet; at least one, none twice. */
void zk_placement_init(struct zk_placement *p, const uint64_t *ids,
    size_t count);

/* What this partition's replicas keep and lead already counts. */
void zk_placement_count(struct zk_placement *p,
    const struct zk_partition *partition);
void zk_placement_uncount(struct zk_placement *p,
    const struct zk_partition *partition);

/*
 * Choose the partition's replicas: those it has stay where they can, `want`
 * of them in all, or all members if they are fewer.  What it had must not be
 * counted, what it gets is.
 */
void zk_placement_choose(struct zk_placement *p, struct zk_partition *partition,
    uint32_t want);

/*
 * Move one of the partition's replicas, or its leadership, if that makes the
 * members more even; false: it stays as it is.
 */
bool zk_placement_even_kept(struct zk_placement *p,
    struct zk_partition *partition);
bool zk_placement_even_led(struct zk_placement *p,
    struct zk_partition *partition);

#endif
