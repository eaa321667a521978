#include "fs/expect.h"

#include <errno.h>
#include <stdbool.h>

#include "base/assert.h"

void
zk_expects_init(struct zk_expects *t)
{
	(void)pthread_mutex_init(&t->lock, NULL);
	atomic_init(&t->count, 0);
}

void
zk_expects_fini(struct zk_expects *t)
{
	(void)pthread_mutex_destroy(&t->lock);
}

static bool
same_process(const struct zk_process *a, const struct zk_process *b)
{
	return a->pid == b->pid && a->life == b->life;
}

static struct zk_expect *
find(struct zk_expects *t, uint64_t ino, const struct zk_process *process)
{
	for (uint32_t i = 0; i < t->count; i++)
		if (t->rows[i].ino == ino &&
		    same_process(&t->rows[i].process, process))
			return &t->rows[i];
	return NULL;
}

static void
drop(struct zk_expects *t, struct zk_expect *row)
{
	ZK_ASSERT(t->count > 0);
	*row = t->rows[t->count - 1];
	t->count--;
}

/* What dead processes announced will never be asked for. */
static void
sweep(struct zk_expects *t)
{
	struct zk_process now;
	uint32_t i = 0;

	while (i < t->count) {
		struct zk_expect *row = &t->rows[i];
		if (zk_proc_of(row->process.pid, &now) == 0 &&
		    same_process(&now, &row->process))
			i++;
		else
			drop(t, row);
	}
}

int
zk_expects_set(struct zk_expects *t, uint64_t ino, pid_t tid, uint64_t version)
{
	struct zk_process process;
	struct zk_expect *row;
	int rc;

	rc = zk_proc_of(tid, &process);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&t->lock);
	row = find(t, ino, &process);
	if (row == NULL && t->count == ZK_EXPECTS_MAX)
		sweep(t);
	if (row == NULL && t->count < ZK_EXPECTS_MAX)
		row = &t->rows[t->count++];
	if (row != NULL)
		*row = (struct zk_expect){ino, version, process};
	(void)pthread_mutex_unlock(&t->lock);
	/* Forgetting one would turn its write into an unconditional one. */
	return row == NULL ? -ENOSPC : 0;
}

bool
zk_expects_take(struct zk_expects *t, uint64_t ino, pid_t tid,
    struct zk_expect *ret_expect)
{
	struct zk_process process;
	struct zk_expect *row;

	if (atomic_load(&t->count) == 0 || zk_proc_of(tid, &process) < 0)
		return false;
	(void)pthread_mutex_lock(&t->lock);
	row = find(t, ino, &process);
	if (row != NULL) {
		*ret_expect = *row;
		drop(t, row);
	}
	(void)pthread_mutex_unlock(&t->lock);
	return row != NULL;
}

void
zk_expects_restore(struct zk_expects *t, const struct zk_expect *expect)
{
	(void)pthread_mutex_lock(&t->lock);
	/* Full means a thousand more at once than there ever are. */
	if (find(t, expect->ino, &expect->process) == NULL &&
	    t->count < ZK_EXPECTS_MAX)
		t->rows[t->count++] = *expect;
	(void)pthread_mutex_unlock(&t->lock);
}
