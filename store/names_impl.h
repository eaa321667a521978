#ifndef ZK_STORE_NAMES_IMPL_H
#define ZK_STORE_NAMES_IMPL_H

#include "store/inode.h"
#include "store/link.h"
#include "store/names.h"

/* What names*.c share. */

/* One component, neither "." nor "..". */
bool zk_names_valid(const char *name, size_t len);

/* A directory that still has a name, to be changed.  -ENOENT, -ENOTDIR. */
int zk_names_load_dir(struct zk_apply *ap, uint64_t ino,
    struct zk_inode *ret_dir);

/* A node got a name. */
void zk_names_tell_created(struct zk_apply *ap, const struct zk_attr *attr,
    uint64_t parent, const char *name, size_t name_len);

/* Take name out of dir, which is put, and drop the node's link. */
int zk_names_remove(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    size_t name_len, const struct zk_entry_ref *ref);

/* Its entries have changed; the caller puts it. */
void zk_names_touch_dir(struct zk_apply *ap, struct zk_inode *dir);

/*
 * A node has lost the name `lost`, which was taken out of its directory
 * already.  *ret_nlink: the names it has left; *ret_orphan: none, and it is
 * held.
 */
int zk_names_drop_link(struct zk_apply *ap, uint64_t ino,
    const struct zk_link_name *lost, uint32_t *ret_nlink, bool *ret_orphan);

#endif
