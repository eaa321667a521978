#include "fs/events.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"
#include "fs/call_impl.h"
#include "fs/events_line.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"

/* Lines are made until there are this many bytes, and one line more. */
#define AHEAD_BYTES 65536u

/*
 * Also without news, for what comes without a change: that the history has
 * gone with a snapshot.
 */
#define LOOK_MS 1000u

/* Any size will do that is more than tail(1) looks at. */
#define SIZE_MIN ((uint64_t)1 << 40)
/* 8 GB a second; the offset of a file has room for 36 years of that. */
#define SIZE_PER_NS 8u

/* One open file's reading. */
struct zk_stream {
	pthread_mutex_t lock; /* protects what follows */
	struct zk_past_at at;
	struct zk_past_reader reader;
	uint32_t groups[ZK_GROUPS_MAX];
	bool end;      /* at the end when we looked last */
	int rc;        /* why there will be no more, after what is here */
	char *buf;     /* ZK_EVENTS_LINE_MAX more than AHEAD_BYTES, or NULL */
	size_t len;    /* bytes in it: lines not read, or read last */
	uint64_t base; /* the offset in the file of the first of them */
	uint64_t pos;  /* where the last read ended */

	/* Protected by the lock of the events. */
	LIST_ENTRY(zk_stream) link;
	struct fuse_pollhandle *ph; /* to be woken; NULL: nobody */
};

uint64_t
zk_events_size(void)
{
	struct timespec now;

	/* Since boot: another program in our place goes on with it. */
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return SIZE_MIN +
	    SIZE_PER_NS *
	    ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

/* --- one stream ----------------------------------------------------------- */

static bool
add_line(void *arg, const struct zk_past *past)
{
	struct zk_stream *s = arg;

	if (s->len >= AHEAD_BYTES)
		return false;
	s->len += zk_events_line(past, &s->reader, s->buf + s->len);
	return true;
}

/* Under its lock: what comes before this offset is not needed again. */
static void
drop_before(struct zk_stream *s, uint64_t off)
{
	const size_t n = (size_t)(off - s->base);

	ZK_ASSERT(off >= s->base);
	ZK_ASSERT(n <= s->len);

	if (n > 0)
		memmove(s->buf, s->buf + n, s->len - n);
	s->len -= n;
	s->base = off;
	/* Who waits for long needs no memory. */
	if (s->len == 0) {
		free(s->buf);
		s->buf = NULL;
	}
}

/* Under its lock: see what there is, if there is nothing left to read. */
static void
fill(struct zk_fs *fs, struct zk_stream *s)
{
	if (s->rc < 0)
		return;
	if (s->buf == NULL)
		s->buf = malloc(AHEAD_BYTES + ZK_EVENTS_LINE_MAX);
	if (s->buf == NULL)
		return; /* another time */
	s->rc = fs->port.history(fs->port.impl, &s->at, add_line, s, &s->end);
	drop_before(s, s->base);
}

/*
 * Under its lock: up to size bytes at off.  1: *ret_text and *ret_len are the
 * answer; 0: wait; else why there is none.
 */
static int
take(struct zk_fs *fs, struct zk_stream *s, uint64_t off, size_t size,
    const char **ret_text, size_t *ret_len)
{
	*ret_text = "";
	*ret_len = 0;
	if (size == 0)
		return 1;
	/* Somebody looks for the end: it is where he looks. */
	if (off < s->base || off > s->base + s->len) {
		drop_before(s, s->base + s->len);
		s->base = s->pos = off;
		return 1;
	}
	drop_before(s, off);
	if (s->len == 0)
		fill(fs, s);
	if (s->len == 0)
		return s->rc;
	*ret_text = s->buf;
	*ret_len = size < s->len ? size : s->len;
	s->pos = off + *ret_len;
	return 1;
}

int
zk_events_open(struct zk_fs *fs, struct zk_handle *handle, fuse_req_t req,
    bool from_now, uint64_t rev)
{
	struct zk_stream *s = calloc(1, sizeof(*s));
	int rc = 0, n;

	if (s == NULL)
		return -ENOMEM;
	if (from_now)
		rc = fs->port.revision(fs->port.impl, &rev);
	if (rc < 0) {
		free(s);
		return rc;
	}
	n = fuse_req_getgroups(req, ZK_GROUPS_MAX, s->groups);
	if (n > (int)ZK_GROUPS_MAX)
		n = (int)ZK_GROUPS_MAX;
	s->at.rev = rev + 1;
	s->reader = (struct zk_past_reader){
	    .uid = handle->uid,
	    .gid = handle->gid,
	    .groups = s->groups,
	    .group_count = n > 0 ? (size_t)n : 0,
	};
	(void)pthread_mutex_init(&s->lock, NULL);
	handle->stream = s;
	return 0;
}

/* Under the events' lock. */
static void
forget_poll(struct zk_stream *s)
{
	if (s->ph == NULL)
		return;
	fuse_pollhandle_destroy(s->ph);
	s->ph = NULL;
	LIST_REMOVE(s, link);
}

void
zk_events_close(struct zk_fs *fs, struct zk_handle *handle)
{
	struct zk_stream *s = handle->stream;

	if (s == NULL)
		return;
	(void)pthread_mutex_lock(&fs->events.lock);
	forget_poll(s);
	(void)pthread_mutex_unlock(&fs->events.lock);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->buf);
	free(s);
	handle->stream = NULL;
}

/* --- reading -------------------------------------------------------------- */

static void
no_answer(struct zk_call *call, const struct zk_outcome *out)
{
	(void)call;
	(void)out;
}

static void
expect_news(struct zk_fs *fs)
{
	atomic_store(&fs->events.wanted, true);
	zk_events_wake(fs);
}

/* The call waits; it is looked at again when something has happened. */
static void
wait_read(struct zk_fs *fs, fuse_req_t req, struct zk_handle *handle,
    uint64_t off, size_t size)
{
	const struct zk_command about = {.op = ZK_OP_NOP, .flags = ZK_F_WAIT};
	struct zk_call *call = zk_call_new(fs, req, &about, no_answer);

	if (call == NULL)
		return;
	call->handle = handle;
	call->cmd.off = off;
	call->size = size;
	zk_call_wait_in(call, &fs->events.reads);
	/* What has come since we looked. */
	expect_news(fs);
}

void
zk_events_read(fuse_req_t req, size_t size, uint64_t off,
    struct fuse_file_info *fi)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_handle *handle = zk_handle_of(fi);
	struct zk_stream *s = handle->stream;
	const char *text;
	char *copy = NULL;
	size_t len;
	int rc;

	(void)pthread_mutex_lock(&s->lock);
	rc = take(fs, s, off, size, &text, &len);
	if (rc > 0) {
		copy = malloc(len);
		rc = copy != NULL ? 1 : -ENOMEM;
	}
	if (copy != NULL)
		memcpy(copy, text, len);
	(void)pthread_mutex_unlock(&s->lock);
	if (rc == 0 && (fi->flags & O_NONBLOCK) != 0)
		rc = -EAGAIN;
	/* With the answer the caller may close it: no look at it afterwards. */
	if (rc > 0)
		(void)fuse_reply_buf(req, copy, len);
	free(copy);
	if (rc < 0)
		zk_reply_rc(req, rc);
	else if (rc == 0)
		wait_read(fs, req, handle, off, size);
}

/* One that waits, tried.  True when it was answered or is not ours any more. */
static bool
try_read(struct zk_fs *fs, struct zk_call *call, bool *more)
{
	struct zk_stream *s = call->handle->stream;
	const char *text;
	size_t len;
	bool over;
	int rc;

	(void)pthread_mutex_lock(&s->lock);
	rc = take(fs, s, call->cmd.off, call->size, &text, &len);
	/* Not read if it was interrupted: it can be read again. */
	*more = *more || (rc == 0 && !s->end);
	over = rc != 0 && zk_call_claim(call);
	if (over && rc > 0)
		(void)fuse_reply_buf(call->req, text, len);
	(void)pthread_mutex_unlock(&s->lock);
	if (over && rc < 0)
		zk_reply_rc(call->req, rc);
	return rc != 0;
}

/* Those that find nothing wait again.  True: somebody has more to look at. */
static bool
serve_reads(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call_list again = TAILQ_HEAD_INITIALIZER(again);
	struct zk_call *call;
	bool more = false;

	(void)pthread_mutex_lock(&calls->lock);
	while ((call = TAILQ_FIRST(&fs->events.reads)) != NULL) {
		bool over;

		zk_call_unstep_locked(calls, call);
		(void)pthread_mutex_unlock(&calls->lock);
		over = try_read(fs, call, &more);
		(void)pthread_mutex_lock(&calls->lock);
		if (!over && zk_call_wait_again_locked(calls, call, &again))
			continue;
		(void)pthread_mutex_unlock(&calls->lock);
		zk_call_unref(call);
		(void)pthread_mutex_lock(&calls->lock);
	}
	while ((call = TAILQ_FIRST(&again)) != NULL) {
		TAILQ_REMOVE(&again, call, step);
		TAILQ_INSERT_TAIL(&fs->events.reads, call, step);
		call->in_step = &fs->events.reads;
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return more;
}

/* --- poll ----------------------------------------------------------------- */

/* Whether a read would not wait. */
static bool
is_ready(struct zk_fs *fs, struct zk_stream *s, bool *more)
{
	bool ready;

	(void)pthread_mutex_lock(&s->lock);
	if (s->pos == s->base + s->len) {
		drop_before(s, s->pos);
		fill(fs, s);
	}
	ready = s->rc < 0 || s->pos != s->base + s->len;
	*more = *more || (!ready && !s->end);
	(void)pthread_mutex_unlock(&s->lock);
	return ready;
}

void
zk_events_poll(fuse_req_t req, struct zk_handle *handle,
    struct fuse_pollhandle *ph)
{
	struct zk_fs *fs = zk_fs_of(req);
	struct zk_events *ev = &fs->events;
	struct zk_stream *s = handle->stream;
	bool more = false;
	const bool ready = is_ready(fs, s, &more);

	if (ph != NULL && ready) {
		fuse_pollhandle_destroy(ph);
	} else if (ph != NULL) {
		(void)pthread_mutex_lock(&ev->lock);
		forget_poll(s);
		s->ph = ph;
		LIST_INSERT_HEAD(&ev->polls, s, link);
		(void)pthread_mutex_unlock(&ev->lock);
		/* What has come since we looked. */
		expect_news(fs);
	}
	(void)fuse_reply_poll(req, ready ? POLLIN | POLLRDNORM : 0);
}

static bool
serve_polls(struct zk_fs *fs)
{
	struct zk_events *ev = &fs->events;
	struct zk_stream *s, *next;
	bool more = false;

	/* A file cannot be closed meanwhile. */
	(void)pthread_mutex_lock(&ev->lock);
	for (s = LIST_FIRST(&ev->polls); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		if (!is_ready(fs, s, &more))
			continue;
		(void)fuse_lowlevel_notify_poll(s->ph);
		forget_poll(s);
	}
	(void)pthread_mutex_unlock(&ev->lock);
	return more;
}

/* --- the thread ----------------------------------------------------------- */

void
zk_events_wake(struct zk_fs *fs)
{
	struct zk_events *ev = &fs->events;

	if (atomic_load(&ev->wanted) && !atomic_exchange(&ev->news, true))
		(void)sem_post(&ev->work);
}

static bool
somebody_waits(struct zk_fs *fs)
{
	bool any;

	(void)pthread_mutex_lock(&fs->calls.lock);
	any = !TAILQ_EMPTY(&fs->events.reads);
	(void)pthread_mutex_unlock(&fs->calls.lock);
	(void)pthread_mutex_lock(&fs->events.lock);
	any = any || !LIST_EMPTY(&fs->events.polls);
	(void)pthread_mutex_unlock(&fs->events.lock);
	return any;
}

/* Until there is news; while somebody waits, no longer than LOOK_MS. */
static void
rest(struct zk_fs *fs)
{
	struct zk_events *ev = &fs->events;
	struct timespec until;

	atomic_store(&ev->wanted, false);
	if (!somebody_waits(fs)) {
		(void)sem_wait(&ev->work);
		return;
	}
	/* Whoever came since has set it himself, or is set by this. */
	atomic_store(&ev->wanted, true);
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(LOOK_MS / 1000);
	(void)sem_clockwait(&ev->work, CLOCK_MONOTONIC, &until);
}

static void *
serve(void *arg)
{
	struct zk_fs *fs = arg;
	struct zk_events *ev = &fs->events;
	bool more = false;

	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	while (!atomic_load(&ev->stopping)) {
		if (!more)
			rest(fs);
		atomic_store(&ev->news, false);
		more = serve_reads(fs);
		more = serve_polls(fs) || more;
	}
	return NULL;
}

void
zk_events_init(struct zk_events *ev)
{
	(void)pthread_mutex_init(&ev->lock, NULL);
	(void)sem_init(&ev->work, 0, 0);
	TAILQ_INIT(&ev->reads);
	LIST_INIT(&ev->polls);
}

void
zk_events_fini(struct zk_events *ev)
{
	(void)pthread_mutex_destroy(&ev->lock);
	(void)sem_destroy(&ev->work);
}

int
zk_events_start(struct zk_fs *fs)
{
	int rc;

	atomic_store(&fs->events.stopping, false);
	rc = pthread_create(&fs->events.thread, NULL, serve, fs);

	fs->events.started = rc == 0;
	return -rc;
}

void
zk_events_stop(struct zk_fs *fs)
{
	struct zk_events *ev = &fs->events;

	if (!ev->started)
		return;
	atomic_store(&ev->stopping, true);
	(void)sem_post(&ev->work);
	(void)pthread_join(ev->thread, NULL);
	ev->started = false;
}

/* --- handing over --------------------------------------------------------- */

int
zk_events_keep(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_stream *s;
	struct zk_call *call;
	int rc = 0;

	(void)pthread_mutex_lock(&fs->events.lock);
	while ((s = LIST_FIRST(&fs->events.polls)) != NULL) {
		(void)fuse_lowlevel_notify_poll(s->ph);
		forget_poll(s);
	}
	(void)pthread_mutex_unlock(&fs->events.lock);
	(void)pthread_mutex_lock(&calls->lock);
	while (rc == 0 && (call = TAILQ_FIRST(&fs->events.reads)) != NULL) {
		zk_call_unstep_locked(calls, call);
		(void)pthread_mutex_unlock(&calls->lock);
		if (zk_call_claim(call))
			rc = zk_handover_keep(call);
		if (rc < 0)
			zk_reply_rc(call->req, -EINTR);
		zk_call_unref(call);
		(void)pthread_mutex_lock(&calls->lock);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return rc;
}

void
zk_stream_save(struct zk_enc *enc, const struct zk_stream *s)
{
	zk_enc_u64(enc, s->at.rev);
	zk_enc_u32(enc, s->at.sub);
	zk_enc_u32(enc, s->reader.uid);
	zk_enc_u32(enc, s->reader.gid);
	zk_enc_u32(enc, (uint32_t)s->reader.group_count);
	for (size_t i = 0; i < s->reader.group_count; i++)
		zk_enc_u32(enc, s->groups[i]);
	zk_enc_u32(enc, (uint32_t)-s->rc);
	zk_enc_u64(enc, s->base);
	zk_enc_u64(enc, s->pos);
	zk_enc_bytes(enc, s->buf, s->len);
}

int
zk_stream_take(struct zk_dec *dec, struct zk_handle *handle)
{
	const size_t cap = AHEAD_BYTES + ZK_EVENTS_LINE_MAX;
	struct zk_stream *s = calloc(1, sizeof(*s));
	const void *bytes;

	if (s == NULL)
		return -ENOMEM;
	(void)pthread_mutex_init(&s->lock, NULL);
	handle->stream = s;
	s->at.rev = zk_dec_u64(dec);
	s->at.sub = zk_dec_u32(dec);
	s->reader.uid = zk_dec_u32(dec);
	s->reader.gid = zk_dec_u32(dec);
	s->reader.groups = s->groups;
	s->reader.group_count = zk_dec_u32(dec);
	if (s->reader.group_count > ZK_GROUPS_MAX || s->at.rev == 0)
		return -EPROTO;
	for (size_t i = 0; i < s->reader.group_count; i++)
		s->groups[i] = zk_dec_u32(dec);
	s->rc = -(int)zk_dec_u32(dec);
	s->base = zk_dec_u64(dec);
	s->pos = zk_dec_u64(dec);
	bytes = zk_dec_bytes(dec, cap, &s->len);
	if (dec->failed)
		return -EPROTO;
	if (s->len == 0)
		return 0;
	s->buf = malloc(cap);
	if (s->buf == NULL)
		return -ENOMEM;
	memcpy(s->buf, bytes, s->len);
	return 0;
}
