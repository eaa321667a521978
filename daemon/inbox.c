#include "daemon/inbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"

/* Bytes of letters that wait; one letter of a lane always has room. */
static const size_t mail_bytes_max[ZK_MAIL_LANES] = {
    [ZK_MAIL_FAST] = 1 * (size_t)ZK_MIB,
    [ZK_MAIL_BULK] = 8 * (size_t)ZK_MIB,
};

void
zk_item_list_init(struct zk_item_list *list)
{
	*list = (struct zk_item_list){0};
	list->last = &list->first;
}

void
zk_item_list_add(struct zk_item_list *list, struct zk_item *item)
{
	item->next = NULL;
	*list->last = item;
	list->last = &item->next;
	list->count++;
	list->bytes += item->len;
}

struct zk_item *
zk_item_list_pop(struct zk_item_list *list)
{
	struct zk_item *item = list->first;

	if (item == NULL)
		return NULL;
	list->first = item->next;
	if (list->first == NULL)
		list->last = &list->first;
	list->count--;
	list->bytes -= item->len;
	item->next = NULL;
	return item;
}

void
zk_item_list_join(struct zk_item_list *list, struct zk_item_list *from)
{
	if (from->first == NULL)
		return;
	*list->last = from->first;
	list->last = from->last;
	list->count += from->count;
	list->bytes += from->bytes;
	zk_item_list_init(from);
}

void
zk_item_list_settle(struct zk_item_list *list)
{
	if (list->first == NULL)
		list->last = &list->first;
}

void
zk_item_list_finish(struct zk_item_list *list, int rc)
{
	struct zk_item *item;

	while ((item = zk_item_list_pop(list)) != NULL) {
		if (rc < 0)
			item->outcome.rc = rc;
		if (item->done != NULL)
			item->done(item->arg, &item->outcome);
		free(item);
	}
}

int
zk_item_new(const struct zk_command *cmd, zk_done_fn done, void *arg,
    struct zk_item **ret_item)
{
	struct zk_command copy = *cmd;
	struct zk_item *item;
	size_t cap;
	int rc;

	/* The place is kept now, the numbers come when it is proposed. */
	copy.session = copy.number = copy.acked = UINT64_MAX;
	copy.flags &= ~(uint32_t)ZK_F_AGAIN;
	if (cmd->op == ZK_OP_LOCK_CANCEL)
		copy.ino = UINT64_MAX;
	cap = zk_command_size(&copy);
	item = malloc(sizeof(*item) + cap);
	if (item == NULL)
		return -ENOMEM;
	rc = zk_command_encode(&copy, item->bytes, cap, &item->len);
	if (rc < 0) {
		free(item);
		return rc;
	}
	item->next = NULL;
	item->op = cmd->op;
	item->ino = cmd->ino;
	item->target = cmd->op == ZK_OP_LOCK_CANCEL ? cmd->off : 0;
	item->session = (cmd->flags & ZK_F_FENCED) ? cmd->session : 0;
	item->ticket = item->number = 0;
	item->tries = 0;
	item->found = false;
	item->again = (cmd->flags & ZK_F_AGAIN) != 0;
	item->done = done;
	item->arg = arg;
	item->outcome = (struct zk_outcome){0};
	*ret_item = item;
	return 0;
}

static void
mail_init(struct zk_mail *mail)
{
	*mail = (struct zk_mail){0};
	mail->last = &mail->first;
}

int
zk_inbox_init(struct zk_inbox *inbox)
{
	pthread_condattr_t attr;
	int rc;

	*inbox = (struct zk_inbox){0};
	zk_item_list_init(&inbox->items);
	mail_init(&inbox->mail);
	rc = pthread_condattr_init(&attr);
	if (rc != 0)
		return -rc;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	rc = pthread_mutex_init(&inbox->lock, NULL);
	if (rc == 0) {
		rc = pthread_cond_init(&inbox->wake, &attr);
		if (rc != 0)
			(void)pthread_mutex_destroy(&inbox->lock);
	}
	(void)pthread_condattr_destroy(&attr);
	return -rc;
}

void
zk_inbox_fini(struct zk_inbox *inbox)
{
	struct zk_letter *letter;

	ZK_ASSERT(inbox->items.count == 0);

	while ((letter = inbox->mail.first) != NULL) {
		inbox->mail.first = letter->next;
		free(letter);
	}
	(void)pthread_cond_destroy(&inbox->wake);
	(void)pthread_mutex_destroy(&inbox->lock);
}

int
zk_inbox_push(struct zk_inbox *inbox, struct zk_item *item,
    uint64_t *ret_ticket)
{
	bool wake = false;
	int rc = 0;

	(void)pthread_mutex_lock(&inbox->lock);
	if (inbox->closed) {
		rc = -ESTALE;
	} else if (inbox->items.count >= ZK_QUEUE_COMMANDS_MAX ||
	    inbox->items.bytes + item->len > ZK_QUEUE_BYTES_MAX) {
		rc = -EAGAIN;
	} else {
		item->ticket = ++inbox->last_ticket;
		if (ret_ticket != NULL)
			*ret_ticket = item->ticket;
		zk_item_list_add(&inbox->items, item);
		wake = inbox->asleep;
	}
	(void)pthread_mutex_unlock(&inbox->lock);
	/* Outside the lock, so that the node does not wake up into it. */
	if (wake)
		(void)pthread_cond_signal(&inbox->wake);
	return rc;
}

/* --- letters -------------------------------------------------------------- */

static struct zk_letter *
letter_new(enum zk_letter_kind kind, uint64_t peer, const void *bytes,
    size_t len)
{
	struct zk_letter *letter = malloc(sizeof(*letter) + len);

	if (letter == NULL)
		return NULL;
	*letter = (struct zk_letter){.kind = kind, .peer = peer, .len = len};
	if (len > 0)
		memcpy(letter->bytes, bytes, len);
	return letter;
}

/* Returns whether the consumer must be woken. */
static bool
add_letter(struct zk_inbox *inbox, struct zk_letter *letter)
{
	*inbox->mail.last = letter;
	inbox->mail.last = &letter->next;
	inbox->mail.bytes[letter->lane] += letter->len;
	return inbox->asleep;
}

bool
zk_inbox_post(struct zk_inbox *inbox, uint64_t peer, unsigned lane,
    const void *bytes, size_t len)
{
	struct zk_letter *letter;
	bool fits, wake = false;
	size_t waiting;

	ZK_ASSERT(lane < ZK_MAIL_LANES);

	letter = letter_new(ZK_LETTER_FRAME, peer, bytes, len);
	(void)pthread_mutex_lock(&inbox->lock);
	waiting = inbox->mail.bytes[lane];
	fits = letter != NULL &&
	    (waiting == 0 || waiting + len <= mail_bytes_max[lane]);
	if (fits) {
		letter->lane = lane;
		wake = add_letter(inbox, letter);
	} else {
		inbox->mail.refused = true;
	}
	(void)pthread_mutex_unlock(&inbox->lock);
	if (wake)
		(void)pthread_cond_signal(&inbox->wake);
	if (!fits)
		free(letter);
	return fits;
}

void
zk_inbox_post_peer(struct zk_inbox *inbox, uint64_t peer, bool up)
{
	struct zk_letter *letter =
	    letter_new(up ? ZK_LETTER_UP : ZK_LETTER_DOWN, peer, NULL, 0);
	bool wake;

	if (letter == NULL)
		return;
	(void)pthread_mutex_lock(&inbox->lock);
	wake = add_letter(inbox, letter);
	(void)pthread_mutex_unlock(&inbox->lock);
	if (wake)
		(void)pthread_cond_signal(&inbox->wake);
}

void
zk_batch_init(struct zk_batch *batch)
{
	*batch = (struct zk_batch){0};
	zk_item_list_init(&batch->items);
}

struct zk_letter *
zk_batch_pop_letter(struct zk_batch *batch)
{
	struct zk_letter *letter = batch->letters;

	if (letter != NULL)
		batch->letters = letter->next;
	return letter;
}

void
zk_inbox_poke(struct zk_inbox *inbox)
{
	bool wake;

	(void)pthread_mutex_lock(&inbox->lock);
	wake = inbox->asleep && !inbox->poked;
	inbox->poked = true;
	(void)pthread_mutex_unlock(&inbox->lock);
	if (wake)
		(void)pthread_cond_signal(&inbox->wake);
}

/* --- the consumer --------------------------------------------------------- */

void
zk_inbox_close(struct zk_inbox *inbox)
{
	(void)pthread_mutex_lock(&inbox->lock);
	inbox->closed = true;
	(void)pthread_mutex_unlock(&inbox->lock);
	(void)pthread_cond_signal(&inbox->wake);
}

static void
move_first(struct zk_item_list *to, struct zk_item_list *from)
{
	struct zk_item *item = zk_item_list_pop(from);

	ZK_ASSERT(item != NULL);
	zk_item_list_add(to, item);
}

static struct timespec
deadline_after(uint32_t wait_ms)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += wait_ms / 1000;
	ts.tv_nsec += (long)(wait_ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* Under the lock: until there is something, or the time is over. */
static void
wait_for_something(struct zk_inbox *inbox, uint32_t wait_ms)
{
	const bool for_ever = wait_ms == UINT32_MAX;
	struct timespec deadline;
	int rc = 0;

	if (wait_ms == 0 || inbox->poked || inbox->items.count > 0 ||
	    inbox->mail.first != NULL)
		return;
	if (!for_ever)
		deadline = deadline_after(wait_ms);
	while (rc == 0 && inbox->items.count == 0 &&
	    inbox->mail.first == NULL && !inbox->poked &&
	    !(inbox->closed && for_ever)) {
		inbox->asleep = true;
		rc = for_ever ? pthread_cond_wait(&inbox->wake, &inbox->lock)
		              : pthread_cond_timedwait(&inbox->wake,
		                    &inbox->lock, &deadline);
		inbox->asleep = false;
	}
}

bool
zk_inbox_take(struct zk_inbox *inbox, uint32_t wait_ms, struct zk_batch *batch)
{
	struct zk_item_list *list = &batch->items;
	bool open;

	ZK_ASSERT(list->count == 0);
	ZK_ASSERT(batch->letters == NULL);

	(void)pthread_mutex_lock(&inbox->lock);
	wait_for_something(inbox, wait_ms);
	inbox->poked = false;
	open = inbox->items.count > 0 || !inbox->closed;
	while (inbox->items.count > 0 && list->count < ZK_TURN_COMMANDS_MAX &&
	    (list->count == 0 ||
	        list->bytes + inbox->items.first->len <= ZK_TURN_BYTES_MAX))
		move_first(list, &inbox->items);
	batch->letters = inbox->mail.first;
	batch->refused = inbox->mail.refused;
	mail_init(&inbox->mail);
	(void)pthread_mutex_unlock(&inbox->lock);
	return open;
}

size_t
zk_inbox_length(struct zk_inbox *inbox)
{
	size_t length;

	(void)pthread_mutex_lock(&inbox->lock);
	length = inbox->items.count;
	(void)pthread_mutex_unlock(&inbox->lock);
	return length;
}
