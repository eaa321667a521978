#ifndef ZK_DAEMON_TOPICS_H
#define ZK_DAEMON_TOPICS_H

#include "base/change.h"
#include "daemon/topics_node.h"
#include "fs/port.h"
#include "store/store.h"

/*
 * Between the tree, which says what topics there are, and the partitions of
 * this host (daemon/topics_node.h), which do what it says.  A thread of its
 * own compares the two whenever the tree's topics have changed; whoever uses a
 * partition before that thread has come to it tells the partitions himself.
 */
struct zk_topics;
struct zk_node;

struct zk_topics_options {
	const char *dir; /* the data directory */
	struct zk_store *store;
	const struct zk_node *node; /* whose session it is that appends */
	uint32_t op_timeout_ms;
	const struct zk_node_network *network; /* NULL: a group of one */
	/* As of struct zk_topics_node_options. */
	void (*changed)(void *arg, const struct zk_partition_info *info);
	void (*fatal)(void *arg, int rc, const char *what);
	void *arg;
};

/*
 * Whether replicas are on this host, for as long as the process lives; true
 * until it is known.
 */
const _Atomic bool *zk_topics_keeps(void);

/*
 * See zk_broker_claim(): before anything else is done with the store.  On
 * failure *ret_why gets a malloc'd line.
 */
int zk_topics_claim(const char *dir, struct zk_store *store, char **ret_why);

int zk_topics_open(const struct zk_topics_options *options, char **ret_why,
    struct zk_topics **ret_topics);
/* No more answers after this; the tree's node still runs. */
void zk_topics_stop(struct zk_topics *topics); /* NULL is fine */
void zk_topics_close(struct zk_topics *topics);

struct zk_topics_node *zk_topics_node_of(struct zk_topics *topics);

/* The tree has changed like this; anything in it may have (NULL).  Any thread. */
void zk_topics_changed(struct zk_topics *topics,
    const struct zk_change *change);

/*
 * Make sure that the partition, which somebody wants to use, is known to the
 * partitions of this host.  0, -ENOENT.
 */
int zk_topics_set(struct zk_topics *topics, uint64_t partition);

/* Fills in what port has of topics; port->impl is a struct zk_port. */
void zk_port_topics(struct zk_fs_port *port);

#endif
