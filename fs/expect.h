#ifndef ZK_FS_EXPECT_H
#define ZK_FS_EXPECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/proc.h"

/*
 * Compare-and-set: setting user.zkfs.expect announces the version that the
 * caller's next change of this file's content must find.  The request carries
 * no open file, so the announcement belongs to the calling process.
 */
#define ZK_EXPECTS_MAX 1024u

struct zk_expect {
	uint64_t ino, version;
	struct zk_process process;
};

struct zk_expects {
	pthread_mutex_t lock;
	_Atomic uint32_t count; /* read without the lock as a hint */
	struct zk_expect rows[ZK_EXPECTS_MAX];
};

void zk_expects_init(struct zk_expects *t);
void zk_expects_fini(struct zk_expects *t);

/* Any thread.  0, -ESRCH for a caller that cannot be known, -ENOSPC. */
int zk_expects_set(struct zk_expects *t, uint64_t ino, pid_t tid,
    uint64_t version);

/* What the caller announced, once: true and *ret_expect. */
bool zk_expects_take(struct zk_expects *t, uint64_t ino, pid_t tid,
    struct zk_expect *ret_expect);
/* It was not met: it holds for the next one, unless there is a newer. */
void zk_expects_restore(struct zk_expects *t, const struct zk_expect *expect);

#endif
