#ifndef ZK_STORE_ROSTER_H
#define ZK_STORE_ROSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/apply.h"
#include "store/table.h"

/*
 * The roster: who is to be a member of the ensemble, under which name, where
 * to be found and as what.  It says what is wanted; the leader brings Raft's
 * group into line with it, one change at a time (daemon/member_roster.c).
 * Rows of the replicated tree, so all members have the same.
 *
 *   ADD      a row without a node id: a voter that has not come yet.
 *            -EEXIST, -EADDRINUSE, -EUSERS: too many.
 *   JOIN     gives the node id to that row; without one of that name it
 *            makes the row of an observer.  Again: the same answer, whose
 *            index is `since`.  -EEXIST: the name is another node's;
 *            -ENOTUNIQ: the node has another name; -EUSERS.
 *   PROMOTE  an observer is wanted as a voter.  -ENOENT, -EUSERS, -EBUSY:
 *            it is leaving; -EADDRNOTAVAIL: it has no address.
 *   REMOVE   it is wanted no more; a row without a node id goes at once.
 *            -ENOENT, -EBUSY: it is the last voter.
 *   FORGET   the row of a member that has left the group goes.  -ENOENT.
 *   TRANSFER changes nothing: the sink is told who is to lead.  -ENOENT,
 *            -EINVAL: not a voter.
 *   FOUND    the rows of the founders, all at once; nothing when there are
 *            rows already.
 * Before FOUND all others get -EAGAIN.
 */

/* As many as Raft has room for; see consensus/raft.h. */
#define ZK_ROSTER_MAX           32u
#define ZK_ROSTER_VOTERS_MAX    7u
#define ZK_ROSTER_OBSERVERS_MAX (ZK_ROSTER_MAX - ZK_ROSTER_VOTERS_MAX)

#define ZK_ROSTER_NAME_MAX    63u
#define ZK_ROSTER_ADDRESS_MAX 287u

enum zk_roster_role {
	ZK_ROSTER_OBSERVER = 1,
	ZK_ROSTER_VOTER,
	ZK_ROSTER_LEAVING,
};

struct zk_roster_row {
	uint64_t id;
	uint64_t node;  /* 0: it has not come yet */
	uint64_t since; /* the log index that gave it its node id */
	enum zk_roster_role role;
	char name[ZK_ROSTER_NAME_MAX + 1];
	char address[ZK_ROSTER_ADDRESS_MAX + 1]; /* "": it only dials */
};

/* Plain value, about 12 KiB. */
struct zk_roster {
	size_t count;
	struct zk_roster_row rows[ZK_ROSTER_MAX];
};

/* In the order of their coming; count 0 before FOUND. */
int zk_roster_load(struct zk_tx *tx, struct zk_roster *ret_roster);

/* The row of that name or node id (not 0), or NULL. */
const struct zk_roster_row *zk_roster_find(const struct zk_roster *roster,
    const char *name);
const struct zk_roster_row *zk_roster_find_node(const struct zk_roster *roster,
    uint64_t node);

/*
 * The data of FOUND: node, name and address of each row.  buf has room for
 * ZK_ROSTER_FOUND_BYTES_MAX; returns how many were written.
 */
#define ZK_ROSTER_FOUND_BYTES_MAX                                              \
	(1u +                                                                  \
	    ZK_ROSTER_VOTERS_MAX *                                             \
	        (16u + ZK_ROSTER_NAME_MAX + ZK_ROSTER_ADDRESS_MAX))
size_t zk_roster_found_encode(const struct zk_roster *roster, uint8_t *buf);

/* Letters, digits, '.', '_' and '-', a letter or digit first; at most 63. */
bool zk_roster_name_is_good(const char *name, size_t len);

/* ZK_OP_MEMBER. */
int zk_roster_apply(struct zk_apply *ap);

#endif
