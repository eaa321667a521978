#include "store/topic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/group.h"
#include "store/placement.h"
#include "store/roster.h"
#include "store/special.h"
#include "store/store.h"

/* --- members and placement ------------------------------------------------ */

/* Drops those who are to leave, but not all. */
static int
drop_leaving(struct zk_tx *tx, uint64_t *ids, size_t *count)
{
	struct zk_roster *roster = malloc(sizeof(*roster));
	size_t stay = 0;
	int rc;

	if (roster == NULL)
		return tx->fatal = -ENOMEM;
	rc = zk_roster_load(tx, roster);
	for (size_t i = 0; rc == 0 && i < *count; i++) {
		const struct zk_roster_row *row =
		    zk_roster_find_node(roster, ids[i]);

		if (row != NULL && row->role == ZK_ROSTER_LEAVING)
			continue;
		ids[stay++] = ids[i];
	}
	free(roster);
	if (rc == 0 && stay > 0)
		*count = stay;
	return rc;
}

/*
 * The voters of the membership in force who are to stay.  The encoding is that
 * of consensus/ (zk_conf_encode): a u8 count, a u32 with a bit for each voter,
 * then the ids.
 */
static int
load_members(struct zk_tx *tx, struct zk_placement *ret_placement)
{
	uint64_t ids[ZK_PLACEMENT_MEMBERS_MAX], index;
	uint8_t buf[ZK_CONF_BYTES_MAX];
	struct zk_dec dec;
	size_t len, n = 0;
	uint32_t voters;
	uint8_t count;
	int rc;

	rc = zk_conf_row_get(tx, buf, sizeof(buf), &len, &index);
	if (rc < 0)
		return rc;
	zk_dec_init(&dec, buf, len);
	count = zk_dec_u8(&dec);
	voters = zk_dec_u32(&dec);
	for (uint8_t i = 0; i < count && i < ZK_PLACEMENT_MEMBERS_MAX; i++) {
		const uint64_t id = zk_dec_u64(&dec);

		if (voters >> i & 1)
			ids[n++] = id;
	}
	if (!zk_dec_done(&dec) || n == 0)
		return tx->fatal = -ZK_ECORRUPT;
	rc = drop_leaving(tx, ids, &n);
	if (rc == 0)
		zk_placement_init(ret_placement, ids, n);
	return rc;
}

static int
load_placement(struct zk_tx *tx, struct zk_placement *ret_placement)
{
	struct zk_partition p = {.topic = 0};
	int rc;

	rc = load_members(tx, ret_placement);
	if (rc < 0)
		return rc;
	while ((rc = zk_partition_next(tx, p.topic, p.number, &p)) == 0) {
		zk_placement_count(ret_placement, &p);
		p.number++;
	}
	return rc == -ENOENT ? 0 : rc;
}

/* Puts the partition if its replicas are not what they were. */
static int
put_replaced(struct zk_apply *ap, struct zk_partition *p,
    const struct zk_partition *old)
{
	bool same = p->replica_count == old->replica_count;
	struct zk_inode file;
	int rc;

	for (uint32_t i = 0; same && i < p->replica_count; i++)
		same = p->replicas[i] == old->replicas[i];
	if (same)
		return 0;
	p->changed = ap->index;
	rc = zk_partition_put(ap->tx, p);
	if (rc == 0)
		rc = zk_inode_get(ap->tx, p->ino, &file);
	if (rc == 0)
		zk_apply_touched(ap, ZK_CHANGE_ATTRIB, &file);
	return rc;
}

/* What a look at all partitions is for, in this order. */
enum pass { MUST_MOVE, EVEN_KEPT, EVEN_LED };

/*
 * Choose replicas anew for the partitions of one topic, or (0) of all, moving
 * as little as can be.
 */
static int
replace(struct zk_apply *ap, uint64_t only, enum pass pass)
{
	struct zk_placement placement;
	struct zk_partition p = {.topic = only}, old;
	struct zk_topic topic = {.ino = 0};
	int rc;

	rc = load_placement(ap->tx, &placement);
	while (rc == 0) {
		rc = zk_partition_next(ap->tx, p.topic, p.number, &p);
		if (rc < 0 || (only != 0 && p.topic != only))
			break;
		if (p.topic != topic.ino)
			rc = zk_topic_get(ap->tx, p.topic, &topic);
		if (rc < 0)
			break;
		old = p;
		zk_placement_uncount(&placement, &p);
		zk_placement_choose(&placement, &p, topic.config.replicas);
		if (pass == EVEN_KEPT)
			(void)zk_placement_even_kept(&placement, &p);
		else if (pass == EVEN_LED)
			(void)zk_placement_even_led(&placement, &p);
		rc = put_replaced(ap, &p, &old);
		p.number++;
	}
	return rc == -ENOENT ? 0 : rc;
}

int
zk_topics_replace(struct zk_apply *ap)
{
	const bool quiet = ap->quiet;
	int rc;

	ap->quiet = true;
	/* First what must move, so that the next look sees all of it. */
	rc = replace(ap, 0, MUST_MOVE);
	if (rc == 0)
		rc = replace(ap, 0, EVEN_KEPT);
	if (rc == 0)
		rc = replace(ap, 0, EVEN_LED);
	ap->quiet = quiet;
	return rc;
}

/* --- files ---------------------------------------------------------------- */

/* The partition's file and row. */
static int
add_partition(struct zk_apply *ap, struct zk_inode *dir,
    const struct zk_topic *topic, uint32_t number, const struct zk_attr *like,
    struct zk_placement *placement)
{
	struct zk_partition p = {
	    .topic = topic->ino,
	    .number = number,
	    .changed = ap->index,
	};
	struct zk_inode node;
	char name[16];
	int rc;

	zk_special_init(&node, ZK_NODE_PARTITION, like->mode & 0666, like);
	node.attr.topic = topic->ino;
	node.attr.partition = number;
	(void)snprintf(name, sizeof(name), "p%" PRIu32, number);
	rc = zk_special_add(ap, dir, name, &node);
	if (rc < 0)
		return rc;
	p.ino = node.attr.ino;
	zk_placement_choose(placement, &p, topic->config.replicas);
	p.founder_count = p.replica_count;
	for (uint32_t i = 0; i < p.replica_count; i++)
		p.founders[i] = p.replicas[i];
	return zk_partition_put(ap->tx, &p);
}

static int
add_file(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    uint32_t kind, uint32_t mode, uint64_t *ret_ino)
{
	struct zk_inode node;
	int rc;

	zk_special_init(&node, kind, dir->attr.mode & mode, &dir->attr);
	node.attr.topic = dir->attr.ino;
	rc = zk_special_add(ap, dir, name, &node);
	*ret_ino = node.attr.ino;
	return rc;
}

static int
add_config(struct zk_apply *ap, struct zk_inode *dir, struct zk_topic *topic)
{
	struct zk_inode node;
	int rc;

	zk_special_init(&node, ZK_NODE_CONFIG, dir->attr.mode & 0666,
	    &dir->attr);
	node.attr.topic = dir->attr.ino;
	node.data_len = zk_topic_config_text(&topic->config, (char *)node.data,
	    sizeof(node.data));
	rc = zk_special_add(ap, dir, "config", &node);
	topic->config_ino = node.attr.ino;
	return rc;
}

int
zk_topic_check_make(struct zk_apply *ap)
{
	struct zk_placement placement;
	int rc = load_members(ap->tx, &placement);

	return rc == -ENOENT ? -EAGAIN : rc;
}

int
zk_topic_make(struct zk_apply *ap, struct zk_inode *dir)
{
	struct zk_topic topic = {.ino = dir->attr.ino};
	struct zk_placement placement;
	uint64_t ino;
	int rc;

	zk_topic_config_init(&topic.config);
	rc = load_placement(ap->tx, &placement);
	if (rc == 0)
		rc = add_config(ap, dir, &topic);
	if (rc == 0)
		rc = add_file(ap, dir, "by-key", ZK_NODE_BY_KEY, 0222, &ino);
	if (rc == 0)
		rc = add_file(ap, dir, "any", ZK_NODE_ANY, 0222, &ino);
	if (rc == 0)
		rc = add_file(ap, dir, "groups", ZK_NODE_GROUPS, 0777,
		    &topic.groups_ino);
	if (rc == 0)
		rc = add_partition(ap, dir, &topic, 0, &dir->attr, &placement);
	if (rc == 0)
		rc = zk_topic_put(ap->tx, &topic);
	return rc;
}

int
zk_topic_forget(struct zk_apply *ap, uint64_t ino)
{
	const struct zk_key partitions = zk_key1(ZK_TABLE_PARTITION, ino);
	const struct zk_key key = zk_key1(ZK_TABLE_TOPIC, ino);
	int rc;

	rc = zk_rows_delete(ap->tx, &partitions);
	if (rc == 0)
		rc = zk_row_delete(ap->tx, &key);
	return rc;
}

/* --- settings ------------------------------------------------------------- */

static int
grow(struct zk_apply *ap, const struct zk_topic *topic, uint32_t from)
{
	const bool quiet = ap->quiet;
	struct zk_placement placement;
	struct zk_partition first;
	struct zk_inode dir;
	struct zk_attr like;
	int rc;

	rc = zk_inode_get(ap->tx, topic->ino, &dir);
	if (rc == 0)
		rc = zk_partition_get(ap->tx, topic->ino, 0, &first);
	if (rc == 0)
		rc = zk_inode_attr(ap->tx, first.ino, &like);
	if (rc == 0)
		rc = load_placement(ap->tx, &placement);
	ap->quiet = true;
	for (uint32_t i = from; rc == 0 && i < topic->config.partitions; i++)
		rc = add_partition(ap, &dir, topic, i, &like, &placement);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, &dir);
	if (rc == 0)
		rc = zk_groups_grow(ap, topic, from);
	ap->quiet = quiet;
	return rc;
}

int
zk_topic_configure(struct zk_apply *ap, struct zk_inode *config,
    const void *text, size_t len)
{
	char buf[ZK_TOPIC_CONFIG_TEXT_MAX];
	struct zk_topic topic;
	uint32_t partitions, replicas;
	int rc;

	if (len > ZK_TOPIC_SETTINGS_MAX)
		return -EINVAL;
	/* Its topic may be gone, while someone still has this open. */
	rc = zk_topic_get(ap->tx, config->attr.topic, &topic);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	partitions = topic.config.partitions;
	replicas = topic.config.replicas;
	rc = zk_topic_config_apply(&topic.config, text, len);
	if (rc < 0)
		return rc;
	if ((uint64_t)(topic.config.partitions - partitions) *
	        (topic.group_count + 1) >
	    ZK_TOPIC_FILES_MAX)
		return -E2BIG;
	rc = zk_topic_put(ap->tx, &topic);
	if (rc == 0 && topic.config.partitions > partitions)
		rc = grow(ap, &topic, partitions);
	if (rc == 0 && topic.config.replicas != replicas)
		rc = replace(ap, topic.ino, MUST_MOVE);
	if (rc < 0)
		return rc;
	len = zk_topic_config_text(&topic.config, buf, sizeof(buf));
	return zk_special_set_text(ap, config, buf, len);
}
