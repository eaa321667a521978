#ifndef ZK_DAEMON_TOPICS_NODE_H
#define ZK_DAEMON_TOPICS_NODE_H

#include "daemon/node.h"
#include "queue/broker.h"
#include "store/store.h"

/*
 * The partitions of this host: one thread around a broker (queue/broker.h),
 * with bounded queues for requests and frames in front and the clock beside
 * it; daemon/node.c is the same for the tree.  The two share nothing but the
 * data directory: what one has to do never delays the other.
 */
struct zk_topics_node;

struct zk_topics_node_options {
	const char *dir;        /* the data directory; not needed afterwards */
	struct zk_store *store; /* for the node's id */
	uint64_t seed;          /* random, fresh at each start, not 0 */
	uint32_t op_timeout_ms;
	/* The way to the others, on lanes of its own; NULL: a group of one. */
	const struct zk_node_network *network;
	struct zk_broker_sessions sessions; /* as of zk_broker_options */
	/*
	 * As of struct zk_broker_sink; the topics' thread, before the answers
	 * of the same turn.  NULL: nobody wants to know.
	 */
	void (*changed)(void *arg, const struct zk_partition_info *info);
	/* As of struct zk_node_options.  Does not return. */
	void (*fatal)(void *arg, int rc, const char *what);
	void *arg;
	_Atomic bool *keeps; /* set: replicas are here.  NULL: no matter */
};

/* Codes as of zk_broker_open(); *ret_why as of zk_store_open(). */
int zk_topics_node_open(const struct zk_topics_node_options *options,
    char **ret_why, struct zk_topics_node **ret_node);

/*
 * Answers what is queued with -ESTALE and stops the thread.  Reading goes on
 * working until zk_topics_node_close().
 */
void zk_topics_node_stop(struct zk_topics_node *node);
void zk_topics_node_close(struct zk_topics_node *node); /* NULL is fine */

/*
 * Queues a request (queue/partition.h), copying it and its bytes.  0: its done
 * function, when it has one, is called exactly once, by the topics' thread.
 * -EAGAIN: the queue is full, try again later (never for SET ... UNWATCH);
 * -ESTALE: stopped; -EINVAL, -ENOMEM.  Requests are taken up in the order in
 * which they were queued.  Any thread; does not block.
 */
int zk_topics_node_submit(struct zk_topics_node *node,
    const struct zk_request *what, const void *bytes, size_t len);

/* What can be read here without waiting, for any thread: queue/broker.h. */
struct zk_broker *zk_topics_node_broker(struct zk_topics_node *node);

/* From the network; as of daemon/node.h.  Any thread. */
bool zk_topics_node_receive(struct zk_topics_node *node, uint64_t peer,
    bool bulk, const void *bytes, size_t len);
void zk_topics_node_peer(struct zk_topics_node *node, uint64_t peer, bool up);

struct zk_topics_node_status {
	uint64_t turns, requests, frames, queued, refused;
	struct zk_broker_counts counts;
	struct zk_broker_usage usage;
};
/* Any thread; a recent picture. */
void zk_topics_node_status(struct zk_topics_node *node,
    struct zk_topics_node_status *ret_status);

#endif
