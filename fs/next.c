#include "fs/next.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fs/next_impl.h"
#include "fs/reply.h"
#include "fs/topic.h"

void
zk_nexts_init(struct zk_nexts *nexts)
{
	(void)pthread_mutex_init(&nexts->lock, NULL);
	(void)pthread_cond_init(&nexts->given, NULL);
	TAILQ_INIT(&nexts->all);
	TAILQ_INIT(&nexts->dirty);
}

void
zk_nexts_fini(struct zk_nexts *nexts)
{
	(void)pthread_cond_destroy(&nexts->given);
	(void)pthread_mutex_destroy(&nexts->lock);
}

void
zk_next_dirty(struct zk_next *s)
{
	if (s->is_dirty || s->closed)
		return;
	s->is_dirty = true;
	TAILQ_INSERT_TAIL(&s->fs->nexts.dirty, s, dirty_link);
}

void
zk_next_unref(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;
	bool last;

	(void)pthread_mutex_lock(&nexts->lock);
	last = --s->refs == 0;
	(void)pthread_mutex_unlock(&nexts->lock);
	if (!last)
		return;
	zk_next_shares_free(s);
	zk_window_fini(&s->window);
	free(s->answer.bytes);
	if (s->poll != NULL)
		fuse_pollhandle_destroy(s->poll);
	free(s);
}

bool
zk_next_take(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;
	bool taken;

	(void)pthread_mutex_lock(&nexts->lock);
	taken = !s->busy;
	s->busy = true;
	(void)pthread_mutex_unlock(&nexts->lock);
	return taken;
}

/* Who has it looks at what there is and waits for nothing. */
static void
take_for_good(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;

	(void)pthread_mutex_lock(&nexts->lock);
	nexts->awaiting++;
	while (s->busy)
		(void)pthread_cond_wait(&nexts->given, &nexts->lock);
	nexts->awaiting--;
	s->busy = true;
	(void)pthread_mutex_unlock(&nexts->lock);
}

void
zk_next_give(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;
	bool dirty;

	(void)pthread_mutex_lock(&nexts->lock);
	s->busy = false;
	dirty = s->is_dirty;
	if (nexts->awaiting > 0)
		(void)pthread_cond_broadcast(&nexts->given);
	(void)pthread_mutex_unlock(&nexts->lock);
	if (dirty)
		zk_calls_wake(s->fs);
}

/* --- reading -------------------------------------------------------------- */

/* Brings what is known of the group up to date. */
static int
refresh(struct zk_next *s)
{
	struct zk_fs *fs = s->fs;
	bool regroup;

	/* The holder's side gives up first: the ensemble waits longer. */
	if (fs->port.session(fs->port.impl) != s->session)
		return -ESTALE;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	regroup = s->regroup;
	s->regroup = false;
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	return regroup ? zk_next_regroup(s) : 0;
}

/*
 * A read at pos: what there is, which stays valid while the stream is taken;
 * 0 bytes: nothing yet.
 */
static int
attempt(struct zk_next *s, uint64_t pos, size_t size, const char **ret_bytes,
    size_t *ret_len)
{
	int rc;

	*ret_len = 0;
	rc = refresh(s);
	if (rc == 0)
		rc = zk_window_seek(&s->window, pos, size, zk_next_done, s);
	if (rc < 0)
		return rc;
	zk_next_settle(s);
	if (pos == zk_window_end(&s->window))
		rc = zk_next_fill(s, size);
	if (rc == 0)
		*ret_len = zk_window_take(&s->window, pos, size, ret_bytes);
	return rc;
}

static void
dirty(struct zk_next *s)
{
	(void)pthread_mutex_lock(&s->fs->nexts.lock);
	zk_next_dirty(s);
	(void)pthread_mutex_unlock(&s->fs->nexts.lock);
}

/* The read waits for its turn, or, if it may, for something to read. */
static void
hold(struct zk_next *s, fuse_req_t req, struct zk_handle *handle, uint64_t off,
    size_t size, int flags)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_NOP,
	    .flags = ZK_F_WAIT,
	    .ino = handle->ino,
	    .off = off,
	};
	struct zk_call *call = zk_call_new(s->fs, req, &cmd, zk_answer_rc_ino);

	if (call == NULL)
		return;
	call->handle = handle;
	call->size = size;
	call->fi.flags = flags;
	zk_call_hold(call, &s->waiting);
}

void
zk_next_read(fuse_req_t req, struct zk_handle *handle, size_t size,
    uint64_t off, int flags)
{
	struct zk_next *s = handle->next;
	const char *bytes = NULL;
	char *copy = NULL;
	size_t len = 0;
	int rc;

	if (!zk_next_take(s)) {
		hold(s, req, handle, off, size, flags);
		dirty(s);
		zk_calls_wake(s->fs);
		return;
	}
	rc = attempt(s, off, size, &bytes, &len);
	if (rc == 0 && len == 0 && (flags & O_NONBLOCK) != 0)
		rc = -EAGAIN;
	if (rc == 0 && len > 0) {
		copy = malloc(len);
		rc = copy == NULL ? -ENOMEM : 0;
		if (rc == 0)
			memcpy(copy, bytes, len);
	}
	if (rc == 0 && len == 0) {
		hold(s, req, handle, off, size, flags);
		/* Held, perhaps behind others: what comes now is for all. */
		zk_next_give(s);
		return;
	}
	zk_next_give(s);
	if (rc < 0)
		zk_reply_rc_ino(req, rc);
	else
		(void)fuse_reply_buf(req, copy, len);
	free(copy);
}

/* Reads that were held; the stream is taken. */
static void
serve_waiting(struct zk_next *s)
{
	struct zk_call *call;

	while ((call = zk_call_take(s->fs, &s->waiting)) != NULL) {
		const char *bytes = NULL;
		size_t len = 0;
		int rc;

		rc = attempt(s, call->cmd.off, call->size, &bytes, &len);
		if (rc == 0 && len == 0 && (call->fi.flags & O_NONBLOCK) != 0)
			rc = -EAGAIN;
		if (rc == 0 && len == 0) {
			zk_call_hold_again(call, &s->waiting);
			return;
		}
		if (zk_call_finish(call)) {
			if (rc < 0)
				zk_reply_rc_ino(call->req, rc);
			else
				(void)fuse_reply_buf(call->req, bytes, len);
		}
		zk_call_end(call);
	}
}

/* Whoever polls is told when there is something to read. */
static void
serve_poll(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;
	struct fuse_pollhandle *ph = NULL;

	(void)pthread_mutex_lock(&nexts->lock);
	ph = s->poll;
	(void)pthread_mutex_unlock(&nexts->lock);
	if (ph == NULL)
		return;
	if (zk_next_fill(s, 0) == 0 && !zk_next_has_more(s))
		return;
	(void)pthread_mutex_lock(&nexts->lock);
	ph = s->poll;
	s->poll = NULL;
	(void)pthread_mutex_unlock(&nexts->lock);
	if (ph == NULL)
		return;
	(void)fuse_lowlevel_notify_poll(ph);
	fuse_pollhandle_destroy(ph);
}

static struct zk_next *
take_dirty(struct zk_nexts *nexts)
{
	struct zk_next *s;

	(void)pthread_mutex_lock(&nexts->lock);
	s = TAILQ_FIRST(&nexts->dirty);
	while (s != NULL && s->busy)
		s = TAILQ_NEXT(s, dirty_link);
	if (s != NULL) {
		TAILQ_REMOVE(&nexts->dirty, s, dirty_link);
		s->is_dirty = false;
		s->busy = true;
		s->refs++;
	}
	(void)pthread_mutex_unlock(&nexts->lock);
	return s;
}

void
zk_nexts_serve(struct zk_fs *fs)
{
	struct zk_next *s;

	zk_nexts_look_at_due(fs);
	while ((s = take_dirty(&fs->nexts)) != NULL) {
		serve_waiting(s);
		/* Also when nobody reads: others may wait for what is ours. */
		if (refresh(s) == 0) {
			zk_next_settle(s);
			serve_poll(s);
		}
		zk_next_give(s);
		zk_next_unref(s);
	}
}

void
zk_next_poll(fuse_req_t req, struct zk_handle *handle,
    struct fuse_pollhandle *ph)
{
	struct zk_next *s = handle->next;
	struct zk_nexts *nexts = &s->fs->nexts;
	struct fuse_pollhandle *old = NULL;
	unsigned events = 0;

	if (ph != NULL) {
		(void)pthread_mutex_lock(&nexts->lock);
		old = s->poll;
		s->poll = ph;
		(void)pthread_mutex_unlock(&nexts->lock);
	}
	if (old != NULL)
		fuse_pollhandle_destroy(old);
	take_for_good(s);
	if (refresh(s) < 0)
		events = POLLERR | POLLIN;
	else if (zk_next_fill(s, 0) < 0 || zk_next_has_more(s))
		events = POLLIN | POLLRDNORM;
	zk_next_give(s);
	(void)fuse_reply_poll(req, events);
}

/* --- opening and closing -------------------------------------------------- */

struct zk_next *
zk_next_new(struct zk_fs *fs, const struct zk_handle *handle)
{
	struct zk_next *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->fs = fs;
	s->group = handle->group;
	s->session = handle->session;
	s->handle = handle->id;
	s->refs = 1;
	s->regroup = true;
	TAILQ_INIT(&s->waiting);
	(void)pthread_mutex_lock(&fs->nexts.lock);
	TAILQ_INSERT_TAIL(&fs->nexts.all, s, link);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	return s;
}

void
zk_next_free(struct zk_fs *fs, struct zk_handle *handle)
{
	struct zk_next *s = handle->next;

	if (s == NULL)
		return;
	handle->next = NULL;
	(void)pthread_mutex_lock(&fs->nexts.lock);
	TAILQ_REMOVE(&fs->nexts.all, s, link);
	if (s->is_dirty)
		TAILQ_REMOVE(&fs->nexts.dirty, s, dirty_link);
	s->is_dirty = false;
	s->closed = true;
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	zk_next_owes_nothing(s);
	zk_next_unref(s);
}

void
zk_next_close(struct zk_handle *handle)
{
	if (handle->next == NULL)
		return;
	take_for_good(handle->next);
	zk_next_last_ack(handle->next);
	zk_next_give(handle->next);
}

static void
join_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_handle *handle = call->made;
	struct zk_fs *fs = call->fs;

	if (out->rc < 0) {
		zk_reply_rc(call->req, out->rc);
		return;
	}
	handle->next = zk_next_new(fs, handle);
	call->made = NULL;
	if (handle->next == NULL) {
		zk_reply_rc(call->req, -ENOMEM);
		zk_handle_close(fs, handle);
		return;
	}
	call->fi.fh = handle->fh;
	call->fi.direct_io = 1;
	/* Not taken: nobody will close it. */
	if (fuse_reply_open(call->req, &call->fi) != 0)
		zk_handle_close(fs, handle);
}

static void
join_late(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_handle *handle = call->made;

	if (out->rc < 0)
		return;
	call->made = NULL;
	zk_handle_close(call->fs, handle);
}

void
zk_next_open(fuse_req_t req, uint64_t ino, struct zk_handle *handle,
    const struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	const struct zk_command cmd = {
	    .op = ZK_OP_JOIN,
	    .session = handle->session,
	    .ino = ino,
	    .handle = handle->id,
	};
	struct zk_call *call;
	int rc;

	/* Closing it is a command: it leaves the group. */
	rc = handle->session == 0 ? -EROFS
	                          : zk_handle_tie(fs, handle, ZK_TIE_OWNER);
	call = rc < 0 ? NULL : zk_call_new(fs, req, &cmd, join_answer);
	if (call == NULL) {
		if (rc < 0)
			zk_reply_rc(req, rc);
		zk_handle_drop(fs, handle);
		return;
	}
	call->made = handle;
	call->fi = *fi;
	call->late = join_late;
	zk_call_submit(call);
}

bool
zk_nexts_unsettled(struct zk_fs *fs)
{
	/* A RELEASE may have been read, but not yet looked at. */
	zk_workers_settle(fs);
	if (atomic_load(&fs->nexts.unsettled) == 0)
		return false;
	zk_nexts_hurry(fs);
	return atomic_load(&fs->nexts.unsettled) > 0;
}

void
zk_nexts_settle(struct zk_call *call)
{
	call->settles = true;
	(void)atomic_fetch_add(&call->fs->nexts.unsettled, 1);
}

void
zk_nexts_settled(struct zk_call *call)
{
	if (call->settles)
		(void)atomic_fetch_sub(&call->fs->nexts.unsettled, 1);
	call->settles = false;
}

/* --- what happens elsewhere ----------------------------------------------- */

void
zk_nexts_group(struct zk_fs *fs, uint64_t group)
{
	struct zk_next *s;
	bool any = false;

	(void)pthread_mutex_lock(&fs->nexts.lock);
	for (s = TAILQ_FIRST(&fs->nexts.all); s != NULL;
	     s = TAILQ_NEXT(s, link)) {
		if (s->group != group)
			continue;
		s->regroup = true;
		zk_next_dirty(s);
		any = true;
	}
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	if (any)
		zk_calls_wake(fs);
}

void
zk_nexts_session(struct zk_fs *fs)
{
	struct zk_next *s;

	(void)pthread_mutex_lock(&fs->nexts.lock);
	for (s = TAILQ_FIRST(&fs->nexts.all); s != NULL;
	     s = TAILQ_NEXT(s, link)) {
		s->regroup = true;
		zk_next_dirty(s);
	}
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	zk_calls_wake(fs);
}

void
zk_nexts_appended(struct zk_fs *fs, uint64_t partition)
{
	struct zk_nexts *nexts = &fs->nexts;
	struct zk_share *share;
	bool any = false;

	(void)pthread_mutex_lock(&nexts->lock);
	LIST_FOREACH(share, &nexts->buckets[partition % ZK_SHARE_BUCKETS],
	    bucket)
	if (share->partition == partition) {
		share->wet = true;
		zk_next_dirty(share->owner);
		any = true;
	}
	(void)pthread_mutex_unlock(&nexts->lock);
	if (any)
		zk_calls_wake(fs);
}
