#ifndef ZK_DAEMON_CLUSTER_IMPL_H
#define ZK_DAEMON_CLUSTER_IMPL_H

/* The inside of a cluster, shared by cluster*.c only. */

#include <pthread.h>

#include "consensus/auth.h"
#include "consensus/raft.h"
#include "consensus/transport.h"
#include "daemon/cluster.h"

/*
 * What is spoken in frames, and what becomes of a command; members of different
 * versions part.
 */
#define ZK_CLUSTER_VERSION 8u

/* Topics have lanes of their own, so that they never delay the tree. */
enum { ZK_GROUP_TREE, ZK_GROUP_CONTROL, ZK_GROUP_TOPICS };
enum zk_control_kind {
	ZK_CONTROL_FOUND = 1,
	ZK_CONTROL_STRANGER,
	ZK_CONTROL_JOIN,
	ZK_CONTROL_REFUSED,
	ZK_CONTROL_HELLO,
};

#define ZK_CONTROL_BYTES_MAX (1u + ZK_ENSEMBLE_BYTES + ZK_DIRECTORY_BYTES_MAX)

_Static_assert(ZK_ROSTER_MAX == ZK_MEMBERS_MAX, "all of it are members");
_Static_assert(ZK_CONTROL_BYTES_MAX <= ZK_FRAME_FAST_MAX, "fits its lane");

/* A connection that is up, listed or not. */
struct zk_cluster_session {
	uint64_t node;
	char name[ZK_AUTH_NAME_MAX + 1];
	bool fresh;   /* had no ensemble when it came up */
	bool member;  /* is in the directory, or was */
	bool joining; /* its request is under way */
};

/* Refusals are told once in a while for each cause. */
#define ZK_REFUSALS_KEPT 16u
struct zk_cluster_refusal {
	char name[ZK_AUTH_NAME_MAX + 1];
	enum zk_refusal reason; /* ZK_REFUSED_NOT: free */
	bool by_peer;
	uint64_t told_ms, seen_ms; /* the last time */
};

struct zk_cluster {
	struct zk_store *store;
	struct zk_transport *transport;
	struct zk_node_network network, topics_network;
	void (*wake)(void *arg);
	void (*removed)(void *arg);
	void *arg;
	char name[ZK_AUTH_NAME_MAX + 1];
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1];
	char data[4096];
	struct zk_directory source;
	uint64_t self; /* our node id */

	pthread_mutex_t lock;
	/* Protected by lock. */
	bool formed; /* then the ensemble, founders and roster stay */
	uint8_t ensemble[ZK_ENSEMBLE_BYTES];
	struct zk_conf founders;
	bool has_roster;
	struct zk_roster roster;
	struct zk_directory directory; /* the newest that we know */

	bool found; /* somebody told us; to be judged by the next poll */
	uint8_t found_ensemble[ZK_ENSEMBLE_BYTES];
	struct zk_directory found_directory;
	bool stranger; /* an ensemble knows us by another node id, or not */
	uint64_t stranger_node;
	bool is_removed; /* the same, and it is certain */
	int refused;     /* why we are not let in, for good; 0 */
	uint64_t asked_ms;
	size_t asked; /* of the sessions, in turn */
	/* A member of another ensemble in SOURCE, and until when it may show. */
	char other[ZK_AUTH_NAME_MAX + 1];
	uint64_t doubtful_until_ms;
	bool announcing; /* our new address is on its way */

	struct zk_cluster_session sessions[ZK_TRANSPORT_PEERS_MAX];
	size_t session_count;
	struct zk_cluster_refusal refusals[ZK_REFUSALS_KEPT];
	struct zk_node *node;          /* NULL until attached */
	struct zk_topics_node *topics; /* NULL until attached */
};

static inline bool
zk_cluster_is_known(const struct zk_directory *directory, const char *name,
    uint64_t node)
{
	const int i = zk_directory_find(directory, name);

	return i >= 0 && directory->members[i].node == node;
}

/* cluster_peers.c; for the transport. */
struct zk_transport_callbacks zk_cluster_callbacks(struct zk_cluster *c);

/* All below under the lock. */

/* Tell all what there is to tell now. */
void zk_cluster_greet_all(struct zk_cluster *c);

/* Whether the node hears of this one. */
bool zk_cluster_may_talk(const struct zk_cluster *c,
    const struct zk_cluster_session *session);

struct zk_cluster_session *zk_cluster_session(struct zk_cluster *c,
    uint64_t node);

/* cluster_say.c: what members say to each other of members. */
void zk_cluster_say_found(struct zk_cluster *c, uint64_t to);
void zk_cluster_say_stranger(struct zk_cluster *c,
    const struct zk_cluster_session *session);
void zk_cluster_say_refused(struct zk_cluster *c,
    const struct zk_cluster_session *session, int rc);
void zk_cluster_say_join(struct zk_cluster *c, uint64_t to);
void zk_cluster_say_hello(struct zk_cluster *c, uint64_t to);
int zk_cluster_hear(struct zk_cluster *c, struct zk_cluster_session *session,
    const struct zk_transport_frame *frame);

/* cluster_join.c: put the request of a session, or our own, to the ensemble. */
void zk_cluster_let_in(struct zk_cluster *c, struct zk_cluster_session *session,
    const char *address, size_t address_len);
void zk_cluster_announce(struct zk_cluster *c);

/* cluster_form.c: what was recorded is in force. */
void zk_cluster_set_formed(struct zk_cluster *c,
    const struct zk_directory *directory);
const struct zk_cluster_session *zk_cluster_session_of(
    const struct zk_cluster *c, const char *name);

/* cluster.c: a newer directory; connections follow it. */
void zk_cluster_adopt(struct zk_cluster *c,
    const struct zk_directory *directory);
int zk_cluster_set_peers(struct zk_cluster *c);

uint64_t zk_cluster_now_ms(void);

#endif
