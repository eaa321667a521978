#ifndef ZK_TESTS_UNIT_TEST_FS_FAKE_H
#define ZK_TESTS_UNIT_TEST_FS_FAKE_H

/* The port of the fake: its queue, its thread, its reads. */

#include "tests/unit/test_fs_fake_tree.h"

static inline int
fake_apply(struct fake *f, const struct zk_command *c, struct zk_outcome *out,
    struct fake_told *told)
{
	struct fake_node *n;

	f->index++;
	f->counts[c->op]++;
	/* The tests use a part of the vocabulary. */
	if (c->op == ZK_OP_CREATE)
		return fake_create(f, c, out, told);
	if (c->op == ZK_OP_UNLINK || c->op == ZK_OP_RMDIR)
		return fake_remove(f, c, told);
	if (c->op == ZK_OP_RENAME)
		return fake_rename(f, c, told);
	if (c->op == ZK_OP_SETATTR)
		return fake_setattr(f, c, out, told);
	if (c->op == ZK_OP_WRITE)
		return fake_write(f, c, out, told);
	if (c->op == ZK_OP_LOCK)
		return fake_lock(f, c);
	if (c->op == ZK_OP_UNLOCK_OWNER)
		fake_unlock(f, c->ino, c->owner, 0);
	if (c->op == ZK_OP_RELEASE)
		return fake_release(f, c, out, told);
	if (c->op == ZK_OP_XATTR_SET || c->op == ZK_OP_XATTR_REMOVE)
		return fake_xattr(f, c);
	if (c->op == ZK_OP_TXN && memmem(c->data, c->data_len, "bad", 3)) {
		out->line = 2;
		return -EINVAL;
	}
	n = fake_node(f, c->op == ZK_OP_LINK ? c->ino2 : c->ino);
	if (c->op == ZK_OP_FALLOCATE && c->mode == 0 &&
	    c->off + c->len > n->attr.size)
		fake_resize(n, c->off + c->len);
	if (c->op == ZK_OP_EPHEMERAL) {
		n->attr.session = f->session;
		n->attr.handle = c->handle;
	}
	if (c->op == ZK_OP_LINK) {
		for (size_t i = 0; i < FAKE_ROWS; i++)
			if (f->entries[i].ino == 0) {
				f->entries[i].ino = c->ino2;
				f->entries[i].parent = c->ino;
				(void)snprintf(f->entries[i].name, 256, "%.*s",
				    (int)c->name_len, c->name);
				break;
			}
		n->attr.nlink++;
		out->attr = n->attr;
	}
	return 0;
}

static inline void
fake_finish(struct fake *f, struct fake_job *job, struct zk_outcome *out,
    const struct fake_told *told)
{
	(void)pthread_mutex_unlock(&f->lock);
	for (size_t i = 0; f->fs != NULL && i < told->count; i++)
		zk_fs_changed(f->fs, &told->changes[i]);
	job->done(job->arg, out);
	free(job);
	(void)pthread_mutex_lock(&f->lock);
}

/* Under the lock: lock requests that can go on now, or are cancelled. */
static inline void
fake_waiters(struct fake *f, uint64_t cancelled)
{
	struct fake_job **link = &f->waiters;

	while (*link != NULL) {
		struct fake_job *job = *link;
		struct zk_outcome out = {0};
		struct fake_told told = {.count = 0};

		if (job->cmd.number == cancelled)
			out.rc = -EINTR;
		else
			out.rc = fake_lock(f, &job->cmd);
		if (out.rc == -EAGAIN) {
			link = &job->next;
			continue;
		}
		*link = job->next;
		fake_finish(f, job, &out, &told);
		link = &f->waiters;
	}
}

static inline void *
fake_main(void *arg)
{
	struct fake *f = arg;

	(void)pthread_mutex_lock(&f->lock);
	while (!f->stop) {
		struct fake_job *job = f->first;
		struct zk_outcome out = {0};
		struct fake_told told = {.count = 0};

		if (job == NULL || f->hold) {
			(void)pthread_cond_wait(&f->work, &f->lock);
			continue;
		}
		f->first = job->next;
		if (f->first == NULL)
			f->last = &f->first;
		if (f->delay_us > 0) {
			struct timespec t = {0, (long)f->delay_us * 1000};
			(void)pthread_mutex_unlock(&f->lock);
			(void)nanosleep(&t, NULL);
			(void)pthread_mutex_lock(&f->lock);
		}
		out.rc = fake_apply(f, &job->cmd, &out, &told);
		if (out.rc == -EAGAIN && job->cmd.op == ZK_OP_LOCK &&
		    (job->cmd.flags & ZK_F_WAIT) != 0) {
			job->next = f->waiters;
			f->waiters = job;
			continue;
		}
		uint64_t cancelled =
		    job->cmd.op == ZK_OP_LOCK_CANCEL ? job->cmd.off : 0;
		fake_finish(f, job, &out, &told);
		fake_waiters(f, cancelled);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return NULL;
}

static inline int
fake_submit(void *impl, const struct zk_command *cmd, zk_done_fn done,
    void *arg, uint64_t *ret_number)
{
	struct fake *f = impl;
	struct fake_job *job;
	uint8_t *to;

	(void)pthread_mutex_lock(&f->lock);
	if (f->full) {
		(void)pthread_mutex_unlock(&f->lock);
		return -EAGAIN;
	}
	job = calloc(1,
	    sizeof(*job) + cmd->name_len + cmd->name2_len + cmd->data_len + 1);
	if (job == NULL)
		abort();
	job->cmd = *cmd;
	job->done = done;
	job->arg = arg;
	job->cmd.number = ++f->number;
	to = job->bytes;
	if (cmd->name_len > 0)
		job->cmd.name = memcpy(to, cmd->name, cmd->name_len);
	to += cmd->name_len;
	if (cmd->name2_len > 0)
		job->cmd.name2 = memcpy(to, cmd->name2, cmd->name2_len);
	to += cmd->name2_len;
	if (cmd->data_len > 0)
		job->cmd.data = memcpy(to, cmd->data, cmd->data_len);
	if (ret_number != NULL)
		*ret_number = job->cmd.number;
	*f->last = job;
	f->last = &job->next;
	(void)pthread_cond_signal(&f->work);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static inline int
fake_getattr(void *impl, uint64_t ino, struct zk_attr *ret_attr)
{
	struct fake *f = impl;
	struct fake_node *n;

	(void)pthread_mutex_lock(&f->lock);
	n = fake_node(f, ino);
	if (n != NULL)
		*ret_attr = n->attr;
	(void)pthread_mutex_unlock(&f->lock);
	return n == NULL ? -ENOENT : 0;
}

static inline int
fake_lookup(void *impl, uint64_t parent, const char *name, size_t name_len,
    struct zk_attr *ret_attr)
{
	struct fake *f = impl;
	struct fake_entry *e;

	(void)pthread_mutex_lock(&f->lock);
	e = fake_entry(f, parent, name, name_len);
	if (e != NULL)
		*ret_attr = f->nodes[e->ino].attr;
	(void)pthread_mutex_unlock(&f->lock);
	return e == NULL ? -ENOENT : 0;
}

static inline int
fake_name(void *impl, uint64_t ino, struct zk_attr *ret_attr, char *buf,
    size_t *ret_len)
{
	struct fake *f = impl;
	struct fake_node *n;
	struct fake_entry *e;

	(void)pthread_mutex_lock(&f->lock);
	n = fake_node(f, ino);
	e = fake_entry_of(f, ino);
	*ret_len = e == NULL ? 0 : strlen(e->name);
	if (n != NULL)
		*ret_attr = n->attr;
	if (e != NULL)
		memcpy(buf, e->name, sizeof(e->name));
	(void)pthread_mutex_unlock(&f->lock);
	return n == NULL ? -ENOENT : 0;
}

static inline int
fake_read(void *impl, uint64_t ino, uint64_t off, void *buf, size_t cap,
    size_t *ret_len)
{
	struct fake *f = impl;
	struct fake_node *n;

	(void)pthread_mutex_lock(&f->lock);
	n = fake_node(f, ino);
	*ret_len = 0;
	if (n != NULL && off < n->attr.size) {
		*ret_len = n->attr.size - off < cap ? n->attr.size - off : cap;
		memcpy(buf, n->data + off, *ret_len);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return n == NULL ? -ENOENT : 0;
}

static inline int
fake_seek(void *impl, uint64_t ino, uint64_t off, bool hole, uint64_t *ret_off)
{
	struct zk_attr attr;
	int rc = fake_getattr(impl, ino, &attr);

	if (rc < 0)
		return rc;
	if (off >= attr.size)
		return -ENXIO;
	*ret_off = hole ? attr.size : off;
	return 0;
}

static inline int
fake_readlink(void *impl, uint64_t ino, char *buf, size_t cap, size_t *ret_len)
{
	return fake_read(impl, ino, 0, buf, cap, ret_len);
}

static inline int
fake_readdir(void *impl, uint64_t ino, uint64_t cookie, bool attrs,
    zk_dirent_fn fn, void *arg)
{
	struct fake *f = impl;

	(void)attrs;
	for (size_t i = cookie < 3 ? 0 : cookie - 3 + 1; i < FAKE_ROWS; i++) {
		struct fake_entry e;
		struct zk_attr attr;

		(void)pthread_mutex_lock(&f->lock);
		e = f->entries[i];
		attr = f->nodes[e.ino].attr;
		(void)pthread_mutex_unlock(&f->lock);
		struct zk_dirent d = {
		    .name = e.name,
		    .name_len = strlen(e.name),
		    .ino = e.ino,
		    .type = attr.mode & S_IFMT,
		    .cookie = i + 3,
		    .attr = &attr,
		};
		if (e.ino != 0 && e.parent == ino && !fn(arg, &d))
			break;
	}
	return 0;
}

static inline int
fake_getxattr(void *impl, uint64_t ino, const char *name, size_t name_len,
    void *buf, size_t cap, size_t *ret_len)
{
	struct fake *f = impl;
	int rc = -ENODATA;

	(void)name_len;
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < 4; i++) {
		struct fake_node *n = &f->nodes[ino];
		if (strcmp(n->xattr[i].name, name) != 0)
			continue;
		*ret_len = n->xattr[i].len;
		rc = cap != 0 && cap < *ret_len ? -ERANGE : 0;
		if (rc == 0 && cap != 0)
			memcpy(buf, n->xattr[i].value, *ret_len);
	}
	(void)pthread_mutex_unlock(&f->lock);
	return rc;
}

static inline int
fake_listxattr(void *impl, uint64_t ino, char *buf, size_t cap, size_t *ret_len)
{
	struct fake *f = impl;

	(void)cap;
	*ret_len = 0;
	(void)pthread_mutex_lock(&f->lock);
	for (size_t i = 0; i < 4; i++) {
		const char *name = f->nodes[ino].xattr[i].name;
		if (name[0] == '\0')
			continue;
		memcpy(buf + *ret_len, name, strlen(name) + 1);
		*ret_len += strlen(name) + 1;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static inline int
fake_getlock(void *impl, const struct zk_command *lock,
    struct zk_lock_info *ret_info)
{
	struct fake *f = impl;
	struct fake_lock *l;

	*ret_info = (struct zk_lock_info){.type = ZK_LOCK_NONE};
	(void)pthread_mutex_lock(&f->lock);
	l = fake_blocker(f, lock);
	if (l != NULL)
		*ret_info = (struct zk_lock_info){
		    .type = l->type,
		    .off = l->off,
		    .len = l->end == UINT64_MAX ? 0 : l->end - l->off + 1,
		    .pid = l->pid,
		    .session = f->session,
		};
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static inline int
fake_fence(void *impl, uint64_t ino, uint64_t *ret_fence)
{
	(void)impl;
	(void)ino;
	*ret_fence = 0;
	return 0;
}

static inline int
fake_statfs(void *impl, struct zk_statfs *ret_statfs)
{
	struct fake *f = impl;

	*ret_statfs = (struct zk_statfs){1u << 30, 1u << 29, f->ino_last};
	return 0;
}

static inline int
fake_control(void *impl, const char *name, char *buf, size_t cap,
    size_t *ret_len)
{
	struct fake *f = impl;

	(void)pthread_mutex_lock(&f->lock);
	if (strcmp(name, "state") == 0)
		*ret_len = (size_t)snprintf(buf, cap, "connected\n");
	else
		*ret_len = 0;
	for (size_t i = 1; strcmp(name, "counts") == 0 && i < ZK_OP_MAX; i++)
		*ret_len += (size_t)snprintf(buf + *ret_len, cap - *ret_len,
		    "%s=%u\n", zk_op_name((enum zk_op)i), f->counts[i]);
	(void)pthread_mutex_unlock(&f->lock);
	return 0;
}

static inline const char *
fake_control_name(void *impl, size_t i)
{
	static const char *const names[] = {"state", "counts"};

	(void)impl;
	return i < 2 ? names[i] : NULL;
}

static inline uint64_t
fake_session(void *impl)
{
	return ((struct fake *)impl)->session;
}

static inline struct fake *
fake_open(struct zk_fs_port *ret_port)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	(void)pthread_mutex_init(&f->lock, NULL);
	(void)pthread_cond_init(&f->work, NULL);
	f->last = &f->first;
	f->session = 77;
	f->ino_last = ZK_INO_ROOT;
	f->nodes[ZK_INO_ROOT].attr = (struct zk_attr){
	    .ino = ZK_INO_ROOT,
	    .mode = S_IFDIR | 0755,
	    .nlink = 2,
	    .parent = ZK_INO_ROOT,
	};
	*ret_port = (struct zk_fs_port){
	    .impl = f,
	    .submit = fake_submit,
	    .getattr = fake_getattr,
	    .lookup = fake_lookup,
	    .name = fake_name,
	    .read = fake_read,
	    .seek = fake_seek,
	    .readlink = fake_readlink,
	    .readdir = fake_readdir,
	    .getxattr = fake_getxattr,
	    .listxattr = fake_listxattr,
	    .getlock = fake_getlock,
	    .fence = fake_fence,
	    .statfs = fake_statfs,
	    .control = fake_control,
	    .control_name = fake_control_name,
	    .session = fake_session,
	};
	if (pthread_create(&f->thread, NULL, fake_main, f) != 0)
		abort();
	return f;
}

static inline void
fake_close(struct fake *f)
{
	(void)pthread_mutex_lock(&f->lock);
	f->stop = true;
	(void)pthread_cond_signal(&f->work);
	(void)pthread_mutex_unlock(&f->lock);
	(void)pthread_join(f->thread, NULL);
	for (size_t i = 0; i < FAKE_NODES; i++)
		free(f->nodes[i].data);
	while (f->first != NULL) {
		struct fake_job *next = f->first->next;
		free(f->first);
		f->first = next;
	}
	free(f);
}

#endif
