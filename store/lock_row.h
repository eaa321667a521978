#ifndef ZK_STORE_LOCK_ROW_H
#define ZK_STORE_LOCK_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/command.h"
#include "store/lock_range.h"
#include "store/table.h"

/*
 * The rows of locks and of those who wait for them.
 *
 * ZK_TABLE_LOCK, ino (from 1): format u8, waiters u32, count u32, then the
 * locks in the order of struct zk_lock_set, ZK_HELD_BYTES each.  No row when
 * there are neither.
 * ZK_TABLE_WAITER, ino, index of the log entry: number u64 of the command,
 * then what it wants, as above.
 *
 * Inode 0 is nobody's, so keys that begin with it hold the way back from an
 * owner (session, owner, kind u8):
 * ZK_TABLE_LOCK, 0, owner, ino: "" for each file on which it holds a lock.
 * ZK_TABLE_WAITER, 0, owner, index: ino u64, number u64 of each wait.
 *
 * Functions return 0, the codes named, or a fatal code (also in tx->fatal).
 */
#define ZK_HELD_BYTES 53u

/* What a ZK_OP_LOCK asks for, as a lock.  -EINVAL. */
int zk_lock_want(const struct zk_command *cmd, struct zk_held *ret_want);

/* The locks of one file, loaded to be changed. */
struct zk_lock_file {
	struct zk_tx *tx;
	uint64_t ino;
	struct zk_lock_set set;
	uint32_t waiters;          /* rows of ZK_TABLE_WAITER, both kinds */
	struct zk_lock_set stored; /* as the row has it */
	uint32_t stored_waiters;
};

/* Always zk_lock_file_fini(), after a failure too. */
int zk_lock_file_load(struct zk_tx *tx, uint64_t ino,
    struct zk_lock_file *ret_file);
void zk_lock_file_fini(struct zk_lock_file *file);

/* Writes the row, and the owners' rows, where they changed. */
int zk_lock_file_store(struct zk_lock_file *file);

/*
 * The locks of ino alone, to be looked at.  -ENOMEM is not fatal here; the
 * set is empty when there are none.  zk_lock_set_fini() it.
 */
int zk_lock_set_load(struct zk_tx *tx, uint64_t ino,
    struct zk_lock_set *ret_set, uint32_t *ret_waiters);

/* True when the owner holds a lock on a file other than ino. */
int zk_lock_owner_holds(struct zk_tx *tx, const struct zk_held *owner,
    uint64_t ino, bool *ret_holds);

struct zk_lock_wait {
	uint64_t ino, index, number;
	struct zk_held want;
};
int zk_lock_wait_put(struct zk_tx *tx, const struct zk_lock_wait *wait);
int zk_lock_wait_delete(struct zk_tx *tx, const struct zk_lock_wait *wait);

/* The waits on a file, oldest first.  As zk_scan_*(). */
int zk_lock_waits_begin(struct zk_tx *tx, uint64_t ino,
    struct zk_scan *ret_scan);
int zk_lock_waits_next(struct zk_scan *scan, struct zk_lock_wait *ret_wait);

/* The waits of an owner; with owner NULL, of a session. */
int zk_lock_owner_waits_begin(struct zk_tx *tx, uint64_t session,
    const struct zk_held *owner, struct zk_scan *ret_scan);
int zk_lock_owner_waits_next(struct zk_scan *scan,
    struct zk_lock_wait *ret_wait);

/* A file on which the session holds a lock; -ENOENT. */
int zk_lock_session_file(struct zk_tx *tx, uint64_t session, uint64_t *ret_ino);

/* Row formats, for verify.c.  -ZK_ECORRUPT. */
int zk_lock_row_decode(const void *value, size_t len,
    struct zk_lock_set *ret_set, uint32_t *ret_waiters);
int zk_lock_wait_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_lock_wait *ret_wait);
struct zk_key zk_lock_holds_key(const struct zk_held *owner, uint64_t ino);
struct zk_key zk_lock_waits_key(const struct zk_held *owner, uint64_t index);

#endif
