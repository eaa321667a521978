#ifndef ZK_DAEMON_OWN_H
#define ZK_DAEMON_OWN_H

#include <stddef.h>

#include "daemon/fault.h"
#include "daemon/options.h"

/* What a daemon is called, and where it is found. */

/*
 * The name for a new data directory, which remembers it: an observer without
 * one is called by its host's and some digits.  0 or a negative code.
 */
int zk_own_name(const struct zk_options *options, char *buf, size_t cap,
    struct zk_fault *ret_fault);

/* For those who look for the daemon of a data directory. */
void zk_own_pid(const struct zk_options *options, char *path, size_t cap);

#endif
