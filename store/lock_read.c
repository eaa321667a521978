/* The readers of store/lock.h: they look at the rows and change nothing. */
#include "store/lock.h"

#include <errno.h>

#include "base/codec.h"
#include "base/err.h"
#include "store/lock_row.h"

static uint64_t
length_of(const struct zk_held *held)
{
	return held->last == ZK_LOCK_END ? 0 : held->last - held->first + 1;
}

static enum zk_lock_type
type_of(const struct zk_held *held)
{
	return held->exclusive ? ZK_LOCK_EXCLUSIVE : ZK_LOCK_SHARED;
}

int
zk_lock_find_blocker(struct zk_tx *tx, const struct zk_command *lock,
    struct zk_lock_blocker *ret_blocker)
{
	struct zk_lock_blocker blocker = {.type = ZK_LOCK_NONE};
	const struct zk_held *held;
	struct zk_lock_set set;
	struct zk_held want;
	uint32_t waiters;
	int rc;

	rc = zk_lock_want(lock, &want);
	if (rc < 0)
		return rc;
	if (lock->lock_type != ZK_LOCK_NONE) {
		rc = zk_lock_set_load(tx, lock->ino, &set, &waiters);
		if (rc < 0)
			return rc;
		held = zk_lock_set_conflict(&set, &want);
		if (held != NULL)
			blocker = (struct zk_lock_blocker){
			    .type = type_of(held),
			    .off = held->first,
			    .len = length_of(held),
			    .pid = held->pid,
			    .session = held->session,
			};
		zk_lock_set_fini(&set);
	}
	*ret_blocker = blocker;
	return 0;
}

int
zk_lock_fence(struct zk_tx *tx, uint64_t ino, uint64_t session,
    uint64_t *ret_fence)
{
	struct zk_lock_set set;
	uint64_t fence = 0;
	uint32_t waiters;
	int rc;

	rc = zk_lock_set_load(tx, ino, &set, &waiters);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < set.count; i++)
		if (set.held[i].session == session && set.held[i].fence > fence)
			fence = set.held[i].fence;
	zk_lock_set_fini(&set);
	*ret_fence = fence;
	return 0;
}

static struct zk_lock_row
row_of(uint64_t ino, const struct zk_held *held, bool waiting)
{
	return (struct zk_lock_row){
	    .ino = ino,
	    .session = held->session,
	    .owner = held->owner,
	    .handle = held->handle,
	    .off = held->first,
	    .len = length_of(held),
	    .fence = held->fence,
	    .pid = held->pid,
	    .type = type_of(held),
	    .flock = held->flock,
	    .waiting = waiting,
	};
}

static int
list_waits(struct zk_tx *tx, uint64_t ino, zk_lock_row_fn fn, void *arg)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	rc = zk_lock_waits_begin(tx, ino, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_waits_next(&scan, &wait)) == 0) {
		const struct zk_lock_row row = row_of(ino, &wait.want, true);

		fn(arg, &row);
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_lock_list_file(struct zk_tx *tx, uint64_t ino, zk_lock_row_fn fn, void *arg)
{
	struct zk_lock_set set;
	uint32_t waiters;
	int rc;

	rc = zk_lock_set_load(tx, ino, &set, &waiters);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < set.count; i++) {
		const struct zk_lock_row row = row_of(ino, &set.held[i], false);

		fn(arg, &row);
	}
	zk_lock_set_fini(&set);
	return waiters > 0 ? list_waits(tx, ino, fn, arg) : 0;
}

int
zk_lock_list(struct zk_tx *tx, zk_lock_row_fn fn, void *arg)
{
	/* Rows of inode 0 are the owners'. */
	const struct zk_key from = zk_key1(ZK_TABLE_LOCK, 1);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(tx, &from, 1, &scan);
	if (rc < 0)
		return rc;
	/* Whoever waits, waits for a lock: files with waits have a row here. */
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = scan.at.len == 1 + 8
		    ? zk_lock_list_file(tx, zk_get_be64(scan.at.bytes + 1), fn,
		          arg)
		    : -ZK_ECORRUPT;
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}
