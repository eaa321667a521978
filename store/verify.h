#ifndef ZK_STORE_VERIFY_H
#define ZK_STORE_VERIFY_H

#include <stdint.h>

#include "store/table.h"

/*
 * Is what the store holds whole and does it make sense?  Reads everything:
 * each row's checksum, the digest, and what the rows promise each other (each
 * name leads to a node, each node has the names it counts, ...).
 */
struct zk_verify_report {
	uint64_t rows, row_bytes; /* of replicated tables */
	uint64_t nodes, digest;
	uint64_t log_first, log_last;
	char problem[256]; /* the first one found; "" when none */
};

/*
 * 0: all is well.  -ZK_ECORRUPT: problem says what is not.  Other codes: it
 * could not be found out.  A write transaction is seen as it is so far.
 */
int zk_verify(struct zk_tx *tx, struct zk_verify_report *ret_report);

/* As zk_verify(), and calls progress(arg) every few thousand rows. */
int zk_verify_watched(struct zk_tx *tx, void (*progress)(void *arg), void *arg,
    struct zk_verify_report *ret_report);

/*
 * Verify the tree in dir, which the caller has locked, and leave it as it is;
 * and that the partitions' file beside it is the one that it knows of, and can
 * be walked.
 * A child process does it: LMDB trusts its pages, and a damaged one ends the
 * process that looks at it.  A child that makes no progress for 30 s is
 * ended.  On failure *ret_why, when not NULL and unset, gets one malloc'd
 * line that names the file.  The caller should have one thread only.
 *   -ZK_ECORRUPT, -ZK_EVERSION, -ETIMEDOUT, or why it could not be read
 */
int zk_verify_dir(const char *dir, char **ret_why);

#endif
