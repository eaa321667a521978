#ifndef ZK_FS_TRUNC_H
#define ZK_FS_TRUNC_H

#include <stdbool.h>
#include <stdint.h>

struct zk_command;
struct zk_fs;
struct zk_handle;
struct zk_inode;
struct zk_inodes;

/*
 * Who opens a file with O_TRUNC has truncated it before everything that comes
 * later, though nobody sees that yet.  So the next change of the file on this
 * host, through whichever open file, empties it first, in the same command,
 * and then no close of a file that was opened before owes that any more: it
 * would take what was written since.  Its first write still replaces the whole
 * value, unless it appends.
 *
 * The kernel makes one change of a file at a time, so that no other comes
 * between zk_trunc_stamp() and zk_trunc_done().
 */

/* These want the lock of the inode table held. */

/* It was opened with O_TRUNC. */
void zk_trunc_begin(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle);
/* It has no truncation to come, whether it had or not. */
void zk_trunc_end(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle);
/* A change through it was refused: from now on closing does not empty it. */
void zk_trunc_refused(struct zk_inodes *t, struct zk_inode *inode,
    struct zk_handle *handle);
/* Whether closing it would empty the file. */
bool zk_trunc_owes(struct zk_inodes *t, const struct zk_handle *handle);
/*
 * A change of content through this open file, or NULL: it carries what is owed.
 */
void zk_trunc_stamp(struct zk_fs *fs, struct zk_handle *handle,
    struct zk_command *cmd);

/* These take it. */

void zk_trunc_refuse(struct zk_fs *fs, struct zk_handle *handle);
/* Whether closing any open file of ino would empty it. */
bool zk_trunc_is_owed(struct zk_fs *fs, uint64_t ino);
/* A command that was stamped has been done. */
void zk_trunc_done(struct zk_fs *fs, const struct zk_command *cmd);

#endif
