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
 * This member among the others: the network, and how an ensemble comes to be.
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
 *  4. A member that has a directory starts with that.  SOURCE is then only
 *     where to look for the others.
 *
 * Node ids make a wiped member another one: it has forgotten its votes, and
 * must not vote again under its old name.  Members of the directory tell such
 * a STRANGER so, and neither side passes its frames on.
 *
 * Frames of group 0 are the node's (daemon/member_impl.h).  Frames of group 1,
 * on the fast lane, are from here: a u8, then for FOUND (1) the 16 bytes of
 * the ensemble and the directory as in cluster_directory.h, for STRANGER (2)
 * the u64 node id that the directory has under the receiver's name, or 0.
 *
 * Threads: callbacks of the transport come from its threads; zk_cluster_poll()
 * and what opens and closes are the main thread's; the network is used by the
 * node thread.
 */
struct zk_cluster;
struct zk_auth_key;

struct zk_cluster_options {
	struct zk_store *store; /* must outlive the cluster */
	const char *data;       /* its directory, for messages */
	const char *name;       /* this member's */
	/* Names and addresses of SOURCE; node ids are 0. */
	const struct zk_directory *source;
	const char *listen;            /* "host:port" */
	const char *listen_key;        /* the option that it comes from */
	const struct zk_auth_key *key; /* NULL: insecure */
	const char *tls_cert, *tls_key, *tls_ca; /* NULL: no TLS */
	/* Something changed: poll again.  Any thread; must not block. */
	void (*wake)(void *arg);
	void *arg;
};

/* Nothing but store is used after it returns. */
int zk_cluster_open(const struct zk_cluster_options *options,
    struct zk_cluster **ret_cluster, struct zk_fault *ret_fault);

/*
 * Go on with the formation.  1: this member belongs to an ensemble; 0: not
 * yet, poll again after a wake; else a negative code with *ret_fault set.
 * Writes to the store: only before the node is open.
 */
int zk_cluster_poll(struct zk_cluster *cluster, struct zk_fault *ret_fault);

/* The founders, when formed; the directory's voters.  Lives as long as it. */
const struct zk_conf *zk_cluster_founders(const struct zk_cluster *cluster);
const struct zk_directory *zk_cluster_directory(
    const struct zk_cluster *cluster);

/* For the node's options; lives as long as the cluster. */
const struct zk_node_network *zk_cluster_network(
    const struct zk_cluster *cluster);

/* From now on frames and connections are the node's affair. */
void zk_cluster_attach(struct zk_cluster *cluster, struct zk_node *node);

/* Why there is no majority: one line about each member that is missing. */
void zk_cluster_explain(struct zk_cluster *cluster, char *buf, size_t cap);

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
