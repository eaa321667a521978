#ifndef ZK_STORE_APPLY_H
#define ZK_STORE_APPLY_H

#include <stdint.h>

#include "base/change.h"
#include "base/command.h"
#include "store/history.h"
#include "store/inode.h"
#include "store/log.h"
#include "store/table.h"

/*
 * The state machine.  Deterministic: the outcome and the rows depend on the
 * entry and the tree alone (Raft paper, section 2: replicated state machines).
 * Node thread.
 */

/* What apply tells while it works.  Everything is borrowed. */
struct zk_apply_sink {
	void *arg;
	/* A change of the tree, in order. */
	void (*change)(void *arg, const struct zk_change *change);
	/*
	 * The outcome of the command (session, number): of the entry itself,
	 * or of an earlier lock request that is granted or cancelled by it.
	 */
	void (*answer)(void *arg, uint64_t session, uint64_t number,
	    const struct zk_outcome *outcome);
	/* The entry's command is a lock request that waits.  May be NULL. */
	void (*waits)(void *arg, uint64_t session, uint64_t number);
	/*
	 * Who the members are has changed, in the roster or in the group; or
	 * lead, not 0, is the node id of the one that is to lead.  May be NULL.
	 */
	void (*members)(void *arg, uint64_t lead);
};

/*
 * One entry being applied; what the parts of store/ that apply share.
 * outcome.rc is set by the part that returns an error; see zk_apply().
 */
struct zk_apply {
	struct zk_tx *tx;
	const struct zk_apply_sink *sink;
	uint64_t index;      /* of the entry: the zxid of what it changes */
	struct zk_stamp now; /* strictly later than any entry's before */
	const struct zk_command *cmd;
	struct zk_outcome *outcome;
	bool pending;  /* a lock waits: it will be answered by a later entry */
	bool quiet;    /* changes are side effects that no kernel knows */
	bool replaces; /* the content is replaced as a whole */
	uint32_t sub;  /* changes told so far */
	/* Who did it, for the history: the session, and its member's name. */
	uint64_t actor;
	char host[64];
	struct zk_history *history; /* NULL: a trial */
};

/*
 * Apply entries in order, each once.  Returns 0 when the entry was applied,
 * which includes commands that were refused (the sink's answer says why), or
 * a fatal code: the transaction must be aborted and the member must stop.
 */
int zk_apply(struct zk_tx *tx, const struct zk_entry *entry,
    const struct zk_apply_sink *sink);

/*
 * For the parts of store/: report a change through the sink.  What is the
 * same for all changes of an entry (rev, time, session, ...) is filled in.
 */
void zk_apply_changed(struct zk_apply *ap, struct zk_change *change);
/* For change.whole: the group or the topic that a node is a part of. */
uint64_t zk_apply_whole(const struct zk_attr *attr);
/* What follows is done by, or happens to, this session. */
struct zk_session;
int zk_apply_by(struct zk_apply *ap, const struct zk_session *session);
/* MODIFY or ATTRIB of a node that is like this now. */
void zk_apply_touched(struct zk_apply *ap, enum zk_change_kind kind,
    const struct zk_inode *node);

#endif
