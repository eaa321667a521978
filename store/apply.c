#include "store/apply.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "base/err.h"
#include "store/answer.h"
#include "store/group.h"
#include "store/lock.h"
#include "store/names.h"
#include "store/nodes.h"
#include "store/roster.h"
#include "store/session.h"
#include "store/special.h"
#include "store/store.h"
#include "store/topic.h"
#include "store/txn.h"

/* Forget answers in lots: each lot costs a change of the session's row. */
#define ANSWERS_LOT 64u

void
zk_apply_changed(struct zk_apply *ap, struct zk_change *change)
{
	change->rev = ap->index;
	change->sub = ap->sub++;
	change->time = ap->now;
	change->session = ap->cmd->session;
	change->known = !ap->quiet;
	ap->sink->change(ap->sink->arg, change);
	/* A failure is the transaction's, which remembers it. */
	if (ap->history != NULL)
		(void)zk_history_add(ap, change);
}

int
zk_apply_by(struct zk_apply *ap, const struct zk_session *session)
{
	int rc = 0;

	/* A row has one actor. */
	if (ap->history != NULL)
		rc = zk_history_flush(ap);
	ap->actor = session->id;
	memcpy(ap->host, session->member, sizeof(ap->host));
	return rc;
}

uint64_t
zk_apply_whole(const struct zk_attr *attr)
{
	return attr->group != 0 ? attr->group : attr->topic;
}

void
zk_apply_touched(struct zk_apply *ap, enum zk_change_kind kind,
    const struct zk_inode *node)
{
	struct zk_change change = {
	    .kind = kind,
	    .ino = node->attr.ino,
	    .type = node->attr.mode & S_IFMT,
	    .nlink = node->attr.nlink,
	    .parent = node->attr.parent,
	    .name = node->name,
	    .name_len = node->name_len,
	    .special = node->attr.kind,
	    .whole = zk_apply_whole(&node->attr),
	    .replaces = kind == ZK_CHANGE_MODIFY && ap->replaces,
	};

	zk_apply_changed(ap, &change);
}

/* 0 names no node: no part of the tree ever has to ask for it. */
static bool
lacks_node(const struct zk_command *cmd)
{
	if (cmd->op == ZK_OP_NOP || cmd->op == ZK_OP_SESSION_OPEN ||
	    cmd->op == ZK_OP_REAP || cmd->op == ZK_OP_TXN ||
	    cmd->op == ZK_OP_MEMBER)
		return false;
	if ((cmd->op == ZK_OP_LINK || cmd->op == ZK_OP_RENAME) &&
	    cmd->ino2 == 0)
		return true;
	return cmd->ino == 0;
}

static int
run_command(struct zk_apply *ap)
{
	if (lacks_node(ap->cmd))
		return -EINVAL;
	switch (ap->cmd->op) {
	case ZK_OP_NOP:
		return 0;
	case ZK_OP_SESSION_OPEN:
		return zk_session_open(ap);
	case ZK_OP_SESSION_END:
		return zk_session_finish(ap, ap->cmd->ino);
	case ZK_OP_CREATE:
		return zk_names_create(ap);
	case ZK_OP_LINK:
		return zk_names_link(ap);
	case ZK_OP_UNLINK:
		return zk_names_unlink(ap);
	case ZK_OP_RMDIR:
		return zk_names_rmdir(ap);
	case ZK_OP_RENAME:
		return zk_names_rename(ap);
	case ZK_OP_SETATTR:
		return zk_nodes_setattr(ap);
	case ZK_OP_WRITE:
		return zk_nodes_write(ap);
	case ZK_OP_FALLOCATE:
		return zk_nodes_fallocate(ap);
	case ZK_OP_XATTR_SET:
		return zk_nodes_xattr_set(ap);
	case ZK_OP_XATTR_REMOVE:
		return zk_nodes_xattr_remove(ap);
	case ZK_OP_EPHEMERAL:
		return zk_names_ephemeral(ap);
	case ZK_OP_RELEASE:
		return zk_nodes_release(ap);
	case ZK_OP_REAP:
		return zk_names_reap(ap);
	case ZK_OP_LOCK:
		return zk_lock_apply(ap);
	case ZK_OP_LOCK_CANCEL:
		return zk_lock_cancel(ap);
	case ZK_OP_UNLOCK_OWNER:
		return zk_lock_drop_owner(ap);
	case ZK_OP_TXN:
		return zk_txn_apply(ap);
	case ZK_OP_MEMBER:
		return zk_roster_apply(ap);
	case ZK_OP_JOIN:
		return zk_group_join(ap);
	case ZK_OP_ACK:
		return zk_group_ack(ap);
	case ZK_OP_MAX:
		break;
	}
	return -EPROTO;
}

/* Opening a session happens outside of any, and needs no answer kept. */
static bool
in_session(const struct zk_command *cmd)
{
	return cmd->session != 0 && cmd->op != ZK_OP_SESSION_OPEN;
}

/*
 * A number below those whose answers are needed: answered, acknowledged and
 * forgotten, unless it waits for a lock, which nobody waits for with the rest.
 */
static int
check_old(struct zk_apply *ap)
{
	if (ap->cmd->op == ZK_OP_LOCK)
		(void)zk_lock_is_waiting(ap, &ap->pending);
	return ap->pending ? 0 : -ZK_ESESSION;
}

/* The session must live; and it says which answers it has received. */
static int
check_session(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_session session;
	uint64_t below;
	int rc;

	if (!in_session(cmd))
		return 0;
	rc = zk_session_get(ap->tx, cmd->session, &session);
	if (rc < 0)
		return rc == -ENOENT ? -ZK_ESESSION : rc;
	rc = zk_apply_by(ap, &session);
	if (rc < 0)
		return rc;
	if (cmd->number < session.acked)
		return check_old(ap);
	below = cmd->acked < cmd->number ? cmd->acked : cmd->number;
	if (below < session.acked + ANSWERS_LOT)
		return 0;
	rc = zk_answer_forget(ap->tx, session.id, below);
	session.acked = below;
	return rc < 0 ? rc : zk_session_put(ap->tx, &session);
}

/*
 * A refused command has changed nothing.  If it has, the tree is not what the
 * code takes it for, and going on would make it worse.
 */
static int
run_checked(struct zk_apply *ap)
{
	const uint64_t before = ap->tx->changes;
	int rc = run_command(ap);

	if (ap->tx->fatal < 0)
		return ap->tx->fatal;
	if (rc < 0 && ap->tx->changes != before)
		return ap->tx->fatal = -ZK_ECORRUPT;
	ap->outcome->rc = rc;
	return 0;
}

static int
apply_command(struct zk_apply *ap)
{
	const struct zk_command *cmd = ap->cmd;
	struct zk_outcome *out = ap->outcome;
	int rc;

	if (in_session(cmd) && cmd->number != 0) {
		rc = zk_answer_get(ap->tx, cmd->session, cmd->number, out);
		if (rc == 0) { /* a retry: answered again, not applied again */
			ap->sink->answer(ap->sink->arg, cmd->session,
			    cmd->number, out);
			return 0;
		}
		if (rc != -ENOENT)
			return rc;
	}
	rc = check_session(ap);
	if (ap->tx->fatal < 0)
		return ap->tx->fatal;
	if (rc < 0)
		out->rc = rc;
	else if (!ap->pending)
		(void)run_checked(ap);
	if (ap->tx->fatal < 0)
		return ap->tx->fatal;
	if (ap->pending) {
		if (ap->sink->waits != NULL)
			ap->sink->waits(ap->sink->arg, cmd->session,
			    cmd->number);
		return 0;
	}
	/* A session that is over, perhaps by this very command, keeps none. */
	if (in_session(cmd) && cmd->number != 0 && out->rc != -ZK_ESESSION &&
	    !(cmd->op == ZK_OP_SESSION_END && cmd->ino == cmd->session)) {
		rc = zk_answer_put(ap->tx, cmd->session, cmd->number, out);
		if (rc < 0)
			return rc;
	}
	ap->sink->answer(ap->sink->arg, cmd->session, cmd->number, out);
	return 0;
}

/* Time as the tree knows it: the leader's, but never back, never twice. */
static struct zk_stamp
advance_time(struct zk_tx *tx, struct zk_stamp time)
{
	struct zk_stamp *last = &tx->state.time;

	if (time.sec > last->sec ||
	    (time.sec == last->sec && time.nsec > last->nsec)) {
		*last = time;
	} else if (++last->nsec == 1000000000u) {
		last->nsec = 0;
		last->sec++;
	}
	return *last;
}

/* Who is there.  The first entry of all makes the root, too. */
static int
apply_config(struct zk_apply *ap, const struct zk_entry *entry)
{
	static const struct zk_command nobody = {.op = ZK_OP_NOP};
	struct zk_tx *tx = ap->tx;
	int rc = 0;

	ap->cmd = &nobody;
	ap->quiet = true;
	if (tx->state.nodes == 0) {
		rc = zk_store_bootstrap(tx, ap->now, 0, 0);
		if (rc == 0)
			rc = zk_special_found(ap);
	}
	if (rc == 0)
		rc = zk_conf_row_put(tx, entry->index, entry->payload,
		    entry->payload_len);
	if (rc == 0)
		rc = zk_topics_replace(ap);
	if (rc == 0 && ap->sink->members != NULL)
		ap->sink->members(ap->sink->arg, 0);
	return rc;
}

int
zk_apply(struct zk_tx *tx, const struct zk_entry *entry,
    const struct zk_apply_sink *sink)
{
	uint32_t groups[ZK_GROUPS_MAX];
	struct zk_command cmd;
	struct zk_outcome out = {.index = entry->index};
	struct zk_history history;
	struct zk_apply ap = {
	    .tx = tx,
	    .sink = sink,
	    .index = entry->index,
	    .cmd = &cmd,
	    .outcome = &out,
	    .history = &history,
	};
	int rc = 0;

	ZK_ASSERT(tx->write);
	ZK_ASSERT(entry->index == tx->state.applied_index + 1);
	ZK_ASSERT(entry->term >= tx->state.applied_term);

	zk_history_init(&history);
	ap.now = advance_time(tx, entry->time);
	if (entry->kind == ZK_PAYLOAD_COMMAND) {
		rc = zk_command_decode(entry->payload, entry->payload_len,
		    groups, &cmd);
		/* Only what a leader has checked gets into the log. */
		if (rc < 0)
			return tx->fatal = -ZK_ECORRUPT;
		rc = apply_command(&ap);
	} else if (entry->kind == ZK_PAYLOAD_CONFIG) {
		rc = apply_config(&ap, entry);
	}
	if (rc == 0)
		rc = zk_history_flush(&ap);
	if (rc == 0)
		rc = tx->fatal;
	if (rc < 0)
		return rc;
	tx->state.applied_index = entry->index;
	tx->state.applied_term = entry->term;
	return 0;
}
