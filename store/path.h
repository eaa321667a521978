#ifndef ZK_STORE_PATH_H
#define ZK_STORE_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/command.h"
#include "store/dirent.h"
#include "store/table.h"

/*
 * Paths and permissions inside the state machine, for commands that name
 * nodes by path.  Everywhere else the kernel has walked and checked.
 */

/* What the caller (uid, gid, groups of cmd) may do; as access(2)'s bits. */
enum { ZK_MAY_EXEC = 1, ZK_MAY_WRITE = 2, ZK_MAY_READ = 4 };
/* 0 or -EACCES. */
int zk_path_access(const struct zk_attr *attr, const struct zk_command *caller,
    uint32_t want);

/* Where a path leads.  The root itself has name_len 0. */
struct zk_place {
	struct zk_attr dir; /* the directory that holds the last component */
	const char *name;   /* in the path given */
	size_t name_len;
	struct zk_entry_ref ref; /* ino 0: no such name */
};

/*
 * Walk from the root; symbolic links are never followed.  The caller must be
 * allowed to search every directory of the path.  -EINVAL for "..", -EPERM
 * below /.zkfs, -ENAMETOOLONG, -ENOTDIR, -ELOOP, -ENOENT (but for the last
 * component), -EACCES.
 */
int zk_path_walk(struct zk_tx *tx, const struct zk_command *caller,
    const char *path, size_t len, struct zk_place *ret_place);

/* The lexical part of the above: -EINVAL, -EPERM, -ENAMETOOLONG. */
int zk_path_check(const char *path, size_t len);

#endif
