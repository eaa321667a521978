#ifndef ZK_STORE_INODE_H
#define ZK_STORE_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/node.h"
#include "store/table.h"

/*
 * An inode row, decoded.  A plain value that owns its bytes.
 *
 * Invariant, so that equal trees have equal rows: a regular file of at most
 * ZK_INLINE_MAX bytes has its content here (data_len == attr.size) and no
 * chunks; a larger one has data_len == 0 and its content in chunks.
 */
struct zk_inode {
	struct zk_attr attr;
	uint64_t seq; /* directories: the next sequential name's number */
	/* A name of it in attr.parent; see link.h.  None: root, orphans. */
	size_t name_len;
	char name[ZK_NAME_MAX];
	size_t data_len;
	uint8_t data[ZK_SYMLINK_MAX + 1]; /* content, or the link's target */
};

_Static_assert(ZK_SYMLINK_MAX >= ZK_INLINE_MAX, "data[] holds both");

/* 0 or -ENOENT; other codes are fatal. */
int zk_inode_get(struct zk_tx *tx, uint64_t ino, struct zk_inode *ret_inode);
int zk_inode_put(struct zk_tx *tx, const struct zk_inode *inode);
/* The attributes alone. */
int zk_inode_attr(struct zk_tx *tx, uint64_t ino, struct zk_attr *ret_attr);
/* And its name, which points into the map as that of zk_row_get(). */
int zk_inode_attr_name(struct zk_tx *tx, uint64_t ino, struct zk_attr *ret_attr,
    const char **ret_name, size_t *ret_len);

#endif
