#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "store/dirent.h"
#include "store/names_impl.h"
#include "store/special.h"

/* rename(2), with its flags: part of the state machine. */

/* One end of a rename; dir points to one struct when both are one directory. */
struct end {
	struct zk_inode *dir;
	const char *name;
	size_t name_len;
	struct zk_entry_ref ref; /* ino 0: no such name */
};

/* -EINVAL when dir is the node or lies below it. */
static int
check_not_below(struct zk_apply *ap, uint64_t dir, uint64_t node)
{
	struct zk_attr attr;

	while (dir != node && dir != ZK_INO_ROOT) {
		int rc = zk_inode_attr(ap->tx, dir, &attr);

		if (rc < 0)
			return rc;
		dir = attr.parent;
	}
	return dir == node ? -EINVAL : 0;
}

static int
check_replace(struct zk_apply *ap, const struct end *from, const struct end *to)
{
	int rc;

	if (S_ISDIR(from->ref.type) && !S_ISDIR(to->ref.type))
		return -ENOTDIR;
	if (!S_ISDIR(from->ref.type) && S_ISDIR(to->ref.type))
		return -EISDIR;
	if (!S_ISDIR(to->ref.type))
		return 0;
	rc = zk_dirent_any(ap->tx, to->ref.ino);
	return rc == 0 ? -ENOTEMPTY : rc == -ENOENT ? 0 : rc;
}

static int
check_rename(struct zk_apply *ap, const struct end *from, const struct end *to)
{
	const uint32_t flags = ap->cmd->mode;
	int rc = 0;

	if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
		return -EINVAL;
	if (!zk_names_valid(from->name, from->name_len) ||
	    !zk_names_valid(to->name, to->name_len))
		return -EINVAL;
	if (to->ref.ino != 0 && flags == RENAME_NOREPLACE)
		return -EEXIST;
	if (to->ref.ino == 0 && flags == RENAME_EXCHANGE)
		return -ENOENT;
	if (S_ISDIR(from->ref.type))
		rc = check_not_below(ap, to->dir->attr.ino, from->ref.ino);
	if (rc == 0 && flags == RENAME_EXCHANGE && S_ISDIR(to->ref.type))
		rc = check_not_below(ap, from->dir->attr.ino, to->ref.ino);
	if (rc == 0 && flags != RENAME_EXCHANGE && to->ref.ino != 0 &&
	    to->ref.ino != from->ref.ino)
		rc = check_replace(ap, from, to);
	return rc;
}

static struct zk_link_name
link_name(const struct end *end)
{
	return (struct zk_link_name){
	    .parent = end->dir->attr.ino,
	    .name = end->name,
	    .name_len = end->name_len,
	};
}

/* The node at `from` now has the name at `to`, and only that one there. */
static int
settle(struct zk_apply *ap, const struct end *from, const struct end *to,
    uint32_t *ret_nlink)
{
	const struct zk_entry_ref *ref = &from->ref;
	const struct zk_link_name old = link_name(from), new = link_name(to);
	struct zk_inode node = {0};
	int rc;

	rc = zk_dirent_put(ap->tx, to->dir->attr.ino, to->name, to->name_len,
	    ref);
	if (rc == 0)
		rc = zk_inode_get(ap->tx, ref->ino, &node);
	if (rc < 0)
		return rc;
	node.attr.ctime = ap->now;
	rc = zk_link_move(ap->tx, &node, &old, &new);
	if (rc < 0)
		return rc;
	if (node.attr.session != 0) {
		struct zk_ephemeral eph = {
		    .ino = node.attr.ino,
		    .parent = to->dir->attr.ino,
		    .name_len = to->name_len,
		};

		memcpy(eph.name, to->name, to->name_len);
		rc = zk_ephemeral_put(ap->tx, node.attr.session,
		    node.attr.handle, &eph);
		if (rc < 0)
			return rc;
	}
	*ret_nlink = node.attr.nlink;
	return zk_inode_put(ap->tx, &node);
}

static int
exchange(struct zk_apply *ap, struct end *from, struct end *to,
    struct zk_change *change)
{
	const bool from_is_dir = S_ISDIR(from->ref.type);
	const bool to_is_dir = S_ISDIR(to->ref.type);
	int rc;

	if (from_is_dir && !to_is_dir) {
		from->dir->attr.nlink--;
		to->dir->attr.nlink++;
	} else if (!from_is_dir && to_is_dir) {
		from->dir->attr.nlink++;
		to->dir->attr.nlink--;
	}
	rc = settle(ap, from, to, &change->nlink);
	if (rc == 0)
		rc = settle(ap, to, from, &change->nlink2);
	return rc;
}

static int
move(struct zk_apply *ap, struct end *from, struct end *to,
    struct zk_change *change)
{
	const struct zk_link_name lost = link_name(to);
	int rc = 0;

	if (to->ref.ino != 0) {
		rc = zk_dirent_delete(ap->tx, to->dir->attr.ino, to->name,
		    to->name_len);
		if (rc == 0 && S_ISDIR(to->ref.type))
			to->dir->attr.nlink--;
		if (rc == 0)
			rc = zk_names_drop_link(ap, to->ref.ino, &lost,
			    &change->nlink2, &change->orphan);
		if (rc < 0)
			return rc;
	}
	/* Add before removing: a full directory refuses while that is easy. */
	rc = settle(ap, from, to, &change->nlink);
	if (rc == 0)
		rc = zk_dirent_delete(ap->tx, from->dir->attr.ino, from->name,
		    from->name_len);
	if (rc < 0)
		return rc;
	if (S_ISDIR(from->ref.type)) {
		from->dir->attr.nlink--;
		to->dir->attr.nlink++;
	}
	return 0;
}

static int
rename_between(struct zk_apply *ap, struct end *from, struct end *to)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_RENAME,
	    .ino = from->ref.ino,
	    .type = from->ref.type,
	    .parent = from->dir->attr.ino,
	    .name = from->name,
	    .name_len = from->name_len,
	    .parent2 = to->dir->attr.ino,
	    .name2 = to->name,
	    .name2_len = to->name_len,
	    .ino2 = to->ref.ino,
	    .type2 = to->ref.type,
	    .exchange = ap->cmd->mode == RENAME_EXCHANGE,
	};
	int rc;

	rc = zk_special_check_rename(ap, from->dir, to->dir, &from->ref);
	if (rc == 0)
		rc = zk_special_check_rename(ap, to->dir, from->dir, &to->ref);
	if (rc == 0)
		rc = check_rename(ap, from, to);
	if (rc < 0)
		return rc;
	/* Two names of one file, or one name: nothing happens (POSIX). */
	if (from->ref.ino == to->ref.ino)
		return 0;
	zk_names_touch_dir(ap, from->dir);
	if (to->dir != from->dir)
		zk_names_touch_dir(ap, to->dir);
	rc = change.exchange ? exchange(ap, from, to, &change)
	                     : move(ap, from, to, &change);
	if (rc == 0)
		rc = zk_inode_put(ap->tx, from->dir);
	if (rc == 0 && to->dir != from->dir)
		rc = zk_inode_put(ap->tx, to->dir);
	if (rc == 0)
		zk_apply_changed(ap, &change);
	return rc;
}

int
zk_names_rename(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_inode dir1 = {0}, dir2 = {0};
	struct end from = {
	    .dir = &dir1,
	    .name = cmd->name,
	    .name_len = cmd->name_len,
	};
	struct end to = {
	    .dir = cmd->ino2 == cmd->ino ? &dir1 : &dir2,
	    .name = cmd->name2,
	    .name_len = cmd->name2_len,
	};
	int rc;

	rc = zk_names_load_dir(ap, cmd->ino, &dir1);
	if (rc == 0 && to.dir != &dir1)
		rc = zk_names_load_dir(ap, cmd->ino2, &dir2);
	if (rc == 0)
		rc = zk_dirent_get(ap->tx, cmd->ino, cmd->name, cmd->name_len,
		    &from.ref);
	if (rc < 0)
		return rc;
	rc = zk_dirent_get(ap->tx, cmd->ino2, cmd->name2, cmd->name2_len,
	    &to.ref);
	if (rc < 0 && rc != -ENOENT)
		return rc;
	return rename_between(ap, &from, &to);
}
