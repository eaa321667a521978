#ifndef ZK_DAEMON_UPGRADE_H
#define ZK_DAEMON_UPGRADE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/fault.h"
#include "daemon/guard.h"
#include "daemon/http.h"
#include "daemon/join.h"
#include "daemon/legacy.h"
#include "daemon/node.h"
#include "daemon/topics.h"
#include "fs/fs.h"
#include "store/store.h"

/*
 * Another program in the place of this one, with the mount alive: SIGUSR2.
 *
 * The process stays the same.  It stops serving, writes what only memory has
 * to a file without a name, and executes the program that is now where it was
 * started from; that one finds the descriptors and takes up the state (fs.h,
 * zk_fs_freeze()), with the session and its numbers.  For the kernel and for
 * the ensemble nothing has happened but a pause.
 *
 * Before anything is stopped, the new program is run once to say that it knows
 * the format of the state.  If it cannot start all the same, it executes the
 * old one, which is kept open until then.
 */
struct zk_upgrade {
	char mountpoint[PATH_MAX];
	struct zk_member_legacy legacy;
	uint64_t count;     /* of upgrades of this mount */
	uint64_t frozen_ms; /* when requests began to wait; monotonic clock */
	void *fs;           /* of zk_fs_save(); zk_upgrade_free() frees it */
	size_t fs_len;
	int fuse_fd, lock_fd;
};

/*
 * First of all in main(): true, with *ret_upgrade, in a program that is to
 * take over.  One that was only asked whether it could ends here.
 */
bool zk_upgrade_begin(char **argv, struct zk_upgrade *ret_upgrade);
void zk_upgrade_free(struct zk_upgrade *upgrade);

/* What is to be stopped; all of it serves. */
struct zk_upgrade_parts {
	struct zk_fs *fs;
	struct zk_node *node;
	struct zk_topics *topics; /* NULL: none */
	struct zk_join *join;
	struct zk_store *store;
	struct zk_guard *guard;
	struct zk_http *http; /* NULL: none */
	const char *mountpoint;
	/* When there is no way back.  Does not return. */
	void (*fatal)(void *arg, int rc, const char *what);
};

/*
 * Main thread.  Only returns when that cannot be now, and all is as before: a
 * negative code with *ret_fault set.
 */
int zk_upgrade_now(struct zk_upgrade *upgrade,
    const struct zk_upgrade_parts *parts, struct zk_fault *ret_fault);

/* That it is done, and how long it took. */
void zk_upgrade_log(const struct zk_upgrade *upgrade);

/*
 * In a program that was to take over and cannot: execute the one before, if
 * this is the first try; else returns.
 */
void zk_upgrade_go_back(void);

/* The signals that must not end it meanwhile. */
void zk_upgrade_block_signals(bool block);

#endif
