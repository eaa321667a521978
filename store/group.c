#include "store/group.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/group_row.h"
#include "store/lock.h"
#include "store/special.h"

/* The largest offset that off_t, and so every tool, knows. */
#define OFFSET_MAX ((uint64_t)INT64_MAX)

/* --- shares --------------------------------------------------------------- */

/* Put the offset where people read it. */
static int
show_offset(struct zk_apply *ap, struct zk_inode *file, uint64_t offset)
{
	char text[32];
	const int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", offset);

	ZK_ASSERT(len > 0);
	return zk_special_set_text(ap, file, text, (size_t)len);
}

static int
commit_offset(struct zk_apply *ap, struct zk_share *share, uint64_t offset)
{
	struct zk_inode file;
	int rc;

	share->committed = offset;
	share->tries = 0;
	rc = zk_inode_get(ap->tx, share->ino, &file);
	return rc < 0 ? rc : show_offset(ap, &file, offset);
}

/* Nobody owns it: whoever wants it does, from this entry on. */
static void
hand_over(struct zk_apply *ap, struct zk_share *share)
{
	share->owner = share->want;
	share->since = share->owner == 0 ? 0 : ap->index;
}

/* What assign() works on. */
struct roster {
	uint64_t members[ZK_GROUP_MEMBERS_MAX];
	size_t member_count;
	struct zk_share shares[ZK_PARTITIONS_MAX];
	uint64_t owner[ZK_PARTITIONS_MAX], want[ZK_PARTITIONS_MAX];
	size_t count;
};

static int
load_roster(struct zk_apply *ap, uint64_t group, struct roster *r)
{
	struct zk_group_member member = {.joined = 0};
	uint32_t number = 0;
	int rc;

	r->member_count = r->count = 0;
	while ((rc = zk_group_member_next(ap->tx, group, member.joined,
	            &member)) == 0) {
		ZK_ASSERT(r->member_count < ZK_GROUP_MEMBERS_MAX);
		r->members[r->member_count++] = member.joined;
	}
	if (rc != -ENOENT)
		return rc;
	while ((rc = zk_share_next(ap->tx, group, number,
	            &r->shares[r->count])) == 0) {
		r->owner[r->count] = r->shares[r->count].owner;
		r->want[r->count] = r->shares[r->count].want;
		number = r->shares[r->count++].number + 1;
		if (r->count == ZK_PARTITIONS_MAX)
			return 0;
	}
	return rc == -ENOENT ? 0 : rc;
}

static bool
is_member(const struct roster *r, uint64_t id)
{
	for (size_t i = 0; i < r->member_count; i++)
		if (r->members[i] == id)
			return true;
	return false;
}

/* The file `members` says something else now. */
static int
tell_members(struct zk_apply *ap, uint64_t group)
{
	static const char name[] = "members";
	const bool quiet = ap->quiet;
	struct zk_entry_ref ref = {.ino = 0};
	struct zk_inode file = {0};
	int rc;

	rc = zk_dirent_get(ap->tx, group, name, sizeof(name) - 1, &ref);
	if (rc == 0)
		rc = zk_inode_get(ap->tx, ref.ino, &file);
	if (rc < 0)
		return rc;
	file.attr.mtime = file.attr.ctime = ap->now;
	file.attr.version++;
	file.attr.mzxid = ap->index;
	ap->quiet = true;
	zk_apply_touched(ap, ZK_CHANGE_MODIFY, &file);
	ap->quiet = quiet;
	return zk_inode_put(ap->tx, &file);
}

static int
deal(struct zk_apply *ap, uint64_t group, struct roster *r)
{
	int rc;

	rc = load_roster(ap, group, r);
	if (rc < 0)
		return rc;
	zk_group_assign(r->members, r->member_count, r->owner, r->want,
	    r->count);
	for (size_t i = 0; rc == 0 && i < r->count; i++) {
		struct zk_share *share = &r->shares[i];
		const struct zk_share old = *share;

		share->want = r->want[i];
		if (share->owner == 0 || !is_member(r, share->owner))
			hand_over(ap, share);
		if (share->want != old.want || share->owner != old.owner)
			rc = zk_share_put(ap->tx, share);
	}
	return rc < 0 ? rc : tell_members(ap, group);
}

/* Members or shares have changed: share out anew. */
static int
reassign(struct zk_apply *ap, uint64_t group)
{
	struct roster *roster = malloc(sizeof(*roster));
	int rc;

	/* Other members may have the memory. */
	if (roster == NULL)
		return ap->tx->fatal = -ENOMEM;
	rc = deal(ap, group, roster);
	free(roster);
	return rc;
}

/* --- members -------------------------------------------------------------- */

static int
count_members(struct zk_tx *tx, uint64_t group, size_t *ret_count)
{
	struct zk_group_member member = {.joined = 0};
	int rc;

	*ret_count = 0;
	while (
	    (rc = zk_group_member_next(tx, group, member.joined, &member)) == 0)
		(*ret_count)++;
	return rc == -ENOENT ? 0 : rc;
}

int
zk_group_join(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_group_member member;
	struct zk_attr attr;
	size_t count;
	int rc;

	if (cmd->session == 0 || cmd->handle == 0)
		return -EINVAL;
	rc = zk_inode_attr(ap->tx, cmd->ino, &attr);
	if (rc < 0)
		return rc;
	if (attr.kind != ZK_NODE_NEXT)
		return -EINVAL;
	if (attr.nlink == 0)
		return -ESTALE;
	rc = zk_group_seat(ap->tx, cmd->session, cmd->handle, &member);
	if (rc != -ENOENT)
		return rc == 0 ? -EALREADY : rc;
	rc = count_members(ap->tx, attr.group, &count);
	if (rc < 0)
		return rc;
	if (count >= ZK_GROUP_MEMBERS_MAX)
		return -EUSERS;
	member = (struct zk_group_member){
	    .group = attr.group,
	    .joined = ap->index,
	    .session = cmd->session,
	    .handle = cmd->handle,
	};
	rc = zk_member_row_put(ap->tx, &member);
	ap->outcome->offset = ap->index;
	return rc < 0 ? rc : reassign(ap, attr.group);
}

static int
leave(struct zk_apply *ap, const struct zk_group_member *member)
{
	int rc = zk_member_row_delete(ap->tx, member);

	return rc < 0 ? rc : reassign(ap, member->group);
}

int
zk_group_leave(struct zk_apply *ap, uint64_t session, uint64_t handle)
{
	struct zk_group_member member;
	int rc = zk_group_seat(ap->tx, session, handle, &member);

	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	return leave(ap, &member);
}

int
zk_group_leave_all(struct zk_apply *ap, uint64_t session)
{
	const struct zk_key from = zk_key1(ZK_TABLE_SEAT, session);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(ap->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		rc = zk_group_leave(ap, session,
		    zk_get_be64(scan.at.bytes + 1 + 8));
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/* --- acknowledging -------------------------------------------------------- */

static int
ack_one(struct zk_apply *ap, const struct zk_group_member *member,
    const struct zk_ack *ack, bool *ret_moved)
{
	struct zk_share share;
	int rc;

	rc = zk_share_get(ap->tx, member->group, ack->number, &share);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	/* Given away since it was sent: the new owner begins before it. */
	if (share.owner != member->joined)
		return 0;
	if (ack->offset > share.committed && ack->offset <= OFFSET_MAX)
		rc = commit_offset(ap, &share, ack->offset);
	/* How many, not one more: it may be said again. */
	if (ack->offset == share.committed && (ack->flags & ZK_ACK_TRIED)) {
		share.tries = ack->tries;
		ap->outcome->offset = 1;
	}
	if (rc == 0 && (ack->flags & ZK_ACK_RELEASE)) {
		hand_over(ap, &share);
		*ret_moved = true;
	}
	return rc < 0 ? rc : zk_share_put(ap->tx, &share);
}

int
zk_group_ack(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_group_member member;
	const uint8_t *at = cmd->data;
	bool moved = false;
	int rc;

	if (cmd->data_len % ZK_ACK_BYTES != 0 ||
	    cmd->data_len / ZK_ACK_BYTES > ZK_PARTITIONS_MAX)
		return -EINVAL;
	rc = zk_group_seat(ap->tx, cmd->session, cmd->handle, &member);
	if (rc < 0 || member.group != cmd->ino)
		return rc == -ENOENT || rc == 0 ? -ESTALE : rc;
	for (size_t i = 0; rc == 0 && i < cmd->data_len / ZK_ACK_BYTES; i++) {
		struct zk_ack ack;

		zk_ack_decode(at + i * ZK_ACK_BYTES, &ack);
		rc = ack_one(ap, &member, &ack, &moved);
	}
	return rc == 0 && moved ? tell_members(ap, cmd->ino) : rc;
}

static int
parse_offset(const char *text, size_t len, uint64_t *ret_offset)
{
	uint64_t value = 0;
	size_t i = 0;

	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
		/* Well before it can wrap. */
		if (value > OFFSET_MAX / 16)
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (i == 0 || (i < len && text[i] != '\n') || i + 1 < len)
		return -EINVAL;
	*ret_offset = value;
	return 0;
}

struct holder {
	const struct zk_command *cmd;
	uint64_t ino;
	bool other;
};

static void
note_holder(void *arg, const struct zk_lock_row *row)
{
	struct holder *holder = arg;
	const struct zk_command *cmd = holder->cmd;

	if (row->ino == holder->ino && !row->waiting && row->flock &&
	    (row->session != cmd->session || row->handle != cmd->handle))
		holder->other = true;
}

int
zk_group_reset(struct zk_apply *ap, struct zk_inode *file)
{
	const struct zk_command *cmd = ap->cmd;
	struct holder holder = {.cmd = cmd, .ino = file->attr.ino};
	struct zk_share share;
	uint64_t offset;
	int rc;

	rc = parse_offset(cmd->data, cmd->data_len, &offset);
	if (rc < 0)
		return rc;
	rc = zk_share_get(ap->tx, file->attr.group, file->attr.partition,
	    &share);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	if (share.owner != 0)
		return -EBUSY;
	rc = zk_lock_list_file(ap->tx, file->attr.ino, note_holder, &holder);
	if (rc < 0)
		return rc;
	if (holder.other)
		return -EBUSY;
	share.committed = offset;
	share.tries = 0;
	rc = zk_share_put(ap->tx, &share);
	return rc < 0 ? rc : show_offset(ap, file, offset);
}

/* --- the life of groups --------------------------------------------------- */

static int
add_share(struct zk_apply *ap, struct zk_inode *dir, uint32_t number,
    uint32_t mode)
{
	struct zk_share share = {.group = dir->attr.ino, .number = number};
	struct zk_inode node;
	char name[16];
	int rc;

	zk_special_init(&node, ZK_NODE_OFFSET, mode, &dir->attr);
	node.attr.group = dir->attr.ino;
	node.attr.partition = number;
	memcpy(node.data, "0\n", 2);
	node.data_len = 2;
	(void)snprintf(name, sizeof(name), "p%" PRIu32, number);
	rc = zk_special_add(ap, dir, name, &node);
	if (rc < 0)
		return rc;
	share.ino = node.attr.ino;
	return zk_share_put(ap->tx, &share);
}

static int
add_file(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    uint32_t kind, uint32_t mode)
{
	struct zk_inode node;

	zk_special_init(&node, kind, dir->attr.mode & mode, &dir->attr);
	node.attr.group = dir->attr.ino;
	return zk_special_add(ap, dir, name, &node);
}

int
zk_group_check_make(struct zk_apply *ap, const struct zk_attr *groups)
{
	struct zk_topic topic = {.ino = 0};
	int rc = zk_topic_get(ap->tx, groups->topic, &topic);

	if (rc < 0)
		return rc;
	return topic.group_count < ZK_TOPIC_GROUPS_MAX ? 0 : -ENOSPC;
}

int
zk_group_make(struct zk_apply *ap, struct zk_inode *dir)
{
	struct zk_topic topic = {.ino = 0};
	int rc;

	rc = zk_topic_get(ap->tx, dir->attr.topic, &topic);
	if (rc < 0)
		return rc;
	topic.group_count++;
	rc = zk_topic_put(ap->tx, &topic);
	if (rc == 0)
		rc = add_file(ap, dir, "next", ZK_NODE_NEXT, 0444);
	if (rc == 0)
		rc = add_file(ap, dir, "lag", ZK_NODE_LAG, 0444);
	if (rc == 0)
		rc = add_file(ap, dir, "members", ZK_NODE_MEMBERS, 0444);
	if (rc == 0)
		rc = add_file(ap, dir, "dead", ZK_NODE_DEAD, 0666);
	for (uint32_t i = 0; rc == 0 && i < topic.config.partitions; i++)
		rc = add_share(ap, dir, i, dir->attr.mode & 0666);
	return rc;
}

int
zk_group_check_remove(struct zk_apply *ap, uint64_t group)
{
	struct zk_group_member member;
	int rc = zk_group_member_next(ap->tx, group, 0, &member);

	return rc == 0 ? -EBUSY : rc == -ENOENT ? 0 : rc;
}

int
zk_group_forget(struct zk_apply *ap, const struct zk_attr *dir)
{
	const struct zk_key shares = zk_key1(ZK_TABLE_SHARE, dir->ino);
	struct zk_topic topic = {.ino = 0};
	int rc;

	rc = zk_rows_delete(ap->tx, &shares);
	if (rc == 0)
		rc = zk_topic_get(ap->tx, dir->topic, &topic);
	if (rc < 0)
		return rc;
	ZK_ASSERT(topic.group_count > 0);
	topic.group_count--;
	return zk_topic_put(ap->tx, &topic);
}

/* One group gets the shares it lacks. */
static int
grow(struct zk_apply *ap, uint64_t group, const struct zk_topic *topic,
    uint32_t from)
{
	struct zk_share first;
	struct zk_inode dir;
	struct zk_attr like;
	int rc;

	rc = zk_inode_get(ap->tx, group, &dir);
	if (rc == 0)
		rc = zk_share_get(ap->tx, group, 0, &first);
	if (rc == 0)
		rc = zk_inode_attr(ap->tx, first.ino, &like);
	for (uint32_t i = from; rc == 0 && i < topic->config.partitions; i++)
		rc = add_share(ap, &dir, i, like.mode & 0666);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, &dir);
	return rc < 0 ? rc : reassign(ap, group);
}

int
zk_groups_grow(struct zk_apply *ap, const struct zk_topic *topic, uint32_t from)
{
	const struct zk_key at = zk_key1(ZK_TABLE_DIRENT, topic->groups_ino);
	struct zk_scan scan;
	int rc;

	rc = zk_scan_begin(ap->tx, &at, at.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0) {
		struct zk_entry_ref ref;
		const char *name;
		size_t len;

		rc = zk_dirent_decode(&scan.at, scan.value, scan.value_len,
		    &ref, &name, &len);
		if (rc == 0)
			rc = grow(ap, ref.ino, topic, from);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}
