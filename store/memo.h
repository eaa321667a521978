#ifndef ZK_STORE_MEMO_H
#define ZK_STORE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/past.h"
#include "store/session.h"
#include "store/table.h"

/*
 * What a write transaction has looked up and may need again: most commands of
 * a turn come from one session and touch one directory.  A change of a row
 * drops what was read from its table, so it never says what the rows don't.
 *
 * Threads: the writer's.
 */

/* A path, written from its end, and its guards; see history.c. */
struct zk_place {
	size_t start;
	char path[ZK_PAST_PATH_MAX];
	unsigned guard_count;
	uint8_t guards[ZK_PAST_GUARDS_MAX][ZK_PAST_GUARD_BYTES];
};

/* Rows of the history, and their bytes; see history.c. */
struct zk_history_counts {
	uint64_t rows, bytes;
};

struct zk_memo {
	struct zk_session session; /* id 0: none */
	uint64_t dir;              /* whose place is known; 0: none's */
	struct zk_place place;
	uint64_t log_last; /* 0: not known */
	bool counted;      /* the history, which is not empty */
	struct zk_history_counts first, last;
};

/* Of a transaction that begins. */
void zk_memo_clear(struct zk_memo *memo);

/* A row of this table changes. */
void zk_memo_forget(struct zk_memo *memo, uint8_t table);

#endif
