#ifndef ZK_STORE_CONTENT_H
#define ZK_STORE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/inode.h"

/*
 * The bytes of regular files: inside the inode row while they are few, else
 * in chunks of ZK_CHUNK_BYTES.  A chunk row may be shorter than a chunk or be
 * missing: the rest reads as zeros.  The last chunk never reaches beyond the
 * size.  Writers change *inode (size, blocks, inline bytes); the caller puts
 * it.  Errors are fatal to the transaction.
 */

/* At most cap bytes from off; 0 bytes at and beyond the end. */
int zk_content_read(struct zk_tx *tx, const struct zk_inode *inode,
    uint64_t off, void *buf, size_t cap, size_t *ret_len);

int zk_content_write(struct zk_tx *tx, struct zk_inode *inode, uint64_t off,
    const void *data, size_t len);

/* Cut, or grow by a hole. */
int zk_content_truncate(struct zk_tx *tx, struct zk_inode *inode,
    uint64_t size);

/* Zeros in [off, off + len) that is inside the file; whole chunks go. */
int zk_content_punch(struct zk_tx *tx, struct zk_inode *inode, uint64_t off,
    uint64_t len);

/* lseek(2)'s SEEK_DATA and SEEK_HOLE.  -ENXIO at and beyond the end. */
int zk_content_seek(struct zk_tx *tx, const struct zk_inode *inode,
    uint64_t off, bool hole, uint64_t *ret_off);

#endif
