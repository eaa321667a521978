#ifndef ZK_STORE_OWN_ROWS_H
#define ZK_STORE_OWN_ROWS_H

#include "store/store.h"

/*
 * The rows of which there is one: who this member is, and where it stands.
 * Those that other parts need are declared in store.h; these are for store.c.
 */

/* -ENOENT in a new directory; -ZK_EVERSION. */
int zk_ident_row_get(struct zk_tx *tx, struct zk_ident *ret_ident);
int zk_ident_row_put(struct zk_tx *tx, const struct zk_ident *ident);

/* Stores tx->state. */
int zk_state_row_put(struct zk_tx *tx);

#endif
