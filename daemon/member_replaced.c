#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/assert.h"
#include "daemon/member_impl.h"
#include "store/answer.h"
#include "store/inode.h"
#include "store/lock_row.h"
#include "store/read.h"
#include "store/session.h"

/*
 * After a snapshot has become the tree.  Commands of ours may have been
 * applied by others meanwhile, and nobody told: what became of them is in the
 * tree.
 */

/* Whether our request of this number waits for its lock. */
static int
is_waiting(struct zk_tx *tx, uint64_t session, uint64_t number,
    bool *ret_waiting)
{
	struct zk_lock_wait wait;
	struct zk_scan scan;
	int rc;

	*ret_waiting = false;
	rc = zk_lock_owner_waits_begin(tx, session, NULL, &scan);
	if (rc < 0)
		return rc;
	while (
	    !*ret_waiting && (rc = zk_lock_owner_waits_next(&scan, &wait)) == 0)
		*ret_waiting = wait.number == number;
	zk_scan_end(&scan);
	return rc == -ENOENT ? 0 : rc;
}

/*
 * A request that waited and waits no more.  Its answer may be forgotten
 * already, as far as we know of having it: the lock itself tells.
 */
static int
look_at_lock(struct zk_tx *tx, struct zk_item *item)
{
	uint32_t groups[ZK_GROUPS_MAX], waiters;
	const struct zk_held *held;
	struct zk_lock_set set;
	struct zk_command cmd;
	struct zk_held want;
	int rc;

	rc = zk_command_decode(item->bytes, item->len, groups, &cmd);
	ZK_ASSERT(rc == 0);
	rc = zk_lock_want(&cmd, &want);
	ZK_ASSERT(rc == 0);
	rc = zk_lock_set_load(tx, cmd.ino, &set, &waiters);
	if (rc < 0)
		return rc;
	held = zk_lock_set_cover(&set, &want);
	if (held != NULL) {
		item->outcome.offset = item->outcome.index = held->fence;
		rc = zk_inode_attr(tx, cmd.ino, &item->outcome.attr);
	} else {
		item->outcome.rc = -EINTR;
	}
	zk_lock_set_fini(&set);
	return rc;
}

/* Where the item belongs now; *ret_list is not changed when it stays. */
static int
place(struct zk_member *m, struct zk_tx *tx, struct zk_item *item,
    struct zk_item_list **ret_list)
{
	bool waiting;
	int rc;

	rc = zk_answer_get(tx, m->session, item->number, &item->outcome);
	if (rc == 0)
		*ret_list = &m->answered;
	item->found = rc == 0;
	if (rc != -ENOENT || item->op != ZK_OP_LOCK)
		return rc == -ENOENT ? 0 : rc;
	rc = is_waiting(tx, m->session, item->number, &waiting);
	if (rc == 0 && waiting)
		*ret_list = &m->waiting;
	return rc;
}

static int
sort_list(struct zk_member *m, struct zk_tx *tx, struct zk_item_list *list)
{
	struct zk_item_list kept, all = *list;
	struct zk_item *item;
	int rc = 0;

	zk_item_list_settle(&all);
	zk_item_list_init(list);
	zk_item_list_init(&kept);
	while ((item = zk_item_list_pop(&all)) != NULL) {
		struct zk_item_list *to = &kept;

		if (rc == 0)
			rc = place(m, tx, item, &to);
		zk_item_list_add(to, item);
	}
	*list = kept;
	zk_item_list_settle(list);
	return rc;
}

static int
sort_waiting(struct zk_member *m, struct zk_tx *tx)
{
	struct zk_item_list all = m->waiting;
	struct zk_item *item;
	int rc = 0;

	zk_item_list_settle(&all);
	zk_item_list_init(&m->waiting);
	while ((item = zk_item_list_pop(&all)) != NULL) {
		struct zk_item_list *to = NULL;

		if (rc == 0)
			rc = place(m, tx, item, &to);
		if (rc == 0 && to == NULL)
			rc = look_at_lock(tx, item);
		if (rc == 0 && to == NULL)
			to = &m->answered;
		zk_item_list_add(to != NULL ? to : &m->waiting, item);
	}
	return rc;
}

/* The session that is being opened may be open. */
static int
find_opened(struct zk_member *m, struct zk_tx *tx)
{
	const struct zk_ident *ident = zk_store_ident(m->options.store);
	struct zk_session session = {.id = 0};
	struct zk_item *item;
	int rc;

	while ((rc = zk_session_next(tx, session.id, &session)) == 0)
		if (session.incarnation == m->incarnation &&
		    session.node == ident->node &&
		    strcmp(session.member, ident->member) == 0)
			break;
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	zk_member_requeue(m);
	item = zk_item_list_pop(&m->queued);
	ZK_ASSERT(item != NULL);
	ZK_ASSERT(item->op == ZK_OP_SESSION_OPEN);
	item->outcome.index = session.id;
	zk_item_list_add(&m->answered, item);
	zk_member_session_opened(m, session.id);
	return 0;
}

static int
sort_all(struct zk_member *m, struct zk_tx *tx)
{
	struct zk_session session;
	int rc;

	if (m->opening)
		return find_opened(m, tx);
	if (m->session == 0)
		return 0;
	rc = zk_session_get(tx, m->session, &session);
	if (rc == 0)
		rc = sort_waiting(m, tx);
	if (rc == 0)
		rc = sort_list(m, tx, &m->inflight);
	if (rc == 0)
		rc = sort_list(m, tx, &m->queued);
	return rc;
}

/*
 * A name that a command of ours changed, and the node that it put there (0:
 * none), maybe not for long.
 */
static void
tell_name(struct zk_member *m, struct zk_tx *tx, struct zk_change change)
{
	const uint64_t made = change.ino;
	struct zk_attr now;
	int rc = zk_read_lookup(tx, change.parent, change.name, change.name_len,
	    &now);

	change.kind = ZK_CHANGE_CREATE;
	change.session = m->session;
	change.known = true;
	m->options.sink.changed(m->options.sink.arg, &change);
	change.known = false;
	if (rc == 0 && now.ino != made) {
		change.ino = now.ino;
		change.type = now.mode & S_IFMT;
		change.nlink = now.nlink;
	} else if (rc == -ENOENT && made != 0) {
		change.kind = ZK_CHANGE_DELETE;
	} else {
		return;
	}
	m->options.sink.changed(m->options.sink.arg, &change);
}

/* What a command of ours changed in a node. */
static void
tell_touched(struct zk_member *m, const struct zk_command *cmd)
{
	const bool content = cmd->op == ZK_OP_WRITE ||
	    cmd->op == ZK_OP_FALLOCATE ||
	    (cmd->op == ZK_OP_SETATTR &&
	        (cmd->flags & (ZK_SET_SIZE | ZK_F_TRUNCATE)) != 0) ||
	    (cmd->op == ZK_OP_RELEASE && (cmd->flags & ZK_F_TRUNCATE) != 0);
	const struct zk_change change = {
	    .kind = content ? ZK_CHANGE_MODIFY : ZK_CHANGE_ATTRIB,
	    .session = m->session,
	    .known = true,
	    .found = true,
	    .ino = cmd->ino,
	};

	if (content || cmd->op == ZK_OP_SETATTR || cmd->op == ZK_OP_XATTR_SET ||
	    cmd->op == ZK_OP_XATTR_REMOVE)
		m->options.sink.changed(m->options.sink.arg, &change);
}

static void
tell_own(struct zk_member *m, struct zk_tx *tx, const struct zk_item *item)
{
	const struct zk_outcome *out = &item->outcome;
	uint32_t groups[ZK_GROUPS_MAX];
	struct zk_change change = {.type = S_IFREG};
	struct zk_command cmd;
	int rc;

	rc = zk_command_decode(item->bytes, item->len, groups, &cmd);
	ZK_ASSERT(rc == 0);
	tell_touched(m, &cmd);
	/* Of what was made with a number nobody here knows the name. */
	if (cmd.op != ZK_OP_LINK && cmd.op != ZK_OP_UNLINK &&
	    cmd.op != ZK_OP_RMDIR && cmd.op != ZK_OP_RENAME &&
	    (cmd.op != ZK_OP_CREATE || out->name_len > 0))
		return;
	change.parent = cmd.ino;
	change.name = cmd.name;
	change.name_len = cmd.name_len;
	if (cmd.op == ZK_OP_CREATE) {
		change.ino = out->attr.ino;
		change.type = cmd.mode & S_IFMT;
	} else if (cmd.op == ZK_OP_LINK) {
		change.ino = cmd.ino2;
	} else if (cmd.op == ZK_OP_RENAME &&
	    (cmd.mode & RENAME_EXCHANGE) != 0) {
		change.ino = UINT64_MAX; /* not known: told as it is */
	}
	tell_name(m, tx, change);
	if (cmd.op != ZK_OP_RENAME)
		return;
	change.parent = cmd.ino2;
	change.name = cmd.name2;
	change.name_len = cmd.name2_len;
	change.ino = UINT64_MAX;
	tell_name(m, tx, change);
}

/*
 * The outcome that was found goes to who waits for it, and with it come the
 * events of his system call: those that the difference of the trees has made
 * of the same names are one too many.
 */
static void
tell_found(struct zk_member *m, struct zk_tx *tx)
{
	for (struct zk_item *item = m->answered.first; item != NULL;
	     item = item->next) {
		if (item->found && item->outcome.rc == 0)
			tell_own(m, tx, item);
		item->found = false;
	}
}

void
zk_member_on_replaced(void *arg)
{
	struct zk_member *m = arg;
	struct zk_tx *tx;
	bool known = false;
	int rc;

	rc = zk_read_begin(m->options.store, &tx);
	if (rc == 0) {
		rc = sort_all(m, tx);
		known = rc == 0;
		if (!known)
			zk_read_end(tx);
	}
	/* It is over; or it cannot be found out, and must be over. */
	if (rc < 0 && (m->session != 0 || m->opening))
		zk_member_lose_session(m);
	if (m->options.sink.replaced != NULL)
		m->options.sink.replaced(m->options.sink.arg);
	if (known) {
		tell_found(m, tx);
		zk_read_end(tx);
	}
}
