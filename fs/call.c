#include "fs/call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "fs/call_impl.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"

uint64_t
zk_now_ms(void)
{
	return zk_clock_ms();
}

struct zk_call *
zk_call_new(struct zk_fs *fs, fuse_req_t req, const struct zk_command *cmd,
    zk_answer_fn answer)
{
	size_t groups_len = cmd->group_count * sizeof(*cmd->groups);
	struct zk_call *call;
	char *names;

	call = calloc(1,
	    sizeof(*call) + groups_len + cmd->name_len + cmd->name2_len);
	if (call == NULL) {
		if (req != NULL)
			zk_reply_rc(req, -ENOMEM);
		return NULL;
	}
	call->fs = fs;
	call->req = req;
	call->answer = answer;
	call->cmd = *cmd;
	if (req != NULL)
		call->request_len = zk_worker_request(call->request);
	if (groups_len > 0)
		memcpy(call->tail, cmd->groups, groups_len);
	call->cmd.groups = call->tail;
	names = (char *)call->tail + groups_len;
	if (cmd->name_len > 0)
		memcpy(names, cmd->name, cmd->name_len);
	call->cmd.name = names;
	if (cmd->name2_len > 0)
		memcpy(names + cmd->name_len, cmd->name2, cmd->name2_len);
	call->cmd.name2 = names + cmd->name_len;
	if (req != NULL && (cmd->flags & ZK_F_WAIT) == 0)
		call->limit_ms = zk_now_ms() + fs->op_timeout_ms;
	call->deadline_ms = call->limit_ms;
	return call;
}

void
zk_calls_kick_locked(struct zk_calls *calls)
{
	calls->kicked = true;
	(void)pthread_cond_signal(&calls->work);
}

void
zk_calls_kick(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	if (!TAILQ_EMPTY(&calls->waiting))
		zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
}

static void
poke_locked(struct zk_calls *calls, struct zk_call *call)
{
	if (call->answered || call->in_poke)
		return;
	TAILQ_INSERT_TAIL(&calls->interrupted, call, poke);
	call->in_poke = true;
	zk_calls_kick_locked(calls);
}

/* libfuse holds a lock of req during this: only take note. */
static void
on_interrupt(fuse_req_t req, void *data)
{
	struct zk_call *call = data;
	struct zk_calls *calls = &call->fs->calls;

	(void)req;
	(void)pthread_mutex_lock(&calls->lock);
	call->interrupted = true;
	poke_locked(calls, call);
	(void)pthread_mutex_unlock(&calls->lock);
}

/* From here on it can be interrupted and, but for lock waits, times out. */
static void
begin(struct zk_call *call)
{
	struct zk_calls *calls = &call->fs->calls;

	(void)atomic_fetch_add(&call->fs->refs, 1);
	(void)pthread_mutex_lock(&calls->lock);
	call->refs = 2; /* the outcome's and ours */
	calls->pending++;
	calls->closing += call->req == NULL;
	if (call->limit_ms != 0)
		TAILQ_INSERT_TAIL(&calls->timed, call, live);
	else
		TAILQ_INSERT_TAIL(&calls->untimed, call, live);
	call->in_live = true;
	if (calls->dozing && call->limit_ms != 0)
		zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
	if (call->req != NULL)
		fuse_req_interrupt_func(call->req, on_interrupt, call);
}

/* Gives up that many references. */
static void
drop(struct zk_call *call, unsigned int refs)
{
	struct zk_fs *fs = call->fs;
	struct zk_calls *calls = &fs->calls;
	bool last;

	(void)pthread_mutex_lock(&calls->lock);
	ZK_ASSERT(call->refs >= refs);
	call->refs -= refs;
	last = call->refs == 0;
	if (last) {
		ZK_ASSERT(call->answered);
		ZK_ASSERT(!call->in_poke);
		calls->pending--;
		calls->closing -= call->req == NULL;
		(void)pthread_cond_broadcast(&calls->room);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	if (!last)
		return;
	zk_handle_drop(fs, call->made);
	free(call->extra);
	free(call->data);
	free(call);
	zk_fs_unref(fs);
}

void
zk_call_unref(struct zk_call *call)
{
	drop(call, 1);
}

bool
zk_call_claim_locked(struct zk_calls *calls, struct zk_call *call)
{
	if (call->answered)
		return false;
	call->answered = true;
	if (call->in_live && call->limit_ms != 0)
		TAILQ_REMOVE(&calls->timed, call, live);
	else if (call->in_live)
		TAILQ_REMOVE(&calls->untimed, call, live);
	call->in_live = false;
	if (call->in_poke)
		TAILQ_REMOVE(&calls->interrupted, call, poke);
	call->in_poke = false;
	return true;
}

void
zk_call_unstep_locked(struct zk_calls *calls, struct zk_call *call)
{
	ZK_ASSERT(call->in_step != NULL);
	TAILQ_REMOVE(call->in_step, call, step);
	if (call->in_step == &calls->parked[call->lane]) {
		calls->parked_bytes -= zk_call_bytes(call);
		(void)pthread_cond_broadcast(&calls->room);
	}
	call->in_step = NULL;
}

bool
zk_call_claim(struct zk_call *call)
{
	struct zk_calls *calls = &call->fs->calls;
	bool claimed;

	(void)pthread_mutex_lock(&calls->lock);
	claimed = zk_call_claim_locked(calls, call);
	(void)pthread_mutex_unlock(&calls->lock);
	/* Waits for an on_interrupt() that is running. */
	if (claimed && call->req != NULL)
		fuse_req_interrupt_func(call->req, NULL, NULL);
	return claimed;
}

bool
zk_call_is_over(const struct zk_call *call)
{
	const struct zk_fs_port *port = &call->fs->port;
	const struct zk_command *cmd = &call->cmd;
	const bool holds = cmd->op == ZK_OP_LOCK
	    ? cmd->lock_type != ZK_LOCK_NONE
	    : cmd->op == ZK_OP_CREATE && (cmd->flags & ZK_F_EPHEMERAL) != 0;

	return holds && port->session(port->impl) == 0;
}

/* Who asked has not got it, and nobody else would let it go. */
static void
give_up(struct zk_call *call, const struct zk_outcome *out)
{
	const struct zk_outcome over = {.rc = -ESTALE};

	call->answer(call, &over);
	if (call->late != NULL)
		call->late(call, out);
}

void
zk_call_done(void *arg, const struct zk_outcome *out)
{
	struct zk_call *call = arg;
	struct zk_calls *calls = &call->fs->calls;

	ZK_ASSERT(out->rc <= 0);
	if (zk_call_claim(call)) {
		if (out->rc == 0 && zk_call_is_over(call))
			give_up(call, out);
		/* The session goes on in another program: so does this. */
		else if (!call->moving || out->rc != -ZK_ESESSION ||
		    zk_handover_keep(call) < 0)
			call->answer(call, out);
	} else if (call->late != NULL)
		call->late(call, out);

	(void)pthread_mutex_lock(&calls->lock);
	if (!TAILQ_EMPTY(&calls->parked[call->lane]))
		zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
	zk_call_unref(call);
}

void
zk_call_told(void *arg, const struct zk_told *told)
{
	struct zk_call *call = arg;
	struct zk_outcome out = {.rc = told->rc, .offset = told->offset};

	call->told = told;
	zk_call_done(call, &out);
}

size_t
zk_call_bytes(const struct zk_call *call)
{
	return (call->data != NULL ? call->cmd.data_len : 0) + call->extra_len;
}

/* Until there is room in the node's queue: 0 or -ENOMEM. */
static int
park(struct zk_call *call)
{
	struct zk_calls *calls = &call->fs->calls;

	if (call->cmd.data_len > 0) {
		call->data = malloc(call->cmd.data_len);
		if (call->data == NULL)
			return -ENOMEM;
		memcpy(call->data, call->cmd.data, call->cmd.data_len);
		call->cmd.data = call->data;
	}
	(void)pthread_mutex_lock(&calls->lock);
	TAILQ_INSERT_TAIL(&calls->parked[call->lane], call, step);
	call->in_step = &calls->parked[call->lane];
	calls->parked_bytes += zk_call_bytes(call);
	if (call->interrupted)
		poke_locked(calls, call);
	zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
	return 0;
}

void
zk_call_submitted(struct zk_call *call, uint64_t number)
{
	struct zk_calls *calls = &call->fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	call->number = number;
	call->submitted = true;
	if (call->interrupted)
		poke_locked(calls, call);
	(void)pthread_mutex_unlock(&calls->lock);
}

int
zk_call_send(struct zk_call *call, uint64_t *ret_number)
{
	const struct zk_fs_port *port = &call->fs->port;

	if (call->send != NULL)
		return call->send(call);
	return port->submit(port->impl, &call->cmd, zk_call_done, call,
	    ret_number);
}

void
zk_call_submit(struct zk_call *call)
{
	struct zk_fs *fs = call->fs;
	struct zk_calls *calls = &fs->calls;
	uint64_t number = 0;
	bool queue;
	int rc = -EAGAIN;

	begin(call);
	(void)pthread_mutex_lock(&calls->lock);
	queue = !TAILQ_EMPTY(&calls->parked[call->lane]) ||
	    calls->submitting[call->lane];
	(void)pthread_mutex_unlock(&calls->lock);
	/* Nobody overtakes those who wait already. */
	if (!queue)
		rc = zk_call_send(call, &number);
	if (rc == 0)
		zk_call_submitted(call, number);
	else if (rc == -EAGAIN)
		rc = park(call);
	if (rc < 0) {
		struct zk_outcome out = {.rc = rc};
		zk_call_done(call, &out);
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): this holds it. */
	zk_call_unref(call);
}

bool
zk_call_wait_again_locked(struct zk_calls *calls, struct zk_call *call,
    struct zk_call_list *list)
{
	if (call->answered)
		return false;
	TAILQ_INSERT_TAIL(list, call, step);
	call->in_step = list;
	if (call->interrupted)
		poke_locked(calls, call);
	return true;
}

void
zk_call_wait_in(struct zk_call *call, struct zk_call_list *list)
{
	struct zk_calls *calls = &call->fs->calls;

	begin(call);
	(void)pthread_mutex_lock(&calls->lock);
	(void)zk_call_wait_again_locked(calls, call, list);
	if (list == &calls->waiting)
		zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
	zk_call_unref(call);
}

void
zk_call_resume(struct zk_call *call)
{
	zk_worker_set_request(call->request, call->request_len);
	call->resume(call);
	zk_worker_set_request(NULL, 0);
}

void
zk_call_wait(struct zk_call *call)
{
	zk_call_wait_in(call, &call->fs->calls.waiting);
}

void
zk_call_defer(struct zk_call *call)
{
	struct zk_calls *calls = &call->fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	ZK_ASSERT(call->answered);
	call->refs++;
	TAILQ_INSERT_TAIL(&calls->ready, call, step);
	call->in_step = &calls->ready;
	zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
}

bool
zk_call_defer_shown(struct zk_call *call, uint32_t ms)
{
	call->shown = zk_notify_ticket(call->fs);
	if (zk_notify_has_told(call->fs, call->shown))
		return false;
	call->shown_by_ms = zk_now_ms() + ms;
	zk_call_defer(call);
	return true;
}

void
zk_call_hold(struct zk_call *call, struct zk_call_list *list)
{
	struct zk_calls *calls = &call->fs->calls;

	begin(call);
	(void)pthread_mutex_lock(&calls->lock);
	TAILQ_INSERT_TAIL(list, call, step);
	call->in_step = list;
	if (call->interrupted)
		poke_locked(calls, call);
	(void)pthread_mutex_unlock(&calls->lock);
	zk_call_unref(call);
}

struct zk_call *
zk_call_take(struct zk_fs *fs, struct zk_call_list *list)
{
	struct zk_calls *calls = &fs->calls;
	struct zk_call *call;

	(void)pthread_mutex_lock(&calls->lock);
	call = TAILQ_FIRST(list);
	if (call != NULL) {
		zk_call_unstep_locked(calls, call);
		call->refs++;
	}
	(void)pthread_mutex_unlock(&calls->lock);
	return call;
}

void
zk_call_hold_again(struct zk_call *call, struct zk_call_list *list)
{
	struct zk_calls *calls = &call->fs->calls;
	bool answered;

	(void)pthread_mutex_lock(&calls->lock);
	answered = call->answered;
	if (!answered) {
		TAILQ_INSERT_HEAD(list, call, step);
		call->in_step = list;
		if (call->interrupted)
			poke_locked(calls, call);
	}
	(void)pthread_mutex_unlock(&calls->lock);
	/* Answered without us: then its outcome is that. */
	drop(call, answered ? 2 : 1);
}

bool
zk_call_finish(struct zk_call *call)
{
	return zk_call_claim(call);
}

void
zk_call_end(struct zk_call *call)
{
	drop(call, 2); /* the outcome's, and that of zk_call_take() */
}

void
zk_calls_wake(struct zk_fs *fs)
{
	struct zk_calls *calls = &fs->calls;

	(void)pthread_mutex_lock(&calls->lock);
	zk_calls_kick_locked(calls);
	(void)pthread_mutex_unlock(&calls->lock);
}
