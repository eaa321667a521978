#ifndef ZK_DAEMON_RECENT_H
#define ZK_DAEMON_RECENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/log.h"

/*
 * The newest entries of a log, in memory: what has just been appended is read
 * again at once, to be sent to each follower and to be applied.  The log is
 * what counts; an entry that is not here is read from there.
 *
 * Bounded: ZK_RECENT_BYTES of payload, ZK_RECENT_ENTRIES entries.  Threads: the
 * node thread.
 */
#define ZK_RECENT_BYTES   ((size_t)1 << 20)
#define ZK_RECENT_ENTRIES 2048u

struct zk_recent;

struct zk_recent *zk_recent_new(void); /* NULL: no memory */
void zk_recent_free(struct zk_recent *recent);

/* Appended. */
void zk_recent_put(struct zk_recent *recent, const struct zk_entry *entry);

/* To be called when entries were taken back: nothing is known any more. */
void zk_recent_clear(struct zk_recent *recent);

/* The payload is borrowed until the next zk_recent_put(). */
bool zk_recent_get(const struct zk_recent *recent, uint64_t index,
    struct zk_entry *ret_entry);

#endif
