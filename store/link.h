#ifndef ZK_STORE_LINK_H
#define ZK_STORE_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "store/inode.h"

/*
 * From a node back to its names, for the paths of events.  Every node with a
 * name knows one, the one it got last of those it has, in its own row
 * (attr.parent and name).  Of a file with several there is a row for each
 * besides: key ino, parent, name.  Part of the state machine.
 *
 * Each changes *node, which the caller puts.  0 or a fatal code.
 */

/* It is new, and this is its name. */
void zk_link_first(struct zk_inode *node, uint64_t parent, const char *name,
    size_t name_len);

/* A file gets one more name; attr.nlink does not count it yet. */
int zk_link_add(struct zk_tx *tx, struct zk_inode *node, uint64_t parent,
    const char *name, size_t name_len);

/* It has lost a name; attr.nlink counts those left. */
int zk_link_drop(struct zk_tx *tx, struct zk_inode *node, uint64_t parent,
    const char *name, size_t name_len);

/* One of its names is another one now. */
struct zk_link_name {
	uint64_t parent;
	const char *name;
	size_t name_len;
};
int zk_link_move(struct zk_tx *tx, struct zk_inode *node,
    const struct zk_link_name *from, const struct zk_link_name *to);

#endif
