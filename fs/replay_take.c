#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "fs/control.h"
#include "fs/impl.h"

/* What is to be raised: from changes to orders.  Nothing here blocks. */

/* What of a change the kernel knows, and may be watched. */
enum { KNOWS_DIR = 1, KNOWS_DIR2 = 2, KNOWS_INO = 4, KNOWS_INO2 = 8 };

static unsigned
known_parts(struct zk_fs *fs, const struct zk_change *change)
{
	const uint64_t inos[] = {
	    change->name_len > 0 ? change->parent : 0,
	    change->name2_len > 0 ? change->parent2 : 0,
	    change->ino,
	    change->ino2,
	};
	unsigned known = 0;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	for (unsigned i = 0; i < 4; i++)
		if (inos[i] != 0 &&
		    (zk_is_virtual(inos[i]) ||
		        zk_inode_is_known(
		            zk_inodes_find(&fs->inodes, inos[i]))))
			known |= 1u << i;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return known;
}

static bool
has_names(const struct zk_change *change)
{
	return change->kind == ZK_CHANGE_CREATE ||
	    change->kind == ZK_CHANGE_DELETE ||
	    change->kind == ZK_CHANGE_RENAME;
}

/* Under the lock. */
static void
wake(struct zk_replay *r)
{
	if (r->idle)
		(void)eventfd_write(r->wake_fd, 1);
	r->idle = false;
}

/* Under the lock; takes over the order. */
static void
add(struct zk_replay *r, struct zk_order *order)
{
	if (order == NULL || r->queue.count >= ZK_REPLAY_MAX) {
		r->counts.lost++;
		free(order);
		return;
	}
	zk_queue_add(&r->queue, order);
	wake(r);
}

/* Under the lock: one order that will say how things are by then. */
static void
add_sync(struct zk_replay *r, uint64_t dir, const char *name, size_t name_len,
    uint32_t type)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_CREATE,
	    .type = type,
	    .parent = dir,
	    .name = name,
	    .name_len = name_len,
	};
	struct zk_order *order;

	order = zk_queue_find(&r->queue, ZK_ORDER_SYNC, dir, name, name_len,
	    r->current);
	if (order != NULL) {
		order->type = type;
		return;
	}
	order = zk_order_new(&change);
	if (order != NULL)
		order->kind = ZK_ORDER_SYNC;
	add(r, order);
}

/* Under the lock: whether names of this change are to be synced already. */
static bool
is_synced(struct zk_replay *r, const struct zk_change *change)
{
	return zk_queue_find(&r->queue, ZK_ORDER_SYNC, change->parent,
	           change->name, change->name_len, r->current) != NULL ||
	    (change->name2_len > 0 &&
	        zk_queue_find(&r->queue, ZK_ORDER_SYNC, change->parent2,
	            change->name2, change->name2_len, r->current) != NULL);
}

/* Under the lock: whether anything of these names is to be raised already. */
static bool
is_waiting(struct zk_replay *r, const struct zk_change *change)
{
	return zk_queue_has(&r->queue, change->parent, change->name,
	           change->name_len, r->current) ||
	    (change->name2_len > 0 &&
	        zk_queue_has(&r->queue, change->parent2, change->name2,
	            change->name2_len, r->current));
}

/*
 * Under the lock.  The names are synced; what the nodes themselves are told is
 * an order without names.
 */
static void
merge_names(struct zk_replay *r, const struct zk_change *change, unsigned known,
    struct zk_order *order)
{
	const bool exchange = change->exchange;
	const bool ends = change->kind == ZK_CHANGE_DELETE &&
	    change->nlink == 0 && (known & KNOWS_INO) != 0;
	const bool moves = change->kind == ZK_CHANGE_RENAME &&
	    (known & (KNOWS_INO | KNOWS_INO2)) != 0;

	if ((known & KNOWS_DIR) != 0)
		add_sync(r, change->parent, change->name, change->name_len,
		    exchange ? change->type2 : change->type);
	if ((known & KNOWS_DIR2) != 0)
		add_sync(r, change->parent2, change->name2, change->name2_len,
		    change->type);
	r->counts.merged++;
	order->sides[0].dir = order->sides[1].dir = 0;
	if (ends || moves)
		add(r, order);
	else
		free(order);
}

/* Under the lock: a change of content or attributes. */
static void
admit_change(struct zk_replay *r, const struct zk_change *change,
    struct zk_order *order)
{
	const struct zk_order_side *side = &order->sides[0];
	const struct zk_order *same;

	same = zk_queue_find(&r->queue, ZK_ORDER_SYNC, side->dir, side->name,
	    strlen(side->name), r->current);
	if (same == NULL && r->queue.count >= ZK_REPLAY_LAG)
		same = zk_queue_find(&r->queue, order->kind, side->dir,
		    side->name, strlen(side->name), r->current);
	if (same != NULL &&
	    (same->kind == ZK_ORDER_SYNC || same->ino == change->ino)) {
		r->counts.merged++;
		free(order);
		return;
	}
	add(r, order);
}

static void
own(struct zk_replay *r, const struct zk_change *change)
{
	(void)pthread_mutex_lock(&r->lock);
	/* The helper may have begun with it. */
	if (r->current == NULL || !zk_order_own(r->current, change))
		zk_queue_own(&r->queue, change);
	(void)pthread_mutex_unlock(&r->lock);
}

/*
 * Whether a name is to be synced, by the current order, too: so what it led to
 * may have changed its content, and who watches its new name is not told yet.
 */
static bool
is_changed_unseen(struct zk_replay *r, uint64_t dir, const char *name,
    size_t name_len)
{
	return zk_queue_find(&r->queue, ZK_ORDER_SYNC, dir, name, name_len,
	           NULL) != NULL;
}

/* Whether what loses its name, or what is replaced, has another one. */
static bool
lives_on(const struct zk_change *change)
{
	return change->kind == ZK_CHANGE_RENAME ||
	    (change->kind == ZK_CHANGE_DELETE && change->nlink > 0);
}

static bool
lives_on2(const struct zk_change *change)
{
	return change->kind == ZK_CHANGE_RENAME && change->ino2 != 0 &&
	    (change->exchange || change->nlink2 > 0);
}

static void
overtake(struct zk_fs *fs, const struct zk_change *change)
{
	struct zk_replay *r = &fs->replay;
	bool unseen, unseen2;

	if (!has_names(change)) {
		if (change->found)
			own(r, change);
		return;
	}
	(void)pthread_mutex_lock(&r->lock);
	unseen = lives_on(change) &&
	    is_changed_unseen(r, change->parent, change->name,
	        change->name_len);
	unseen2 = lives_on2(change) &&
	    is_changed_unseen(r, change->parent2, change->name2,
	        change->name2_len);
	zk_queue_overtake(&r->queue, change->parent, change->name,
	    change->name_len);
	if (change->name2_len > 0)
		zk_queue_overtake(&r->queue, change->parent2, change->name2,
		    change->name2_len);
	(void)pthread_mutex_unlock(&r->lock);
	if (unseen && S_ISREG(change->type))
		zk_replay_touched(fs, change->ino, true);
	if (unseen2 && S_ISREG(change->type2))
		zk_replay_touched(fs, change->ino2, true);
}

/*
 * Changed here, through a file that the kernel knows by the name that was
 * asked for: a number was put in its place.
 */
static bool
is_misnamed(struct zk_fs *fs, const struct zk_change *change)
{
	const struct zk_inode *inode;
	bool misnamed;

	if (has_names(change))
		return false;
	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, change->ino);
	misnamed = inode != NULL && inode->creator != NULL &&
	    inode->name != NULL && strlen(inode->name) == change->name_len &&
	    memcmp(inode->name, change->name, change->name_len) == 0;
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return misnamed;
}

/* known: what of it the kernel knows. */
static void
put(struct zk_replay *r, const struct zk_change *change, unsigned known,
    struct zk_order *order)
{
	(void)pthread_mutex_lock(&r->lock);
	if (r->off || order == NULL) {
		free(order);
		r->counts.lost += !r->off;
	} else if (!has_names(change)) {
		admit_change(r, change, order);
	} else if (r->queue.count >= ZK_REPLAY_LAG ? is_waiting(r, change)
	                                           : is_synced(r, change)) {
		merge_names(r, change, known, order);
	} else {
		add(r, order);
	}
	(void)pthread_mutex_unlock(&r->lock);
}

static bool
is_changed(struct zk_replay *r, uint64_t dir, const char *name, size_t name_len)
{
	static const enum zk_order_kind kinds[] = {ZK_ORDER_MODIFY,
	    ZK_ORDER_ATTRIB, ZK_ORDER_SYNC};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (zk_queue_find(&r->queue, kinds[i], dir, name, name_len,
		        NULL) != NULL)
			return true;
	return false;
}

/*
 * A name goes, and the node has others.  A change of it that is still to come
 * comes under that name, as it was: who watches another one is told, too.
 */
static void
tell_others(struct zk_fs *fs, const struct zk_change *change)
{
	struct zk_replay *r = &fs->replay;
	bool changed, changed2;

	if (S_ISDIR(change->type))
		return;
	(void)pthread_mutex_lock(&r->lock);
	changed = change->kind == ZK_CHANGE_DELETE && change->nlink > 0 &&
	    is_changed(r, change->parent, change->name, change->name_len);
	changed2 = lives_on2(change) && !change->exchange &&
	    is_changed(r, change->parent2, change->name2, change->name2_len);
	(void)pthread_mutex_unlock(&r->lock);
	if (changed)
		zk_replay_touched(fs, change->ino, true);
	if (changed2)
		zk_replay_touched(fs, change->ino2, true);
}

static void
take(struct zk_fs *fs, const struct zk_change *change)
{
	const unsigned known = known_parts(fs, change);

	/* A name that is made says nothing to who knows just the node. */
	if (known == 0 ||
	    (change->kind == ZK_CHANGE_CREATE && (known & KNOWS_DIR) == 0))
		return;
	tell_others(fs, change);
	put(&fs->replay, change, known, zk_order_new(change));
}

void
zk_replay_change(struct zk_fs *fs, const struct zk_change *change)
{
	if (!atomic_load(&fs->replay.on))
		return;
	if (change->known && !is_misnamed(fs, change))
		overtake(fs, change);
	else
		take(fs, change);
}

void
zk_replay_sync(struct zk_fs *fs, uint64_t dir, const char *name,
    size_t name_len, uint32_t type)
{
	struct zk_replay *r = &fs->replay;
	const struct zk_change about = {
	    .parent = dir,
	    .name = name,
	    .name_len = name_len,
	};

	/* What is in .zkfs is always there. */
	if (!atomic_load(&r->on) || name_len == 0 || zk_is_virtual(dir) ||
	    known_parts(fs, &about) == 0)
		return;
	(void)pthread_mutex_lock(&r->lock);
	if (!r->off)
		add_sync(r, dir, name, name_len, type);
	(void)pthread_mutex_unlock(&r->lock);
}

void
zk_replay_made(struct zk_fs *fs, uint64_t dir, const char *asked,
    size_t asked_len, const struct zk_outcome *made)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_DELETE,
	    .parent = dir,
	    .name = asked,
	    .name_len = asked_len,
	    .ino = ZK_INO_GHOST,
	    .type = made->attr.mode & S_IFMT,
	    .nlink = 1,
	};

	/* The kernel took the name that was asked for to be made. */
	zk_replay_change(fs, &change);
	change.kind = ZK_CHANGE_CREATE;
	change.name = made->name;
	change.name_len = made->name_len;
	change.ino = made->attr.ino;
	zk_replay_change(fs, &change);
}

void
zk_replay_touched(struct zk_fs *fs, uint64_t ino, bool content)
{
	const struct zk_change change = {
	    .kind = content ? ZK_CHANGE_MODIFY : ZK_CHANGE_ATTRIB,
	    .ino = ino,
	    .type = S_IFREG,
	    .nlink = 1,
	};
	struct zk_order *order;

	if (!atomic_load(&fs->replay.on))
		return;
	/*
	 * Where it is, and whether that is known, is found out when it is its
	 * turn: whoever watches the directory need not know the node.
	 */
	order = zk_order_new(&change);
	if (order != NULL)
		order->in_use = true;
	put(&fs->replay, &change, KNOWS_INO, order);
}

void
zk_replay_control(struct zk_fs *fs, const char *name)
{
	struct zk_change change = {
	    .kind = ZK_CHANGE_MODIFY,
	    .type = S_IFREG,
	    .nlink = 1,
	    .parent = ZK_INO_VIRTUAL,
	    .name = name,
	    .name_len = strlen(name),
	};
	struct zk_attr attr;

	if (zk_control_lookup(fs, ZK_INO_VIRTUAL, name, &attr) < 0)
		return;
	change.ino = attr.ino;
	zk_replay_change(fs, &change);
}

void
zk_fs_replay_counts(struct zk_fs *fs, struct zk_replay_counts *ret_counts)
{
	struct zk_replay *r = &fs->replay;

	(void)pthread_mutex_lock(&r->lock);
	*ret_counts = r->counts;
	ret_counts->waiting = r->queue.count + (r->current != NULL);
	(void)pthread_mutex_unlock(&r->lock);
}
