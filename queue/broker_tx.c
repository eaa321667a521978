#include <errno.h>

#include "base/assert.h"
#include "queue/broker_impl.h"

/*
 * The transaction of a turn, and when others see what is in it.
 *
 * The journal makes it durable; a commit of LMDB only makes it visible, and
 * costs more than the journal.  So where nobody reads behind the writers, many
 * turns go into one: their rows are hidden in LMDB's open transaction, and who
 * looks for one of them all the same is sent here, to ask.
 */

/* So long after somebody read up to an end, what comes is shown at once. */
#define EAGER_MS 500u

int
zk_broker_tx(struct zk_broker *b)
{
	int rc;

	if (b->tx != NULL)
		return 0;
	rc = zk_env_begin(zk_plog_env(b->plog), &b->writer);
	if (rc < 0)
		return zk_broker_fail(b, rc);
	b->tx = &b->writer;
	return 0;
}

int
zk_broker_reader(struct zk_broker *b, struct zk_tx **ret_tx)
{
	int rc = 0;

	/* Some of it is to be seen in there only. */
	if (b->tx == NULL && zk_env_is_unsettled(zk_plog_env(b->plog)))
		rc = zk_broker_tx(b);
	if (b->tx != NULL || rc < 0) {
		*ret_tx = b->tx;
		return rc;
	}
	if (b->reader == NULL)
		rc = zk_env_read_begin(zk_plog_env(b->plog), &b->reader);
	*ret_tx = b->reader;
	return rc < 0 ? zk_broker_fail(b, rc) : 0;
}

void
zk_broker_end_reader(struct zk_broker *b)
{
	if (b->reader != NULL)
		zk_env_read_end(b->reader);
	b->reader = NULL;
}

void
zk_broker_end_readers(struct zk_broker *b)
{
	zk_broker_end_reader(b);
	if (b->tx != NULL)
		zk_env_abort(b->tx);
	b->tx = NULL;
}

static void
look_for_readers(struct zk_broker *b)
{
	bool found;

	(void)pthread_mutex_lock(&b->lock);
	found = b->read_at_end;
	b->read_at_end = false;
	(void)pthread_mutex_unlock(&b->lock);
	if (found)
		b->eager_ms = zk_broker_now(b);
}

/* Whether what is written may stay in LMDB's open transaction for a while. */
static bool
can_hide(const struct zk_broker *b)
{
	const uint64_t now = zk_broker_now(b);

	return b->options.settle_ms > 0 && b->room &&
	    (b->eager_ms == 0 || now - b->eager_ms >= EAGER_MS) &&
	    (b->hidden == NULL || now - b->hidden_ms < b->options.settle_ms);
}

static int
commit(struct zk_broker *b)
{
	struct zk_env *env = zk_plog_env(b->plog);
	int rc;

	if (b->hidden == NULL)
		b->hidden_ms = zk_broker_now(b);
	rc = can_hide(b) ? zk_env_commit_later(b->tx) : zk_env_commit(b->tx);
	b->counts.flushes++;
	if (rc < 0)
		return rc;
	if (!zk_env_is_unsettled(env)) {
		zk_part_show_all(b);
		return 0;
	}
	for (struct zk_part *part = b->touched; part != NULL;
	     part = part->next_touched)
		if (part->group != NULL)
			zk_part_hide(part);
	return 0;
}

int
zk_broker_flush(struct zk_broker *b)
{
	int rc = b->fatal;

	look_for_readers(b);
	if (rc == 0 && b->hidden != NULL && !can_hide(b) && !b->wrote) {
		rc = zk_broker_tx(b);
		b->wrote = rc == 0;
	}
	if (b->tx == NULL)
		return rc;
	if (rc < 0 || !b->wrote)
		zk_env_abort(b->tx);
	else
		rc = commit(b);
	b->tx = NULL;
	/* Room was made sure of before: this is more than a full disk. */
	return rc == -ENOSPC ? -EIO : rc;
}

int
zk_broker_settle(struct zk_broker *b)
{
	int rc = zk_env_settle(zk_plog_env(b->plog));

	if (rc == 0)
		zk_part_show_all(b);
	return zk_broker_fail(b, rc);
}
