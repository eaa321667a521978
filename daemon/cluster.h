#ifndef ZK_DAEMON_CLUSTER_H
#define ZK_DAEMON_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/cluster_directory.h"
#include "daemon/fault.h"
#include "daemon/node.h"
#include "store/store.h"

/*
 * This member among the others: the network, how an ensemble comes to be, and
 * how members come and go.
 *
 * Every data directory has a random node id.  Several of them become one
 * ensemble like this:
 *
 *  1. A fresh member talks to all that SOURCE lists and tells each its name,
 *     its node id, and that it belongs to no ensemble yet.
 *  2. The founder is the listed member whose name sorts first, so that the
 *     order of SOURCE does not matter.  When it has every other listed member
 *     on the line, and all are fresh, it writes the ensemble's id and the
 *     *directory* (name, address and node id of each) to its own store.
 *     That is the founding: nobody else founds, and it does so once.
 *  3. Whoever has the directory sends it (FOUND) to every member in it that
 *     comes up without an ensemble.  That one checks that it is in it, by
 *     name and node id, and that SOURCE names the same members; then it writes
 *     it to its own store and starts, as the founder has done, with the same
 *     voters.  Lost messages and crashes in between are made good at the next
 *     connection, since the founder's directory and all node ids are durable.
 *  4. The first leader puts the founders into the roster (store/roster.h).
 *     From then on that is the directory, and it changes with the tree.
 *  5. A member that has a directory starts with that.  SOURCE is then only
 *     where to look for the others.
 *
 * Somebody fresh who meets an ensemble that exists asks one of its members to
 * let it in (JOIN), again and again.  That one submits the request like any
 * command; when it is applied it answers with FOUND, and the new one starts
 * without voters, to be told by the leader, which makes it a learner.  A
 * refusal (REFUSED) is as agreed as any answer.  The same way takes who was
 * added by an operator, and who was removed and is added again.
 *
 * Node ids make a wiped member another one: it has forgotten its votes, and
 * must not vote again under its old name.  Who is a member no more, or has
 * another's name, is told so (STRANGER) with the index of the teller's
 * directory: it counts only when that is not older than its own membership.
 *
 * Frames of group 0 are the node's (daemon/member_impl.h).  They are passed
 * on from every member of this ensemble, also one that is not in the
 * directory yet: the directory may lag, and Raft needs no more (Ongaro 2014,
 * section 4.1).  Frames of group 1, on the fast lane, are from here: a u8,
 * then for
 *   FOUND    (1) the 16 bytes of the ensemble, the directory;
 *   STRANGER (2) the u64 node id that the directory has under the receiver's
 *                name, or 0; the u64 index of the directory;
 *   JOIN     (3) u32 length and the address to be dialed at, or "";
 *   REFUSED  (4) the u32 -rc of the request; the node id as for STRANGER;
 *   HELLO    (5) the i64 seconds of the sender's clock.
 *
 * Threads: callbacks of the transport come from its threads; zk_cluster_poll()
 * and what opens and closes are the main thread's; the network is used by the
 * node thread.
 */
struct zk_cluster;
struct zk_topics_node;
struct zk_auth_key;

struct zk_cluster_options {
	struct zk_store *store; /* must outlive the cluster */
	const char *data;       /* its directory, for messages */
	const char *name;       /* this member's */
	/* Names and addresses of SOURCE; node ids are 0. */
	const struct zk_directory *source;
	const char *listen;            /* "host:port"; NULL: only dial */
	const char *listen_key;        /* the option that it comes from */
	const char *address;           /* to be dialed at; "": nowhere */
	const struct zk_auth_key *key; /* NULL: insecure */
	const char *tls_cert, *tls_key, *tls_ca; /* NULL: no TLS */
	/* Something changed: poll again.  Any thread; must not block. */
	void (*wake)(void *arg);
	/* We are a member no more: poll says why.  The same. */
	void (*removed)(void *arg);
	void *arg;
};

/* Nothing but store is used after it returns. */
int zk_cluster_open(const struct zk_cluster_options *options,
    struct zk_cluster **ret_cluster, struct zk_fault *ret_fault);

/*
 * Go on with the formation, and ask to be let in.  1: this member belongs to
 * an ensemble; 0: not yet, poll again after a wake, or ZK_CLUSTER_POLL_MS;
 * else a negative code with *ret_fault set.  Writes to the store: only before
 * the node is open.
 */
#define ZK_CLUSTER_POLL_MS 500
int zk_cluster_poll(struct zk_cluster *cluster, struct zk_fault *ret_fault);

/*
 * For the node's options, when formed: the first voters, or no members, for
 * one that was let in later; and their names, or NULL when others know them.
 * Both live as long as the cluster.
 */
const struct zk_conf *zk_cluster_founders(const struct zk_cluster *cluster);
const struct zk_roster *zk_cluster_roster(const struct zk_cluster *cluster);

/*
 * The name of a node, as far as known; false: it is not.  buf has room for
 * ZK_AUTH_NAME_MAX + 1.  Any thread.
 */
bool zk_cluster_name(struct zk_cluster *cluster, uint64_t node, char *buf);

/* The roster has changed: follow it.  Node thread. */
void zk_cluster_reload(struct zk_cluster *cluster);

/* For the node's options; lives as long as the cluster. */
const struct zk_node_network *zk_cluster_network(
    const struct zk_cluster *cluster);

/* From now on frames and connections are the node's affair. */
void zk_cluster_attach(struct zk_cluster *cluster, struct zk_node *node);

/* The same for the topics, which have lanes of their own. */
const struct zk_node_network *zk_cluster_topics_network(
    const struct zk_cluster *cluster);
void zk_cluster_attach_topics(struct zk_cluster *cluster,
    struct zk_topics_node *topics);

/* Why there is no majority: of each other voter whether it is there. */
void zk_cluster_explain(struct zk_cluster *cluster, char *buf, size_t cap);

/*
 * The voters that we have no connection with, and why; "": there are none.
 * Any thread.
 */
void zk_cluster_unreached(struct zk_cluster *cluster, char *buf, size_t cap);

struct zk_cluster_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t bad_frames, refused;
	uint32_t peers_up;
};
void zk_cluster_stats(struct zk_cluster *cluster,
    struct zk_cluster_stats *ret_stats);

/* No callback and no frame after it.  NULL is fine, twice is once. */
void zk_cluster_stop(struct zk_cluster *cluster);
void zk_cluster_close(struct zk_cluster *cluster); /* NULL is fine */

#endif
