#ifndef ZK_DAEMON_JOIN_H
#define ZK_DAEMON_JOIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/cluster.h"
#include "daemon/fault.h"
#include "daemon/node.h"
#include "daemon/options.h"
#include "store/store.h"

/*
 * The way of mount.zkfs into its ensemble: what the options say becomes a
 * cluster, and then the main thread waits until there is a majority, for
 * ZK_LAUNCH_QUORUM_MS from zk_join_open() on, or until a signal ends it.
 * Main thread, but for wake and cancel.
 */
struct zk_join {
	struct zk_cluster *cluster; /* NULL: a group of one */
	int wake_fd;
	/* This host is a member no more.  Any thread; must not block. */
	void (*removed)(void *arg);
	void *arg;
	atomic_bool cancelled;
	int64_t deadline_ms;
};

int zk_join_init(struct zk_join *join, struct zk_fault *ret_fault);

/* Look again at what is waited for.  Any thread. */
void zk_join_wake(struct zk_join *join);

/* Wait no longer.  Any thread, also a signal handler. */
void zk_join_cancel(struct zk_join *join);

/*
 * The cluster, when SOURCE lists members or the store knows of some.  Reads
 * the key.  May complete options->listen.
 */
int zk_join_open(struct zk_join *join, struct zk_options *options,
    struct zk_store *store, struct zk_fault *ret_fault);

/* Until this member belongs to an ensemble; until the node has a session. */
int zk_join_wait_formed(struct zk_join *join, struct zk_options *options,
    struct zk_store *store, struct zk_fault *ret_fault);
int zk_join_wait_session(struct zk_join *join, const struct zk_node *node,
    struct zk_fault *ret_fault);

/* 0, or -EINTR with *ret_fault set when it was cancelled. */
int zk_join_check(const struct zk_join *join, struct zk_fault *ret_fault);

/* After everything else is closed. */
void zk_join_close(struct zk_join *join);

#endif
