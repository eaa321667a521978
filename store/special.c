#include "store/special.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "store/content.h"
#include "store/group.h"
#include "store/link.h"
#include "store/names.h"
#include "store/names_impl.h"
#include "store/nodes.h"
#include "store/topic.h"

#define TOPICS_NAME "topics"
#define TOPICS_MODE (S_IFDIR | 0755u)

static bool
is_dir_kind(uint32_t kind)
{
	return kind == ZK_NODE_TOPICS || kind == ZK_NODE_TOPIC ||
	    kind == ZK_NODE_GROUPS || kind == ZK_NODE_GROUP;
}

/* --- making and unmaking nodes -------------------------------------------- */

void
zk_special_init(struct zk_inode *ret_node, uint32_t kind, uint32_t mode,
    const struct zk_attr *like)
{
	ret_node->seq = 0;
	ret_node->name_len = 0;
	ret_node->data_len = 0;
	ret_node->attr = (struct zk_attr){
	    .mode = (is_dir_kind(kind) ? S_IFDIR : S_IFREG) | mode,
	    .uid = like->uid,
	    .gid = like->gid,
	    .kind = kind,
	    .topic = like->topic,
	    .group = like->group,
	};
}

int
zk_special_add(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    struct zk_inode *node)
{
	const bool is_dir = S_ISDIR(node->attr.mode);
	struct zk_tx *tx = ap->tx;
	struct zk_attr *attr = &node->attr;
	struct zk_entry_ref ref;
	int rc;

	attr->ino = tx->state.ino_next;
	attr->nlink = is_dir ? 2 : 1;
	attr->size = node->data_len;
	attr->atime = attr->mtime = attr->ctime = attr->btime = ap->now;
	attr->czxid = attr->mzxid = attr->pzxid = ap->index;
	zk_link_first(node, dir->attr.ino, name, strlen(name));
	ref = (struct zk_entry_ref){
	    .ino = attr->ino,
	    .type = attr->mode & S_IFMT,
	};
	rc = zk_dirent_put(tx, dir->attr.ino, name, strlen(name), &ref);
	if (rc < 0)
		return rc;
	tx->state.ino_next++;
	tx->state.nodes++;
	zk_names_touch_dir(ap, dir);
	if (is_dir)
		dir->attr.nlink++;
	rc = zk_inode_put(tx, node);
	zk_names_tell_created(ap, attr, dir->attr.ino, name, strlen(name));
	return rc;
}

int
zk_special_set_text(struct zk_apply *ap, struct zk_inode *node,
    const char *text, size_t len)
{
	const bool quiet = ap->quiet, replaces = ap->replaces;
	int rc;

	ZK_ASSERT(len <= ZK_INLINE_MAX);

	rc = zk_content_truncate(ap->tx, node, 0);
	if (rc == 0)
		rc = zk_content_write(ap->tx, node, 0, text, len);
	if (rc < 0)
		return rc;
	/* Whose text it is may have been written by him, or follow from that. */
	ap->quiet = quiet || ap->cmd->ino != node->attr.ino;
	ap->replaces = true;
	rc = zk_nodes_content_changed(ap, node);
	ap->quiet = quiet;
	ap->replaces = replaces;
	return rc;
}

int
zk_special_found(struct zk_apply *ap)
{
	const struct zk_attr root_owned = {.uid = 0};
	struct zk_inode root, node;
	int rc;

	rc = zk_inode_get(ap->tx, ZK_INO_ROOT, &root);
	if (rc < 0)
		return rc;
	zk_special_init(&node, ZK_NODE_TOPICS, 0755, &root_owned);
	rc = zk_special_add(ap, &root, TOPICS_NAME, &node);
	return rc < 0 ? rc : zk_inode_put(ap->tx, &root);
}

int
zk_special_empty(struct zk_apply *ap, uint64_t ino)
{
	const struct zk_key from = zk_key1(ZK_TABLE_DIRENT, ino);
	const bool quiet = ap->quiet;
	struct zk_scan scan;
	struct zk_inode dir = {.data_len = 0};
	int rc;

	rc = zk_inode_get(ap->tx, ino, &dir);
	if (rc == 0)
		rc = zk_scan_begin(ap->tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	ap->quiet = true;
	while ((rc = zk_scan_next(&scan)) == 0) {
		char name[ZK_NAME_MAX + 1];
		struct zk_entry_ref ref;
		const char *at;
		size_t len;

		rc = zk_dirent_decode(&scan.at, scan.value, scan.value_len,
		    &ref, &at, &len);
		if (rc < 0)
			break;
		memcpy(name, at, len);
		rc = zk_names_remove(ap, &dir, name, len, &ref);
		if (rc < 0)
			break;
	}
	zk_scan_end(&scan);
	ap->quiet = quiet;
	if (rc != -ENOENT)
		return rc;
	return dir.attr.kind == ZK_NODE_TOPIC ? zk_topic_forget(ap, ino)
	                                      : zk_group_forget(ap, &dir.attr);
}

/* --- names ---------------------------------------------------------------- */

/* What a node made in this directory would be; -EPERM: none may be. */
static int
kind_in(const struct zk_inode *dir, const struct zk_command *cmd,
    uint32_t *ret_kind)
{
	*ret_kind = ZK_NODE_PLAIN;
	if (dir->attr.kind == ZK_NODE_PLAIN) {
		if (dir->attr.ino == ZK_INO_ROOT && S_ISDIR(cmd->mode) &&
		    cmd->name_len == strlen(TOPICS_NAME) &&
		    memcmp(cmd->name, TOPICS_NAME, cmd->name_len) == 0)
			*ret_kind = ZK_NODE_TOPICS;
		return 0;
	}
	if (!S_ISDIR(cmd->mode))
		return -EPERM;
	if (dir->attr.kind == ZK_NODE_TOPICS)
		*ret_kind = ZK_NODE_TOPIC;
	else if (dir->attr.kind == ZK_NODE_GROUPS)
		*ret_kind = ZK_NODE_GROUP;
	else
		return -EPERM;
	return 0;
}

int
zk_special_check_create(struct zk_apply *ap, const struct zk_inode *dir,
    const struct zk_command *cmd, uint32_t *ret_kind)
{
	int rc = kind_in(dir, cmd, ret_kind);

	if (rc == 0 && *ret_kind == ZK_NODE_TOPIC)
		rc = zk_topic_check_make(ap);
	if (rc == 0 && *ret_kind == ZK_NODE_GROUP)
		rc = zk_group_check_make(ap, &dir->attr);
	return rc;
}

int
zk_special_fill(struct zk_apply *ap, const struct zk_inode *dir,
    struct zk_inode *node)
{
	const bool quiet = ap->quiet;
	int rc = 0;

	/* What else comes with it the kernel of the caller does not know. */
	ap->quiet = true;
	if (node->attr.kind == ZK_NODE_TOPIC) {
		rc = zk_topic_make(ap, node);
	} else if (node->attr.kind == ZK_NODE_GROUP) {
		node->attr.topic = dir->attr.topic;
		rc = zk_group_make(ap, node);
	}
	ap->quiet = quiet;
	return rc;
}

int
zk_special_check_link(const struct zk_inode *dir, const struct zk_inode *node)
{
	return dir->attr.kind == ZK_NODE_PLAIN &&
	        node->attr.kind == ZK_NODE_PLAIN
	    ? 0
	    : -EPERM;
}

int
zk_special_check_rename(struct zk_apply *ap, const struct zk_inode *from,
    const struct zk_inode *to, const struct zk_entry_ref *ref)
{
	const uint32_t place = from->attr.kind;
	struct zk_attr attr;
	int rc;

	if (ref->ino == 0) /* nothing is there to be replaced */
		return to->attr.kind == ZK_NODE_PLAIN || to == from ? 0
		                                                    : -EPERM;
	rc = zk_inode_attr(ap->tx, ref->ino, &attr);
	if (rc < 0)
		return rc;
	if (attr.kind == ZK_NODE_TOPICS)
		return -EBUSY;
	if (place == ZK_NODE_PLAIN && to->attr.kind == ZK_NODE_PLAIN &&
	    attr.kind == ZK_NODE_PLAIN)
		return 0;
	/* A topic or a group may get another name where it is. */
	if (to == from && (place == ZK_NODE_TOPICS || place == ZK_NODE_GROUPS))
		return 0;
	return -EPERM;
}

int
zk_special_check_remove(struct zk_apply *ap, const struct zk_entry_ref *ref)
{
	struct zk_topic topic;
	struct zk_attr attr;
	int rc;

	rc = zk_inode_attr(ap->tx, ref->ino, &attr);
	if (rc < 0 || attr.kind == ZK_NODE_PLAIN)
		return rc;
	if (attr.kind == ZK_NODE_TOPICS)
		return -EBUSY;
	if (attr.kind == ZK_NODE_GROUP) {
		rc = zk_group_check_remove(ap, attr.ino);
		return rc < 0 ? rc : 1;
	}
	if (attr.kind != ZK_NODE_TOPIC)
		return -EPERM;
	rc = zk_topic_get(ap->tx, attr.ino, &topic);
	if (rc < 0)
		return rc;
	return topic.group_count > 0 ? -ENOTEMPTY : 1;
}

/* --- content -------------------------------------------------------------- */

int
zk_special_write(struct zk_apply *ap, struct zk_inode *node)
{
	const struct zk_command *cmd = ap->cmd;
	int rc;

	switch ((enum zk_node_kind)node->attr.kind) {
	case ZK_NODE_PLAIN:
	case ZK_NODE_DEAD:
		return 0;
	case ZK_NODE_CONFIG:
		rc = zk_topic_configure(ap, node, cmd->data, cmd->data_len);
		break;
	case ZK_NODE_OFFSET:
		rc = zk_group_reset(ap, node);
		break;
	case ZK_NODE_TOPICS:
	case ZK_NODE_TOPIC:
	case ZK_NODE_GROUPS:
	case ZK_NODE_GROUP:
	case ZK_NODE_PARTITION:
	case ZK_NODE_BY_KEY:
	case ZK_NODE_ANY:
	case ZK_NODE_NEXT:
	case ZK_NODE_LAG:
	case ZK_NODE_MEMBERS:
	case ZK_NODE_KINDS:
	default:
		return -EPERM;
	}
	return rc < 0 ? rc : 1;
}

int
zk_special_check_resize(const struct zk_inode *node)
{
	switch ((enum zk_node_kind)node->attr.kind) {
	case ZK_NODE_PLAIN:
	case ZK_NODE_DEAD:
		return 0;
	case ZK_NODE_CONFIG:
	case ZK_NODE_OFFSET:
		/* What `>` does before it writes: the old values stay. */
		return 1;
	case ZK_NODE_TOPICS:
	case ZK_NODE_TOPIC:
	case ZK_NODE_GROUPS:
	case ZK_NODE_GROUP:
	case ZK_NODE_PARTITION:
	case ZK_NODE_BY_KEY:
	case ZK_NODE_ANY:
	case ZK_NODE_NEXT:
	case ZK_NODE_LAG:
	case ZK_NODE_MEMBERS:
	case ZK_NODE_KINDS:
	default:
		return -EPERM;
	}
}
