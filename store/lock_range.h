#ifndef ZK_STORE_LOCK_RANGE_H
#define ZK_STORE_LOCK_RANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/*
 * The locks held on one file, as arithmetic on ranges: fcntl(2)'s rules for
 * record locks, of which flock(2)'s whole-file locks are a special case.
 * Pure: memory only.  Any thread, one at a time per set.
 */

/* Offsets run from 0 to the largest one a file can have. */
#define ZK_LOCK_END ((uint64_t)INT64_MAX)

struct zk_held {
	/* The owner: locks of one owner never conflict with each other. */
	uint64_t session, owner;
	bool flock; /* flock(2) and fcntl(2) do not see each other */

	uint64_t handle; /* the open file it was taken through */
	uint64_t first, last;
	bool exclusive;
	uint64_t fence;
	uint32_t pid;
};

/*
 * Ordered by owner, then range.  Invariant: the ranges of one owner are
 * disjoint, and neighbours that touch differ in mode or handle.
 */
struct zk_lock_set {
	struct zk_held *held;
	size_t count;
};

/* Frees what the set holds; the set is empty then. */
void zk_lock_set_fini(struct zk_lock_set *set);

/* A total order of owners: kind, session, owner. */
int zk_held_compare_owner(const struct zk_held *a, const struct zk_held *b);

/* True when a and b cannot be held together. */
bool zk_held_conflict(const struct zk_held *a, const struct zk_held *b);

/* The conflicting lock with the lowest range, or NULL. */
const struct zk_held *zk_lock_set_conflict(const struct zk_lock_set *set,
    const struct zk_held *want);

/* The owner's first lock, or NULL. */
const struct zk_held *zk_lock_set_of_owner(const struct zk_lock_set *set,
    const struct zk_held *owner);

/* The owner's lock that already gives all that want asks for, or NULL. */
const struct zk_held *zk_lock_set_cover(const struct zk_lock_set *set,
    const struct zk_held *want);

/* True when want would make shared what its owner holds exclusively. */
bool zk_lock_set_weakens(const struct zk_lock_set *set,
    const struct zk_held *want);

/* The lock that leaves no room for any other of its kind, or NULL. */
const struct zk_held *zk_lock_set_sovereign(const struct zk_lock_set *set,
    bool flock);

/*
 * Gives want's range to its owner in want's mode, whatever the owner held
 * there before.  The caller has made sure that nobody else is in the way.
 * -ENOLCK: the set would outgrow ZK_LOCKS_PER_FILE_MAX.  -ENOMEM.
 */
int zk_lock_set_put(struct zk_lock_set *set, const struct zk_held *want);

/* Takes the range from its owner.  Errors as above. */
int zk_lock_set_cut(struct zk_lock_set *set, const struct zk_held *range,
    bool *ret_changed);

/* Removes all locks for which match() is true; returns how many. */
size_t zk_lock_set_remove(struct zk_lock_set *set,
    bool (*match)(const void *arg, const struct zk_held *held),
    const void *arg);

#endif
