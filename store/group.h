#ifndef ZK_STORE_GROUP_H
#define ZK_STORE_GROUP_H

#include "base/ack.h"
#include "store/apply.h"
#include "store/inode.h"
#include "store/topic.h"

/*
 * Consumer groups: who has `next` open, which partition is whose, and how far
 * each partition is consumed.
 *
 * A member is an open file of `next`.  It ends with that file or with its
 * session, like an ephemeral.  Each partition has an owner and one who wants
 * it (is to have it).  When the two differ, the owner is asked to give it up:
 * it stops delivering, waits until what it delivered is acknowledged, and
 * says so by an ACK with ZK_ACK_RELEASE.  Only then, or at the owner's end,
 * the next one owns it.  So there is one owner at any time, and a partition
 * that need not move is never touched.
 *
 * Part of the state machine; functions return 0 or the code that refuses.
 */
struct zk_share {
	uint64_t group;
	uint32_t number;
	uint64_t ino;       /* of the file with its offset */
	uint64_t committed; /* bytes of the partition; 0: from the start */
	uint64_t owner;     /* joined of a member; 0: nobody */
	uint64_t since;     /* index of the entry that gave it to the owner */
	uint64_t want;      /* joined of a member; 0: nobody */
	uint32_t tries;     /* of the record at committed, so far */
};

struct zk_group_member {
	uint64_t group;
	uint64_t joined; /* index of the entry; also the order of members */
	uint64_t session, handle;
};

/* Readers, any transaction. */
int zk_share_get(struct zk_tx *tx, uint64_t group, uint32_t number,
    struct zk_share *ret_share);
/* The first member that joined after `after`; -ENOENT. */
int zk_group_member_next(struct zk_tx *tx, uint64_t group, uint64_t after,
    struct zk_group_member *ret_member);
/* The member that an open file is; -ENOENT. */
int zk_group_seat(struct zk_tx *tx, uint64_t session, uint64_t handle,
    struct zk_group_member *ret_member);

/* --- commands ------------------------------------------------------------- */

/* -EUSERS: too many members.  -ESTALE: the group is gone. */
int zk_group_join(struct zk_apply *ap);
/*
 * -ESTALE: the open file is no member (any more).  The outcome's offset is 1
 * if a record was said to be tried by its owner.
 */
int zk_group_ack(struct zk_apply *ap);
/* A number is written to the file of a share.  -EINVAL, -EBUSY. */
int zk_group_reset(struct zk_apply *ap, struct zk_inode *file);

/* The open file is closed; the session is over. */
int zk_group_leave(struct zk_apply *ap, uint64_t session, uint64_t handle);
int zk_group_leave_all(struct zk_apply *ap, uint64_t session);

/* --- the life of groups --------------------------------------------------- */

/* In this directory of groups.  -ENOSPC: a bound. */
int zk_group_check_make(struct zk_apply *ap, const struct zk_attr *groups);
int zk_group_make(struct zk_apply *ap, struct zk_inode *dir);
/* -EBUSY: it has members. */
int zk_group_check_remove(struct zk_apply *ap, uint64_t group);
int zk_group_forget(struct zk_apply *ap, const struct zk_attr *dir);
/* The topic has more partitions than the `from` that it had. */
int zk_groups_grow(struct zk_apply *ap, const struct zk_topic *topic,
    uint32_t from);

/* --- for the tests: who gets what ----------------------------------------- */

/*
 * Share out: *want of each of `count` shares becomes one of the members, which
 * are in the order they joined.  Each gets as many as any other, or one more;
 * a share leaves its owner only if it must for that.  Without members: 0.
 */
void zk_group_assign(const uint64_t *members, size_t member_count,
    const uint64_t *owners, uint64_t *want, size_t count);

#endif
