#include "store/lock.h"

#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/inode.h"
#include "store/lock_grant.h"
#include "store/lock_row.h"

/* How far the search for a circle of waiting owners goes. */
#define CIRCLE_OWNERS_MAX 64u

/* --- deadlock ------------------------------------------------------------- */

struct circle {
	struct zk_held owners[CIRCLE_OWNERS_MAX]; /* met so far */
	size_t count;
};

static void
meet(struct circle *circle, const struct zk_held *owner)
{
	for (size_t i = 0; i < circle->count; i++)
		if (zk_held_compare_owner(&circle->owners[i], owner) == 0)
			return;
	if (circle->count < CIRCLE_OWNERS_MAX)
		circle->owners[circle->count++] = *owner;
}

static void
meet_holders(struct circle *circle, const struct zk_lock_set *set,
    const struct zk_held *want)
{
	for (size_t i = 0; i < set->count; i++)
		if (zk_held_conflict(&set->held[i], want))
			meet(circle, &set->held[i]);
}

/* Meets everyone whose locks the owner waits for. */
static int
follow_owner(struct zk_tx *tx, struct circle *circle,
    const struct zk_held *owner)
{
	struct zk_lock_wait wait, full;
	struct zk_lock_set set;
	struct zk_scan scan;
	uint32_t waiters;
	const void *value;
	size_t len;
	int rc;

	rc = zk_lock_owner_waits_begin(tx, owner->session, owner, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_owner_waits_next(&scan, &wait)) == 0) {
		const struct zk_key key =
		    zk_key2(ZK_TABLE_WAITER, wait.ino, wait.index);

		rc = zk_row_get(tx, &key, &value, &len);
		if (rc == 0)
			rc = zk_lock_wait_decode(&key, value, len, &full);
		if (rc == 0)
			rc = zk_lock_set_load(tx, wait.ino, &set, &waiters);
		if (rc < 0) {
			if (tx->fatal == 0)
				tx->fatal = rc == -ENOMEM ? rc : -ZK_ECORRUPT;
			break;
		}
		meet_holders(circle, &set, &full.want);
		zk_lock_set_fini(&set);
	}
	zk_scan_end(&scan);
	return rc == -ENOENT && tx->fatal == 0 ? 0 : tx->fatal;
}

/*
 * -EDEADLK when one of those that want would wait for waits, in turn, for
 * want's owner.  Only holders can be part of a circle, and holders wait for
 * holders only, so the held locks are all there is to follow.
 */
static int
check_circle(const struct zk_lock_file *file, const struct zk_held *want)
{
	struct circle circle = {.count = 0};
	bool holds;
	int rc;

	rc = zk_lock_is_holder(file, want, &holds);
	if (rc < 0 || !holds)
		return rc;
	meet_holders(&circle, &file->set, want);
	for (size_t i = 0; i < circle.count; i++) {
		if (zk_held_compare_owner(&circle.owners[i], want) == 0)
			return -EDEADLK;
		rc = follow_owner(file->tx, &circle, &circle.owners[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* --- one request ---------------------------------------------------------- */

static int
take(struct zk_apply *ap, struct zk_lock_file *file, struct zk_held *want)
{
	int rc;

	want->fence = ap->index;
	rc = zk_lock_set_put(&file->set, want);
	if (rc == -ENOMEM)
		ap->tx->fatal = rc;
	if (rc < 0)
		return rc;
	ap->outcome->offset = want->fence;
	/* A lock that was exclusive may be shared now. */
	rc = zk_lock_grant(ap, file, want->flock);
	return rc < 0 ? rc : zk_lock_file_store(file);
}

static int
release(struct zk_apply *ap, struct zk_lock_file *file,
    const struct zk_held *range)
{
	bool changed;
	int rc;

	rc = zk_lock_set_cut(&file->set, range, &changed);
	if (rc == -ENOMEM)
		ap->tx->fatal = rc;
	if (rc < 0 || !changed)
		return rc;
	rc = zk_lock_grant(ap, file, range->flock);
	return rc < 0 ? rc : zk_lock_file_store(file);
}

/* The request stays; the entry that grants it will answer it. */
static int
enqueue(struct zk_apply *ap, struct zk_lock_file *file,
    const struct zk_held *want)
{
	const struct zk_lock_wait wait = {
	    .ino = file->ino,
	    .index = ap->index,
	    .number = ap->cmd->number,
	    .want = *want,
	};
	int rc;

	rc = zk_lock_wait_put(ap->tx, &wait);
	if (rc < 0)
		return rc;
	file->waiters++;
	ap->pending = true;
	return zk_lock_file_store(file);
}

/* Is a wait of another, in conflict with want, already there? */
static int
is_behind(const struct zk_lock_file *file, const struct zk_held *want,
    bool *ret_behind)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	bool holds;
	int rc;

	*ret_behind = false;
	if (file->waiters == 0)
		return 0;
	rc = zk_lock_is_holder(file, want, &holds);
	if (rc < 0 || holds)
		return rc;
	rc = zk_lock_waits_begin(file->tx, file->ino, &scan);
	if (rc < 0)
		return rc;
	while (!*ret_behind && (rc = zk_lock_waits_next(&scan, &wait)) == 0)
		*ret_behind = zk_held_conflict(&wait.want, want);
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

static int
wait_or_refuse(struct zk_apply *ap, struct zk_lock_file *file,
    const struct zk_held *want, bool held)
{
	const bool waits = (ap->cmd->flags & ZK_F_WAIT) != 0;
	const struct zk_lock_wait self = {
	    .number = ap->cmd->number,
	    .want = *want,
	};
	bool converts = false;
	int rc;

	if (waits && held && !want->flock) {
		rc = check_circle(file, want);
		if (rc < 0)
			return rc;
	}
	if (waits && file->waiters >= ZK_WAITERS_PER_FILE_MAX)
		return -ENOLCK;
	if (want->flock) {
		rc = zk_lock_set_cut(&file->set, want, &converts);
		if (rc < 0)
			return ap->tx->fatal = rc;
	}
	if (converts) {
		rc = zk_lock_grant(ap, file, true);
		if (rc < 0)
			return rc;
	}
	if (waits)
		return enqueue(ap, file, want);
	if (!converts)
		return -EAGAIN;
	rc = zk_lock_file_store(file);
	if (rc < 0)
		return rc;
	ap->pending = true;
	return zk_lock_answer(ap, &self, -EAGAIN);
}

static int
acquire(struct zk_apply *ap, struct zk_lock_file *file, struct zk_held *want)
{
	const struct zk_held *cover = zk_lock_set_cover(&file->set, want);
	bool held, behind = false;
	int rc;

	if (cover != NULL) {
		ap->outcome->offset = cover->fence;
		return 0;
	}
	held = zk_lock_set_conflict(&file->set, want) != NULL;
	if (!held && (ap->cmd->flags & ZK_F_WAIT) != 0) {
		rc = is_behind(file, want, &behind);
		if (rc < 0)
			return rc;
	}
	if (!held && !behind)
		return take(ap, file, want);
	return wait_or_refuse(ap, file, want, held);
}

int
zk_lock_is_waiting(struct zk_apply *ap, bool *ret_waiting)
{
	struct zk_lock_wait wait;
	struct zk_held want;
	struct zk_scan scan;
	int rc;

	*ret_waiting = false;
	rc = zk_lock_want(ap->cmd, &want);
	if (rc == 0)
		rc = zk_lock_owner_waits_begin(ap->tx, want.session, &want,
		    &scan);
	if (rc < 0)
		return rc;
	while (
	    !*ret_waiting && (rc = zk_lock_owner_waits_next(&scan, &wait)) == 0)
		*ret_waiting = wait.number == ap->cmd->number;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_lock_apply(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_lock_file file;
	struct zk_held want;
	bool waiting = false;
	int rc;

	rc = zk_lock_want(cmd, &want);
	if (rc == 0 && (cmd->session == 0 || cmd->number == 0))
		rc = -EINVAL; /* nobody to hold it, or to tell */
	if (rc == 0)
		rc = zk_inode_attr(ap->tx, cmd->ino, &ap->outcome->attr);
	if (rc == 0 && (cmd->flags & ZK_F_WAIT) != 0)
		rc = zk_lock_is_waiting(ap, &waiting);
	if (rc < 0)
		return rc;
	if (waiting) {
		ap->pending = true;
		return 0;
	}
	rc = zk_lock_file_load(ap->tx, cmd->ino, &file);
	if (rc == 0)
		rc = cmd->lock_type == ZK_LOCK_NONE ? release(ap, &file, &want)
		                                    : acquire(ap, &file, &want);
	zk_lock_file_fini(&file);
	return rc;
}

/* --- the end of locks and waits ------------------------------------------- */

/* Which locks, and which waits, of a file end. */
struct filter {
	bool all;
	uint64_t session;
	bool by_owner, by_handle, by_number;
	bool flock;
	uint64_t owner, handle, number;
	bool locks, waits;
	int result; /* what the waits are told */
};

static bool
matches(const struct filter *filter, const struct zk_held *held)
{
	if (filter->all)
		return true;
	if (held->session != filter->session)
		return false;
	if (filter->by_owner &&
	    (held->owner != filter->owner || held->flock != filter->flock))
		return false;
	return !filter->by_handle || held->handle == filter->handle;
}

static bool
lock_matches(const void *arg, const struct zk_held *held)
{
	return matches(arg, held);
}

static int
drop_waits(struct zk_apply *ap, struct zk_lock_file *file,
    const struct filter *filter, bool *ret_changed)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	if (file->waiters == 0)
		return 0;
	rc = zk_lock_waits_begin(ap->tx, file->ino, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_waits_next(&scan, &wait)) == 0) {
		if (!matches(filter, &wait.want) ||
		    (filter->by_number && wait.number != filter->number))
			continue;
		rc = zk_lock_wait_delete(ap->tx, &wait);
		if (rc == 0)
			rc = zk_lock_answer(ap, &wait, filter->result);
		if (rc < 0)
			break;
		ZK_ASSERT(file->waiters > 0);
		file->waiters--;
		*ret_changed = true;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/* End what the filter names, waits first, and let others have it. */
static int
drop(struct zk_apply *ap, uint64_t ino, const struct filter *filter,
    bool *ret_changed)
{
	struct zk_lock_file file;
	bool changed = false;
	int rc;

	rc = zk_lock_file_load(ap->tx, ino, &file);
	if (rc == 0 && filter->waits)
		rc = drop_waits(ap, &file, filter, &changed);
	if (rc == 0 && filter->locks &&
	    zk_lock_set_remove(&file.set, lock_matches, filter) > 0)
		changed = true;
	if (rc == 0 && changed) {
		rc = zk_lock_grant(ap, &file, false);
		if (rc == 0)
			rc = zk_lock_grant(ap, &file, true);
		if (rc == 0)
			rc = zk_lock_file_store(&file);
	}
	zk_lock_file_fini(&file);
	*ret_changed = changed;
	return rc;
}

int
zk_lock_cancel(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	const struct filter filter = {
	    .session = cmd->session,
	    .by_number = true,
	    .number = cmd->off,
	    .waits = true,
	    .result = -EINTR,
	};
	struct zk_lock_wait wait;
	struct zk_scan scan;
	bool changed;
	int rc;

	rc = zk_lock_owner_waits_begin(ap->tx, cmd->session, NULL, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_owner_waits_next(&scan, &wait)) == 0)
		if (wait.number == cmd->off)
			break;
	zk_scan_end(&scan);
	if (rc == -ENOENT)
		return 0;
	return rc < 0 ? rc : drop(ap, wait.ino, &filter, &changed);
}

int
zk_lock_drop_owner(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	const struct filter filter = {
	    .session = cmd->session,
	    .by_owner = true,
	    .owner = cmd->owner,
	    .flock = (cmd->flags & ZK_F_FLOCK) != 0,
	    .locks = true,
	};
	bool changed;

	return cmd->ino == 0 ? -EINVAL : drop(ap, cmd->ino, &filter, &changed);
}

int
zk_lock_drop_handle(struct zk_apply *ap, uint64_t ino, uint64_t session,
    uint64_t handle)
{
	const struct filter filter = {
	    .session = session,
	    .by_handle = true,
	    .handle = handle,
	    .locks = true,
	    .waits = true,
	    .result = -EINTR,
	};
	bool changed;

	return drop(ap, ino, &filter, &changed);
}

int
zk_lock_drop_file(struct zk_apply *ap, uint64_t ino)
{
	const struct filter filter = {
	    .all = true,
	    .locks = true,
	    .waits = true,
	    .result = -ENOENT,
	};
	bool changed;

	return drop(ap, ino, &filter, &changed);
}

/* A file that has a wait, or else a lock, of the session; -ENOENT. */
static int
find_session_file(struct zk_tx *tx, uint64_t session, uint64_t *ret_ino)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	rc = zk_lock_owner_waits_begin(tx, session, NULL, &scan);
	if (rc < 0)
		return rc;
	rc = zk_lock_owner_waits_next(&scan, &wait);
	zk_scan_end(&scan);
	if (rc == 0)
		*ret_ino = wait.ino;
	return rc == -ENOENT ? zk_lock_session_file(tx, session, ret_ino) : rc;
}

int
zk_lock_drop_session(struct zk_apply *ap, uint64_t session)
{
	const struct filter filter = {
	    .session = session,
	    .locks = true,
	    .waits = true,
	    .result = -ZK_ESESSION,
	};
	bool changed;
	uint64_t ino;
	int rc;

	/*
	 * Each round ends all that the session has on one file.  What a drop
	 * grants there goes to others: the session's waits on it are gone.
	 */
	while ((rc = find_session_file(ap->tx, session, &ino)) == 0) {
		rc = drop(ap, ino, &filter, &changed);
		if (rc < 0)
			return rc;
		if (!changed) /* a way to nowhere: it would not end */
			return ap->tx->fatal = -ZK_ECORRUPT;
	}
	return rc == -ENOENT ? 0 : rc;
}
