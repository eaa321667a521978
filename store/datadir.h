#ifndef ZK_STORE_DATADIR_H
#define ZK_STORE_DATADIR_H

/*
 * The data directory as a thing on disk: one daemon at a time, nothing in it
 * that is not ours, and a file that can be opened without harm.  All checks
 * come before the first change.
 */

#define ZK_DATADIR_TREE    "tree.mdb"
#define ZK_DATADIR_LOCK    "tree.mdb-lock"
#define ZK_DATADIR_JOURNAL "journal" /* of the tree; store/journal.h */
/* The partitions' environment; queue/plog.h. */
#define ZK_DATADIR_TOPICS         "topics.mdb"
#define ZK_DATADIR_TOPICS_LOCK    "topics.mdb-lock"
#define ZK_DATADIR_TOPICS_JOURNAL "topics.journal"
#define ZK_DATADIR_PID            "pid"
/* Without a name as soon as it is open; a crash in between can leave it. */
#define ZK_DATADIR_SPOOL  "snapshot"
#define ZK_DATADIR_BACKUP "backup"

/* There while the tree is made: without it, an empty tree is a damaged one. */
#define ZK_DATADIR_MAKING "tree.new"
/* The same for the partitions' file and its journal. */
#define ZK_DATADIR_TOPICS_MAKING "topics.new"

/* The format of the rows, in the identity row.  Other versions are refused. */
#define ZK_STORE_FORMAT 3u

/*
 * Make dir (mode 0700, parents too) where missing, take its lock and check
 * what is in it.  *ret_fd holds the lock until it is closed.  Codes and
 * *ret_why as for zk_store_open().
 */
int zk_datadir_claim(const char *dir, char **ret_why, int *ret_fd);

/*
 * The tree has been made, or was: it and its name are on disk from now on, and
 * a tree that looks unmade will be refused.  0 or a negative errno.
 */
int zk_datadir_made(int dir_fd);

/*
 * The partitions' file and its journal are about to be made, unless there is
 * one of which the tree does not know yet: what a crash left of an earlier
 * attempt is removed.  The end of that is told when the tree knows them.  0 or
 * a negative errno.
 */
int zk_datadir_new_topics(int dir_fd);
int zk_datadir_topics_made(int dir_fd);

/*
 * Take the partitions' file, which is there, back to its checkpoint, as it
 * must be before LMDB opens it.  1: done; 0: there was no checkpoint yet; or
 * a negative code.
 */
int zk_datadir_restore_topics(int dir_fd);

/* Sets *ret_why (when it is wanted and unset) to a line about dir and rc. */
void zk_datadir_why(char **ret_why, const char *dir, int rc);

#endif
