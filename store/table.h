#ifndef ZK_STORE_TABLE_H
#define ZK_STORE_TABLE_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/node.h"

/*
 * Rows: everything zkfs keeps is a row in one LMDB tree.  The first byte of a
 * key names the table, big-endian numbers follow, so that a table's rows are
 * neighbours and sort by number.  One tree, because a commit writes every page
 * on the path to each changed leaf: several trees would have several paths.
 *
 * A row's value ends with the CRC-32C of key and value.  LMDB has no page
 * checksums, so this is what notices a flipped bit.  Rows of replicated tables
 * are also folded into the digest, a sum that does not depend on the order of
 * the changes: members with equal trees have equal digests, and a scan of the
 * whole tree can recompute it.
 *
 * This header is for store/ only; the layers above use store.h, log.h,
 * apply.h and read.h.
 */

enum zk_table {
	/* of this member */
	ZK_TABLE_IDENT = 'A', /* "": who we are; see store.c */
	ZK_TABLE_HARD = 'B',  /* "": Raft's term and vote */
	ZK_TABLE_STATE = 'C', /* "": struct zk_state */
	ZK_TABLE_PEERS = 'D', /* "": who is called what, and where; daemon/'s */
	ZK_TABLE_HISTORY = 'E',   /* rev, sub u32: see history.h */
	ZK_TABLE_JOURNAL = 'J',   /* left by earlier versions; not read */
	ZK_TABLE_TOPICS_ID = 'K', /* "": id u64; in both environments */
	ZK_TABLE_LOG = 'L',       /* index, part u32: see log.c */
	/* of the topics, in an environment of their own: see queue/plog.c */
	ZK_TABLE_TOPICS = 'T',      /* "": whose they are */
	ZK_TABLE_GROUP = 'G',       /* partition: its state */
	ZK_TABLE_GROUP_HARD = 'H',  /* partition: Raft's term and vote */
	ZK_TABLE_GROUP_FLOOR = 'F', /* partition: the log's end when it left */
	ZK_TABLE_GROUP_LOG = 'M',   /* partition, index, part u32 */
	ZK_TABLE_WRITER = 'W',      /* partition, session */
	/* of the replicated tree */
	ZK_TABLE_ANSWER = 'a',    /* session, number: see answer.c */
	ZK_TABLE_CONF = 'c',      /* "": the members; see store.c */
	ZK_TABLE_DIRENT = 'd',    /* parent, slot: see dirent.c */
	ZK_TABLE_EPHEMERAL = 'e', /* session, handle: ino, parent, name */
	ZK_TABLE_CHUNK = 'f',     /* ino, chunk u32: bytes */
	ZK_TABLE_INODE = 'i',     /* ino: see inode.c */
	ZK_TABLE_LOCK = 'k',      /* ino: see lock.c */
	ZK_TABLE_ROSTER = 'm',    /* id: see roster.c */
	ZK_TABLE_NAME = 'n',      /* ino, parent, name: ""; see link.h */
	ZK_TABLE_ORPHAN = 'o',    /* ino, session: "" */
	ZK_TABLE_PARTITION = 'p', /* topic, number u32: see topic_row.c */
	ZK_TABLE_SHARE = 'q',     /* group, number u32: see group_row.c */
	ZK_TABLE_SESSION = 's',   /* session: see session.c */
	ZK_TABLE_TOPIC = 't',     /* topic: see topic_row.c */
	ZK_TABLE_MEMBER = 'u',    /* group, joined: session, handle */
	ZK_TABLE_SEAT = 'v',      /* session, handle: group, joined */
	ZK_TABLE_WAITER = 'w',    /* ino, number of the entry: see lock.c */
	ZK_TABLE_XATTR = 'x',     /* ino, name: value */
};

#define ZK_KEY_MAX (1 + 8 + 8 + ZK_XATTR_NAME_MAX)

struct zk_key {
	size_t len;
	uint8_t bytes[ZK_KEY_MAX];
};

/* What the replicated state machine knows besides its rows. */
struct zk_state {
	uint64_t applied_index, applied_term;
	struct zk_stamp time; /* of the newest entry; never goes back */
	uint64_t digest;
	uint64_t ino_next;
	uint64_t nodes;     /* inodes */
	uint64_t row_bytes; /* of replicated rows, keys included */
	uint8_t ensemble[16];
};

struct zk_env;
struct zk_memo;
struct zk_store;

/*
 * A transaction.  Write: the node thread, one at a time.  Read: any thread,
 * short; see zk_read_begin().
 */
/* Tables are letters. */
#define ZK_TX_CURSORS 64u

/* What is told of apart from the tree; who has told it takes it back. */
enum zk_tx_news {
	ZK_TX_LOCKS = 1,    /* held, or waited for */
	ZK_TX_SESSIONS = 2, /* which there are */
};

struct zk_tx {
	struct zk_env *env;
	struct zk_store *store; /* NULL: the rows are of another's */
	MDB_txn *mdb;
	MDB_dbi dbi;
	bool write;
	/*
	 * The first error that was not about a row's presence.  It is set once
	 * and never cleared: the transaction must be aborted and the member
	 * must stop.
	 */
	int fatal;
	uint64_t changes;     /* rows put or deleted so far */
	size_t noted;         /* bytes of it for the journal; see env.h */
	bool whole;           /* it cannot be told by the journal */
	uint64_t label;       /* see env.h */
	unsigned news;        /* enum zk_tx_news, of rows put or deleted */
	struct zk_memo *memo; /* see memo.h; may be NULL */
	/*
	 * Of ZK_TX_CURSORS, one for a table, NULL until it is used; the
	 * environment's, LMDB closes them with mdb.  NULL: none are kept.
	 */
	MDB_cursor **cursors;
	struct zk_state state;
};

void zk_key_init(struct zk_key *key, enum zk_table table);
void zk_key_u64(struct zk_key *key, uint64_t value);
void zk_key_u32(struct zk_key *key, uint32_t value);
void zk_key_raw(struct zk_key *key, const void *data, size_t len);
struct zk_key zk_key1(enum zk_table table, uint64_t a);
struct zk_key zk_key2(enum zk_table table, uint64_t a, uint64_t b);

/*
 * The row's value, without its checksum.  It points into the map: it is valid
 * until the transaction ends or, in a write transaction, changes any row.
 * -ENOENT and nothing else when there is no such row.
 */
int zk_row_get(struct zk_tx *tx, const struct zk_key *key,
    const void **ret_value, size_t *ret_len);

/* Insert or replace.  value must not point into the map. */
int zk_row_put(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len);

/* What such a row takes, its checksum included. */
size_t zk_row_bytes(const struct zk_key *key, size_t len);

/* The same, and faster, for a row that is not there as far as one knows. */
int zk_row_add(struct zk_tx *tx, const struct zk_key *key, const void *value,
    size_t len);

/* -ENOENT when there is no such row. */
int zk_row_delete(struct zk_tx *tx, const struct zk_key *key);

/*
 * Walk rows in key order, from `from` (included) as long as the key begins
 * with the first prefix_len bytes of it.  zk_scan_next() returns 0, or
 * -ENOENT at the end.  The walk sees the rows as they are at each step, so
 * rows may be deleted or put while it goes on; key and value are as for
 * zk_row_get().  Always zk_scan_end().
 */
struct zk_scan {
	struct zk_tx *tx;
	MDB_cursor *cursor;
	size_t prefix_len;
	bool started;
	uint64_t changes; /* tx->changes when the cursor was moved last */
	struct zk_key at; /* the row returned last, or where to begin */
	const void *value;
	size_t value_len;
};

int zk_scan_begin(struct zk_tx *tx, const struct zk_key *from,
    size_t prefix_len, struct zk_scan *ret_scan);
int zk_scan_next(struct zk_scan *scan);
/* Deletes the row that zk_scan_next() has just returned. */
int zk_scan_delete(struct zk_scan *scan);
void zk_scan_end(struct zk_scan *scan);

/* Deletes all rows whose key begins with prefix. */
int zk_rows_delete(struct zk_tx *tx, const struct zk_key *prefix);

/*
 * True for rows that must survive a crash by themselves.  The others follow
 * from applying the log, or are written in transactions marked `whole`.
 */
bool zk_table_is_journaled(uint8_t table);

/* True for rows that count in the digest. */
bool zk_table_is_replicated(uint8_t table);

/* What a row adds to the digest. */
uint64_t zk_row_digest(const void *key, size_t key_len, uint32_t crc);

/* LMDB's codes as ours; the only place where the two spaces meet. */
int zk_err_from_mdb(int rc);

#endif
