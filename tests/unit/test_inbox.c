#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/inbox.h"

static struct zk_inbox inbox;
static struct zk_batch batch;

static void
init(void)
{
	cr_assert_eq(zk_inbox_init(&inbox), 0);
	zk_batch_init(&batch);
}

static size_t
drain(void)
{
	struct zk_letter *letter;
	struct zk_item *item;
	size_t count = 0;

	while ((item = zk_item_list_pop(&batch.items)) != NULL) {
		free(item);
		count++;
	}
	while ((letter = zk_batch_pop_letter(&batch)) != NULL)
		free(letter);
	return count;
}

static void
fini(void)
{
	(void)drain();
	zk_inbox_fini(&inbox);
}

TestSuite(inbox, .init = init, .fini = fini);

static void
push(size_t count)
{
	const struct zk_command cmd = {.op = ZK_OP_WRITE, .ino = 2};

	while (count-- > 0) {
		struct zk_item *item;

		cr_assert_eq(zk_item_new(&cmd, NULL, NULL, &item), 0);
		cr_assert_eq(zk_inbox_push(&inbox, item, NULL), 0);
	}
}

Test(inbox, takes_all_in_order)
{
	uint64_t ticket = 0;
	const struct zk_item *item;

	push(100);
	cr_assert(zk_inbox_take(&inbox, UINT32_MAX, &batch));
	for (item = batch.items.first; item != NULL; item = item->next)
		cr_assert_eq(item->ticket, ++ticket);
	cr_assert_eq(drain(), 100);
	cr_assert(zk_inbox_take(&inbox, 0, &batch));
	cr_assert_eq(drain(), 0);
}

static void *
post_one(void *arg)
{
	(void)arg;
	cr_assert(zk_inbox_post(&inbox, 9, ZK_MAIL_FAST, "x", 1));
	return NULL;
}

/* Whichever comes first ends the wait, and neither is lost. */
Test(inbox, commands_and_letters_end_a_wait)
{
	for (int i = 0; i < 500; i++) {
		pthread_t thread;
		bool letter = false;
		size_t count = 0;

		cr_assert_eq(pthread_create(&thread, NULL, post_one, NULL), 0);
		push(1);
		while (count < 1 || !letter) {
			cr_assert(zk_inbox_take(&inbox, UINT32_MAX, &batch));
			letter = letter || batch.letters != NULL;
			count += drain();
		}
		cr_assert_eq(pthread_join(thread, NULL), 0);
	}
}

Test(inbox, what_is_there_is_taken_when_it_closes)
{
	push(2);
	zk_inbox_close(&inbox);
	cr_assert(zk_inbox_take(&inbox, UINT32_MAX, &batch));
	cr_assert_eq(drain(), 2);
	cr_assert_not(zk_inbox_take(&inbox, UINT32_MAX, &batch));
}
