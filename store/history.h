#ifndef ZK_STORE_HISTORY_H
#define ZK_STORE_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/change.h"
#include "base/codec.h"
#include "base/limits.h"
#include "base/past.h"
#include "store/table.h"

struct zk_apply;

/*
 * What happened lately: every change, as base/past.h has it, in rows beside
 * the tree.  This member's own and no part of the digest, for members forget
 * at their own time; but what two of them remember is equal.
 *
 * Key: rev u64, then the number u32 of its first change.  Value: counts of all
 * rows and bytes before it (u64 each, to know what is kept by looking at both
 * ends), time i64 u32, session u64, host u8 length and bytes, then changes
 * up to the end of the row.  The row of rev 0 says from where on the history
 * is whole: begin u64; without it, from the first entry on.
 */

/* What the node thread collects while it applies one entry. */
struct zk_history {
	struct zk_enc enc; /* the changes that are not in a row yet */
	uint32_t first;    /* the number of the first of them */
	uint8_t buf[ZK_LOG_PART_BYTES];
};

_Static_assert(ZK_PAST_BYTES_MAX < ZK_LOG_PART_BYTES, "a row holds any change");

void zk_history_init(struct zk_history *h);
/* A change of ap->history's entry; flush puts what is collected. */
int zk_history_add(struct zk_apply *ap, const struct zk_change *change);
int zk_history_flush(struct zk_apply *ap);

/*
 * Forget some of the oldest when there is more than should be kept.  Once a
 * turn is enough.
 */
struct zk_history_limits {
	uint64_t rows, bytes;
};
int zk_history_trim(struct zk_tx *tx, const struct zk_history_limits *limits);

/* What happened up to and with rev is not known here. */
int zk_history_restart(struct zk_tx *tx, uint64_t rev);

/*
 * Changes from *at on, in order, until there are no more or fn wants no more,
 * but of no more than max rows; moves *at on, behind the newest entry at the
 * end.  In a read transaction.
 * -ENODATA: there were changes at *at or later that are forgotten.
 */
int zk_history_read(struct zk_tx *tx, struct zk_past_at *at, uint32_t max,
    zk_past_fn fn, void *arg);

/* For verify: whether the row makes sense.  0 or -ZK_ECORRUPT. */
int zk_history_check(const struct zk_scan *scan, uint64_t applied_index);

#endif
