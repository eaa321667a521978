#ifndef ZK_STORE_JOURNAL_H
#define ZK_STORE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The journal of an environment: what makes a transaction durable with one
 * short write, long before the pages that it changed are flushed.
 *
 * A file with two slots and a ring.  A record in the ring is what one
 * transaction did to rows that nothing else can bring back (Raft's log and
 * hard state; the tree follows from those).  It is written through O_DSYNC,
 * and only when the record before it is on disk.  A slot holds a checkpoint:
 * LMDB's meta page of a moment when all that it leads to was flushed, and
 * where in the ring what came later begins.  The two are written in turns, so
 * that one is always whole.
 *
 * After a crash the newest whole checkpoint counts, and the records after it
 * are done again.  The last record may be torn, since nobody was told of it;
 * but a bad one with a whole one after it was whole once, and is damage.
 * (The scheme is that of ARIES' redo pass with fuzzy checkpoints, Mohan et
 * al. 1992, with rows for pages.)
 *
 * File: 4 KiB blocks, little-endian.  Blocks 0 and 1: the slots: magic u32,
 * CRC-32C u32 of the rest of the slot, generation u64, bytes of the ring u64,
 * sequence u64 and place u64 of the checkpoint, meta page.  Then the ring.
 * Records begin at blocks: magic u32, CRC-32C u32 of what follows, sequence
 * u64, kind u32, length u32, bytes.  A place counts all bytes that ever went
 * through the ring; a record that does not fit before its end begins anew.
 *
 * Threads: the writer's, but zk_journal_checkpoint(), which is for one thread
 * at a time.  Errors: negative errnos and codes of base/err.h.
 */
struct zk_journal;

/* The body of LMDB 0.9's meta page, behind the page header. */
#define ZK_META_AT    16u
#define ZK_META_BYTES 136u

struct zk_checkpoint {
	uint8_t meta[ZK_META_BYTES];
	uint64_t sequence; /* of the last record in it; 0: none */
	uint64_t place;    /* where the next one is */
	uint64_t label;    /* the owner's; not in the file */
};

#define ZK_JOURNAL_BYTES_DEFAULT ((size_t)16 << 20)
#define ZK_JOURNAL_BYTES_MIN     ((size_t)64 << 10)
/* A record's head: room before the caller's bytes. */
#define ZK_JOURNAL_HEAD 24u

/* Make one with `bytes` of ring in place of what has that name. */
int zk_journal_make(int dir_fd, const char *name, size_t bytes,
    struct zk_journal **ret_journal);

/*
 * Open one and find its newest checkpoint.  -ENOENT: no such file, or none
 * that ever had a checkpoint; -ZK_ECORRUPT: there was one.
 */
int zk_journal_open(int dir_fd, const char *name,
    struct zk_journal **ret_journal, struct zk_checkpoint *ret_checkpoint);
void zk_journal_close(struct zk_journal *j); /* NULL is fine */

/*
 * Give fn the records after the checkpoint, in order; then append goes on
 * behind the last.  Stops at the first code below 0 that fn returns.
 * -ZK_ECORRUPT: one of them is damaged.
 */
int zk_journal_replay(struct zk_journal *j,
    int (*fn)(void *arg, uint64_t sequence, const void *bytes, size_t len),
    void *arg);

/* Whether a record of len bytes can be appended before a checkpoint. */
bool zk_journal_has_room(const struct zk_journal *j, size_t len);
/* What no ring has room for, ever: half of it. */
size_t zk_journal_record_max(const struct zk_journal *j);
uint64_t zk_journal_bytes(const struct zk_journal *j); /* of the ring */
/* Bytes since the checkpoint. */
uint64_t zk_journal_used(const struct zk_journal *j);
uint64_t zk_journal_last(const struct zk_journal *j); /* its sequence */

/*
 * Append the len bytes at buf + ZK_JOURNAL_HEAD as the next record; the head
 * is filled in here, and buf has room for padding to a whole block; it costs
 * less when it begins at a page.  Durable
 * when it returns 0; on failure the process must end.
 */
int zk_journal_append(struct zk_journal *j, void *buf, size_t len);

/* The last record did not come about after all.  As append. */
int zk_journal_void(struct zk_journal *j);

/* Fill in sequence and place of a checkpoint that is taken now. */
void zk_journal_mark(const struct zk_journal *j,
    struct zk_checkpoint *checkpoint);

/* All it leads to is flushed: make it the newest.  Any one thread. */
int zk_journal_checkpoint(struct zk_journal *j,
    const struct zk_checkpoint *checkpoint);

/* Records before a checkpoint that is durable may be overwritten. */
void zk_journal_release(struct zk_journal *j,
    const struct zk_checkpoint *checkpoint);

#endif
