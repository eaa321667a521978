#ifndef ZK_DAEMON_CLUSTER_KEY_H
#define ZK_DAEMON_CLUSTER_KEY_H

#include "consensus/auth.h"
#include "daemon/fault.h"

/*
 * The ensemble's key from a file that nobody but its owner can read: 64 to
 * 128 hexadecimal digits and perhaps a newline, as zkfs keygen writes them,
 * or 32 to 64 bytes as they are.  Returns 0, or a negative code with
 * *ret_fault set.
 */
int zk_cluster_key_read(const char *path, struct zk_auth_key *ret_key,
    struct zk_fault *ret_fault);

#endif
