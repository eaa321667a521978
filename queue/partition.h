#ifndef ZK_QUEUE_PARTITION_H
#define ZK_QUEUE_PARTITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/node.h"

/*
 * A partition of a topic, and what can be asked of it: plain values, shared by
 * the broker (queue/broker.h), which keeps partitions, and by those who use
 * it.
 *
 * A partition is a sequence of bytes that only grows at its end.  Its bytes
 * are records; each ends in a newline.  Offsets are those of bytes, from 0 on;
 * they are never used again.  Retention takes whole batches from the front and
 * changes no offset.
 */

/* Most replicas of one partition. */
#define ZK_REPLICAS_MAX 7u

/* One batch: what one write(2) can carry to us as one request. */
#define ZK_BATCH_MAX (ZK_WRITE_MAX - 4096u)

/* What one read answers at most. */
#define ZK_PARTITION_READ_MAX ZK_WRITE_MAX

/*
 * What the tree says of a partition.  id is chosen by the tree, not 0, and
 * never used again.  Nodes are named by their ids (struct zk_ident).
 *
 * founders: the replicas that the partition was created with; it never
 * changes.  A founder without data of this partition begins it; a replica that
 * is no founder waits until it is told by those who are.  replicas: where it
 * is to be; the first is the preferred leader.
 */
struct zk_partition_spec {
	uint64_t id;
	uint32_t founder_count, replica_count;
	uint64_t founders[ZK_REPLICAS_MAX], replicas[ZK_REPLICAS_MAX];
	uint64_t retention_ms;    /* 0: for ever */
	uint64_t retention_bytes; /* 0: no bound */
};

/*
 * What is known of a partition here.  start, end: the bytes that can be read
 * are [start, end).  Both only grow, except end on a host that has just
 * started and has not heard from the others yet.
 */
struct zk_partition_info {
	uint64_t id;
	uint64_t start, end;
	uint64_t leader;      /* node id; 0: none known */
	uint64_t stored;      /* bytes of disk, about; as st_blocks * 512 */
	struct zk_stamp time; /* of the last record; 0: there was none */
	uint32_t replica_count;
	uint64_t replicas[ZK_REPLICAS_MAX]; /* where it is now */
	uint32_t wanted_count;
	uint64_t wanted[ZK_REPLICAS_MAX]; /* where the tree says it is */
	/*
	 * zk_broker_info() only: as far as is known, an append would not have
	 * to wait; nobody who has it can be asked.
	 */
	bool served, alone;
	bool local; /* this host can read it from its own disk */
	bool known; /* false: start, end and time were never heard of */
	bool
	    current; /* ... and are told when they change: local, or followed */
};

enum zk_request_kind {
	/* For those who use partitions. */
	ZK_REQUEST_APPEND,
	ZK_REQUEST_INFO,   /* what is known to its leader, or here */
	ZK_REQUEST_READ,   /* up to `want` bytes from offset */
	ZK_REQUEST_TIME,   /* offset of the first record not older than time */
	ZK_REQUEST_RECORD, /* offset of the first record at or after offset */
	/* What READ gives, summed up, at the replica `node`; see zk_reply. */
	ZK_REQUEST_DIGEST,
	/* From now on this host reads all that was answered for before. */
	ZK_REQUEST_SYNC,
	/* For the one who reads the tree; answered at once. */
	ZK_REQUEST_SET,
	ZK_REQUEST_DROP,
	ZK_REQUEST_PRUNE,
	ZK_REQUEST_WATCH,
	ZK_REQUEST_UNWATCH,
	ZK_REQUEST_FOLLOW,
	ZK_REQUEST_UNFOLLOW,
};

/*
 * The answer; borrowed.  rc: 0, or
 *   -ENOENT     no such partition (here: SET comes first), or it was dropped
 *   -ETIMEDOUT  no answer in time.  APPEND: it may happen, once, or not
 *   -ENOSPC     APPEND: the leader's disk is full; nothing was appended
 *   -EROFS      APPEND: its session is over; nothing was appended
 *   -ENODATA    READ, RECORD: offset is before the start, which info tells
 *   -EAGAIN     not APPEND: too many wait for an answer; ask again later
 *   -ESTALE     the broker is being closed; as for -ETIMEDOUT
 *   -ZK_ECORRUPT, -ENOMEM
 */
struct zk_reply {
	int rc;
	/*
	 * APPEND: of the first byte; TIME, RECORD: what was asked for, the
	 * end if there is no such record yet.  DIGEST: how many bytes, in the
	 * upper half, and their CRC-32C.
	 */
	uint64_t offset;
	/* READ: may be fewer than wanted; none: offset is the end, or later. */
	const void *bytes;
	size_t len;
	struct zk_partition_info info; /* not for APPEND, SET ... UNFOLLOW */
};

/* Called exactly once, by the thread that runs the broker; must not block. */
typedef void (*zk_reply_fn)(void *arg, const struct zk_reply *reply);

/* One request, on the heap; made by zk_request_new(). */
struct zk_request {
	struct zk_request *next;
	enum zk_request_kind kind;
	uint64_t partition;
	uint64_t offset; /* READ, RECORD, DIGEST */
	uint64_t node;   /* DIGEST; 0: any */
	/* APPEND: in this session of the tree (queue/broker.h); 0: in none. */
	uint64_t holder;
	struct zk_stamp time; /* TIME */
	uint32_t want;        /* READ, DIGEST */
	uint32_t limit_ms;    /* of a question; 0: op_timeout_ms */
	zk_reply_fn done;     /* NULL: nobody wants to know */
	void *arg;
	struct zk_partition_spec *spec; /* SET; freed with the request */

	/* The broker's. */
	uint64_t number;
	uint64_t deadline_ms;
	uint64_t asked_ms; /* questions: when it was sent last; 0: not yet */
	/*
	 * APPEND: the messages that it was sent in and not refused.  SYNC: how
	 * often it was asked here; INFO: how often others were.
	 */
	uint64_t asked;
	struct zk_reply reply;
	void *copy; /* what reply.bytes points to; freed with the request */

	size_t len;      /* APPEND */
	uint8_t bytes[]; /* APPEND: whole records */
};

struct zk_request_list {
	struct zk_request *first, **last;
	size_t count, bytes;
};

/*
 * A copy of *what and of len bytes; spec is copied, too.  Any thread.
 * Returns 0; -EINVAL: APPEND of 0 or more than ZK_BATCH_MAX bytes or whose
 * last byte is no newline, or a spec that makes no sense; -ENOMEM.
 */
int zk_request_new(const struct zk_request *what, const void *bytes, size_t len,
    struct zk_request **ret_request);
void zk_request_free(struct zk_request *request); /* NULL is fine */

void zk_request_list_init(struct zk_request_list *list);
void zk_request_list_add(struct zk_request_list *list,
    struct zk_request *request);
struct zk_request *zk_request_list_pop(struct zk_request_list *list);
/* Append all of `from`, which is empty then. */
void zk_request_list_join(struct zk_request_list *list,
    struct zk_request_list *from);

#endif
