#include <errno.h>

#include "base/assert.h"
#include "daemon/member_impl.h"
#include "store/lock_row.h"

/*
 * The program before this one had requests for locks under way, which wait in
 * the tree, in the order of the log.  The requests come again; each takes over
 * one that waits for the same.  What has been granted meanwhile, or ended, is
 * not found, and asked for anew: whoever has a lock is given it.
 */

static bool
is_taken(const struct zk_member *m, uint64_t number)
{
	const struct zk_item *item = m->waiting.first;

	while (item != NULL && item->number != number)
		item = item->next;
	return item != NULL;
}

static bool
is_same(const struct zk_held *a, const struct zk_held *b)
{
	return zk_held_compare_owner(a, b) == 0 && a->handle == b->handle &&
	    a->exclusive == b->exclusive && a->first == b->first &&
	    a->last == b->last;
}

/* The oldest that nobody has; 0 or a code. */
static int
find(struct zk_member *m, struct zk_tx *tx, uint64_t ino,
    const struct zk_held *want, uint64_t *ret_number)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	rc = zk_lock_waits_begin(tx, ino, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_lock_waits_next(&scan, &wait)) == 0)
		if (is_same(&wait.want, want) && !is_taken(m, wait.number))
			break;
	zk_scan_end(&scan);
	if (rc == 0)
		*ret_number = wait.number;
	return rc;
}

bool
zk_member_waits_already(struct zk_member *m, struct zk_item *item)
{
	uint32_t groups[ZK_GROUPS_MAX];
	struct zk_command cmd;
	struct zk_held want;
	struct zk_tx *tx;
	uint64_t number = 0;
	int rc;

	item->again = false;
	rc = zk_command_decode(item->bytes, item->len, groups, &cmd);
	ZK_ASSERT(rc == 0);
	ZK_ASSERT(cmd.op == ZK_OP_LOCK);
	cmd.session = m->session;
	if (zk_lock_want(&cmd, &want) < 0 ||
	    zk_read_begin(m->options.store, &tx) < 0)
		return false;
	rc = find(m, tx, cmd.ino, &want, &number);
	zk_read_end(tx);
	if (rc < 0)
		return false;
	item->number = number;
	zk_command_stamp(item->bytes, item->len, m->session, number,
	    zk_member_acked_below(m, number));
	return true;
}
