#ifndef ZK_STORE_SNAPSHOT_H
#define ZK_STORE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/codec.h"
#include "store/store.h"
#include "store/table.h"

/*
 * The replicated tree of one moment, on its way from one member to another.
 *
 * The sender reads it row by row out of one read transaction, in parts.  The
 * receiver spools the parts to a file without a name, so that a crash leaves
 * nothing behind, and when all are there and make up the tree that was
 * announced, turns its own rows into those, in one write transaction: rows
 * that are equal already are left alone, and until the commit the old tree
 * is there, for readers and for a restart.
 *
 * Head:  state (as in the STATE row's order), conf index u64, conf bytes.
 * Part:  CRC-32C u32 of what follows; then rows: key length u16, value length
 *        u32, key, value without its checksum.  Keys grow from row to row,
 *        through all parts.
 * Little-endian.
 */

#define ZK_SNAPSHOT_HEAD_MAX (128u + ZK_CONF_BYTES_MAX)
#define ZK_SNAPSHOT_PART_MAX ZK_MIB

struct zk_snapshot_head {
	struct zk_state state;
	uint64_t conf_index; /* the members, as zk_conf_row_put() got them */
	size_t conf_len;
	uint8_t conf[ZK_CONF_BYTES_MAX];
};

/* Of what a read transaction sees.  -ENOENT: a tree without an entry. */
int zk_snapshot_head(struct zk_tx *tx, struct zk_snapshot_head *ret_head);

/* An error sticks to *enc. */
void zk_snapshot_head_encode(struct zk_enc *enc,
    const struct zk_snapshot_head *head);
/* 0 or -EPROTO. */
int zk_snapshot_head_decode(struct zk_dec *dec,
    struct zk_snapshot_head *ret_head);

/* Where the next part begins; begin with zk_snapshot_start(). */
struct zk_snapshot_place {
	struct zk_key from;
	bool end; /* there is no row from there on */
};
void zk_snapshot_start(struct zk_snapshot_place *place);

/*
 * One part: rows from *place on until it holds `want` bytes or more, at most
 * ZK_SNAPSHOT_PART_MAX, which is the size of buf.  Moves *place on.
 */
int zk_snapshot_read(struct zk_tx *tx, struct zk_snapshot_place *place,
    size_t want, void *buf, size_t *ret_len);

/* The rows of a part: 0 or -EPROTO. */
int zk_snapshot_rows(const void *part, size_t len, struct zk_dec *ret_dec);
/* The next of them.  -ENOENT at the end; -EPROTO. */
int zk_snapshot_row(struct zk_dec *dec, struct zk_key *ret_key,
    const void **ret_value, size_t *ret_len);

/* --- the receiver --------------------------------------------------------- */

struct zk_spool;

/*
 * Begin to receive.  -ENOSPC: not enough room on disk for what is announced;
 * -EPROTO: of another ensemble.  The store must outlive the spool.
 */
int zk_spool_open(struct zk_store *store, const struct zk_snapshot_head *head,
    struct zk_spool **ret_spool);
void zk_spool_close(struct zk_spool *spool); /* NULL is fine */

const struct zk_snapshot_head *zk_spool_head(const struct zk_spool *spool);

/*
 * The next part.  -EPROTO: not one, or not the next; else why it could not be
 * written.  After a failure the spool can only be closed.
 */
int zk_spool_add(struct zk_spool *spool, const void *part, size_t len);

/* All parts are there: 0, or -EPROTO: they are not what the head announced. */
int zk_spool_check(const struct zk_spool *spool);

/*
 * Make the tree of tx, a write transaction, the spooled one; tx->state is the
 * head's then.  After a failure tx must be aborted.  Only after
 * zk_spool_check().
 */
int zk_spool_install(struct zk_spool *spool, struct zk_tx *tx);

#endif
