#ifndef ZK_STORE_READ_H
#define ZK_STORE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/inode.h"

/*
 * What readers of the tree ask.  Any thread, in a read transaction of its
 * own.  0, -ENOENT, or -ZK_ECORRUPT when a row fails its checksum.
 */
int zk_read_lookup(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, struct zk_attr *ret_attr);

int zk_read_content(struct zk_tx *tx, uint64_t ino, uint64_t off, void *buf,
    size_t cap, size_t *ret_len);

int zk_read_seek(struct zk_tx *tx, uint64_t ino, uint64_t off, bool hole,
    uint64_t *ret_off);

/* -EINVAL: not a link. */
int zk_read_link(struct zk_tx *tx, uint64_t ino, char *buf, size_t cap,
    size_t *ret_len);

/* -ENODATA, -ERANGE; cap 0 asks for the length only. */
int zk_read_xattr(struct zk_tx *tx, uint64_t ino, const char *name,
    size_t name_len, void *buf, size_t cap, size_t *ret_len);
int zk_read_xattr_names(struct zk_tx *tx, uint64_t ino, char *buf, size_t cap,
    size_t *ret_len);

/*
 * Entries whose slot is above `after`, in order of their slots.  fn returns
 * false to stop.
 */
struct zk_read_entry {
	const char *name;
	size_t name_len;
	uint64_t ino, slot;
	uint32_t type;
	const struct zk_attr *attr; /* NULL unless asked for */
};
typedef bool (*zk_read_entry_fn)(void *arg, const struct zk_read_entry *entry);
int zk_read_dir(struct zk_tx *tx, uint64_t ino, uint64_t after, bool attrs,
    zk_read_entry_fn fn, void *arg);

#endif
