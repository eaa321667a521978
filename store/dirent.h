#ifndef ZK_STORE_DIRENT_H
#define ZK_STORE_DIRENT_H

#include <stddef.h>
#include <stdint.h>

#include "store/table.h"

/*
 * Directory entries.  A row's key is (parent, slot): the slot is a keyed hash
 * of the name, its low byte telling names of equal hash apart.  So a lookup
 * and a listing share one row a name, and a listing's position (the slot) is
 * stable while entries come and go, as readdir(3) wants.
 */
struct zk_entry_ref {
	uint64_t ino;
	uint32_t type; /* S_IF* */
	uint64_t slot; /* > 2, < 2^63 */
};

/* -ENOENT when the directory has no such name. */
int zk_dirent_get(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, struct zk_entry_ref *ret_ref);

/*
 * Add a name, or point an existing one elsewhere.  -ENOSPC when 256 names of
 * the directory share one hash.
 */
int zk_dirent_put(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len, const struct zk_entry_ref *ref);

/* -ENOENT when the directory has no such name. */
int zk_dirent_delete(struct zk_tx *tx, uint64_t parent, const char *name,
    size_t name_len);

/* 0: the directory has an entry; -ENOENT: it is empty. */
int zk_dirent_any(struct zk_tx *tx, uint64_t parent);

/* Decode a row of ZK_TABLE_DIRENT; *ret_name points into value. */
int zk_dirent_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_entry_ref *ret_ref, const char **ret_name, size_t *ret_name_len);

#endif
