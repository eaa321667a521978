#ifndef ZK_DAEMON_OWN_H
#define ZK_DAEMON_OWN_H

#include <stddef.h>

#include "daemon/fault.h"
#include "daemon/options.h"
#include "store/roster.h"
#include "store/store.h"

/* What a daemon is called, and where it is found. */

/*
 * The name for a new data directory, which remembers it: an observer without
 * one is called by its host's and some digits.  0 or a negative code.
 */
int zk_own_name(const struct zk_options *options, char *buf, size_t cap,
    struct zk_fault *ret_fault);

/*
 * The store of a data directory.  Its daemon before may still be ending, for
 * umount(2) does not wait for it: so this does, for some seconds, or until a
 * signal comes.
 */
int zk_own_store(const struct zk_store_options *options, char **ret_why,
    struct zk_store **ret_store);

/*
 * What the options cannot mean together, or on this host: too many members,
 * no key where one is needed, a file that is not there.
 */
int zk_own_check(const struct zk_options *options, struct zk_fault *ret_fault);

/* The roster of a group of one: nobody dials it.  Static. */
const struct zk_roster *zk_own_roster(const struct zk_store *store);

/* For those who look for the daemon of a data directory. */
void zk_own_pid(const struct zk_options *options, char *path, size_t cap);

#endif
