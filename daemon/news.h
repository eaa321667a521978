#ifndef ZK_DAEMON_NEWS_H
#define ZK_DAEMON_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/change.h"

/*
 * The changes of one turn, kept until they are durable.  Owned by the node
 * thread.  It grows to what the largest turn needs, and a turn is bounded.
 */
struct zk_news {
	struct zk_change *changes; /* their names follow each other in names */
	size_t count, cap;
	char *names;
	size_t names_len, names_cap;
};

/* A copy of *change.  -ENOMEM. */
int zk_news_add(struct zk_news *news, const struct zk_change *change);

/* Tells all, in order, and forgets them. */
void zk_news_tell(struct zk_news *news,
    void (*fn)(void *arg, const struct zk_change *change), void *arg);

void zk_news_drop(struct zk_news *news);
void zk_news_fini(struct zk_news *news);

#endif
