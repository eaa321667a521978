#ifndef ZK_FS_REPLAY_H
#define ZK_FS_REPLAY_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/change.h"
#include "base/limits.h"
#include "fs/fs.h"
#include "fs/fuse.h"

/*
 * inotify(7) for what no system call on this mount did.  The kernel raises
 * events for system calls only, so a helper process repeats the change on the
 * mount; the handlers know it by its thread id and answer without changing
 * anything.
 *
 * - replay_queue.c: what is still to be raised, in the order of the log.
 *   Bounded: when it is long, changes of one name become one.
 * - replay.c: a thread that takes the orders one at a time, makes the kernel's
 *   caches forget what they concern, and has the helper do a task.
 * - replay_take.c, replay_plan.c: from changes to orders to tasks.
 * - replay_helper.c: the helper.  It has no descriptor but its socket and a
 *   private copy of the mount, so that it neither keeps the mount busy nor a
 *   dead daemon's requests alive.
 * - replay_ops.c: what the handlers say to the helper.
 *
 * Nothing waits for any of this: not apply, not an answer.  The helper waits
 * for the locks of directories like everybody else.
 *
 * The last event about a name agrees with its state.  Orders are in the order
 * of the log, so only a system call on this mount, whose event the kernel
 * raises at once, can overtake one.  Its change is announced before it is
 * answered, and until then the kernel holds the directory's lock.  So when the
 * helper's request comes, with that lock held, every overtaken order is marked
 * as such, and is refused: the later event has been raised already.
 */

/* From here on changes of a name that waits already become one order. */
#define ZK_REPLAY_LAG     8192u
#define ZK_REPLAY_MAX     262144u
#define ZK_REPLAY_BUCKETS 32768u

/* The directory for what has no place that the kernel knows; see control.h. */
#define ZK_INO_SCRATCH (ZK_INO_VIRTUAL + 0xffffffull)
/* Stand for nodes of which nothing is known but that they are gone. */
#define ZK_INO_GHOST (ZK_INO_VIRTUAL + 0x80000000ull)

struct zk_order;

enum zk_order_kind {
	ZK_ORDER_CREATE,
	ZK_ORDER_DELETE,
	ZK_ORDER_RENAME,
	ZK_ORDER_MODIFY,
	ZK_ORDER_ATTRIB,
	ZK_ORDER_SYNC, /* whatever agrees with the name's state by then */
};

struct zk_order_side {
	struct zk_order_side *next; /* in its bucket */
	struct zk_order *order;
	/*
	 * 0: no such side.  With an empty name the node itself: of changes
	 * of nodes whose name is not known.
	 */
	uint64_t dir;
	char *name;     /* terminated; in the order's memory */
	bool overtaken; /* this mount has changed it since */
	bool unknown;   /* the kernel does not know the directory */
};

#define ZK_ORDER_LEAVES 2
#define ZK_ORDER_SIDES  3

struct zk_order {
	TAILQ_ENTRY(zk_order) link;
	enum zk_order_kind kind;
	bool exchange;
	bool back;   /* the second half of an exchange */
	bool in_use; /* cannot, or need not, be opened for writing */
	bool raised; /* the kernel has been told, so the event is certain */
	bool moot;   /* who would be told has been told otherwise */
	uint64_t versions; /* as in struct zk_change */
	uint64_t ino, ino2;
	uint32_t type, type2, nlink, nlink2;
	/*
	 * The third is for the node that loses its last name, if one does:
	 * its number, and no name.
	 */
	struct zk_order_side sides[ZK_ORDER_SIDES];
	char names[];
};

enum zk_task_act {
	ZK_TASK_ATTACH, /* the first: struct zk_task_attach */
	ZK_TASK_CREATE, /* name in dir, of this type */
	ZK_TASK_DELETE,
	ZK_TASK_RENAME,   /* name in dir to name2 in dir2 */
	ZK_TASK_EXCHANGE, /* the same, both ways */
	ZK_TASK_MODIFY,   /* IN_MODIFY alone */
	ZK_TASK_WRITE,    /* IN_OPEN, IN_MODIFY, IN_CLOSE_WRITE */
	ZK_TASK_ATTRIB,
	ZK_TASK_REST, /* there is nothing to do; this is not answered */
};

/* One system call of the helper: the message to it. */
struct zk_task {
	uint32_t act;
	uint32_t type; /* S_IF* */
	/* MODIFY, WRITE, ATTRIB with dir 0: this inode, whatever its name. */
	uint64_t ino;
	uint64_t dir, dir2; /* 0: the scratch directory */
	char name[ZK_NAME_MAX + 1], name2[ZK_NAME_MAX + 1];
};

struct zk_task_attach {
	uint32_t act; /* ZK_TASK_ATTACH */
	char mountpoint[PATH_MAX];
};

/* Its answer. */
struct zk_task_result {
	int32_t rc;
};

struct zk_replay_queue {
	TAILQ_HEAD(zk_order_list, zk_order) orders;
	size_t count;
	struct zk_order_side *buckets[ZK_REPLAY_BUCKETS];
};

struct zk_replay {
	pthread_mutex_t lock;
	pthread_t thread;
	bool started;
	_Atomic bool on;
	_Atomic pid_t tid; /* of the helper; 0: none */
	_Atomic bool busy; /* task is what the helper is doing */
	int wake_fd;       /* eventfd: there is work */
	int socket;        /* to the helper; -1: none */
	int mounts_fd;     /* /proc/self/mountinfo */
	unsigned pause_ms; /* before the next restart */
	void (*warn)(const char *text);

	/* Protected by lock: */
	bool stopping, idle;
	bool off;    /* the mount is gone, or cannot be watched */
	bool paused; /* queue, and raise nothing */
	pid_t pid;
	struct zk_replay_queue queue;
	struct zk_order *current; /* off the queue, in its buckets */
	struct zk_task task;
	/* Of task.dir and task.dir2, as bits, in their order: */
	unsigned missing; /* the kernel does not know it */
	unsigned hung;    /* it is in the scratch directory meanwhile */
	uint64_t ghost_last;
	struct zk_replay_counts counts;
};

void zk_replay_init(struct zk_replay *r);
void zk_replay_fini(struct zk_replay *r);
/* Before the workers start; without a helper nothing will be raised. */
void zk_replay_adopt(struct zk_fs *fs, const struct zk_replay_helper *helper);
int zk_replay_start(struct zk_fs *fs);
/* Waits for thread and helper: only when the kernel cannot hold them up. */
void zk_replay_stop(struct zk_fs *fs);
/*
 * Raise nothing until resumed.  False: something is still being raised at that
 * time.
 */
bool zk_replay_pause(struct zk_fs *fs, uint64_t until_ms);
void zk_replay_resume(struct zk_fs *fs);

/* --- any thread; none of these blocks ------------------------------------- */

/* A change was applied. */
void zk_replay_change(struct zk_fs *fs, const struct zk_change *change);
/* Raise what agrees with the present state of this name; type as it was. */
void zk_replay_sync(struct zk_fs *fs, uint64_t dir, const char *name,
    size_t name_len, uint32_t type);
/* A system call here asked for one name and was given another. */
void zk_replay_made(struct zk_fs *fs, uint64_t dir, const char *asked,
    size_t asked_len, const struct zk_outcome *made);
/*
 * The content of a node, or its attributes alone, have changed after the event
 * of the system call that changed it, or that had none: IN_MODIFY, IN_ATTRIB.
 */
void zk_replay_touched(struct zk_fs *fs, uint64_t ino, bool content);
/*
 * The kernel shall forget these, unless somebody uses or watches them: what is
 * in a directory before it.
 */
void zk_replay_prune(struct zk_fs *fs, const uint64_t *inos, size_t count);
/* A file of .zkfs says something else now. */
void zk_replay_control(struct zk_fs *fs, const char *name);

/* --- for handlers --------------------------------------------------------- */

/* Whether the helper asks. */
static inline bool
zk_replay_asks(const struct zk_replay *r, fuse_req_t req)
{
	const pid_t tid = atomic_load(&r->tid);

	return tid != 0 && fuse_req_ctx(req)->pid == tid;
}

/* Whether this name is about to be raised: the kernel shall ask each time. */
bool zk_replay_holds(struct zk_replay *r, uint64_t dir, const char *name);
/*
 * Whether it is still to be raised that the node has lost its last name.  Until
 * then the kernel must not hear of it: it would tell who watches the node at
 * the next opportunity, and end the watch, before all that is to come first.
 */
bool zk_replay_leaves(struct zk_replay *r, uint64_t ino);

/*
 * What is in the scratch directory for the helper, the i-th; false: no more.
 * *ret_ino 0: nothing there.  name: of ZK_REPLAY_HOOK_MAX bytes.
 */
#define ZK_REPLAY_HOOK_MAX 24
bool zk_replay_hook(struct zk_replay *r, uint64_t i, char *name,
    uint64_t *ret_ino);

/* The answers to the helper; lookup and getattr: false, as to anybody. */
bool zk_replay_lookup(fuse_req_t req, uint64_t dir, const char *name);
bool zk_replay_getattr(fuse_req_t req, uint64_t ino);
void zk_replay_make(fuse_req_t req, uint64_t dir, const char *name);
void zk_replay_remove(fuse_req_t req, uint64_t dir, const char *name);
void zk_replay_rename(fuse_req_t req, uint64_t dir, const char *name,
    uint64_t dir2, const char *name2);
void zk_replay_open(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi);
void zk_replay_setattr(fuse_req_t req, uint64_t ino);

/* --- inside --------------------------------------------------------------- */

/* replay_queue.c; all with the lock held. */
struct zk_order *zk_order_new(const struct zk_change *change);
/* Its third side, by what it is; no_name is an empty one in its memory. */
void zk_order_set_leaves(struct zk_order *order, char *no_name);
/* Whether one that has not been raised takes the last name of this node. */
bool zk_queue_leaves(struct zk_replay_queue *q, uint64_t ino);
void zk_queue_add(struct zk_replay_queue *q, struct zk_order *order);
/* The first, off the list but not out of its buckets; NULL. */
struct zk_order *zk_queue_take(struct zk_replay_queue *q);
/* Out of its buckets, and freed. */
void zk_queue_done(struct zk_replay_queue *q, struct zk_order *order);
/* This mount has changed the name itself. */
void zk_queue_overtake(struct zk_replay_queue *q, uint64_t dir,
    const char *name, size_t name_len);
/*
 * A change that a snapshot has brought was this mount's own, whose event is
 * raised by its answer: then the difference of the trees is none, if it was
 * the only one.
 */
void zk_queue_own(struct zk_replay_queue *q, const struct zk_change *change);
/* Of this order.  False: it is none of these. */
bool zk_order_own(struct zk_order *order, const struct zk_change *change);
/*
 * An order of this kind for this name that has not been taken, or NULL;
 * not_this is the one that has.
 */
struct zk_order *zk_queue_find(struct zk_replay_queue *q,
    enum zk_order_kind kind, uint64_t dir, const char *name, size_t name_len,
    const struct zk_order *not_this);
/* Whether there is one of any kind. */
bool zk_queue_has(struct zk_replay_queue *q, uint64_t dir, const char *name,
    size_t name_len, const struct zk_order *not_this);
void zk_queue_fini(struct zk_replay_queue *q);

/* replay_plan.c; without the lock, by the thread that has the order. */
/* Whether the event can be raised under this name. */
bool zk_side_is_usable(struct zk_fs *fs, const struct zk_order_side *side);
/*
 * The next task of the order; false: there is nobody to tell.  *ret_ask_again
 * is set where the kernel's idea of a name is not to be believed.
 */
bool zk_plan(struct zk_fs *fs, struct zk_order *order, struct zk_task *task,
    bool *ret_ask_again);
/* The task is done.  True: the order has another one. */
bool zk_plan_next(struct zk_replay *r, struct zk_order *order,
    const struct zk_task *task);

#endif
