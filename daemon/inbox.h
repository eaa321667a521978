#ifndef ZK_DAEMON_INBOX_H
#define ZK_DAEMON_INBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/command.h"
#include "fs/port.h"

/*
 * The bounded queues before the node thread: commands of the FUSE workers,
 * and what the network brings.  Many producers, one consumer.
 */

/* A command on its way, and later its outcome. */
struct zk_item {
	struct zk_item *next;
	enum zk_op op;
	uint64_t ino;
	uint64_t ticket;  /* given by zk_inbox_push() */
	uint64_t target;  /* LOCK_CANCEL: the ticket of the lock request */
	uint64_t session; /* only in this session; 0: in any */
	uint64_t number;  /* given when it is accepted */
	uint32_t tries;   /* how often it was on its way to a leader */
	bool found;       /* its outcome was found in a snapshot */
	bool again;       /* ZK_F_AGAIN */
	zk_done_fn done;  /* NULL: nobody wants to know */
	void *arg;
	struct zk_outcome outcome;
	size_t len;
	uint8_t bytes[]; /* the encoded command, to be stamped */
};

struct zk_item_list {
	struct zk_item *first, **last;
	size_t count, bytes;
};

void zk_item_list_init(struct zk_item_list *list);
void zk_item_list_add(struct zk_item_list *list, struct zk_item *item);
struct zk_item *zk_item_list_pop(struct zk_item_list *list); /* or NULL */
/* Append all of `from`, which is empty then. */
void zk_item_list_join(struct zk_item_list *list, struct zk_item_list *from);
/* After a list was copied by assignment: it must not point into the other. */
void zk_item_list_settle(struct zk_item_list *list);

/* Tell each its outcome, or that code if it is one, and free it. */
void zk_item_list_finish(struct zk_item_list *list, int rc);

/* A copy of cmd; -ENOMEM, -EMSGSIZE.  Free with free(3). */
int zk_item_new(const struct zk_command *cmd, zk_done_fn done, void *arg,
    struct zk_item **ret_item);

/* What came from another member, or happened to the connection to it. */
enum zk_letter_kind { ZK_LETTER_FRAME, ZK_LETTER_UP, ZK_LETTER_DOWN };

struct zk_letter {
	struct zk_letter *next;
	enum zk_letter_kind kind;
	unsigned lane; /* ZK_MAIL_* */
	uint64_t peer;
	size_t len;
	uint8_t bytes[];
};

/* What is urgent has room although data has not. */
enum { ZK_MAIL_FAST, ZK_MAIL_BULK, ZK_MAIL_LANES };

struct zk_mail {
	struct zk_letter *first, **last;
	size_t bytes[ZK_MAIL_LANES];
	bool refused; /* something that had no room */
};

struct zk_inbox {
	pthread_mutex_t lock;
	pthread_cond_t wake;       /* CLOCK_MONOTONIC */
	struct zk_item_list items; /* protected by lock */
	struct zk_mail mail;       /* protected by lock */
	uint64_t last_ticket;      /* protected by lock */
	bool closed;               /* protected by lock */
	bool asleep;               /* protected by lock */
	bool poked;                /* protected by lock */
};

int zk_inbox_init(struct zk_inbox *inbox);
void zk_inbox_fini(struct zk_inbox *inbox); /* no items may be left */

/*
 * Takes the item over when it returns 0.  -EAGAIN when full, -ESTALE when
 * closed.  Any thread.
 */
int zk_inbox_push(struct zk_inbox *inbox, struct zk_item *item,
    uint64_t *ret_ticket);

/*
 * A copy of a frame.  false: no room, or no memory; the consumer will hear of
 * it and can ask for it again.  Any thread.
 */
bool zk_inbox_post(struct zk_inbox *inbox, uint64_t peer, unsigned lane,
    const void *bytes, size_t len);

/* News of a connection; without memory it is not heard of.  Any thread. */
void zk_inbox_post_peer(struct zk_inbox *inbox, uint64_t peer, bool up);

/* The consumer wakes, or does not sleep the next time.  Any thread. */
void zk_inbox_poke(struct zk_inbox *inbox);

/* No more commands come in; the consumer wakes. */
void zk_inbox_close(struct zk_inbox *inbox);

/* What is taken at once. */
struct zk_batch {
	struct zk_item_list items;
	struct zk_letter *letters; /* in the order of their coming; or NULL */
	bool refused;              /* there is room again for what had none */
};

/*
 * All letters, and commands of at most a turn's worth.  Waits for the first
 * of either, or wait_ms; UINT32_MAX: for ever, but not when closed.  *batch
 * must be empty.  Returns false when the inbox is closed and without commands.
 */
bool zk_inbox_take(struct zk_inbox *inbox, uint32_t wait_ms,
    struct zk_batch *batch);

void zk_batch_init(struct zk_batch *batch);
struct zk_letter *zk_batch_pop_letter(struct zk_batch *batch); /* or NULL */

size_t zk_inbox_length(struct zk_inbox *inbox); /* commands */

#endif
