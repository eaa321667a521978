#include "fs/handover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "fs/handle.h"
#include "fs/impl.h"
#include "fs/reply.h"

int
zk_handover_keep(struct zk_call *call)
{
	struct zk_fs *fs = call->fs;
	struct zk_kept *kept;

	if (call->request_len == 0)
		return -EBUSY;
	kept = malloc(sizeof(*kept));
	if (kept == NULL)
		return -ENOMEM;
	kept->len = call->request_len;
	memcpy(kept->bytes, call->request, call->request_len);
	(void)pthread_mutex_lock(&fs->kept_lock);
	STAILQ_INSERT_TAIL(&fs->kept, kept, link);
	(void)pthread_mutex_unlock(&fs->kept_lock);
	/* libfuse forgets it; the kernel goes on waiting. */
	fuse_reply_none(call->req);
	return 0;
}

static _Thread_local bool serves;

bool
zk_handover_serves(void)
{
	return serves;
}

void
zk_handover_serve(struct zk_fs *fs)
{
	struct zk_kept *kept;

	serves = true;
	/* Whoever waits again is kept again only by another handover. */
	while ((kept = STAILQ_FIRST(&fs->kept)) != NULL) {
		STAILQ_REMOVE_HEAD(&fs->kept, link);
		zk_worker_serve(fs, kept->bytes, kept->len);
		free(kept);
	}
	serves = false;
}

void
zk_fs_ask_handover(struct zk_fs *fs)
{
	atomic_store(&fs->asked, true);
	(void)sem_post(&fs->ended);
}

int
zk_fs_freeze(struct zk_fs *fs, uint32_t timeout_ms)
{
	const uint64_t until_ms = zk_now_ms() + timeout_ms;
	int rc;

	/*
	 * What waits for the kernel must be through while requests are still
	 * served: the kernel may be waiting for one of them.
	 */
	if (atomic_load(&fs->init_len) == 0)
		return -EOPNOTSUPP;
	if (!zk_notifier_pause(fs, until_ms) || !zk_replay_pause(fs, until_ms))
		return -EBUSY;
	zk_workers_stop(fs);
	if (atomic_load(&fs->over))
		return -ENOTCONN;
	zk_backup_stop(fs);
	zk_events_stop(fs);
	rc = zk_events_keep(fs);
	if (rc == 0)
		rc = zk_calls_settle(fs, until_ms);
	zk_calls_stop(fs);
	return rc;
}

int
zk_fs_thaw(struct zk_fs *fs)
{
	int rc = 0;

	zk_calls_unsettle(fs);
	/* How far it came is told by what has stopped. */
	if (!fs->calls.started)
		rc = zk_calls_start(fs);
	if (rc == 0 && !fs->events.started)
		rc = zk_events_start(fs);
	atomic_store(&fs->stopping, atomic_load(&fs->told_to_stop));
	zk_notifier_resume(fs);
	zk_replay_resume(fs);
	return rc;
}
