#include "store/lock_range.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void
zk_lock_set_fini(struct zk_lock_set *set)
{
	free(set->held);
	*set = (struct zk_lock_set){0};
}

static int
compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

int
zk_held_compare_owner(const struct zk_held *a, const struct zk_held *b)
{
	if (a->flock != b->flock)
		return a->flock ? 1 : -1;
	if (a->session != b->session)
		return compare_u64(a->session, b->session);
	return compare_u64(a->owner, b->owner);
}

static bool
overlap(const struct zk_held *a, const struct zk_held *b)
{
	return a->first <= b->last && b->first <= a->last;
}

bool
zk_held_conflict(const struct zk_held *a, const struct zk_held *b)
{
	if (a->flock != b->flock || !(a->exclusive || b->exclusive))
		return false;
	return overlap(a, b) && zk_held_compare_owner(a, b) != 0;
}

const struct zk_held *
zk_lock_set_conflict(const struct zk_lock_set *set, const struct zk_held *want)
{
	const struct zk_held *found = NULL;

	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];

		if (zk_held_conflict(held, want) &&
		    (found == NULL || held->first < found->first))
			found = held;
	}
	return found;
}

const struct zk_held *
zk_lock_set_of_owner(const struct zk_lock_set *set, const struct zk_held *owner)
{
	for (size_t i = 0; i < set->count; i++)
		if (zk_held_compare_owner(&set->held[i], owner) == 0)
			return &set->held[i];
	return NULL;
}

const struct zk_held *
zk_lock_set_cover(const struct zk_lock_set *set, const struct zk_held *want)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];

		if (zk_held_compare_owner(held, want) == 0 &&
		    held->exclusive == want->exclusive &&
		    held->handle == want->handle &&
		    held->first <= want->first && held->last >= want->last)
			return held;
	}
	return NULL;
}

bool
zk_lock_set_weakens(const struct zk_lock_set *set, const struct zk_held *want)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];

		if (held->exclusive && !want->exclusive &&
		    overlap(held, want) &&
		    zk_held_compare_owner(held, want) == 0)
			return true;
	}
	return false;
}

const struct zk_held *
zk_lock_set_sovereign(const struct zk_lock_set *set, bool flock)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];

		if (held->flock == flock && held->exclusive &&
		    held->first == 0 && held->last == ZK_LOCK_END)
			return held;
	}
	return NULL;
}

/* Same owner, mode and handle, and no gap between: one lock, not two. */
static bool
merges(const struct zk_held *held, const struct zk_held *want)
{
	return held->exclusive == want->exclusive &&
	    held->handle == want->handle &&
	    (overlap(held, want) || held->last + 1 == want->first ||
	        want->last + 1 == held->first);
}

/* What is left of held outside range. */
static size_t
remainders(const struct zk_held *held, const struct zk_held *range,
    struct zk_held *ret_parts)
{
	size_t count = 0;

	if (!overlap(held, range)) {
		ret_parts[0] = *held;
		return 1;
	}
	if (held->first < range->first) {
		ret_parts[count] = *held;
		ret_parts[count++].last = range->first - 1;
	}
	if (held->last > range->last) {
		ret_parts[count] = *held;
		ret_parts[count++].first = range->last + 1;
	}
	return count;
}

static bool
comes_after(const struct zk_held *held, const struct zk_held *range)
{
	const int order = zk_held_compare_owner(held, range);

	return order > 0 || (order == 0 && held->first > range->last);
}

/* Appends held, and before it *put when its place is here. */
static void
append(struct zk_lock_set *next, const struct zk_held *held,
    const struct zk_held **put)
{
	if (*put != NULL && comes_after(held, *put)) {
		next->held[next->count++] = **put;
		*put = NULL;
	}
	next->held[next->count++] = *held;
}

/*
 * The set with range taken from its owner and, when put is not NULL, put in
 * its place.
 */
static int
rebuild(struct zk_lock_set *set, const struct zk_held *range,
    const struct zk_held *put)
{
	struct zk_lock_set next = {0};
	struct zk_held parts[2];

	next.held = malloc((set->count + 2) * sizeof(*next.held));
	if (next.held == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];
		size_t part_count = 1;

		parts[0] = *held;
		if (zk_held_compare_owner(held, range) == 0)
			part_count = remainders(held, range, parts);
		for (size_t j = 0; j < part_count; j++)
			append(&next, &parts[j], &put);
	}
	if (put != NULL)
		next.held[next.count++] = *put;
	ZK_ASSERT(next.count <= set->count + 2);
	if (next.count > ZK_LOCKS_PER_FILE_MAX && next.count > set->count) {
		zk_lock_set_fini(&next);
		return -ENOLCK;
	}
	free(set->held);
	*set = next;
	return 0;
}

int
zk_lock_set_put(struct zk_lock_set *set, const struct zk_held *want)
{
	struct zk_held wide = *want;

	ZK_ASSERT(want->first <= want->last);
	ZK_ASSERT(want->last <= ZK_LOCK_END);

	/*
	 * Grow over the neighbours it merges with.  By the invariant these do
	 * not touch each other, so each is a neighbour of want itself.
	 */
	for (size_t i = 0; i < set->count; i++) {
		const struct zk_held *held = &set->held[i];

		if (zk_held_compare_owner(held, want) != 0 ||
		    !merges(held, want))
			continue;
		if (held->first < wide.first)
			wide.first = held->first;
		if (held->last > wide.last)
			wide.last = held->last;
	}
	return rebuild(set, &wide, &wide);
}

int
zk_lock_set_cut(struct zk_lock_set *set, const struct zk_held *range,
    bool *ret_changed)
{
	ZK_ASSERT(range->first <= range->last);
	ZK_ASSERT(range->last <= ZK_LOCK_END);

	for (size_t i = 0; i < set->count; i++) {
		int rc;

		if (zk_held_compare_owner(&set->held[i], range) != 0 ||
		    !overlap(&set->held[i], range))
			continue;
		rc = rebuild(set, range, NULL);
		if (rc == 0)
			*ret_changed = true;
		return rc;
	}
	*ret_changed = false;
	return 0;
}

size_t
zk_lock_set_remove(struct zk_lock_set *set,
    bool (*match)(const void *arg, const struct zk_held *held), const void *arg)
{
	const size_t before = set->count;
	size_t count = 0;

	for (size_t i = 0; i < before; i++)
		if (!match(arg, &set->held[i]))
			set->held[count++] = set->held[i];
	set->count = count;
	return before - count;
}
