#include <errno.h>
#include <inttypes.h>

#include "base/codec.h"
#include "base/err.h"
#include "store/group_row.h"
#include "store/topic.h"
#include "store/verify_impl.h"

/* Rows of topics and groups: whole, and what they name is there. */

/* The node is of that kind, and of that topic and group (0: of none). */
static int
check_node(struct zk_verifier *v, uint64_t ino, enum zk_node_kind kind,
    uint64_t topic, uint64_t group)
{
	struct zk_attr attr = {.ino = 0};
	int rc = zk_inode_attr(v->tx, ino, &attr);

	if (rc < 0 && rc != -ENOENT && rc != -ZK_ECORRUPT)
		return rc;
	if (rc == 0 && attr.kind == kind && attr.nlink > 0 &&
	    (topic == 0 || attr.topic == topic) &&
	    (group == 0 || attr.group == group))
		return 0;
	return zk_verify_fail(v,
	    "node %" PRIu64 " is not what topic %" PRIu64 ", group %" PRIu64
	    " takes it for",
	    ino, topic, group);
}

int
zk_verify_topic_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_partition last;
	struct zk_topic topic;
	int rc;

	rc = scan->at.len == 1 + 8 ? zk_topic_get(v->tx, ino, &topic)
	                           : -ZK_ECORRUPT;
	if (rc == 0)
		rc = check_node(v, ino, ZK_NODE_TOPIC, 0, 0);
	if (rc == 0)
		rc = check_node(v, topic.config_ino, ZK_NODE_CONFIG, ino, 0);
	if (rc == 0)
		rc = check_node(v, topic.groups_ino, ZK_NODE_GROUPS, ino, 0);
	if (rc == 0)
		rc = zk_partition_get(v->tx, ino, topic.config.partitions - 1,
		    &last);
	if (rc == -ENOENT || rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "topic %" PRIu64 ": damaged", ino);
	return rc;
}

int
zk_verify_partition_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	const uint64_t ino = zk_get_be64(scan->at.bytes + 1);
	struct zk_partition p = {.number = 0};
	struct zk_topic topic;
	int rc = -ZK_ECORRUPT;

	if (scan->at.len == 1 + 8 + 4)
		rc = zk_partition_get(v->tx, ino,
		    zk_get_be32(scan->at.bytes + 1 + 8), &p);
	if (rc == 0)
		rc = zk_topic_get(v->tx, ino, &topic);
	if (rc == 0 && p.number >= topic.config.partitions)
		rc = -ZK_ECORRUPT;
	if (rc == -ENOENT || rc == -ZK_ECORRUPT)
		return zk_verify_fail(v,
		    "partition of topic %" PRIu64 ": damaged", ino);
	return rc < 0 ? rc : check_node(v, p.ino, ZK_NODE_PARTITION, ino, 0);
}

int
zk_verify_share_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_share share;

	if (zk_share_decode(&scan->at, scan->value, scan->value_len, &share) <
	    0)
		return zk_verify_fail(v, "share of group %" PRIu64 ": damaged",
		    zk_get_be64(scan->at.bytes + 1));
	return check_node(v, share.ino, ZK_NODE_OFFSET, 0, share.group);
}

/* Each of the two rows of a member leads to the other. */
static int
check_member(struct zk_verifier *v, const struct zk_group_member *member)
{
	struct zk_group_member same = {.joined = 0}, seat = {.joined = 0};
	int rc;

	rc = zk_group_member_next(v->tx, member->group, member->joined - 1,
	    &same);
	if (rc == 0)
		rc = zk_group_seat(v->tx, same.session, same.handle, &seat);
	if (rc == 0 && same.joined == member->joined &&
	    same.session == member->session && seat.joined == same.joined &&
	    seat.group == member->group)
		return zk_verify_session(v, member->session, "group member");
	if (rc == 0 || rc == -ENOENT || rc == -ZK_ECORRUPT)
		return zk_verify_fail(v, "member of group %" PRIu64 ": damaged",
		    member->group);
	return rc;
}

int
zk_verify_member_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_group_member member;
	int rc = -ZK_ECORRUPT;

	if (scan->at.len == 1 + 8 + 8)
		rc =
		    zk_group_member_next(v->tx, zk_get_be64(scan->at.bytes + 1),
		        zk_get_be64(scan->at.bytes + 1 + 8) - 1, &member);
	if (rc < 0)
		return rc == -ZK_ECORRUPT || rc == -ENOENT
		    ? zk_verify_fail(v, "member of a group: damaged")
		    : rc;
	return check_member(v, &member);
}

int
zk_verify_seat_row(struct zk_verifier *v, const struct zk_scan *scan)
{
	struct zk_group_member member;
	int rc = -ZK_ECORRUPT;

	if (scan->at.len == 1 + 8 + 8)
		rc = zk_group_seat(v->tx, zk_get_be64(scan->at.bytes + 1),
		    zk_get_be64(scan->at.bytes + 1 + 8), &member);
	if (rc < 0)
		return rc == -ZK_ECORRUPT || rc == -ENOENT
		    ? zk_verify_fail(v, "seat in a group: damaged")
		    : rc;
	return check_member(v, &member);
}
