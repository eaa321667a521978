#include "base/ack.h"
#include "base/limits.h"
#include "fs/next_impl.h"
#include "fs/topic_impl.h"

/*
 * What a stream's reader has done is told to the ensemble, a command each time,
 * which costs all hosts more than delivering a record.  So while they follow
 * each other closely the next one waits for a moment, and has what comes
 * meanwhile; but not when a partition is given up with it, when the file is
 * closed, or when somebody here asks how far the group is.
 */
#define ACK_MS 10u

void
zk_next_done(void *arg, const struct zk_window_piece *piece, uint64_t off)
{
	struct zk_next *s = arg;
	struct zk_share *share = zk_next_share_find(s, piece->number);

	if (share != NULL && share->since == piece->since && off > share->done)
		share->done = off;
}

static void
ack_answer(struct zk_call *call, const struct zk_outcome *out)
{
	struct zk_next *s = call->next;
	struct zk_fs *fs = call->fs;

	/*
	 * Refused only when it is no member any more, which it will notice: the
	 * node has it tried until a full disk takes it.
	 */
	(void)out;
	zk_nexts_settled(call);
	(void)pthread_mutex_lock(&fs->nexts.lock);
	s->acking = false;
	zk_next_dirty(s);
	(void)pthread_mutex_unlock(&fs->nexts.lock);
	zk_next_unref(s);
	zk_calls_wake(fs);
}

static void
last_answer(struct zk_call *call, const struct zk_outcome *out)
{
	(void)out;
	zk_nexts_settled(call);
}

/*
 * Whether a share is given up by now; then it says so with the next ack.  Until
 * then it can become this stream's again, which goes on with what is taken
 * back here.
 */
static bool
gives_up(struct zk_next *s, struct zk_share *share)
{
	if (share->wanted || share->released ||
	    !zk_window_revoke(&s->window, share->number, share->since,
	        &share->read))
		return false;
	share->released = true;
	return true;
}

static size_t
collect_acks(struct zk_next *s, uint8_t *buf, bool last)
{
	size_t len = 0;

	for (struct zk_share *share = s->shares;
	     share != NULL && len < (size_t)ZK_ACK_BYTES * ZK_PARTITIONS_MAX;
	     share = share->next) {
		const bool over = gives_up(s, share);
		const bool tried =
		    last && share->trying && share->done <= share->tried;
		const struct zk_ack ack = {
		    .number = share->number,
		    .flags = (over ? ZK_ACK_RELEASE : 0) |
		        (tried ? ZK_ACK_TRIED : 0),
		    .tries = tried ? share->tries : 0,
		    .offset = tried ? share->tried : share->done,
		};

		if (!over && !tried && share->done <= share->acked)
			continue;
		zk_ack_encode(buf + len, &ack);
		len += ZK_ACK_BYTES;
		share->acked = share->done;
	}
	return len;
}

/* Nothing is put off; after what was has been counted as under way. */
void
zk_next_owes_nothing(struct zk_next *s)
{
	struct zk_nexts *nexts = &s->fs->nexts;

	(void)pthread_mutex_lock(&nexts->lock);
	if (s->put_off)
		(void)atomic_fetch_sub(&nexts->unsettled, 1);
	s->put_off = false;
	(void)pthread_mutex_unlock(&nexts->lock);
}

static void
send_acks(struct zk_next *s, bool last)
{
	uint8_t buf[ZK_ACK_BYTES * ZK_PARTITIONS_MAX];
	struct zk_command cmd = {
	    .op = ZK_OP_ACK,
	    .session = s->session,
	    .ino = s->group,
	    .handle = s->handle,
	    .data = buf,
	};
	struct zk_fs *fs = s->fs;
	struct zk_call *call;

	cmd.data_len = collect_acks(s, buf, last);
	call = cmd.data_len == 0
	    ? NULL
	    : zk_call_new(fs, NULL, &cmd, last ? last_answer : ack_answer);
	if (call == NULL) {
		zk_next_owes_nothing(s);
		return;
	}
	s->acked_ms = zk_now_ms();
	if (!last) {
		(void)pthread_mutex_lock(&fs->nexts.lock);
		s->acking = true;
		s->refs++;
		(void)pthread_mutex_unlock(&fs->nexts.lock);
		call->next = s;
	}
	call->late = call->answer;
	zk_nexts_settle(call);
	zk_next_owes_nothing(s);
	zk_call_submit(call);
}

/* Under nexts.lock. */
static void
due_at(struct zk_nexts *nexts, uint64_t ms)
{
	const uint64_t due_ms = atomic_load(&nexts->due_ms);

	if (due_ms == 0 || ms < due_ms)
		atomic_store(&nexts->due_ms, ms);
}

/* What is owed is told at due_ms, or before. */
static void
put_off(struct zk_next *s, uint64_t due_ms)
{
	struct zk_nexts *nexts = &s->fs->nexts;
	bool first;

	(void)pthread_mutex_lock(&nexts->lock);
	first = !s->put_off && !s->closed;
	if (first) {
		s->put_off = true;
		(void)atomic_fetch_add(&nexts->unsettled, 1);
	}
	if (s->put_off)
		due_at(nexts, due_ms);
	(void)pthread_mutex_unlock(&nexts->lock);
	if (first)
		zk_calls_wake(s->fs);
}

/* Somebody waits for a partition that is to be given up. */
static bool
is_awaited(const struct zk_next *s)
{
	const struct zk_share *share = s->shares;

	while (share != NULL && (share->wanted || share->released))
		share = share->next;
	return share != NULL;
}

static bool
owes(const struct zk_next *s)
{
	const struct zk_share *share = s->shares;

	while (share != NULL && share->done <= share->acked)
		share = share->next;
	return share != NULL;
}

void
zk_next_settle(struct zk_next *s)
{
	const uint64_t now_ms = zk_now_ms();
	bool acking;

	(void)pthread_mutex_lock(&s->fs->nexts.lock);
	acking = s->acking;
	(void)pthread_mutex_unlock(&s->fs->nexts.lock);
	/* One at a time: what comes meanwhile goes together with the next. */
	if (acking && owes(s))
		put_off(s, now_ms + ACK_MS);
	else if (!acking && owes(s) && !is_awaited(s) &&
	    now_ms - s->acked_ms < ACK_MS)
		put_off(s, s->acked_ms + ACK_MS);
	else if (!acking)
		send_acks(s, false);
}

void
zk_next_last_ack(struct zk_next *s)
{
	send_acks(s, true);
}

void
zk_nexts_look_at_due(struct zk_fs *fs)
{
	struct zk_nexts *nexts = &fs->nexts;
	const uint64_t due_ms = atomic_load(&nexts->due_ms);
	struct zk_next *s;

	if (due_ms == 0 || zk_now_ms() < due_ms)
		return;
	(void)pthread_mutex_lock(&nexts->lock);
	atomic_store(&nexts->due_ms, 0);
	for (s = TAILQ_FIRST(&nexts->all); s != NULL; s = TAILQ_NEXT(s, link))
		if (s->put_off)
			zk_next_dirty(s);
	(void)pthread_mutex_unlock(&nexts->lock);
}

/* Under nexts.lock: one that owes something, best one that nobody has. */
static struct zk_next *
find_owing(const struct zk_nexts *nexts)
{
	struct zk_next *s, *found = NULL;

	for (s = TAILQ_FIRST(&nexts->all); s != NULL; s = TAILQ_NEXT(s, link))
		if (s->put_off && (found == NULL || !s->busy))
			found = s;
	return found;
}

void
zk_nexts_hurry(struct zk_fs *fs)
{
	/* By then what was put off before has been told anyway. */
	const uint64_t until_ms = zk_now_ms() + 2ull * ACK_MS;
	struct zk_nexts *nexts = &fs->nexts;
	struct zk_next *s;

	(void)pthread_mutex_lock(&nexts->lock);
	while ((s = find_owing(nexts)) != NULL && zk_now_ms() < until_ms) {
		/* Who has it looks at what there is and waits for nothing. */
		if (s->busy) {
			nexts->awaiting++;
			(void)pthread_cond_wait(&nexts->given, &nexts->lock);
			nexts->awaiting--;
			continue;
		}
		s->busy = true;
		s->refs++;
		(void)pthread_mutex_unlock(&nexts->lock);
		send_acks(s, false);
		zk_next_give(s);
		zk_next_unref(s);
		(void)pthread_mutex_lock(&nexts->lock);
	}
	(void)pthread_mutex_unlock(&nexts->lock);
}
