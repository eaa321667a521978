#ifndef ZK_DAEMON_CLUSTER_DIRECTORY_H
#define ZK_DAEMON_CLUSTER_DIRECTORY_H

#include <stddef.h>
#include <stdint.h>

#include "consensus/auth.h"
#include "consensus/transport.h"
#include "store/store.h"

/*
 * Who the members of the ensemble are: names for people, addresses for the
 * network, node ids for Raft.  Plain value.
 *
 * Encoded, in the store and between members, little-endian: u8 format (1),
 * u8 count, then for each member u64 node id, u32 length and name, u32 length
 * and address.
 */

/* As many as may vote: consensus/raft.h. */
#define ZK_DIRECTORY_MAX 7u

#define ZK_DIRECTORY_BYTES_MAX                                                 \
	(2u +                                                                  \
	    ZK_DIRECTORY_MAX *                                                 \
	        (16u + ZK_AUTH_NAME_MAX + ZK_TRANSPORT_ADDRESS_MAX))

struct zk_directory_member {
	char name[ZK_AUTH_NAME_MAX + 1];
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1]; /* "host:port" */
	uint64_t node;                              /* 0: not known yet */
};

struct zk_directory {
	size_t count;
	struct zk_directory_member members[ZK_DIRECTORY_MAX];
};

/* Bytes written to buf, which has room for ZK_DIRECTORY_BYTES_MAX. */
size_t zk_directory_encode(const struct zk_directory *directory, uint8_t *buf);

/*
 * 0; -EPROTO: not of that form, no members, a name or a node id twice, or a
 * node id of 0.
 */
int zk_directory_decode(const void *bytes, size_t len,
    struct zk_directory *ret_directory);

/* Position of that name or node id, or -1. */
int zk_directory_find(const struct zk_directory *directory, const char *name);
int zk_directory_find_node(const struct zk_directory *directory, uint64_t node);

/*
 * What the store remembers.  load: -ENOENT before the first store;
 * -ZK_ECORRUPT.  Any thread.
 */
int zk_directory_load(struct zk_store *store,
    struct zk_directory *ret_directory);
int zk_directory_store(struct zk_tx *tx, const struct zk_directory *directory);

#endif
