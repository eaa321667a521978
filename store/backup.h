#ifndef ZK_STORE_BACKUP_H
#define ZK_STORE_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/backup.h"
#include "store/store.h"

/*
 * Backups of the replicated tree; base/backup.h has the format.  The records
 * of topics are not part of it: they are not in the tree.
 */

/*
 * A backup of what is applied here, in a file without a name in the data
 * directory; *ret_fd is the caller's, at its start.  Takes as long as it takes
 * to write it, in a thread of the caller's, which is stopped when stop(arg)
 * says so; one at a time.
 *   -EINTR, -ENOSPC, -ENOENT: a tree without an entry
 *   -ETIMEDOUT: the disk is so slow that the read transaction would make the
 *               tree's file grow
 */
int zk_backup_make(struct zk_store *store, bool (*stop)(void *arg), void *arg,
    int *ret_fd);

/*
 * 0 when the file, from its start, is a whole backup that this version reads.
 *   -ZK_EFOREIGN, -ZK_EVERSION, -ZK_ECORRUPT, or why it cannot be read
 */
int zk_backup_check_file(int fd, struct zk_backup_head *ret_head);

/*
 * Make the tree of a store that zk_store_open() has just made the one of the
 * backup, whose file was checked; conf is the membership, as for
 * zk_conf_row_put().  Sessions, and with them ephemeral files, locks and
 * members of groups, are over; so are unlinked files that were open.
 * Partitions are founded anew by this member alone, without records.  The log
 * is empty but for one entry, which follows the backup's.
 */
int zk_backup_install(struct zk_store *store, int fd,
    const struct zk_backup_head *head, const void *conf, size_t conf_len);

#endif
