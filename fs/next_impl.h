#ifndef ZK_FS_NEXT_IMPL_H
#define ZK_FS_NEXT_IMPL_H

#include "fs/call.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/next.h"
#include "fs/window.h"

/* What stream*.c share. */

/* A partition that is this stream's. */
#define ZK_SHARE_FIRST_UNKNOWN UINT64_MAX

struct zk_share {
	LIST_ENTRY(zk_share) bucket; /* by partition; under nexts.lock */
	struct zk_share *next;       /* of the stream */
	struct zk_next *owner;
	uint64_t partition;
	bool wet; /* under nexts.lock: there may be more to read */

	uint32_t number;
	uint64_t since;
	uint64_t read;  /* the partition has been read up to here */
	uint64_t done;  /* acknowledged by the reader; 0: nothing yet */
	uint64_t acked; /* and said so */
	uint64_t first; /* where the group was when this stream got it */
	/* The last record whose processing began, and the number of that. */
	uint64_t tried;
	uint32_t tries, begun; /* see base/next.h */
	bool trying;           /* there is one */
	bool wanted;           /* by this stream; else it is to be given up */
	bool released;         /* given up */
	bool watched;
	bool seen;      /* while the shares are looked at */
	bool later;     /* another host is to be asked, once it is its turn */
	uint64_t asked; /* when that was done last, by next.asks */
};

/* The answer of someone else who has a partition. */
struct zk_next_answer {
	uint32_t number;
	uint64_t since, off;
	int rc;
	uint64_t start;
	char *bytes;
	size_t len;
};

struct zk_next {
	struct zk_fs *fs;
	uint64_t group, session, handle;

	/* Under nexts.lock. */
	TAILQ_ENTRY(zk_next) link, dirty_link;
	unsigned refs;
	bool is_dirty, busy, closed;
	bool regroup; /* look at the shares again */
	bool acking;  /* an acknowledgement is under way */
	bool put_off; /* one is due soon; counted as unsettled */
	bool asking;  /* a question is; then its answer is there */
	bool answered;
	struct zk_next_answer answer;
	struct fuse_pollhandle *poll;

	/* Of whoever has taken it. */
	struct zk_share *shares;
	struct zk_share *turn; /* whose turn it is; NULL: the first's */
	uint64_t acked_ms;     /* when something was last acknowledged */
	uint64_t asks;         /* how many questions there were */
	struct zk_window window;

	/* Protected by the lock of the calls. */
	struct zk_call_list waiting; /* reads */
};

/* True: the stream is the caller's until give(). */
bool zk_next_take(struct zk_next *s);
void zk_next_give(struct zk_next *s);

/* Under nexts.lock: have it looked at.  The caller wakes the calls. */
void zk_next_dirty(struct zk_next *s);

/* Of a handle that is a member; NULL without memory. */
struct zk_next *zk_next_new(struct zk_fs *fs, const struct zk_handle *handle);

/* next_share.c; of whoever has taken the stream. */
int zk_next_regroup(struct zk_next *s);
/* NULL: it is not this stream's. */
struct zk_share *zk_next_share_find(struct zk_next *s, uint32_t number);
/* A share, of nothing yet; NULL without memory. */
struct zk_share *zk_next_share_add(struct zk_next *s, uint32_t number,
    uint64_t partition);
/* Bring more into the window, if there is more.  0 or a code. */
int zk_next_fill(struct zk_next *s, size_t size);
/* Whether there may be something to read that was not told yet. */
bool zk_next_has_more(struct zk_next *s);
/* next_ack.c: give up what is to be given up, and say what is done, soon. */
void zk_next_settle(struct zk_next *s);
/* As settle, for the last time, and now. */
void zk_next_last_ack(struct zk_next *s);
/* What was put off is told, or never will be. */
void zk_next_owes_nothing(struct zk_next *s);
/* What was put off until now is looked at; the thread of the calls. */
void zk_nexts_look_at_due(struct zk_fs *fs);
/* What is put off is told now.  Waits for who has the stream. */
void zk_nexts_hurry(struct zk_fs *fs);
void zk_next_shares_free(struct zk_next *s);
void zk_next_done(void *arg, const struct zk_window_piece *piece, uint64_t off);
void zk_next_unref(struct zk_next *s);

#endif
