#include <errno.h>
#include <time.h>

#include "fs/call.h"
#include "fs/call_impl.h"
#include "fs/impl.h"

/* For a handover: until nothing is under way but what can wait on. */

static bool
wait_for(struct zk_calls *calls, uint64_t until_ms,
    bool (*done)(const struct zk_calls *calls))
{
	const struct timespec until = {
	    .tv_sec = (time_t)(until_ms / 1000),
	    .tv_nsec = (long)(until_ms % 1000) * 1000000,
	};
	int rc = 0;

	while (rc == 0 && !done(calls))
		rc = pthread_cond_timedwait(&calls->room, &calls->lock, &until);
	return done(calls);
}

static bool
only_locks_wait(const struct zk_calls *calls)
{
	return TAILQ_EMPTY(&calls->timed) && calls->closing == 0;
}

static void
ignore(struct zk_call *call, const struct zk_outcome *out)
{
	(void)call;
	(void)out;
}

/* What was submitted before it has been applied when it is answered. */
static void
submit_barrier(struct zk_fs *fs)
{
	const struct zk_command cmd = {.op = ZK_OP_NOP};
	struct zk_call *call = zk_call_new(fs, NULL, &cmd, ignore);

	if (call != NULL)
		zk_call_submit(call);
}

/* Can be kept as it is: a lock that waits, or a read that is held. */
static bool
can_move(const struct zk_call *call)
{
	if (call->request_len == 0 || call->cancelled)
		return false;
	return call->in_step != NULL ||
	    (call->cmd.op == ZK_OP_LOCK && call->submitted);
}

/* But for those who wait on: some may still be called off. */
static bool
all_over(const struct zk_calls *calls)
{
	const struct zk_call *call;
	size_t moving = 0;

	TAILQ_FOREACH(call, &calls->untimed, live)
	moving += can_move(call);
	return calls->pending == moving;
}

int
zk_calls_settle(struct zk_fs *fs, uint64_t until_ms)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;
	bool done;

	(void)pthread_mutex_lock(&calls->lock);
	done = wait_for(calls, until_ms, only_locks_wait);
	(void)pthread_mutex_unlock(&calls->lock);
	if (!done)
		return -EBUSY;
	submit_barrier(fs);
	(void)pthread_mutex_lock(&calls->lock);
	done = wait_for(calls, until_ms, only_locks_wait) &&
	    wait_for(calls, until_ms, all_over);
	TAILQ_FOREACH(call, &calls->untimed, live)
	call->moving = done;
	(void)pthread_mutex_unlock(&calls->lock);
	return done ? 0 : -EBUSY;
}

void
zk_calls_unsettle(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	TAILQ_FOREACH(call, &calls->untimed, live)
	call->moving = false;
	(void)pthread_mutex_unlock(&calls->lock);
}
