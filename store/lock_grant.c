#include "store/lock_grant.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/answer.h"
#include "store/inode.h"

int
zk_lock_answer(struct zk_apply *ap, const struct zk_lock_wait *wait, int result)
{
	struct zk_outcome out = {.rc = result, .index = ap->index};
	int rc;

	if (result == 0) {
		out.offset = ap->index;
		rc = zk_inode_attr(ap->tx, wait->ino, &out.attr);
		/* Locks do not outlive their file. */
		if (rc == -ENOENT)
			ap->tx->fatal = -ZK_ECORRUPT;
		if (rc < 0)
			return ap->tx->fatal;
	}
	if (result != -ZK_ESESSION) {
		rc = zk_answer_put(ap->tx, wait->want.session, wait->number,
		    &out);
		if (rc < 0)
			return rc;
	}
	ap->sink->answer(ap->sink->arg, wait->want.session, wait->number, &out);
	return 0;
}

int
zk_lock_is_holder(const struct zk_lock_file *file, const struct zk_held *owner,
    bool *ret_holds)
{
	if (zk_lock_set_of_owner(&file->set, owner) != NULL) {
		*ret_holds = true;
		return 0;
	}
	return zk_lock_owner_holds(file->tx, owner, file->ino, ret_holds);
}

/* What must wait: the waits that a pass has found blocked, oldest first. */
struct queue {
	struct zk_held *wants;
	size_t count;
};

static int
is_blocked(const struct zk_lock_file *file, const struct queue *queue,
    const struct zk_held *want, bool *ret_blocked)
{
	bool holds = false;
	int rc;

	*ret_blocked = zk_lock_set_conflict(&file->set, want) != NULL;
	if (*ret_blocked)
		return 0;
	for (size_t i = 0; i < queue->count; i++) {
		if (!zk_held_conflict(&queue->wants[i], want))
			continue;
		rc = zk_lock_is_holder(file, want, &holds);
		*ret_blocked = !holds;
		return rc;
	}
	return 0;
}

/*
 * Does granting want to an owner that waits more than once open the way for a
 * wait that was passed already?  It does when it makes what the owner held
 * shared, and when the owner, now a holder, has such a wait itself.
 */
static bool
reopens(const struct zk_lock_file *file, const struct queue *queue,
    const struct zk_held *want)
{
	if (queue->count > 0 && zk_lock_set_weakens(&file->set, want))
		return true;
	for (size_t i = 0; i < queue->count; i++)
		if (zk_held_compare_owner(&queue->wants[i], want) == 0)
			return true;
	return false;
}

static int
grant_wait(struct zk_apply *ap, struct zk_lock_file *file,
    struct zk_lock_wait *wait)
{
	int rc, result;

	rc = zk_lock_wait_delete(ap->tx, wait);
	if (rc < 0)
		return rc;
	ZK_ASSERT(file->waiters > 0);
	file->waiters--;
	wait->want.fence = ap->index;
	result = zk_lock_set_put(&file->set, &wait->want);
	if (result == -ENOMEM)
		return ap->tx->fatal = result;
	return zk_lock_answer(ap, wait, result);
}

/* True when no wait of this kind can be granted, so none need be read. */
static int
is_sealed(const struct zk_lock_file *file, bool flock, bool *ret_sealed)
{
	const struct zk_held *all = zk_lock_set_sovereign(&file->set, flock);
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	*ret_sealed = false;
	if (all == NULL)
		return 0;
	/* Only its owner could still get what it asks for. */
	rc = zk_lock_owner_waits_begin(file->tx, all->session, all, &scan);
	if (rc < 0)
		return rc;
	rc = zk_lock_owner_waits_next(&scan, &wait);
	zk_scan_end(&scan);
	*ret_sealed = rc == -ENOENT;
	return rc == -ENOENT ? 0 : rc;
}

/* From the oldest wait on; *ret_again: not all that can be is granted. */
static int
pass(struct zk_apply *ap, struct zk_lock_file *file, bool flock,
    struct queue *queue, bool *ret_again)
{
	struct zk_lock_wait wait;
	bool blocked, sealed;
	struct zk_scan scan;
	int rc;

	*ret_again = false;
	queue->count = 0;
	rc = is_sealed(file, flock, &sealed);
	if (rc < 0 || sealed)
		return rc;
	rc = zk_lock_waits_begin(ap->tx, file->ino, &scan);
	if (rc < 0)
		return rc;
	while (!sealed && (rc = zk_lock_waits_next(&scan, &wait)) == 0) {
		if (wait.want.flock != flock)
			continue;
		rc = is_blocked(file, queue, &wait.want, &blocked);
		if (rc < 0)
			break;
		if (blocked) {
			queue->wants[queue->count++] = wait.want;
			continue;
		}
		*ret_again = *ret_again || reopens(file, queue, &wait.want);
		rc = grant_wait(ap, file, &wait);
		if (rc == 0)
			rc = is_sealed(file, flock, &sealed);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_lock_grant(struct zk_apply *ap, struct zk_lock_file *file, bool flock)
{
	struct queue queue = {0};
	bool again = file->waiters > 0;
	int rc = 0;

	if (!again)
		return 0;
	queue.wants = calloc(file->waiters, sizeof(*queue.wants));
	if (queue.wants == NULL)
		return ap->tx->fatal = -ENOMEM;
	while (rc == 0 && again)
		rc = pass(ap, file, flock, &queue, &again);
	free(queue.wants);
	return rc;
}
