#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/control.h"
#include "fs/impl.h"

/* From an order to the system calls that raise its events. */

/* Names in the scratch directory. */
static const char scratch_from[] = "a", scratch_to[] = "b";

static bool
knows(struct zk_fs *fs, uint64_t ino)
{
	bool known;

	if (zk_is_virtual(ino))
		return zk_control_is_known(fs, ino);
	(void)pthread_mutex_lock(&fs->inodes.lock);
	known = zk_inode_is_known(zk_inodes_find(&fs->inodes, ino));
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return known;
}

bool
zk_side_is_usable(struct zk_fs *fs, const struct zk_order_side *side)
{
	bool usable;

	(void)pthread_mutex_lock(&fs->replay.lock);
	usable = side->dir != 0 && side->name[0] != '\0' && !side->overtaken &&
	    !side->unknown;
	(void)pthread_mutex_unlock(&fs->replay.lock);
	return usable && knows(fs, side->dir);
}

static void
set_place(const struct zk_order_side *side, uint64_t *dir, char *name)
{
	*dir = side->dir;
	(void)snprintf(name, ZK_NAME_MAX + 1, "%s", side->name);
}

static bool
plan_delete(struct zk_fs *fs, const struct zk_order *order,
    struct zk_task *task)
{
	task->act = ZK_TASK_DELETE;
	if (zk_side_is_usable(fs, &order->sides[0])) {
		set_place(&order->sides[0], &task->dir, task->name);
		return true;
	}
	/* At least IN_DELETE_SELF. */
	(void)snprintf(task->name, sizeof(task->name), "%s", scratch_from);
	return order->nlink == 0 && knows(fs, order->ino);
}

/*
 * Neither the places nor the node are known, but what was replaced is: at least
 * its IN_DELETE_SELF.
 */
static bool
plan_replaced(struct zk_fs *fs, struct zk_order *order, struct zk_task *task)
{
	if (order->ino2 == 0 || order->exchange)
		return false;
	(void)pthread_mutex_lock(&fs->replay.lock);
	order->kind = ZK_ORDER_DELETE;
	order->ino = order->ino2;
	order->type = order->type2;
	order->nlink = order->nlink2;
	order->ino2 = 0;
	order->sides[0].unknown = true;
	(void)pthread_mutex_unlock(&fs->replay.lock);
	*task = (struct zk_task){.ino = order->ino, .type = order->type};
	return plan_delete(fs, order, task);
}

static bool
plan_rename(struct zk_fs *fs, struct zk_order *order, struct zk_task *task)
{
	const struct zk_order_side *from = &order->sides[order->back];
	const struct zk_order_side *to = &order->sides[!order->back];
	const bool use_from = zk_side_is_usable(fs, from),
	           use_to = zk_side_is_usable(fs, to);

	task->act = order->exchange && use_from && use_to ? ZK_TASK_EXCHANGE
	                                                  : ZK_TASK_RENAME;
	(void)snprintf(task->name, sizeof(task->name), "%s", scratch_from);
	(void)snprintf(task->name2, sizeof(task->name2), "%s", scratch_to);
	if (use_from)
		set_place(from, &task->dir, task->name);
	if (use_to)
		set_place(to, &task->dir2, task->name2);
	/* With neither at least IN_MOVE_SELF. */
	return use_from || use_to || knows(fs, order->ino) ||
	    plan_replaced(fs, order, task);
}

/*
 * Where the node is by now, for who watches that directory: the order came
 * without a name, or this mount has moved the node since.  False: it has no
 * place that can be watched.
 */
static bool
find_place(struct zk_fs *fs, const struct zk_order *order, struct zk_task *task)
{
	const struct zk_order_side *side = &order->sides[0];
	char name[ZK_NAME_MAX + 1];
	struct zk_attr attr;
	size_t len = 0;

	if (zk_is_virtual(order->ino) ||
	    fs->port.name(fs->port.impl, order->ino, &attr, name, &len) < 0)
		return false;
	task->type = attr.mode & S_IFMT;
	if (attr.nlink == 0 || len == 0 || !knows(fs, attr.parent) ||
	    (side->unknown && side->dir == attr.parent))
		return false;
	task->dir = attr.parent;
	(void)memcpy(task->name, name, len + 1);
	return true;
}

static bool
plan_change(struct zk_fs *fs, const struct zk_order *order,
    struct zk_task *task, bool *ret_ask_again)
{
	const struct zk_order_side *side = &order->sides[0];
	struct zk_attr attr;
	int rc;

	task->act = order->kind == ZK_ORDER_ATTRIB   ? ZK_TASK_ATTRIB
	    : S_ISREG(order->type) && !order->in_use ? ZK_TASK_WRITE
	                                             : ZK_TASK_MODIFY;
	if (!zk_side_is_usable(fs, side))
		return find_place(fs, order, task) || knows(fs, order->ino);
	set_place(side, &task->dir, task->name);
	/* The name may lead elsewhere by now: then it is not to be believed. */
	if (!zk_is_virtual(side->dir)) {
		rc = fs->port.lookup(fs->port.impl, side->dir, side->name,
		    strlen(side->name), &attr);
		*ret_ask_again |= rc < 0 || attr.ino != order->ino;
	}
	return true;
}

/* What agrees with the name's state now; first that it is there. */
static bool
plan_sync(struct zk_fs *fs, struct zk_order *order, struct zk_task *task)
{
	const struct zk_order_side *side = &order->sides[0];
	struct zk_attr attr;
	int rc;

	if (!zk_side_is_usable(fs, side))
		return false;
	set_place(side, &task->dir, task->name);
	rc = fs->port.lookup(fs->port.impl, side->dir, side->name,
	    strlen(side->name), &attr);
	if (rc == 0) {
		task->act = ZK_TASK_CREATE;
		task->ino = order->ino = attr.ino;
		task->type = order->type = attr.mode & S_IFMT;
		return true;
	}
	task->act = ZK_TASK_DELETE;
	task->ino = ZK_INO_GHOST + (++fs->replay.ghost_last & 0xffffff);
	return rc == -ENOENT;
}

static bool
is_moot(struct zk_fs *fs, const struct zk_order *order)
{
	bool moot;

	(void)pthread_mutex_lock(&fs->replay.lock);
	moot = order->moot;
	(void)pthread_mutex_unlock(&fs->replay.lock);
	return moot;
}

bool
zk_plan(struct zk_fs *fs, struct zk_order *order, struct zk_task *task,
    bool *ret_ask_again)
{
	*task = (struct zk_task){.ino = order->ino, .type = order->type};
	if (is_moot(fs, order))
		return false;
	switch (order->kind) {
	case ZK_ORDER_CREATE:
		task->act = ZK_TASK_CREATE;
		if (!zk_side_is_usable(fs, &order->sides[0]))
			return false;
		set_place(&order->sides[0], &task->dir, task->name);
		return true;
	case ZK_ORDER_DELETE:
		return plan_delete(fs, order, task);
	case ZK_ORDER_RENAME:
		return plan_rename(fs, order, task);
	case ZK_ORDER_MODIFY:
	case ZK_ORDER_ATTRIB:
		return plan_change(fs, order, task, ret_ask_again);
	case ZK_ORDER_SYNC:
		break;
	}
	return plan_sync(fs, order, task);
}

bool
zk_plan_next(struct zk_replay *r, struct zk_order *order,
    const struct zk_task *task)
{
	bool again = false;

	(void)pthread_mutex_lock(&r->lock);
	if (order->kind == ZK_ORDER_SYNC && task->act == ZK_TASK_CREATE &&
	    S_ISREG(order->type)) {
		/* Who knew that it is there learns that it may be another. */
		order->kind = ZK_ORDER_MODIFY;
		again = true;
	} else if (task->act == ZK_TASK_RENAME && order->ino2 != 0) {
		order->ino = order->ino2;
		order->type = order->type2;
		order->nlink = order->nlink2;
		order->ino2 = 0;
		order->back = order->exchange;
		again =
		    order->exchange || (task->dir2 == 0 && order->nlink == 0);
		/* What was replaced without its name: IN_DELETE_SELF. */
		if (!order->exchange) {
			order->kind = ZK_ORDER_DELETE;
			order->sides[0].unknown = true;
		}
		order->exchange = false;
	}
	(void)pthread_mutex_unlock(&r->lock);
	return again;
}
