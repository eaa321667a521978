#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/member_impl.h"

/* What becomes of commands in turns that met a full disk. */

static int told[64];

static void
on_told(void *arg, const struct zk_outcome *out)
{
	*(int *)arg = out->rc;
}

static void
queue(struct zk_member *m, enum zk_op op, uint32_t tries)
{
	const struct zk_command cmd = {.op = op, .ino = 2};
	struct zk_item *item;

	told[op] = 1;
	cr_assert_eq(zk_item_new(&cmd, on_told, &told[op], &item), 0);
	item->tries = tries;
	zk_item_list_add(&m->queued, item);
}

Test(member_room, who_would_not_ask_again_is_never_refused)
{
	static const enum zk_op ends[] = {ZK_OP_RELEASE, ZK_OP_REAP, ZK_OP_ACK,
	    ZK_OP_LOCK_CANCEL, ZK_OP_UNLOCK_OWNER};
	const size_t count = sizeof(ends) / sizeof(*ends);
	struct zk_member *m = calloc(1, sizeof(*m));
	struct zk_item *item;

	cr_assert_not_null(m);
	zk_item_list_init(&m->queued);
	queue(m, ZK_OP_CREATE, 1);
	queue(m, ZK_OP_UNLINK, 3);
	queue(m, ZK_OP_XATTR_REMOVE, 1000);
	for (size_t i = 0; i < count; i++)
		queue(m, ends[i], 1000);
	zk_member_refuse_growth(m);

	cr_expect_eq(told[ZK_OP_CREATE], -ENOSPC);
	cr_expect_eq(told[ZK_OP_UNLINK], 1, "there is still hope");
	cr_expect_eq(told[ZK_OP_XATTR_REMOVE], -ENOSPC, "not for ever");
	for (size_t i = 0; i < count; i++)
		cr_expect_eq(told[ends[i]], 1, "%s is refused",
		    zk_op_name(ends[i]));
	cr_expect_eq(m->queued.count, count + 1);
	while ((item = zk_item_list_pop(&m->queued)) != NULL)
		free(item);
	free(m);
}
