#include "store/env_impl.h"

#include <errno.h>

#include "base/aside.h"
#include "base/assert.h"

/* Commits whose flush is not where it usually is: after them, or beside. */

/* --- ahead of the flush --------------------------------------------------- */

int
zk_env_commit_ahead(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	const size_t noted = tx->noted;
	int rc = 1;

	ZK_ASSERT(env->ahead == 0);

	/* What was begun is at the disk already. */
	if (env->begun == 0 && env->journal != NULL && !tx->whole &&
	    tx->fatal == 0 && noted > 0)
		rc = zk_env_make_journal_room(env, noted);
	if (rc > 0)
		return zk_env_commit(tx);
	if (rc < 0) {
		zk_env_abort(tx);
		return rc == -ENOSPC ? -EIO : rc;
	}
	rc = zk_env_commit_mdb(env, tx, false);
	if (rc == 0)
		env->ahead = noted;
	return rc;
}

bool
zk_env_is_ahead(const struct zk_env *env)
{
	return env->ahead > 0;
}

int
zk_env_flush(struct zk_env *env)
{
	const size_t len = env->ahead;
	int rc;

	ZK_ASSERT(!env->writing);

	if (len == 0)
		return 0;
	env->ahead = 0;
	rc = zk_env_append_notes(env, len);
	if (rc == 0) {
		zk_env_mark(env);
		rc = zk_env_maybe_checkpoint(env);
	}
	/* Readers have seen what is not on disk: that is the end. */
	if (rc < 0)
		env->broken = rc == -ENOSPC ? -EIO : rc;
	return env->broken;
}

/* --- beside the writer ---------------------------------------------------- */

static int
write_begun(void *arg)
{
	struct zk_env *env = arg;

	return zk_env_append_notes(env, env->begun);
}

/* In the background, if there is one: else at once, and all is the same. */
static void
set_off(struct zk_env *env)
{
	if (env->background && env->aside == NULL)
		env->background =
		    zk_aside_open("zkfs-journal", &env->aside) == 0;
	if (!env->background) {
		env->begun_rc = write_begun(env);
		return;
	}
	env->in_flight = true;
	zk_aside_begin(env->aside, write_begun, env);
}

int
zk_env_begin_flush(struct zk_tx *tx)
{
	struct zk_env *env = tx->env;
	int rc;

	ZK_ASSERT(env->begun == 0);

	if (env->journal == NULL || tx->whole || tx->fatal < 0 ||
	    tx->noted == 0)
		return 0;
	rc = zk_env_make_journal_room(env, tx->noted);
	if (rc != 0)
		return rc > 0 ? 0 : rc == -ENOSPC ? -EIO : rc;
	env->begun = tx->noted;
	set_off(env);
	return 0;
}

void
zk_env_await_flush(struct zk_env *env)
{
	if (!env->in_flight)
		return;
	env->begun_rc = zk_aside_wait(env->aside);
	env->in_flight = false;
}

/* What was begun has not happened. */
static int
take_back(struct zk_env *env)
{
	int rc;

	zk_env_await_flush(env);
	rc = env->begun_rc;
	env->begun = 0;
	if (rc == 0)
		rc = zk_journal_void(env->journal);
	return rc == -ENOSPC ? -EIO : rc;
}

int
zk_env_end_flush(struct zk_tx *tx, bool *ret_done)
{
	struct zk_env *env = tx->env;

	*ret_done = false;
	if (env->begun == 0)
		return 0;
	/* More has come since, and all of it is one record. */
	if (tx->whole || tx->noted != env->begun)
		return take_back(env);
	zk_env_await_flush(env);
	env->begun = 0;
	*ret_done = env->begun_rc == 0;
	return env->begun_rc;
}

void
zk_env_undo_flush(struct zk_env *env)
{
	if (env->begun == 0)
		return;
	/* It would be done again after a restart. */
	if (take_back(env) < 0)
		env->broken = -EIO;
}

int
zk_env_broken(const struct zk_env *env)
{
	return env->broken;
}
