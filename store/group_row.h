#ifndef ZK_STORE_GROUP_ROW_H
#define ZK_STORE_GROUP_ROW_H

#include "store/group.h"

/* The rows of groups; between group*.c. */
int zk_share_put(struct zk_tx *tx, const struct zk_share *share);
/* The first share whose number is not below; -ENOENT. */
int zk_share_next(struct zk_tx *tx, uint64_t group, uint32_t number,
    struct zk_share *ret_share);
int zk_share_decode(const struct zk_key *key, const void *value, size_t len,
    struct zk_share *ret_share);

/* A member has two rows: by group and by open file. */
int zk_member_row_put(struct zk_tx *tx, const struct zk_group_member *member);
int zk_member_row_delete(struct zk_tx *tx,
    const struct zk_group_member *member);

#endif
