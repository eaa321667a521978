#ifndef ZK_DAEMON_CLUSTER_IMPL_H
#define ZK_DAEMON_CLUSTER_IMPL_H

/* The inside of a cluster, shared by cluster*.c only. */

#include <pthread.h>

#include "consensus/auth.h"
#include "consensus/raft.h"
#include "consensus/transport.h"
#include "daemon/cluster.h"

/* What is spoken in frames; members of different versions part. */
#define ZK_CLUSTER_VERSION 1u

enum { ZK_GROUP_TREE, ZK_GROUP_CONTROL };
enum zk_control_kind { ZK_CONTROL_FOUND = 1, ZK_CONTROL_STRANGER };

#define ZK_CONTROL_BYTES_MAX (1u + ZK_ENSEMBLE_BYTES + ZK_DIRECTORY_BYTES_MAX)

_Static_assert(ZK_DIRECTORY_MAX == ZK_VOTERS_MAX, "all of it vote");
_Static_assert(ZK_CONTROL_BYTES_MAX <= ZK_FRAME_FAST_MAX, "fits its lane");

/* A connection that is up, listed or not. */
struct zk_cluster_session {
	uint64_t node;
	char name[ZK_AUTH_NAME_MAX + 1];
	bool fresh; /* had no ensemble when it came up */
};

/* Refusals are told once in a while for each cause. */
#define ZK_REFUSALS_KEPT 16u
struct zk_cluster_refusal {
	char name[ZK_AUTH_NAME_MAX + 1];
	enum zk_refusal reason; /* ZK_REFUSED_NOT: free */
	uint64_t told_ms;
};

struct zk_cluster {
	struct zk_store *store;
	struct zk_transport *transport;
	struct zk_node_network network;
	void (*wake)(void *arg);
	void *arg;
	char name[ZK_AUTH_NAME_MAX + 1];
	char data[4096];
	struct zk_directory source;

	pthread_mutex_t lock;
	/* Protected by lock. */
	bool formed; /* then the three below stay as they are */
	uint8_t ensemble[ZK_ENSEMBLE_BYTES];
	struct zk_directory directory;
	struct zk_conf founders;

	bool found; /* somebody told us; to be judged by the next poll */
	uint8_t found_ensemble[ZK_ENSEMBLE_BYTES];
	struct zk_directory found_directory;
	bool stranger; /* an ensemble knows us by another node id */
	uint64_t stranger_node;

	struct zk_cluster_session sessions[ZK_TRANSPORT_PEERS_MAX];
	size_t session_count;
	struct zk_cluster_refusal refusals[ZK_REFUSALS_KEPT];
	struct zk_node *node; /* NULL until attached */
};

/* cluster_peers.c; for the transport. */
struct zk_transport_callbacks zk_cluster_callbacks(struct zk_cluster *c);

/* Under the lock: tell all that wait for it. */
void zk_cluster_greet_all(struct zk_cluster *c);

/* Under the lock: the session that belongs to a member of the directory. */
bool zk_cluster_is_member(const struct zk_cluster *c,
    const struct zk_cluster_session *session);

#endif
