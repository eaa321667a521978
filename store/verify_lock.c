#include <errno.h>
#include <inttypes.h>

#include "base/codec.h"
#include "base/err.h"
#include "store/inode.h"
#include "store/lock_row.h"
#include "store/verify_impl.h"

static int
row_is_there(struct zk_verifier *v, const struct zk_key *key, bool *ret_there)
{
	const void *value;
	size_t len;
	int rc;

	rc = zk_row_get(v->tx, key, &value, &len);
	*ret_there = rc == 0;
	return rc == -ENOENT ? 0 : rc;
}

static int
check_node(struct zk_verifier *v, uint64_t ino, const char *what)
{
	struct zk_attr attr;
	int rc;

	rc = zk_inode_attr(v->tx, ino, &attr);
	if (rc == -ENOENT)
		return zk_verify_fail(v,
		    "%s of node %" PRIu64 ", which is missing", what, ino);
	return rc;
}

/* --- held ----------------------------------------------------------------- */

/* The way from an owner to a file on which it holds something. */
static int
check_holds(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint8_t *bytes = scan->at.bytes;
	struct zk_lock_set set;
	struct zk_held owner;
	uint32_t waiters;
	bool there = false;
	int rc;

	if (scan->at.len != 1 + 8 + 8 + 8 + 1 + 8 || scan->value_len != 0)
		return zk_verify_fail(v, "owner of locks: damaged");
	owner = (struct zk_held){
	    .session = zk_get_be64(bytes + 1 + 8),
	    .owner = zk_get_be64(bytes + 1 + 16),
	    .flock = bytes[1 + 24] != 0,
	};
	rc = zk_lock_set_load(v->tx, zk_get_be64(bytes + 1 + 25), &set,
	    &waiters);
	if (rc < 0)
		return rc;
	there = zk_lock_set_of_owner(&set, &owner) != NULL;
	zk_lock_set_fini(&set);
	if (!there)
		return zk_verify_fail(v,
		    "an owner of session %" PRIu64
		    " is said to hold a lock that it does not",
		    owner.session);
	return 0;
}

static int
check_held(struct zk_verifier *v, uint64_t ino, const struct zk_lock_set *set,
    size_t i)
{
	const struct zk_held *held = &set->held[i];
	const struct zk_key key = zk_lock_holds_key(held, ino);
	bool there = false;
	int rc;

	rc = zk_verify_session(v, held->session, "lock");
	if (rc == 0)
		rc = row_is_there(v, &key, &there);
	if (rc < 0)
		return rc;
	if (!there)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": a lock whose owner does not know it",
		    ino);
	if (zk_lock_set_conflict(set, held) != NULL)
		return zk_verify_fail(v, "node %" PRIu64 ": locks in conflict",
		    ino);
	if (i > 0) {
		const struct zk_held *before = held - 1;
		const int order = zk_held_compare_owner(before, held);

		if (order > 0 || (order == 0 && before->last >= held->first))
			return zk_verify_fail(v,
			    "node %" PRIu64 ": locks out of order", ino);
	}
	return 0;
}

static int
count_waits(struct zk_verifier *v, uint64_t ino, uint64_t *ret_count)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	*ret_count = 0;
	rc = zk_lock_waits_begin(v->tx, ino, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_waits_next(&scan, &wait)) == 0)
		(*ret_count)++;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

int
zk_verify_lock_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_lock_set set = {0};
	uint64_t waits = 0;
	uint32_t waiters;
	int rc;

	if (ino == 0)
		return check_holds(v, scan);
	rc = scan->at.len == 1 + 8
	    ? zk_lock_row_decode(scan->value, scan->value_len, &set, &waiters)
	    : -ZK_ECORRUPT;
	if (rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "locks of node %" PRIu64 ": damaged",
		    ino);
	if (rc == 0)
		rc = check_node(v, ino, "locks");
	for (size_t i = 0; rc == 0 && i < set.count; i++)
		rc = check_held(v, ino, &set, i);
	if (rc == 0)
		rc = count_waits(v, ino, &waits);
	if (rc == 0 && (waits != waiters || set.count == 0))
		rc = zk_verify_fail(v,
		    "node %" PRIu64 ": %zu locks and %" PRIu32
		    " waits, but %" PRIu64 " wait",
		    ino, set.count, waiters, waits);
	zk_lock_set_fini(&set);
	return rc;
}

/* --- waiting -------------------------------------------------------------- */

/* The way from an owner to what it waits for. */
static int
check_waits(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_dec dec;
	struct zk_key key;
	uint64_t ino;
	bool there = false;
	int rc;

	zk_dec_init(&dec, scan->value, scan->value_len);
	ino = zk_dec_u64(&dec);
	if (scan->at.len != 1 + 8 + 8 + 8 + 1 + 8 || dec.failed)
		return zk_verify_fail(v, "owner of waits: damaged");
	key =
	    zk_key2(ZK_TABLE_WAITER, ino, zk_get_be64(scan->at.bytes + 1 + 25));
	rc = row_is_there(v, &key, &there);
	if (rc == 0 && !there)
		return zk_verify_fail(v,
		    "an owner is said to wait for node %" PRIu64, ino);
	return rc;
}

/* The oldest wait of its kind on a file waits for a lock that is held. */
static int
check_oldest(struct zk_verifier *v, const struct zk_lock_wait *wait)
{
	struct zk_lock_set set;
	uint32_t waiters;
	bool blocked;
	int rc;

	if (wait->ino == v->wait_ino && v->wait_count > 0)
		return 0;
	v->wait_ino = wait->ino;
	v->wait_count = 1;
	rc = zk_lock_set_load(v->tx, wait->ino, &set, &waiters);
	if (rc < 0)
		return rc;
	blocked = zk_lock_set_conflict(&set, &wait->want) != NULL;
	zk_lock_set_fini(&set);
	if (!blocked)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": a wait for a lock that nobody holds",
		    wait->ino);
	return 0;
}

int
zk_verify_waiter_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_lock_wait wait;
	struct zk_key key;
	bool there = false;
	int rc;

	if (ino == 0)
		return check_waits(v, scan);
	rc =
	    zk_lock_wait_decode(&scan->at, scan->value, scan->value_len, &wait);
	if (rc < 0)
		return zk_verify_fail(v, "wait for node %" PRIu64 ": damaged",
		    ino);
	rc = zk_verify_session(v, wait.want.session, "wait");
	if (rc == 0)
		rc = check_node(v, ino, "wait");
	key = zk_lock_waits_key(&wait.want, wait.index);
	if (rc == 0)
		rc = row_is_there(v, &key, &there);
	if (rc == 0 && !there)
		return zk_verify_fail(v,
		    "node %" PRIu64 ": a wait whose owner does not know it",
		    ino);
	return rc < 0 ? rc : check_oldest(v, &wait);
}
