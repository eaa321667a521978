#include <criterion/criterion.h>
#include <stdlib.h>

#include "daemon/answerer.h"

#define ITEMS 10000u

static uint64_t told; /* the answerer's thread, until it has ended */
static bool in_order = true;

static void
on_told(void *arg, const struct zk_outcome *out)
{
	(void)arg;
	in_order = in_order && out->index == told + 1;
	told = out->index;
}

static struct zk_item *
item_of(uint64_t index)
{
	const struct zk_command cmd = {.op = ZK_OP_WRITE, .ino = 2};
	struct zk_item *item;

	cr_assert_eq(zk_item_new(&cmd, on_told, NULL, &item), 0);
	item->outcome.index = index;
	return item;
}

/* Lots of all sizes; the end waits for the last one. */
Test(answerer, tells_all_in_order)
{
	struct zk_answerer *answerer;
	struct zk_item_list list;
	uint64_t index = 0;

	cr_assert_eq(zk_answerer_open(&answerer), 0);
	zk_item_list_init(&list);
	while (index < ITEMS) {
		for (uint64_t lot = index % 37; lot > 0; lot--)
			zk_item_list_add(&list, item_of(++index));
		zk_item_list_add(&list, item_of(++index));
		zk_answerer_give(answerer, &list);
		cr_assert_eq(list.count, 0);
	}
	zk_answerer_close(answerer);
	cr_assert(in_order);
	cr_assert_eq(told, index);
	zk_answerer_close(NULL);
}
