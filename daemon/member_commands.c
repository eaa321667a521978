#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "daemon/member_impl.h"

/* The ways of a command: in, numbered, to the leader, applied, answered. */

/* Forwarded and not applied for this long: perhaps it never arrived. */
#define FORWARD_AGAIN_MS 2000u

/* --- in ------------------------------------------------------------------- */

/* Whether a command makes the tree larger: a full disk refuses those. */
static bool
grows(enum zk_op op)
{
	return op == ZK_OP_CREATE || op == ZK_OP_LINK || op == ZK_OP_WRITE ||
	    op == ZK_OP_XATTR_SET || op == ZK_OP_TXN || op == ZK_OP_EPHEMERAL;
}

/*
 * Our own disk must take it; and of a leader's the others must know what to do
 * with it.
 */
static bool
has_room(struct zk_member *m)
{
	return zk_member_leads(m) ? zk_member_quorum_has_room(m)
	                          : zk_member_has_room(m);
}

static struct zk_item *
find_ticket(const struct zk_item_list *list, uint64_t ticket)
{
	struct zk_item *item = list->first;

	while (item != NULL && item->ticket != ticket)
		item = item->next;
	return item;
}

/*
 * What ends something has no caller who would try again; nor has what gives up
 * a partition of a group.
 */
static bool
must_happen(enum zk_op op)
{
	return op == ZK_OP_RELEASE || op == ZK_OP_REAP || op == ZK_OP_ACK ||
	    op == ZK_OP_LOCK_CANCEL || op == ZK_OP_UNLOCK_OWNER;
}

/*
 * A full disk undid the turn.  What makes the tree larger is refused; the rest
 * has another chance without it, but not for ever, unless nobody would ask for
 * it again.
 */
#define FULL_TRIES_MAX 4u

void
zk_member_refuse_growth(struct zk_member *m)
{
	struct zk_item_list kept, lost;
	struct zk_item *item;

	zk_item_list_init(&kept);
	zk_item_list_init(&lost);
	while ((item = zk_item_list_pop(&m->queued)) != NULL)
		zk_item_list_add(grows(item->op) ||
		            (item->tries >= FULL_TRIES_MAX &&
		                !must_happen(item->op))
		        ? &lost
		        : &kept,
		    item);
	m->queued = kept;
	zk_item_list_settle(&m->queued);
	zk_item_list_finish(&lost, -ENOSPC);
}

/* The lock request that a cancellation means, if it is not over. */
static struct zk_item *
find_target(const struct zk_member *m, uint64_t ticket)
{
	struct zk_item *item = find_ticket(&m->waiting, ticket);

	if (item == NULL)
		item = find_ticket(&m->inflight, ticket);
	if (item == NULL)
		item = find_ticket(&m->queued, ticket);
	return item;
}

uint64_t
zk_member_acked_below(const struct zk_member *m, uint64_t number)
{
	if (m->inflight.first != NULL)
		return m->inflight.first->number;
	if (m->queued.first != NULL)
		return m->queued.first->number;
	return number;
}

/*
 * Number the command, and write what is known only now into it.  -ENOENT: a
 * cancellation of what is over.
 */
static int
stamp(struct zk_member *m, struct zk_item *item)
{
	const uint64_t session = m->opening ? m->token : m->session;
	const uint64_t number = ++m->last_number;
	const uint64_t acked = zk_member_acked_below(m, number);
	const struct zk_item *target;

	item->number = number;
	if (item->op != ZK_OP_LOCK_CANCEL) {
		zk_command_stamp(item->bytes, item->len, session, number,
		    acked);
		return 0;
	}
	target = find_target(m, item->target);
	if (target == NULL)
		return -ENOENT;
	const struct zk_command cmd = {
	    .op = ZK_OP_LOCK_CANCEL,
	    .session = session,
	    .number = number,
	    .acked = acked,
	    .ino = target->ino,
	    .off = target->number,
	};
	/* The same fields as in zk_item_new(), so it fits. */
	return zk_command_encode(&cmd, item->bytes, item->len, &item->len);
}

void
zk_member_submit(struct zk_member *m, struct zk_item_list *items)
{
	const bool room = has_room(m);
	struct zk_item *item;
	int rc;

	while ((item = zk_item_list_pop(items)) != NULL) {
		/* It has its number, and its place, from before. */
		if (item->again && m->session != 0 &&
		    zk_member_waits_already(m, item)) {
			zk_item_list_add(&m->waiting, item);
			continue;
		}
		if (m->session == 0 && !m->opening)
			rc = -EROFS;
		else if (m->opening && item->op != ZK_OP_SESSION_OPEN)
			rc = -EROFS;
		else if (item->session != 0 && item->session != m->session)
			rc = -ESTALE;
		else if (!room && grows(item->op))
			rc = -ENOSPC;
		else
			rc = stamp(m, item);
		if (rc == 0) {
			zk_item_list_add(&m->queued, item);
			continue;
		}
		item->outcome.rc = rc == -ENOENT ? 0 : rc;
		zk_item_list_add(&m->answered, item);
	}
}

/* --- to the leader -------------------------------------------------------- */

/*
 * True when the item must not be proposed now: because others go before it,
 * or at all, and then it is answered.
 */
static bool
refuse_own(struct zk_member *m, struct zk_item *item, size_t before)
{
	uint32_t groups[ZK_GROUPS_MAX];
	struct zk_command cmd;
	int rc;

	rc = zk_command_decode(item->bytes, item->len, groups, &cmd);
	ZK_ASSERT(rc == 0);
	rc = zk_member_vet(m, &cmd);
	if (rc == 0)
		return false;
	if (before > 0)
		return true;
	item = zk_item_list_pop(&m->queued);
	ZK_ASSERT(item != NULL);
	item->outcome.rc = rc;
	zk_item_list_add(&m->answered, item);
	return true;
}

static void
propose(struct zk_member *m)
{
	struct zk_item *item = m->queued.first;
	size_t count = 0, bytes = 0;

	while (item != NULL && count < ZK_TURN_COMMANDS_MAX &&
	    (count == 0 || bytes + item->len <= ZK_TURN_BYTES_MAX)) {
		if (item->op == ZK_OP_MEMBER && item->tries == 0 &&
		    refuse_own(m, item, count))
			break;
		m->proposal[count].data = item->bytes;
		m->proposal[count++].len = item->len;
		bytes += item->len;
		item = item->next;
	}
	/* Too much under way: they stay queued. */
	if (count == 0 ||
	    zk_replica_propose(m->replica, m->proposal, count) < 0)
		return;
	for (size_t i = 0; i < count; i++) {
		item = zk_item_list_pop(&m->queued);
		ZK_ASSERT(item != NULL);
		item->tries++;
		zk_item_list_add(&m->inflight, item);
	}
}

static void
forward(struct zk_member *m, uint64_t leader)
{
	struct zk_item_list sent;
	struct zk_enc enc, count;

	zk_item_list_init(&sent);
	zk_enc_init(&enc, m->frame, m->frame_cap);
	zk_enc_u8(&enc, ZK_KIND_FORWARD);
	zk_enc_u32(&enc, 0);
	while (m->queued.first != NULL && sent.count < ZK_TURN_COMMANDS_MAX &&
	    (sent.count == 0 ||
	        sent.bytes + m->queued.first->len <= ZK_FORWARD_BYTES_MAX)) {
		struct zk_item *item = zk_item_list_pop(&m->queued);

		ZK_ASSERT(item != NULL);
		item->tries++;
		zk_enc_bytes(&enc, item->bytes, item->len);
		zk_item_list_add(&sent, item);
	}
	ZK_ASSERT(!enc.failed);
	zk_enc_init(&count, m->frame + 1, 4);
	zk_enc_u32(&count, (uint32_t)sent.count);
	m->options.sink.send(m->options.sink.arg, leader, ZK_MEMBER_BULK,
	    m->frame, enc.len);
	zk_item_list_join(&m->inflight, &sent);
	m->sent_ms = m->now.mono_ms;
}

/* What the leader may not have is queued again, before what came later. */
void
zk_member_requeue(struct zk_member *m)
{
	zk_item_list_join(&m->inflight, &m->queued);
	m->queued = m->inflight;
	zk_item_list_settle(&m->queued);
	zk_item_list_init(&m->inflight);
}

void
zk_member_pass_commands(struct zk_member *m)
{
	const struct zk_raft *raft = zk_member_raft(m);

	if (raft->leader != m->leader || raft->term != m->leader_term) {
		m->leader = raft->leader;
		m->leader_term = raft->term;
		zk_member_requeue(m);
	} else if (!zk_member_leads(m) && m->inflight.count > 0 &&
	    m->now.mono_ms - m->sent_ms >= FORWARD_AGAIN_MS) {
		zk_member_requeue(m);
	}
	if (m->queued.count == 0 || raft->leader == 0)
		return;
	if (zk_member_leads(m))
		propose(m);
	else
		forward(m, raft->leader);
}

static void
refuse(struct zk_member *m, uint64_t to, const struct zk_command *cmd, int rc)
{
	uint8_t frame[32];
	struct zk_enc enc;

	zk_enc_init(&enc, frame, sizeof(frame));
	zk_enc_u8(&enc, ZK_KIND_REFUSE);
	zk_enc_u64(&enc, cmd->session);
	zk_enc_u64(&enc, cmd->number);
	zk_enc_u32(&enc, (uint32_t)-rc);
	m->options.sink.send(m->options.sink.arg, to, ZK_MEMBER_FAST, frame,
	    enc.len);
}

/*
 * Another member's commands.  They are decoded here: what is in the log must
 * be sound.  If we do not lead, its own Raft will tell it so.
 */
int
zk_member_on_forward(struct zk_member *m, uint64_t from, struct zk_dec *dec)
{
	const uint32_t count = zk_dec_u32(dec);
	const bool room = has_room(m);
	size_t taken = 0;

	if (count > ZK_TURN_COMMANDS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t groups[ZK_GROUPS_MAX];
		struct zk_command cmd;
		size_t len;
		const void *bytes = zk_dec_bytes(dec, ZK_COMMAND_MAX, &len);
		int rc;

		if (bytes == NULL ||
		    zk_command_decode(bytes, len, groups, &cmd) < 0 ||
		    cmd.session == 0 || cmd.number == 0)
			return -EPROTO;
		rc = !room && grows(cmd.op)  ? -ENOSPC
		    : cmd.op == ZK_OP_MEMBER ? zk_member_vet(m, &cmd)
		                             : 0;
		if (rc < 0) {
			refuse(m, from, &cmd, rc);
			continue;
		}
		m->proposal[taken].data = bytes;
		m->proposal[taken++].len = len;
	}
	/* Too much under way: the sender tries again after a while. */
	if (taken > 0 && zk_member_leads(m))
		(void)zk_replica_propose(m->replica, m->proposal, taken);
	return zk_dec_done(dec) ? 0 : -EPROTO;
}

/* --- applied and answered ------------------------------------------------- */

/* Take the item of this number out of the list; NULL when it is not there. */
static struct zk_item *
take_number(struct zk_item_list *list, uint64_t number)
{
	struct zk_item_list kept;
	struct zk_item *item;

	/* Answers come in the order of the numbers, but for locks. */
	if (list->first != NULL && list->first->number == number)
		return zk_item_list_pop(list);
	zk_item_list_init(&kept);
	while (
	    (item = zk_item_list_pop(list)) != NULL && item->number != number)
		zk_item_list_add(&kept, item);
	zk_item_list_join(&kept, list);
	*list = kept;
	zk_item_list_settle(list);
	return item;
}

static struct zk_item *
take_anywhere(struct zk_member *m, uint64_t number)
{
	struct zk_item *item = take_number(&m->inflight, number);

	/* Queued again, although the first attempt was successful. */
	if (item == NULL)
		item = take_number(&m->queued, number);
	if (item == NULL)
		item = take_number(&m->waiting, number);
	return item;
}

static bool
is_mine(const struct zk_member *m, uint64_t session)
{
	return session == (m->opening ? m->token : m->session);
}

int
zk_member_on_refuse(struct zk_member *m, struct zk_dec *dec)
{
	const uint64_t session = zk_dec_u64(dec);
	const uint64_t number = zk_dec_u64(dec);
	const uint32_t reason = zk_dec_u32(dec);
	struct zk_item *item;

	if (!zk_dec_done(dec) || reason == 0 || reason > 4095)
		return -EPROTO;
	if (!is_mine(m, session))
		return 0;
	item = take_number(&m->inflight, number);
	if (item == NULL)
		return 0;
	/* An earlier attempt may be in the log: then only apply can say. */
	if (item->tries > 1) {
		zk_item_list_add(&m->inflight, item);
		return 0;
	}
	item->outcome.rc = -(int)reason;
	zk_item_list_add(&m->answered, item);
	return 0;
}

static void
on_changed(void *arg, const struct zk_change *change)
{
	struct zk_member *m = arg;
	struct zk_change own = *change;

	/* Another session's command: no system call of this mount. */
	if (own.session != m->session || m->session == 0)
		own.known = false;
	m->options.sink.changed(m->options.sink.arg, &own);
}

static void
on_answered(void *arg, uint64_t session, uint64_t number,
    const struct zk_outcome *outcome)
{
	struct zk_member *m = arg;
	struct zk_item *item;

	if (session == 0 || !is_mine(m, session))
		return;
	item = take_anywhere(m, number);
	if (item == NULL)
		return;
	item->outcome = *outcome;
	/* What comes after it in this turn belongs to the session already. */
	if (item->op == ZK_OP_SESSION_OPEN && outcome->rc == 0)
		zk_member_session_opened(m, outcome->index);
	zk_item_list_add(&m->answered, item);
}

static void
on_waits(void *arg, uint64_t session, uint64_t number)
{
	struct zk_member *m = arg;
	struct zk_item *item;

	if (!is_mine(m, session))
		return;
	item = take_number(&m->inflight, number);
	if (item == NULL)
		item = take_number(&m->queued, number);
	if (item == NULL)
		return;
	zk_item_list_add(&m->waiting, item);
	m->counts.locks_waited++;
}

static void
on_send(void *arg, uint64_t to, bool bulk, const void *bytes, size_t len)
{
	struct zk_member *m = arg;

	ZK_ASSERT(len + 1 <= m->frame_cap);
	m->frame[0] = zk_member_is_calm(m) ? ZK_KIND_CALM : ZK_KIND_RAFT;
	memcpy(m->frame + 1, bytes, len);
	m->options.sink.send(m->options.sink.arg, to,
	    bulk ? ZK_MEMBER_BULK : ZK_MEMBER_FAST, m->frame, len + 1);
}

static void
on_push(void *arg)
{
	struct zk_member *m = arg;

	if (m->options.sink.push != NULL)
		m->options.sink.push(m->options.sink.arg);
}

static void
on_barrier(void *arg, uint64_t ctx, bool reached)
{
	struct zk_member *m = arg;

	if ((ctx & ZK_ROUND_BIT) != 0) {
		zk_member_on_round(m, ctx & ~ZK_ROUND_BIT, reached);
		return;
	}
	ZK_ASSERT(m->barriers > 0);
	m->barriers--;
	if (m->options.sink.barrier != NULL)
		m->options.sink.barrier(m->options.sink.arg, ctx, reached);
}

static bool
on_replacing(void *arg, bool now)
{
	const struct zk_member *m = arg;

	return m->options.sink.replacing == NULL ||
	    m->options.sink.replacing(m->options.sink.arg, now);
}

struct zk_replica_sink
zk_member_replica_sink(struct zk_member *m)
{
	return (struct zk_replica_sink){
	    .arg = m,
	    .send = on_send,
	    .push = on_push,
	    .put_off_commit = zk_member_on_commit_message,
	    .changed = on_changed,
	    .answered = on_answered,
	    .waits = on_waits,
	    .replacing = on_replacing,
	    .replaced = zk_member_on_replaced,
	    .members = zk_member_on_members,
	    .told = zk_member_finish_answers,
	    .barrier = on_barrier,
	};
}
