#ifndef ZK_BASE_CHANGE_H
#define ZK_BASE_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/node.h"

/*
 * What committed entries changed in the tree: the events of the filesystem,
 * one value each, in the order of the log.  store/ makes them, for the
 * kernel's caches, for inotify and for .zkfs/events alike.  Refused commands
 * make none, nor do opening, reading and listing.  (rev, sub) is the same on
 * every member for the same change.  Pointers are borrowed.
 */
enum zk_change_kind {
	ZK_CHANGE_CREATE, /* name in parent: a new node, or a link to one */
	ZK_CHANGE_DELETE, /* name in parent is no more */
	ZK_CHANGE_RENAME, /* name in parent is now name2 in parent2 */
	ZK_CHANGE_MODIFY, /* content of ino, and attributes with it */
	ZK_CHANGE_ATTRIB, /* attributes of ino alone */
};

struct zk_change {
	enum zk_change_kind kind;
	uint64_t rev; /* index of the entry */
	uint32_t sub; /* which of the entry's changes, from 0 */
	struct zk_stamp time;
	uint64_t session; /* whose command it was; 0: nobody's */
	/*
	 * A system call on this mount did exactly this, so the kernel knows.
	 * False for what happens on the side: an ephemeral's end, a
	 * transaction, another host.
	 */
	bool known;
	/*
	 * known, and found done when a snapshot had become the tree: the
	 * differences that were told of the same node may be this.
	 */
	bool found;
	/* MODIFY, a difference of trees: so many changes.  0: it is one. */
	uint64_t versions;

	uint64_t ino;
	uint32_t type; /* S_IF* */
	/* Names that ino has now; CREATE: more than one is a link. */
	uint32_t nlink;
	/* enum zk_node_kind of ino, and the group or topic it is a part of. */
	uint32_t special;
	uint64_t whole;

	/*
	 * CREATE, DELETE, RENAME: the name in question.  MODIFY, ATTRIB: one
	 * of the node's names; name_len 0: it has none, or none is known.
	 */
	uint64_t parent;
	const char *name; /* not terminated */
	size_t name_len;

	/* RENAME: the new place. */
	uint64_t parent2;
	const char *name2; /* not terminated */
	size_t name2_len;
	/* RENAME: what had that name before; 0: nothing. */
	uint64_t ino2;
	uint32_t type2, nlink2; /* as type and nlink, of ino2 */
	/* RENAME: and ino2 got the old name in return. */
	bool exchange;

	/* MODIFY: the old value is gone as a whole, not only overwritten. */
	bool replaces;
	/*
	 * The node that lost this name (DELETE: ino, RENAME: ino2) had no
	 * other; it is kept until all sessions have reaped it.
	 */
	bool orphan;
};

#endif
