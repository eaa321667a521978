#include "store/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/err.h"
#include "store/dirent.h"
#include "store/inode.h"
#include "store/names_impl.h"
#include "store/orphan.h"
#include "store/special.h"

#define LINK_MAX_PER_FILE 65000u

/* A name that ends in ten X asks for the directory's next number. */
#define SEQUENCE_MARK      "XXXXXXXXXX"
#define SEQUENCE_DIGITS    10u
#define SEQUENCE_TRIES_MAX 1000u

bool
zk_names_valid(const char *name, size_t len)
{
	if (len == 0 || len > ZK_NAME_MAX)
		return false;
	if (memchr(name, '/', len) != NULL || memchr(name, '\0', len) != NULL)
		return false;
	return !(name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')));
}

/* A directory that still has a name, to be changed. */
int
zk_names_load_dir(struct zk_apply *ap, uint64_t ino, struct zk_inode *ret_dir)
{
	int rc = zk_inode_get(ap->tx, ino, ret_dir);

	if (rc < 0)
		return rc;
	if (!S_ISDIR(ret_dir->attr.mode))
		return -ENOTDIR;
	return ret_dir->attr.nlink == 0 ? -ENOENT : 0;
}

void
zk_names_touch_dir(struct zk_apply *ap, struct zk_inode *dir)
{
	dir->attr.mtime = ap->now;
	dir->attr.ctime = ap->now;
	dir->attr.cversion++;
	dir->attr.pzxid = ap->index;
}

static bool
wants_sequence(const struct zk_command *cmd)
{
	return cmd->name_len >= SEQUENCE_DIGITS &&
	    memcmp(cmd->name + cmd->name_len - SEQUENCE_DIGITS, SEQUENCE_MARK,
	        SEQUENCE_DIGITS) == 0;
}

/*
 * The name to create, in ap->outcome: the one asked for, or with the next
 * number of the directory.  Names that happen to exist are skipped.
 */
static int
choose_name(struct zk_apply *ap, struct zk_inode *dir)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_outcome *out = ap->outcome;
	const size_t stem = cmd->name_len - SEQUENCE_DIGITS;
	struct zk_entry_ref ref;
	int rc = 0;

	if (!wants_sequence(cmd)) {
		rc = zk_dirent_get(ap->tx, dir->attr.ino, cmd->name,
		    cmd->name_len, &ref);
		if (rc == -ENOENT) {
			memcpy(out->name, cmd->name, cmd->name_len);
			out->name_len = cmd->name_len;
		}
		return rc == 0 ? -EEXIST : rc == -ENOENT ? 0 : rc;
	}
	for (uint32_t i = 0; i < SEQUENCE_TRIES_MAX && rc == 0; i++) {
		memcpy(out->name, cmd->name, stem);
		out->name_len = stem +
		    (size_t)snprintf(out->name + stem, sizeof(out->name) - stem,
		        "%010" PRIu64, dir->seq);
		if (out->name_len > ZK_NAME_MAX)
			return -ENAMETOOLONG;
		dir->seq++;
		rc = zk_dirent_get(ap->tx, dir->attr.ino, out->name,
		    out->name_len, &ref);
	}
	return rc == 0 ? -EEXIST : rc == -ENOENT ? 0 : rc;
}

/*
 * An open file owns one ephemeral file at most: its end is found by session
 * and handle, and a second one would hide the first from it.
 */
static int
check_owner(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_ephemeral eph;
	int rc;

	if (cmd->handle == 0 || cmd->session == 0)
		return -EINVAL;
	rc = zk_ephemeral_get(ap->tx, cmd->session, cmd->handle, &eph);
	return rc == 0 ? -EINVAL : rc == -ENOENT ? 0 : rc;
}

/* The new node, as its creator and its directory make it. */
static void
init_node(struct zk_apply *ap, const struct zk_inode *dir,
    struct zk_inode *ret_node)
{
	const struct zk_command *cmd = ap->cmd;
	const bool is_dir = S_ISDIR(cmd->mode);

	memset(&ret_node->attr, 0, sizeof(ret_node->attr));
	ret_node->seq = 0;
	ret_node->name_len = 0;
	ret_node->data_len = 0;
	ret_node->attr = (struct zk_attr){
	    .ino = ap->tx->state.ino_next,
	    .mode = cmd->mode & (S_IFMT | 07777),
	    .nlink = is_dir ? 2 : 1,
	    .uid = cmd->uid,
	    .gid = cmd->gid,
	    .rdev = cmd->rdev,
	    .atime = ap->now,
	    .mtime = ap->now,
	    .ctime = ap->now,
	    .btime = ap->now,
	    .czxid = ap->index,
	    .mzxid = ap->index,
	    .pzxid = ap->index,
	    .parent = dir->attr.ino,
	};
	if (dir->attr.mode & S_ISGID) {
		ret_node->attr.gid = dir->attr.gid;
		if (is_dir)
			ret_node->attr.mode |= S_ISGID;
	}
	if (S_ISLNK(cmd->mode)) {
		memcpy(ret_node->data, cmd->data, cmd->data_len);
		ret_node->data_len = cmd->data_len;
		ret_node->attr.size = cmd->data_len;
	}
	if (cmd->flags & ZK_F_EPHEMERAL) {
		ret_node->attr.mode |= S_ISVTX;
		ret_node->attr.session = cmd->session;
		ret_node->attr.handle = cmd->handle;
	}
}

static int
check_create(const struct zk_command *cmd)
{
	const uint32_t type = cmd->mode & S_IFMT;

	if (!zk_names_valid(cmd->name, cmd->name_len))
		return -EINVAL;
	if (type != S_IFREG && type != S_IFDIR && type != S_IFLNK &&
	    type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
	    type != S_IFBLK)
		return -EINVAL;
	if (type == S_IFLNK &&
	    (cmd->data_len == 0 || cmd->data_len > ZK_SYMLINK_MAX))
		return cmd->data_len == 0 ? -ENOENT : -ENAMETOOLONG;
	if ((cmd->flags & ZK_F_EPHEMERAL) && type != S_IFREG)
		return -EINVAL;
	return 0;
}

void
zk_names_tell_created(struct zk_apply *ap, const struct zk_attr *attr,
    uint64_t parent, const char *name, size_t name_len)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_CREATE,
	    .ino = attr->ino,
	    .type = attr->mode & S_IFMT,
	    .nlink = attr->nlink,
	    .special = attr->kind,
	    .whole = zk_apply_whole(attr),
	    .parent = parent,
	    .name = name,
	    .name_len = name_len,
	};

	zk_apply_changed(ap, &change);
}

int
zk_names_create(struct zk_apply *ap)
{
	struct zk_outcome *out = ap->outcome;
	struct zk_tx *tx = ap->tx;
	struct zk_inode dir = {.data_len = 0}, node;
	struct zk_entry_ref ref;
	uint32_t kind = ZK_NODE_PLAIN;
	int rc;

	rc = check_create(ap->cmd);
	if (rc == 0 && (ap->cmd->flags & ZK_F_EPHEMERAL))
		rc = check_owner(ap);
	if (rc == 0)
		rc = zk_names_load_dir(ap, ap->cmd->ino, &dir);
	if (rc == 0)
		rc = choose_name(ap, &dir);
	if (rc == 0)
		rc = zk_special_check_create(ap, &dir, ap->cmd, &kind);
	if (rc < 0)
		return rc;
	init_node(ap, &dir, &node);
	zk_link_first(&node, dir.attr.ino, out->name, out->name_len);
	node.attr.kind = kind;
	ref = (struct zk_entry_ref){
	    .ino = node.attr.ino,
	    .type = node.attr.mode & S_IFMT,
	};
	/* The last thing that can refuse. */
	rc = zk_dirent_put(tx, dir.attr.ino, out->name, out->name_len, &ref);
	if (rc < 0)
		return rc;
	tx->state.ino_next++;
	tx->state.nodes++;
	zk_names_touch_dir(ap, &dir);
	if (S_ISDIR(node.attr.mode))
		dir.attr.nlink++;
	rc = zk_inode_put(tx, &dir);
	if (rc == 0)
		rc = zk_inode_put(tx, &node);
	zk_names_tell_created(ap, &node.attr, dir.attr.ino, out->name,
	    out->name_len);
	if (rc == 0 && kind != ZK_NODE_PLAIN) {
		rc = zk_special_fill(ap, &dir, &node);
		if (rc == 0)
			rc = zk_inode_put(tx, &node);
	}
	if (rc == 0 && node.attr.session != 0) {
		struct zk_ephemeral eph = {
		    .ino = node.attr.ino,
		    .parent = dir.attr.ino,
		    .name_len = out->name_len,
		};

		memcpy(eph.name, out->name, out->name_len);
		rc = zk_ephemeral_put(tx, node.attr.session, node.attr.handle,
		    &eph);
	}
	out->attr = node.attr;
	/* Only a name that was chosen here is news to the caller. */
	if (!wants_sequence(ap->cmd))
		out->name_len = 0;
	return rc;
}

int
zk_names_link(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_inode dir, node;
	struct zk_entry_ref ref;
	int rc;

	if (!zk_names_valid(cmd->name, cmd->name_len))
		return -EINVAL;
	rc = zk_names_load_dir(ap, cmd->ino, &dir);
	if (rc == 0)
		rc = zk_inode_get(ap->tx, cmd->ino2, &node);
	if (rc < 0)
		return rc;
	rc = zk_dirent_get(ap->tx, cmd->ino, cmd->name, cmd->name_len, &ref);
	if (rc != -ENOENT)
		return rc == 0 ? -EEXIST : rc;
	if (node.attr.nlink == 0)
		return -ENOENT;
	rc = zk_special_check_link(&dir, &node);
	if (rc < 0)
		return rc;
	if (S_ISDIR(node.attr.mode) || node.attr.session != 0)
		return -EPERM;
	if (node.attr.nlink >= LINK_MAX_PER_FILE)
		return -EMLINK;
	ref = (struct zk_entry_ref){
	    .ino = node.attr.ino,
	    .type = node.attr.mode & S_IFMT,
	};
	rc = zk_dirent_put(ap->tx, cmd->ino, cmd->name, cmd->name_len, &ref);
	if (rc < 0)
		return rc;
	rc = zk_link_add(ap->tx, &node, cmd->ino, cmd->name, cmd->name_len);
	if (rc < 0)
		return rc;
	node.attr.nlink++;
	node.attr.ctime = ap->now;
	zk_names_touch_dir(ap, &dir);
	rc = zk_inode_put(ap->tx, &node);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, &dir);
	ap->outcome->attr = node.attr;
	zk_names_tell_created(ap, &node.attr, cmd->ino, cmd->name,
	    cmd->name_len);
	return rc;
}

/* A node has lost a name that was taken out of its directory already. */
int
zk_names_drop_link(struct zk_apply *ap, uint64_t ino,
    const struct zk_link_name *lost, uint32_t *ret_nlink, bool *ret_orphan)
{
	struct zk_inode node;
	int rc;

	rc = zk_inode_get(ap->tx, ino, &node);
	if (rc < 0)
		return rc;
	ZK_ASSERT(node.attr.nlink > 0);
	node.attr.ctime = ap->now;
	node.attr.nlink = S_ISDIR(node.attr.mode) ? 0 : node.attr.nlink - 1;
	if (node.attr.nlink == 0 && node.attr.session != 0) {
		rc = zk_ephemeral_delete(ap->tx, node.attr.session,
		    node.attr.handle);
		if (rc < 0 && rc != -ENOENT)
			return rc;
	}
	rc = zk_link_drop(ap->tx, &node, lost->parent, lost->name,
	    lost->name_len);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, &node);
	if (rc < 0)
		return rc;
	ap->outcome->attr = node.attr;
	*ret_nlink = node.attr.nlink;
	*ret_orphan = false;
	return node.attr.nlink > 0 ? 0 : zk_orphan_add(ap, &node, ret_orphan);
}

/* Take name out of dir, which is put, and drop the node's link. */
int
zk_names_remove(struct zk_apply *ap, struct zk_inode *dir, const char *name,
    size_t name_len, const struct zk_entry_ref *ref)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_DELETE,
	    .parent = dir->attr.ino,
	    .name = name,
	    .name_len = name_len,
	    .ino = ref->ino,
	    .type = ref->type,
	};
	struct zk_attr attr;
	const struct zk_link_name lost = {dir->attr.ino, name, name_len};
	int rc;

	rc = zk_inode_attr(ap->tx, ref->ino, &attr);
	if (rc == 0)
		rc = zk_dirent_delete(ap->tx, dir->attr.ino, name, name_len);
	if (rc < 0)
		return rc;
	change.special = attr.kind;
	change.whole = zk_apply_whole(&attr);
	zk_names_touch_dir(ap, dir);
	if (S_ISDIR(ref->type))
		dir->attr.nlink--;
	rc = zk_inode_put(ap->tx, dir);
	if (rc < 0)
		return rc;
	rc = zk_names_drop_link(ap, ref->ino, &lost, &change.nlink,
	    &change.orphan);
	zk_apply_changed(ap, &change);
	return rc;
}

static int
remove_command(struct zk_apply *ap, bool want_dir)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_entry_ref ref;
	struct zk_inode dir;
	int rc;

	rc = zk_names_load_dir(ap, cmd->ino, &dir);
	if (rc == 0)
		rc = zk_dirent_get(ap->tx, cmd->ino, cmd->name, cmd->name_len,
		    &ref);
	if (rc < 0)
		return rc;
	if (want_dir && !S_ISDIR(ref.type))
		return -ENOTDIR;
	if (!want_dir && S_ISDIR(ref.type))
		return -EISDIR;
	rc = zk_special_check_remove(ap, &ref);
	if (rc > 0)
		rc = zk_special_empty(ap, ref.ino);
	if (rc < 0)
		return rc;
	if (want_dir) {
		rc = zk_dirent_any(ap->tx, ref.ino);
		if (rc != -ENOENT)
			return rc == 0 ? -ENOTEMPTY : rc;
	}
	return zk_names_remove(ap, &dir, cmd->name, cmd->name_len, &ref);
}

int
zk_names_unlink(struct zk_apply *ap)
{
	return remove_command(ap, false);
}

int
zk_names_rmdir(struct zk_apply *ap)
{
	return remove_command(ap, true);
}

/* --- ephemerals ----------------------------------------------------------- */

int
zk_names_remove_ephemeral(struct zk_apply *ap, const struct zk_ephemeral *eph)
{
	struct zk_entry_ref ref = {0};
	struct zk_inode dir = {0};
	int rc;

	rc = zk_inode_get(ap->tx, eph->parent, &dir);
	if (rc == 0)
		rc = zk_dirent_get(ap->tx, eph->parent, eph->name,
		    eph->name_len, &ref);
	if (rc == 0 && ref.ino == eph->ino)
		rc = zk_names_remove(ap, &dir, eph->name, eph->name_len, &ref);
	else if (rc == 0)
		rc = -ENOENT;
	/* What a row says is there is there: or else the tree is damaged. */
	if (rc == -ENOENT)
		rc = ap->tx->fatal = -ZK_ECORRUPT;
	return rc;
}

int
zk_names_ephemeral(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_ephemeral eph;
	struct zk_inode node;
	int rc;

	rc = zk_inode_get(ap->tx, cmd->ino, &node);
	if (rc < 0)
		return rc;
	if (cmd->session != 0 && node.attr.session == cmd->session &&
	    node.attr.handle == cmd->handle)
		return 0; /* it is already */
	rc = check_owner(ap);
	if (rc < 0)
		return rc;
	if (!S_ISREG(node.attr.mode) || node.attr.nlink != 1 ||
	    node.attr.session != 0 || node.attr.kind != ZK_NODE_PLAIN)
		return -EPERM;
	eph.ino = cmd->ino;
	eph.parent = node.attr.parent;
	eph.name_len = node.name_len;
	memcpy(eph.name, node.name, node.name_len);
	node.attr.session = cmd->session;
	node.attr.handle = cmd->handle;
	node.attr.mode |= S_ISVTX;
	node.attr.ctime = ap->now;
	rc = zk_inode_put(ap->tx, &node);
	if (rc == 0)
		rc = zk_ephemeral_put(ap->tx, cmd->session, cmd->handle, &eph);
	ap->outcome->attr = node.attr;
	zk_apply_touched(ap, ZK_CHANGE_ATTRIB, &node);
	return rc;
}
