#ifndef ZK_STORE_CHECKPOINT_H
#define ZK_STORE_CHECKPOINT_H

#include <lmdb.h>
#include <stdbool.h>

#include "store/journal.h"

/*
 * Checkpoints of an environment whose commits are not flushed (MDB_NOSYNC).
 *
 * A checkpoint is what one transaction committed.  A read transaction pins it:
 * as long as that is open, LMDB reuses none of the pages that it leads to, so
 * once they are flushed, they are there after any crash.  What is not safe is
 * LMDB's own two meta pages, which lead to later pages that may never have
 * been written.  So the checkpoint's meta page is kept in the journal, and put
 * back over both of them before LMDB opens the file.
 *
 * The flush takes as long as it takes: where asked for, a thread does it, while
 * the writer goes on.  The old checkpoint stays pinned until the new one is on
 * disk.
 */
struct zk_checkpointer;

/*
 * tree_fd: of the environment's file; not taken over.  The environment and
 * the journal must outlive it.  background: with a thread.
 */
int zk_checkpointer_open(MDB_env *mdb, int tree_fd, struct zk_journal *journal,
    bool background, struct zk_checkpointer **ret_checkpointer);

/* Waits for one under way.  NULL is fine.  No transaction may be open. */
void zk_checkpointer_close(struct zk_checkpointer *c);

/*
 * Begin a checkpoint of what is committed, unless one is under way.  Writer.
 * of: up to where in the journal that is (zk_journal_mark()), and its label.
 * in_lots: its pages may go to the disk little by little, if there is a thread
 * for it.  The writer's records then hardly wait, but the flush takes longer,
 * and meanwhile no page is used again: the file grows.
 * This, _poll() and _wait() return a negative code when it is not known any
 * more what the disk holds: the process must end.
 */
int zk_checkpointer_begin(struct zk_checkpointer *c,
    const struct zk_checkpoint *of, bool in_lots);

/* Take notice of one that has come about. */
int zk_checkpointer_poll(struct zk_checkpointer *c);

/* One is under way, or nobody has taken notice of it yet.  Writer. */
bool zk_checkpointer_is_busy(const struct zk_checkpointer *c);

/* What is left of the one under way is flushed at once. */
void zk_checkpointer_hurry(struct zk_checkpointer *c);

/* Until none is under way; it hurries. */
int zk_checkpointer_wait(struct zk_checkpointer *c);

/* Of the newest one on disk; 0 before the first. */
uint64_t zk_checkpointer_label(const struct zk_checkpointer *c);

/* --- before the environment is open --------------------------------------- */

/* The file's own meta pages, to put them back with. */
struct zk_metas {
	bool changed;
	uint8_t bytes[2][ZK_META_BYTES];
};

/*
 * Make the file what it was at the checkpoint, if it went on since.  The file
 * is whole at least up to its two meta pages.
 */
int zk_checkpoint_restore(int tree_fd, const struct zk_checkpoint *checkpoint,
    struct zk_metas *ret_before);
int zk_checkpoint_undo(int tree_fd, const struct zk_metas *before);

#endif
