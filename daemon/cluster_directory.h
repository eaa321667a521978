#ifndef ZK_DAEMON_CLUSTER_DIRECTORY_H
#define ZK_DAEMON_CLUSTER_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/auth.h"
#include "consensus/transport.h"
#include "store/roster.h"
#include "store/store.h"

/*
 * Who the members of the ensemble are: names for people, addresses for the
 * network, node ids for Raft.  Plain value, large.
 *
 * It is what the roster (store/roster.h) says at some index of the log; of a
 * member whose log does not reach so far, what others told it.
 *
 * Encoded, in the store and between members, little-endian: u8 format (2),
 * u64 index, u8 count, then for each member u64 node id, u64 since, u8 whether
 * it is to vote, u32 length and name, u32 length and address.
 */

#define ZK_DIRECTORY_MAX ZK_ROSTER_MAX

#define ZK_DIRECTORY_BYTES_MAX                                                 \
	(10u +                                                                 \
	    ZK_DIRECTORY_MAX *                                                 \
	        (25u + ZK_AUTH_NAME_MAX + ZK_TRANSPORT_ADDRESS_MAX))

struct zk_directory_member {
	char name[ZK_AUTH_NAME_MAX + 1];
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1]; /* "": it only dials */
	uint64_t node;                              /* 0: not known yet */
	uint64_t since; /* the index that let it in; a founder: 0 or that */
	bool votes;     /* or is to */
};

struct zk_directory {
	uint64_t index; /* 0: what the founders agreed on */
	size_t count;
	struct zk_directory_member members[ZK_DIRECTORY_MAX];
};

/* Bytes written to buf, which has room for ZK_DIRECTORY_BYTES_MAX. */
size_t zk_directory_encode(const struct zk_directory *directory, uint8_t *buf);

/*
 * 0; -EPROTO: not of that form, no members, a name or a node id twice, or a
 * founder without a node id.
 */
int zk_directory_decode(const void *bytes, size_t len,
    struct zk_directory *ret_directory);

/* Position of that name or node id (not 0), or -1. */
int zk_directory_find(const struct zk_directory *directory, const char *name);
int zk_directory_find_node(const struct zk_directory *directory, uint64_t node);

/* The founders, at most ZK_ROSTER_VOTERS_MAX, as the roster begins. */
void zk_directory_founders(const struct zk_directory *directory,
    struct zk_roster *ret_roster);

/*
 * What the store holds: the roster, or before that what was stored.  load:
 * -ENOENT when there is neither; -ZK_ECORRUPT.  Any thread.
 */
int zk_directory_load(struct zk_store *store,
    struct zk_directory *ret_directory);
int zk_directory_store(struct zk_tx *tx, const struct zk_directory *directory);

#endif
