#ifndef ZK_BASE_CHANGE_H
#define ZK_BASE_CHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What applying a command changed in the tree, for the kernel's caches.
 * store/ makes them, fs/ consumes them.  Pointers are borrowed.
 */
enum zk_change_kind {
	ZK_CHANGE_ENTRY,  /* name in parent now leads elsewhere or nowhere */
	ZK_CHANGE_DATA,   /* content and attributes of ino */
	ZK_CHANGE_ATTR,   /* attributes of ino */
	ZK_CHANGE_ORPHAN, /* ino lost its last name; held until reaped */
};

struct zk_change {
	enum zk_change_kind kind;
	uint64_t parent;
	const char *name;
	size_t name_len;
	uint64_t ino;
	uint64_t session; /* whose command it was */
	/*
	 * A system call on this mount did exactly this, so the kernel knows.
	 * False for what happens on the side: an ephemeral's end, a
	 * transaction, another host.
	 */
	bool known;
	/* DATA: the old value is gone as a whole, not only overwritten. */
	bool replaces;
};

#endif
