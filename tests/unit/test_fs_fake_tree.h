#ifndef ZK_TESTS_UNIT_TEST_FS_FAKE_TREE_H
#define ZK_TESTS_UNIT_TEST_FS_FAKE_TREE_H

/*
 * A port for tests of fs/: a tree in memory, and a thread that applies the
 * commands in order.  As little of the store's behaviour as the tests need.
 * hold: commands wait; full: submit says -EAGAIN.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/fs.h"
#include "fs/port.h"

#define FAKE_NODES 4096u
#define FAKE_ROWS  8192u

struct fake_node {
	struct zk_attr attr;
	uint8_t *data;
	uint64_t next_number;
	struct {
		char name[64];
		uint8_t value[256];
		size_t len;
	} xattr[4];
};

struct fake_entry {
	uint64_t parent, ino;
	char name[ZK_NAME_MAX + 1];
};

struct fake_lock {
	uint64_t ino, owner, handle, off, end;
	uint32_t type, pid;
	bool flock;
};

struct fake_job {
	struct fake_job *next;
	struct zk_command cmd;
	zk_done_fn done;
	void *arg;
	uint8_t bytes[];
};

struct fake {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_t thread;
	struct zk_fs *fs; /* told of changes */
	struct fake_node nodes[FAKE_NODES];
	struct fake_entry entries[FAKE_ROWS];
	struct fake_lock locks[256];
	struct fake_job *first, **last, *waiters;
	uint64_t ino_last, index, number;
	uint64_t session;
	uint32_t counts[ZK_OP_MAX];
	uint32_t last_write_flags;
	_Atomic uint32_t delay_us;
	bool hold, full, stop, foreign;
};

static inline struct fake_node *
fake_node(struct fake *f, uint64_t ino)
{
	if (ino == 0 || ino >= FAKE_NODES || f->nodes[ino].attr.ino == 0)
		return NULL;
	return &f->nodes[ino];
}

static inline struct fake_entry *
fake_entry(struct fake *f, uint64_t parent, const char *name, size_t len)
{
	for (size_t i = 0; i < FAKE_ROWS; i++) {
		struct fake_entry *e = &f->entries[i];
		if (e->ino != 0 && e->parent == parent &&
		    strlen(e->name) == len && memcmp(e->name, name, len) == 0)
			return e;
	}
	return NULL;
}

static inline struct zk_stamp
fake_now(void)
{
	static struct timespec last;
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec < last.tv_sec ||
	    (now.tv_sec == last.tv_sec && now.tv_nsec <= last.tv_nsec)) {
		now = last;
		now.tv_nsec++;
	}
	last = now;
	return (struct zk_stamp){now.tv_sec, (uint32_t)now.tv_nsec};
}

/* Changes are told after the lock is off. */
struct fake_told {
	struct zk_change changes[8];
	char names[16][ZK_NAME_MAX + 1];
	size_t count;
};

static inline struct fake_entry *
fake_entry_of(struct fake *f, uint64_t ino)
{
	for (size_t i = 0; i < FAKE_ROWS; i++)
		if (f->entries[i].ino == ino)
			return &f->entries[i];
	return NULL;
}

static inline void
fake_tell(struct fake *f, struct fake_told *told, enum zk_change_kind kind,
    uint64_t parent, const char *name, uint64_t ino)
{
	struct zk_change *c = &told->changes[told->count];
	const struct fake_node *n = fake_node(f, ino);
	const struct fake_entry *e = fake_entry_of(f, ino);

	*c = (struct zk_change){
	    .kind = kind,
	    .parent = parent,
	    .ino = ino,
	    .type = n->attr.mode & S_IFMT,
	    .nlink = n->attr.nlink,
	    .known = !f->foreign,
	};
	if (name == NULL && e != NULL) {
		name = e->name;
		c->parent = e->parent;
	}
	if (name != NULL) {
		char *copy = told->names[told->count];
		(void)snprintf(copy, ZK_NAME_MAX + 1, "%s", name);
		c->name = copy;
		c->name_len = strlen(copy);
	}
	told->count++;
}

static inline void
fake_resize(struct fake_node *n, uint64_t size)
{
	uint8_t *data = realloc(n->data, size + 1);

	if (data == NULL)
		abort();
	if (size > n->attr.size)
		memset(data + n->attr.size, 0, size - n->attr.size);
	n->data = data;
	n->attr.size = size;
	n->attr.blocks = (size + 511) / 512;
}

static inline void
fake_touch(struct fake *f, struct fake_node *n)
{
	n->attr.mtime = n->attr.ctime = fake_now();
	n->attr.version++;
	n->attr.mzxid = f->index;
}

static inline int
fake_create(struct fake *f, const struct zk_command *c, struct zk_outcome *out,
    struct fake_told *told)
{
	struct fake_node *dir = fake_node(f, c->ino), *n;
	struct fake_entry *e = NULL;
	char name[ZK_NAME_MAX + 1];

	if (dir == NULL)
		return -ENOENT;
	(void)snprintf(name, sizeof(name), "%.*s", (int)c->name_len, c->name);
	if (c->name_len > 10 &&
	    strcmp(name + c->name_len - 10, "XXXXXXXXXX") == 0) {
		(void)snprintf(name + c->name_len - 10, 11, "%010u",
		    (unsigned)dir->next_number++ % 1000000000u);
		memcpy(out->name, name, sizeof(name));
		out->name_len = c->name_len;
	}
	if (fake_entry(f, c->ino, name, c->name_len) != NULL)
		return -EEXIST;
	for (size_t i = 0; i < FAKE_ROWS && e == NULL; i++)
		if (f->entries[i].ino == 0)
			e = &f->entries[i];
	n = &f->nodes[++f->ino_last];
	n->attr = (struct zk_attr){
	    .ino = f->ino_last,
	    .mode = c->mode,
	    .uid = c->uid,
	    .gid = c->gid,
	    .rdev = c->rdev,
	    .nlink = S_ISDIR(c->mode) ? 2 : 1,
	    .parent = c->ino,
	    .czxid = f->index,
	};
	n->attr.atime = n->attr.btime = fake_now();
	fake_touch(f, n);
	n->attr.version = 0;
	if ((c->flags & ZK_F_EPHEMERAL) != 0) {
		n->attr.session = f->session;
		n->attr.handle = c->handle;
	}
	if (c->data_len > 0) {
		fake_resize(n, c->data_len);
		memcpy(n->data, c->data, c->data_len);
	}
	e->parent = c->ino;
	e->ino = n->attr.ino;
	memcpy(e->name, name, sizeof(name));
	dir->attr.cversion++;
	dir->attr.mtime = dir->attr.ctime = fake_now();
	out->attr = n->attr;
	fake_tell(f, told, ZK_CHANGE_CREATE, c->ino, name, n->attr.ino);
	return 0;
}

static inline void
fake_drop(struct fake *f, struct fake_entry *e, struct fake_told *told)
{
	struct fake_node *n = fake_node(f, e->ino);
	struct fake_node *dir = fake_node(f, e->parent);

	fake_tell(f, told, ZK_CHANGE_DELETE, e->parent, e->name, e->ino);
	e->ino = 0;
	dir->attr.mtime = dir->attr.ctime = fake_now();
	n->attr.nlink = S_ISDIR(n->attr.mode) ? 0 : n->attr.nlink - 1;
	told->changes[told->count - 1].nlink = n->attr.nlink;
	if (n->attr.nlink == 0)
		told->changes[told->count - 1].orphan = true;
}

static inline int
fake_remove(struct fake *f, const struct zk_command *c, struct fake_told *told)
{
	struct fake_entry *e = fake_entry(f, c->ino, c->name, c->name_len);

	if (e == NULL)
		return -ENOENT;
	if (S_ISDIR(f->nodes[e->ino].attr.mode))
		for (size_t i = 0; i < FAKE_ROWS; i++)
			if (f->entries[i].ino != 0 &&
			    f->entries[i].parent == e->ino)
				return -ENOTEMPTY;
	fake_drop(f, e, told);
	return 0;
}

static inline int
fake_rename(struct fake *f, const struct zk_command *c, struct fake_told *told)
{
	struct fake_entry *e = fake_entry(f, c->ino, c->name, c->name_len);
	struct fake_entry *to = fake_entry(f, c->ino2, c->name2, c->name2_len);
	struct zk_change *change;
	uint64_t replaced = 0;

	if (e == NULL)
		return -ENOENT;
	if (to != NULL && c->mode == RENAME_NOREPLACE)
		return -EEXIST;
	if (to != NULL && c->mode == RENAME_EXCHANGE) {
		uint64_t ino = to->ino;
		to->ino = e->ino;
		e->ino = ino;
		return 0;
	}
	if (to != NULL) {
		replaced = to->ino;
		fake_drop(f, to, told);
		told->count--; /* it is part of this one */
	}
	fake_tell(f, told, ZK_CHANGE_RENAME, e->parent, e->name, e->ino);
	e->parent = c->ino2;
	(void)snprintf(e->name, sizeof(e->name), "%.*s", (int)c->name2_len,
	    c->name2);
	change = &told->changes[told->count - 1];
	change->parent2 = c->ino2;
	change->name2 = strcpy(told->names[15], e->name);
	change->name2_len = c->name2_len;
	if (replaced != 0) {
		change->ino2 = replaced;
		change->type2 = f->nodes[replaced].attr.mode & S_IFMT;
		change->nlink2 = f->nodes[replaced].attr.nlink;
		change->orphan = change->nlink2 == 0;
	}
	return 0;
}

static inline int
fake_setattr(struct fake *f, const struct zk_command *c, struct zk_outcome *out,
    struct fake_told *told)
{
	struct fake_node *n = fake_node(f, c->ino);

	if (n == NULL)
		return -ENOENT;
	if ((c->flags & ZK_SET_MODE) != 0)
		n->attr.mode = (n->attr.mode & S_IFMT) | c->mode;
	if ((c->flags & ZK_SET_UID) != 0)
		n->attr.uid = c->uid;
	if ((c->flags & ZK_SET_GID) != 0)
		n->attr.gid = c->gid;
	if ((c->flags & ZK_F_EXPECT) != 0 && c->expect != n->attr.version)
		return -EAGAIN;
	if ((c->flags & (ZK_SET_SIZE | ZK_F_TRUNCATE)) != 0) {
		if ((c->flags & ZK_F_TRUNCATE) != 0)
			fake_resize(n, 0);
		fake_resize(n, (c->flags & ZK_SET_SIZE) != 0 ? c->len : 0);
		fake_touch(f, n);
	}
	if ((c->flags & ZK_SET_MTIME) != 0)
		n->attr.mtime = c->mtime;
	n->attr.ctime = fake_now();
	out->attr = n->attr;
	fake_tell(f, told, ZK_CHANGE_MODIFY, 0, NULL, c->ino);
	return 0;
}

static inline int
fake_write(struct fake *f, const struct zk_command *c, struct zk_outcome *out,
    struct fake_told *told)
{
	struct fake_node *n = fake_node(f, c->ino);
	uint64_t off = c->off;

	f->last_write_flags = c->flags;
	if (n == NULL)
		return -ENOENT;
	if ((c->flags & ZK_F_FENCED) != 0 &&
	    (c->session != f->session || n->attr.nlink == 0))
		return -ESTALE;
	if ((c->flags & ZK_F_EXPECT) != 0 && c->expect != n->attr.version)
		return -EAGAIN;
	if ((c->flags & ZK_F_TRUNCATE) != 0)
		fake_resize(n, 0);
	if ((c->flags & ZK_F_APPEND) != 0)
		off = n->attr.size;
	if (off + c->data_len > n->attr.size)
		fake_resize(n, off + c->data_len);
	memcpy(n->data + off, c->data, c->data_len);
	if ((c->flags & ZK_F_KILL_PRIV) != 0)
		n->attr.mode &= ~06000u;
	fake_touch(f, n);
	out->attr = n->attr;
	out->offset = off;
	fake_tell(f, told, ZK_CHANGE_MODIFY, 0, NULL, c->ino);
	return 0;
}

static inline struct fake_lock *
fake_blocker(struct fake *f, const struct zk_command *c)
{
	uint64_t end = c->len == 0 ? UINT64_MAX : c->off + c->len - 1;

	for (size_t i = 0; i < 256; i++) {
		struct fake_lock *l = &f->locks[i];
		if (l->type != 0 && l->ino == c->ino && l->owner != c->owner &&
		    l->flock == ((c->flags & ZK_F_FLOCK) != 0) &&
		    l->off <= end && c->off <= l->end &&
		    (l->type == ZK_LOCK_EXCLUSIVE ||
		        c->lock_type == ZK_LOCK_EXCLUSIVE))
			return l;
	}
	return NULL;
}

/* Whole ranges only: enough for fs/. */
static inline int
fake_lock(struct fake *f, const struct zk_command *c)
{
	struct fake_lock *own = NULL;

	if (c->lock_type != ZK_LOCK_NONE && fake_blocker(f, c) != NULL)
		return -EAGAIN;
	for (size_t i = 0; i < 256; i++) {
		struct fake_lock *l = &f->locks[i];
		if (l->type != 0 && l->ino == c->ino && l->owner == c->owner)
			own = l;
	}
	for (size_t i = 0; i < 256 && own == NULL; i++)
		if (f->locks[i].type == 0)
			own = &f->locks[i];
	if (own == NULL)
		return -ENOLCK;
	*own = (struct fake_lock){0};
	if (c->lock_type == ZK_LOCK_NONE)
		return 0;
	own->ino = c->ino;
	own->owner = c->owner;
	own->handle = c->handle;
	own->off = c->off;
	own->end = c->len == 0 ? UINT64_MAX : c->off + c->len - 1;
	own->type = c->lock_type;
	own->pid = c->pid;
	own->flock = (c->flags & ZK_F_FLOCK) != 0;
	return 0;
}

static inline void
fake_unlock(struct fake *f, uint64_t ino, uint64_t owner, uint64_t handle)
{
	for (size_t i = 0; i < 256; i++) {
		struct fake_lock *l = &f->locks[i];
		if (l->ino == ino &&
		    ((owner != 0 && l->owner == owner && !l->flock) ||
		        (handle != 0 && l->handle == handle)))
			*l = (struct fake_lock){0};
	}
}

static inline int
fake_release(struct fake *f, const struct zk_command *c, struct zk_outcome *out,
    struct fake_told *told)
{
	struct fake_node *n = fake_node(f, c->ino);

	fake_unlock(f, c->ino, 0, c->handle);
	if (n == NULL)
		return 0;
	if ((c->flags & ZK_F_TRUNCATE) != 0)
		return fake_setattr(f, c, out, told);
	f->foreign = true;
	for (size_t i = 0; i < FAKE_ROWS && n->attr.session != 0; i++)
		if (f->entries[i].ino == c->ino && n->attr.handle == c->handle)
			fake_drop(f, &f->entries[i], told);
	f->foreign = false;
	return 0;
}

static inline int
fake_xattr(struct fake *f, const struct zk_command *c)
{
	struct fake_node *n = fake_node(f, c->ino);

	if (n == NULL)
		return -ENOENT;
	for (size_t i = 0; i < 4; i++) {
		bool same = strlen(n->xattr[i].name) == c->name_len &&
		    memcmp(n->xattr[i].name, c->name, c->name_len) == 0;
		if (same && c->op == ZK_OP_XATTR_REMOVE) {
			n->xattr[i].name[0] = '\0';
			return 0;
		}
		if (c->op == ZK_OP_XATTR_SET &&
		    (same || n->xattr[i].name[0] == '\0')) {
			(void)snprintf(n->xattr[i].name, 64, "%.*s",
			    (int)c->name_len, c->name);
			memcpy(n->xattr[i].value, c->data, c->data_len);
			n->xattr[i].len = c->data_len;
			return 0;
		}
	}
	return c->op == ZK_OP_XATTR_SET ? -ENOSPC : -ENODATA;
}

#endif
