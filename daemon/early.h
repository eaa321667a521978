#ifndef ZK_DAEMON_EARLY_H
#define ZK_DAEMON_EARLY_H

#include <pthread.h>
#include <stdbool.h>

#include "base/change.h"
#include "daemon/news.h"
#include "fs/fs.h"

/*
 * What the node applies before there is a mount to tell.  A new mount has
 * nothing cached and nobody who watches; one that is taken over has, so that
 * its changes are kept until it is there.
 */
struct zk_early {
	pthread_mutex_t lock;
	struct zk_fs *fs;       /* protected by lock; NULL: not yet */
	bool keep;              /* protected by lock */
	struct zk_news changes; /* protected by lock */
};

#define ZK_EARLY_INIT                                                          \
	{                                                                      \
		.lock = PTHREAD_MUTEX_INITIALIZER                              \
	}

/* Keep changes from now on. */
void zk_early_keep(struct zk_early *early);

/*
 * Node thread.  A change: the mount to tell, or NULL when it is kept or
 * concerns nobody.  *ret_rc: -ENOMEM when it could not be kept.
 */
struct zk_fs *zk_early_change(struct zk_early *early,
    const struct zk_change *change, int *ret_rc);

/*
 * Node thread.  Whether another tree may come now, and the mount to tell, or
 * NULL.  What it changes is found by comparing it with the one before, as far
 * as the kernel knows that, which only the mount can say.  So while changes
 * are kept, no other tree may come.
 */
bool zk_early_may_replace(struct zk_early *early, struct zk_fs **ret_fs);

/* Here is the mount; it is told what was kept, before anything else. */
void zk_early_end(struct zk_early *early, struct zk_fs *fs);

#endif
