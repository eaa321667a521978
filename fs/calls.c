#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/assert.h"
#include "fs/call.h"
#include "fs/call_impl.h"
#include "fs/impl.h"
#include "fs/next.h"
#include "fs/proc.h"
#include "fs/reply.h"

/* The node makes room within one of its turns. */
#define RETRY_MS 2u
/* Orphans are reaped together: nobody waits for it. */
#define REAP_MS 50u
#define IDLE_MS 3600000u
/* The outcome of what is under way usually comes within this. */
#define CALLED_OFF_MS 500u

/* A reply that is not the outcome. */
static void
reply_instead(struct zk_call *call, int rc)
{
	if (call->req == NULL)
		return;
	if (call->instead != NULL)
		call->instead(call, rc);
	fuse_req_interrupt_func(call->req, NULL, NULL);
	zk_reply_rc(call->req, rc);
}

static void
cancel_answer(struct zk_call *call, const struct zk_outcome *out)
{
	/* The lock request itself is answered: with the lock, or -EINTR. */
	(void)call;
	(void)out;
}

static void
cancel_lock(struct zk_fs *fs, uint64_t number)
{
	struct zk_command cmd = {.op = ZK_OP_LOCK_CANCEL, .off = number};
	struct zk_call *cancel = zk_call_new(fs, NULL, &cmd, cancel_answer);

	if (cancel != NULL)
		zk_call_submit(cancel);
}

/* Look at this unanswered call before its time is over. */
static void
look_soon_locked(struct zk_calls *calls, struct zk_call *call)
{
	const uint64_t soon = zk_now_ms() + CALLED_OFF_MS;
	struct zk_call *next;

	if (call->limit_ms == 0 || !call->in_live)
		return;
	TAILQ_REMOVE(&calls->timed, call, live);
	call->deadline_ms = soon < call->limit_ms ? soon : call->limit_ms;
	next = TAILQ_FIRST(&calls->timed);
	while (next != NULL && next->deadline_ms <= call->deadline_ms)
		next = TAILQ_NEXT(next, live);
	if (next != NULL)
		TAILQ_INSERT_BEFORE(next, call, live);
	else
		TAILQ_INSERT_TAIL(&calls->timed, call, live);
}

/* One interrupted call; false when there is none. */
static bool
serve_interrupted(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;
	bool not_yet = false, waits = false;
	uint64_t number = 0;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->interrupted);
	if (call != NULL) {
		TAILQ_REMOVE(&calls->interrupted, call, poke);
		call->in_poke = false;
		not_yet = call->in_step != NULL;
		waits = !not_yet && call->submitted && !call->cancelled &&
		    call->cmd.op == ZK_OP_LOCK &&
		    (call->cmd.flags & ZK_F_WAIT) != 0;
		number = call->number;
		if (waits)
			call->cancelled = true;
		if (not_yet) {
			zk_call_unstep_locked(calls, call);
			(void)zk_call_claim_locked(calls, call);
		} else {
			look_soon_locked(calls, call);
		}
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (waits)
		cancel_lock(fs, number);
	if (not_yet) {
		reply_instead(call, -EINTR);
		zk_call_unref(call);
	}
	return call != NULL;
}

/* The kernel may still have what is older than the answer. */
static bool
is_unseen(struct zk_fs *fs, const struct zk_call *call)
{
	return call->shown != 0 && zk_now_ms() < call->shown_by_ms &&
	    !zk_notify_has_told(fs, call->shown);
}

/* One call whose answer may go on now. */
static bool
serve_ready(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->ready);
	while (call != NULL && is_unseen(fs, call))
		call = TAILQ_NEXT(call, step);
	if (call != NULL)
		zk_call_unstep_locked(calls, call);
	(void)pthread_mutex_unlock(&calls->lock);
	if (call == NULL)
		return false;
	zk_call_resume(call);
	zk_call_unref(call);
	return true;
}

static bool
has_to_wait(struct zk_fs *fs, const struct zk_call *call)
{
	struct zk_inode *inode;
	bool wait;

	(void)pthread_mutex_lock(&fs->inodes.lock);
	inode = zk_inodes_find(&fs->inodes, call->cmd.ino);
	wait = inode != NULL &&
	    (inode->releasing > 0 ||
	        (call->cmd.op == ZK_OP_LOCK && inode->unlocking > 0));
	(void)pthread_mutex_unlock(&fs->inodes.lock);
	return wait;
}

/* One call that waited for closed files. */
static bool
serve_waiting(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->waiting);
	while (call != NULL && has_to_wait(fs, call))
		call = TAILQ_NEXT(call, step);
	if (call != NULL) {
		zk_call_unstep_locked(calls, call);
		(void)zk_call_claim_locked(calls, call);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (call == NULL)
		return false;
	fuse_req_interrupt_func(call->req, NULL, NULL);
	zk_call_resume(call);
	zk_call_unref(call);
	return true;
}

/* The first of the parked, to be tried; it is held. */
static struct zk_call *
unpark(struct zk_calls *calls, enum zk_lane lane)
{
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->parked[lane]);
	calls->submitting[lane] = call != NULL;
	if (call != NULL) {
		zk_call_unstep_locked(calls, call);
		call->refs++;
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return call;
}

/* Tried, without room: back to its place.  False when it was answered. */
static bool
park_again(struct zk_calls *calls, struct zk_call *call, bool full)
{
	bool again;

	(void)pthread_mutex_lock(&calls->lock);
	calls->submitting[call->lane] = false;
	again = full && !call->answered;
	if (again) {
		TAILQ_INSERT_HEAD(&calls->parked[call->lane], call, step);
		call->in_step = &calls->parked[call->lane];
		calls->parked_bytes += zk_call_bytes(call);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return again;
}

/* Submit the parked until the node has no more room: then true. */
static bool
serve_parked(struct zk_fs *fs, enum zk_lane lane)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call = unpark(calls, lane);

	while (call != NULL) {
		struct zk_outcome out = {0};
		uint64_t number = 0;
		bool again;

		out.rc = zk_call_send(call, &number);
		again = park_again(calls, call, out.rc == -EAGAIN);
		if (out.rc == 0)
			zk_call_submitted(call, number);
		else if (!again)
			zk_call_done(call, &out);
		zk_call_unref(call);
		if (again)
			return true;
		call = unpark(calls, lane);
	}
	return false;
}

/* The first that is to be looked at now; it is held.  NULL: none. */
static struct zk_call *
take_due(struct zk_calls *calls)
{
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->timed);
	if (call != NULL && call->deadline_ms > zk_now_ms())
		call = NULL;
	if (call != NULL)
		call->refs++;
	(void)pthread_mutex_unlock(&calls->lock);
	return call;
}

/* One call whose time is over, or whose caller may not want to wait. */
static bool
serve_expired(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call = take_due(calls);
	bool over, claimed = false, not_yet = false;

	if (call == NULL)
		return false;
	over = call->limit_ms <= zk_now_ms() ||
	    zk_proc_is_called_off(fuse_req_ctx(call->req)->pid);
	(void)pthread_mutex_lock(&calls->lock);
	if (!over)
		look_soon_locked(calls, call);
	else
		claimed = !call->answered;
	if (claimed) {
		not_yet = call->in_step != NULL;
		if (not_yet)
			zk_call_unstep_locked(calls, call);
		(void)zk_call_claim_locked(calls, call);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (claimed)
		reply_instead(call, -ETIMEDOUT);
	if (not_yet)
		zk_call_unref(call);
	zk_call_unref(call);
	return true;
}

void
zk_calls_reap(struct zk_fs *fs, uint64_t ino)
{
	struct zk_calls *calls = &fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	if (calls->reap_count == calls->reap_cap) {
		size_t cap =
		    calls->reap_cap == 0 ? ZK_REAP_MAX : calls->reap_cap * 2;
		uint64_t *bigger =
		    realloc(calls->reap, cap * sizeof(*calls->reap));
		if (bigger != NULL) {
			calls->reap = bigger;
			calls->reap_cap = cap;
		}
	}
	/* Without memory this one stays until the session ends. */
	if (calls->reap_count < calls->reap_cap)
		calls->reap[calls->reap_count++] = ino;
	if (calls->reap_due_ms == 0) {
		calls->reap_due_ms = zk_now_ms() + REAP_MS;
		zk_calls_kick_locked(calls);
	}
	(void)pthread_mutex_unlock(&calls->lock);
}

static void
reap_answer(struct zk_call *call, const struct zk_outcome *out)
{
	/* Refused only when the session is over, and its orphans with it. */
	(void)call;
	(void)out;
}

static void
serve_reap(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	uint64_t batch[ZK_REAP_MAX];
	struct zk_command cmd = {.op = ZK_OP_REAP};
	struct zk_call *call;
	size_t count = 0;

	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	    "the command carries little-endian numbers");
	(void)pthread_mutex_lock(&calls->lock);
	if (calls->reap_due_ms != 0 && calls->reap_due_ms <= zk_now_ms()) {
		count = calls->reap_count;
		if (count > ZK_REAP_MAX)
			count = ZK_REAP_MAX;
		calls->reap_count -= count;
		memcpy(batch, calls->reap + calls->reap_count,
		    count * sizeof(*batch));
		if (calls->reap_count == 0)
			calls->reap_due_ms = 0;
		calls->kicked = calls->kicked || calls->reap_count > 0;
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (count == 0)
		return;
	cmd.data = batch;
	cmd.data_len = count * sizeof(*batch);
	call = zk_call_new(fs, NULL, &cmd, reap_answer);
	if (call != NULL)
		zk_call_submit(call);
	for (size_t i = 0; call == NULL && i < count; i++)
		zk_calls_reap(fs, batch[i]);
}

static uint64_t
next_wake(const struct zk_fs *fs, bool retry)
{
	const uint64_t dues[] = {atomic_load(&fs->faces.due_ms),
	    atomic_load(&fs->appends.due_ms), atomic_load(&fs->nexts.due_ms),
	    atomic_load(&fs->control_watch.due_ms)};
	const struct zk_calls *calls = &fs->calls;
	const struct zk_call *first = TAILQ_FIRST(&calls->timed), *call;
	uint64_t now = zk_now_ms(), wake = now + IDLE_MS;

	if (first != NULL && first->deadline_ms < wake)
		wake = first->deadline_ms;
	/* Only those who wait for what the kernel is told are left in there. */
	call = TAILQ_FIRST(&calls->ready);
	for (; call != NULL; call = TAILQ_NEXT(call, step))
		if (call->shown_by_ms < wake)
			wake = call->shown_by_ms;
	if (calls->reap_due_ms != 0 && calls->reap_due_ms < wake)
		wake = calls->reap_due_ms;
	for (size_t i = 0; i < sizeof(dues) / sizeof(dues[0]); i++)
		if (dues[i] != 0 && dues[i] < wake)
			wake = dues[i];
	if (retry && now + RETRY_MS < wake)
		wake = now + RETRY_MS;
	return wake;
}

static void *
serve(void *arg)
{
	struct zk_fs *fs = arg;
	struct zk_calls *calls = &fs->calls;

	/* What we do may be what frees memory: do not wait for our own I/O. */
	(void)prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	(void)pthread_mutex_lock(&calls->lock);
	while (!calls->stopping) {
		bool retry;

		calls->kicked = false;
		(void)pthread_mutex_unlock(&calls->lock);
		while (serve_interrupted(fs) || serve_ready(fs) ||
		    serve_waiting(fs) || serve_expired(fs))
			;
		zk_nexts_serve(fs);
		retry = serve_parked(fs, ZK_LANE_TREE);
		retry = serve_parked(fs, ZK_LANE_TOPICS) || retry;
		serve_reap(fs);
		zk_faces_serve(fs);
		zk_appends_serve(fs);
		zk_control_watch_serve(fs);
		(void)pthread_mutex_lock(&calls->lock);
		if (!calls->kicked && !calls->stopping) {
			uint64_t wake = next_wake(fs, retry);
			struct timespec until = {
			    .tv_sec = (time_t)(wake / 1000),
			    .tv_nsec = (long)(wake % 1000) * 1000000,
			};
			calls->dozing = TAILQ_EMPTY(&calls->timed);
			(void)pthread_cond_timedwait(&calls->work, &calls->lock,
			    &until);
			calls->dozing = false;
		}
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return NULL;
}

void
zk_calls_init(struct zk_calls *calls)
{
	pthread_condattr_t attr;

	TAILQ_INIT(&calls->timed);
	TAILQ_INIT(&calls->untimed);
	for (unsigned i = 0; i < ZK_LANES; i++)
		TAILQ_INIT(&calls->parked[i]);
	TAILQ_INIT(&calls->waiting);
	TAILQ_INIT(&calls->ready);
	TAILQ_INIT(&calls->interrupted);
	(void)pthread_mutex_init(&calls->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&calls->work, &attr);
	(void)pthread_cond_init(&calls->room, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int
zk_calls_start(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	int rc;

	calls->stopping = false;
	rc = pthread_create(&calls->thread, NULL, serve, fs);
	calls->started = rc == 0;
	return -rc;
}

void
zk_calls_wait_room(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	while (calls->parked_bytes > ZK_PARKED_BYTES_MAX && !fs->stopping)
		(void)pthread_cond_wait(&calls->room, &calls->lock);
	(void)pthread_mutex_unlock(&calls->lock);
}

/* Answers one call that nobody else will answer; false: there is none. */
static bool
abandon_one(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;
	bool not_yet = false;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(&calls->timed);
	if (call == NULL)
		call = TAILQ_FIRST(&calls->untimed);
	if (call != NULL) {
		not_yet = call->in_step != NULL;
		if (not_yet)
			zk_call_unstep_locked(calls, call);
		(void)zk_call_claim_locked(calls, call);
		call->refs++;
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (call == NULL)
		return false;
	reply_instead(call, -ENOTCONN);
	if (not_yet)
		zk_call_unref(call);
	zk_call_unref(call);
	return true;
}

void
zk_calls_drain(struct zk_fs *fs, uint32_t timeout_ms)
{
	struct zk_calls *calls = &fs->calls;
	uint64_t end = zk_now_ms() + timeout_ms;
	struct timespec until = {
	    .tv_sec = (time_t)(end / 1000),
	    .tv_nsec = (long)(end % 1000) * 1000000,
	};
	int rc = 0;

	(void)pthread_mutex_lock(&calls->lock);
	/* Lock waits may take for ever: they are not waited for. */
	while (rc == 0 && (!TAILQ_EMPTY(&calls->timed) || calls->closing > 0))
		rc = pthread_cond_timedwait(&calls->room, &calls->lock, &until);
	(void)pthread_mutex_unlock(&calls->lock);
	while (abandon_one(fs))
		;
}

void
zk_calls_stop(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;

	if (!calls->started)
		return;
	(void)pthread_mutex_lock(&calls->lock);
	calls->stopping = true;
	zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
	(void)pthread_join(calls->thread, NULL);
	calls->started = false;
	while (serve_ready(fs))
		;
}

void
zk_calls_fini(struct zk_calls *calls)
{
	(void)pthread_cond_destroy(&calls->work);
	(void)pthread_cond_destroy(&calls->room);
	(void)pthread_mutex_destroy(&calls->lock);
	free(calls->reap);
}
