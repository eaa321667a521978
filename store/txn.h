#ifndef ZK_STORE_TXN_H
#define ZK_STORE_TXN_H

#include "store/apply.h"

/*
 * ZK_OP_TXN: lines of cmd->data, applied all or none, as one revision; the
 * grammar is in zkfs(5).  cmd->uid, gid and groups[] decide what is allowed.
 * When a line is refused outcome->line says which.
 */
int zk_txn_apply(struct zk_apply *ap);

#endif
