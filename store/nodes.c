#include "store/nodes.h"

#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/assert.h"
#include "store/content.h"
#include "store/group.h"
#include "store/inode.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/session.h"
#include "store/special.h"

#define CAPABILITY_XATTR "security.capability"

static int
load_file(struct zk_apply *ap, uint64_t ino, struct zk_inode *ret_node)
{
	int rc = zk_inode_get(ap->tx, ino, ret_node);

	if (rc < 0)
		return rc;
	if (S_ISDIR(ret_node->attr.mode))
		return -EISDIR;
	return S_ISREG(ret_node->attr.mode) ? 0 : -EINVAL;
}

/*
 * What stops a change of content, in the order in which a caller would want
 * to know: the file is no longer his, the version is not the one expected.
 */
static int
check_content(struct zk_apply *ap, const struct zk_inode *node)
{
	const struct zk_command *cmd = ap->cmd;

	if ((cmd->flags & ZK_F_FENCED) && node->attr.nlink == 0 &&
	    node->attr.session != 0)
		return -ESTALE;
	if ((cmd->flags & ZK_F_EXPECT) && node->attr.version != cmd->expect)
		return -EAGAIN;
	return 0;
}

/* Owners who may not keep set-id bits lose them with the content. */
static int
kill_priv(struct zk_apply *ap, struct zk_inode *node)
{
	struct zk_key key = zk_key1(ZK_TABLE_XATTR, node->attr.ino);
	int rc;

	zk_key_raw(&key, CAPABILITY_XATTR, sizeof(CAPABILITY_XATTR) - 1);
	rc = zk_row_delete(ap->tx, &key);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	if (!(ap->cmd->flags & ZK_F_KILL_PRIV))
		return 0;
	node->attr.mode &= ~(uint32_t)S_ISUID;
	if (node->attr.mode & S_IXGRP)
		node->attr.mode &= ~(uint32_t)S_ISGID;
	return 0;
}

/* The content has changed: version, times, the row, the news. */
int
zk_nodes_content_changed(struct zk_apply *ap, struct zk_inode *node)
{
	int rc;

	node->attr.version++;
	node->attr.mzxid = ap->index;
	node->attr.mtime = ap->now;
	node->attr.ctime = ap->now;
	rc = kill_priv(ap, node);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, node);
	ap->outcome->attr = node->attr;
	zk_apply_touched(ap, ZK_CHANGE_MODIFY, node);
	return rc;
}

static uint64_t
size_limit(const struct zk_command *cmd)
{
	return cmd->len != 0 && cmd->len < ZK_MAX_FILE_LIMIT
	    ? cmd->len
	    : ZK_MAX_FILE_LIMIT;
}

int
zk_nodes_write(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	const uint64_t limit = size_limit(cmd);
	struct zk_inode node;
	uint64_t off = cmd->off;
	int rc;

	rc = load_file(ap, cmd->ino, &node);
	if (rc == 0)
		rc = check_content(ap, &node);
	if (rc == 0)
		rc = zk_special_write(ap, &node);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (cmd->flags & ZK_F_APPEND)
		off = cmd->flags & ZK_F_TRUNCATE ? 0 : node.attr.size;
	if (off > limit || cmd->data_len > limit - off)
		return -EFBIG;
	if (cmd->flags & ZK_F_TRUNCATE) {
		ap->replaces = true;
		rc = zk_content_truncate(ap->tx, &node, 0);
		if (rc < 0)
			return rc;
	}
	rc = zk_content_write(ap->tx, &node, off, cmd->data, cmd->data_len);
	if (rc < 0)
		return rc;
	ap->outcome->offset = off;
	return zk_nodes_content_changed(ap, &node);
}

/* --- attributes ----------------------------------------------------------- */

/* chown(2) takes set-id bits from files, whoever calls it. */
static void
set_owner(const struct zk_command *cmd, struct zk_attr *attr)
{
	if (!(cmd->flags & (ZK_SET_UID | ZK_SET_GID)))
		return;
	if (cmd->flags & ZK_SET_UID)
		attr->uid = cmd->uid;
	if (cmd->flags & ZK_SET_GID)
		attr->gid = cmd->gid;
	if (!S_ISREG(attr->mode))
		return;
	attr->mode &= ~(uint32_t)S_ISUID;
	if (attr->mode & S_IXGRP)
		attr->mode &= ~(uint32_t)S_ISGID;
}

static void
set_mode(const struct zk_command *cmd, struct zk_attr *attr)
{
	uint32_t mode;

	if (!(cmd->flags & ZK_SET_MODE))
		return;
	mode = cmd->mode & 07777;
	/* The T of an ephemeral file is a fact, not a permission. */
	if (attr->session != 0)
		mode |= S_ISVTX;
	attr->mode = (attr->mode & S_IFMT) | mode;
}

static void
set_times(const struct zk_apply *ap, struct zk_attr *attr)
{
	const struct zk_command *cmd = ap->cmd;

	if (cmd->flags & ZK_SET_ATIME)
		attr->atime = cmd->atime;
	if (cmd->flags & ZK_SET_MTIME)
		attr->mtime = cmd->mtime;
	if (cmd->flags & ZK_SET_ATIME_NOW)
		attr->atime = ap->now;
	if (cmd->flags & ZK_SET_MTIME_NOW)
		attr->mtime = ap->now;
}

static int
set_size(struct zk_apply *ap, struct zk_inode *node)
{
	const struct zk_command *cmd = ap->cmd;
	int rc = 0;

	if (cmd->len > ZK_MAX_FILE_LIMIT)
		return -EFBIG;
	ap->replaces = true;
	if (cmd->flags & ZK_F_TRUNCATE)
		rc = zk_content_truncate(ap->tx, node, 0);
	if (rc == 0)
		rc = zk_content_truncate(ap->tx, node, cmd->len);
	return rc;
}

int
zk_nodes_setattr(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	const bool sized = (cmd->flags & ZK_SET_SIZE) != 0;
	struct zk_inode node;
	int rc;

	if (sized) {
		rc = load_file(ap, cmd->ino, &node);
		if (rc == 0)
			rc = check_content(ap, &node);
		if (rc == 0)
			rc = zk_special_check_resize(&node);
		if (rc > 0) {
			ap->outcome->attr = node.attr;
			return 0;
		}
		if (rc == 0)
			rc = set_size(ap, &node);
	} else {
		rc = zk_inode_get(ap->tx, cmd->ino, &node);
	}
	if (rc < 0)
		return rc;
	set_owner(cmd, &node.attr);
	set_mode(cmd, &node.attr);
	if (sized) {
		node.attr.version++;
		node.attr.mzxid = ap->index;
		node.attr.mtime = ap->now;
		rc = kill_priv(ap, &node);
		if (rc < 0)
			return rc;
	}
	set_times(ap, &node.attr);
	node.attr.ctime = ap->now;
	ap->outcome->attr = node.attr;
	zk_apply_touched(ap, sized ? ZK_CHANGE_MODIFY : ZK_CHANGE_ATTRIB,
	    &node);
	return zk_inode_put(ap->tx, &node);
}

/* --- fallocate ------------------------------------------------------------ */

int
zk_nodes_fallocate(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	const bool zeros =
	    cmd->mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct zk_inode node;
	uint64_t end, stop;
	int rc;

	rc = load_file(ap, cmd->ino, &node);
	if (rc == 0)
		rc = check_content(ap, &node);
	if (rc == 0 && zk_special_check_resize(&node) != 0)
		rc = -EPERM;
	if (rc < 0)
		return rc;
	if (cmd->len == 0)
		return -EINVAL;
	if (cmd->off > ZK_MAX_FILE_LIMIT ||
	    cmd->len > ZK_MAX_FILE_LIMIT - cmd->off)
		return -EFBIG;
	end = cmd->off + cmd->len;
	if (cmd->flags & ZK_F_TRUNCATE) {
		rc = zk_content_truncate(ap->tx, &node, 0);
		if (rc < 0)
			return rc;
	}
	stop = end < node.attr.size ? end : node.attr.size;
	if (zeros && cmd->off < stop)
		rc = zk_content_punch(ap->tx, &node, cmd->off, stop - cmd->off);
	if (rc == 0 && end > node.attr.size &&
	    !(cmd->mode & FALLOC_FL_KEEP_SIZE))
		rc = zk_content_truncate(ap->tx, &node, end);
	return rc < 0 ? rc : zk_nodes_content_changed(ap, &node);
}

/* --- extended attributes -------------------------------------------------- */

static int
count_xattrs(struct zk_tx *tx, uint64_t ino, uint32_t *ret_count)
{
	const struct zk_key from = zk_key1(ZK_TABLE_XATTR, ino);
	struct zk_scan scan;
	int rc;

	*ret_count = 0;
	rc = zk_scan_begin(tx, &from, from.len, &scan);
	if (rc < 0)
		return rc;
	while ((rc = zk_scan_next(&scan)) == 0)
		(*ret_count)++;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

static int
xattr_changed(struct zk_apply *ap, struct zk_inode *node)
{
	node->attr.ctime = ap->now;
	ap->outcome->attr = node->attr;
	zk_apply_touched(ap, ZK_CHANGE_ATTRIB, node);
	return zk_inode_put(ap->tx, node);
}

int
zk_nodes_xattr_set(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_key key = zk_key1(ZK_TABLE_XATTR, cmd->ino);
	struct zk_inode node;
	const void *old;
	uint32_t count;
	size_t old_len;
	int rc;

	if (cmd->name_len == 0)
		return -EINVAL;
	if (cmd->data_len > ZK_XATTR_VALUE_MAX)
		return -E2BIG;
	rc = zk_inode_get(ap->tx, cmd->ino, &node);
	if (rc < 0)
		return rc;
	zk_key_raw(&key, cmd->name, cmd->name_len);
	rc = zk_row_get(ap->tx, &key, &old, &old_len);
	if (rc == 0 && (cmd->mode & XATTR_CREATE))
		return -EEXIST;
	if (rc == -ENOENT && (cmd->mode & XATTR_REPLACE))
		return -ENODATA;
	if (rc == -ENOENT) {
		rc = count_xattrs(ap->tx, cmd->ino, &count);
		if (rc == 0 && count >= ZK_XATTRS_MAX)
			return -ENOSPC;
	}
	if (rc == 0)
		rc = zk_row_put(ap->tx, &key, cmd->data, cmd->data_len);
	return rc < 0 ? rc : xattr_changed(ap, &node);
}

int
zk_nodes_xattr_remove(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_key key = zk_key1(ZK_TABLE_XATTR, cmd->ino);
	struct zk_inode node;
	int rc;

	if (cmd->name_len == 0)
		return -EINVAL;
	rc = zk_inode_get(ap->tx, cmd->ino, &node);
	if (rc < 0)
		return rc;
	zk_key_raw(&key, cmd->name, cmd->name_len);
	rc = zk_row_delete(ap->tx, &key);
	if (rc < 0)
		return rc == -ENOENT ? -ENODATA : rc;
	return xattr_changed(ap, &node);
}

/* --- the end of an open file ---------------------------------------------- */

static int
truncate_at_close(struct zk_apply *ap)
{
	struct zk_inode node;
	int rc;

	/* The file may be gone, or be of another version: then it stays. */
	rc = load_file(ap, ap->cmd->ino, &node);
	if (rc == 0)
		rc = check_content(ap, &node);
	if (rc == 0)
		rc = zk_special_check_resize(&node);
	ap->replaces = true;
	if (rc == 0)
		rc = zk_content_truncate(ap->tx, &node, 0);
	if (rc == 0)
		(void)zk_nodes_content_changed(ap, &node);
	return ap->tx->fatal;
}

int
zk_nodes_release(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_ephemeral eph;
	int rc = 0;

	if (cmd->flags & ZK_F_TRUNCATE)
		rc = truncate_at_close(ap);
	if (rc == 0)
		rc = zk_lock_drop_handle(ap, cmd->ino, cmd->session,
		    cmd->handle);
	if (rc == 0)
		rc = zk_group_leave(ap, cmd->session, cmd->handle);
	if (rc < 0)
		return rc;
	rc = zk_ephemeral_get(ap->tx, cmd->session, cmd->handle, &eph);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	ap->quiet = true;
	return zk_names_remove_ephemeral(ap, &eph);
}
