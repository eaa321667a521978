#ifndef ZK_STORE_LOG_H
#define ZK_STORE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/node.h"
#include "store/table.h"

/* The log: Raft's entries as rows.  Node thread, write transactions. */

enum zk_payload_kind {
	ZK_PAYLOAD_COMMAND = 1, /* payload: an encoded struct zk_command */
	ZK_PAYLOAD_NOOP,        /* the first of a term */
	ZK_PAYLOAD_CONFIG,      /* payload: a membership */
};

struct zk_entry {
	uint64_t index, term;
	enum zk_payload_kind kind;
	struct zk_stamp time; /* given by the leader */
	const void *payload;  /* borrowed */
	size_t payload_len;   /* <= ZK_COMMAND_MAX */
};

/* index must follow the last one, or be the first of an empty log. */
int zk_log_append(struct zk_tx *tx, const struct zk_entry *entry);

/*
 * Read one entry; the payload is put into buf (cap >= ZK_COMMAND_MAX is
 * always enough) and ret_entry->payload points there.  -ENOENT, -ERANGE.
 */
int zk_log_get(struct zk_tx *tx, uint64_t index, void *buf, size_t cap,
    struct zk_entry *ret_entry);

/* First and last index; both 0 when empty. */
int zk_log_bounds(struct zk_tx *tx, uint64_t *ret_first, uint64_t *ret_last);

/* Delete from index to the end (a follower's conflict, Raft 5.3). */
int zk_log_truncate(struct zk_tx *tx, uint64_t index);

/* Delete at most max entries from the front, below index. */
int zk_log_trim(struct zk_tx *tx, uint64_t index, uint32_t max);

/* Index and term of each entry, in order, for restoring Raft's state. */
typedef void (*zk_log_term_fn)(void *arg, uint64_t index, uint64_t term);
int zk_log_terms(struct zk_tx *tx, zk_log_term_fn fn, void *arg);

#endif
