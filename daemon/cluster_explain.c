#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/cluster_impl.h"

/* Why there is no majority, or who is missing, in one line. */

struct line {
	char *buf;
	size_t len, cap;
};

__attribute__((format(printf, 2, 3))) static void
add(struct line *line, const char *fmt, ...)
{
	const size_t room = line->cap - line->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line->buf + line->len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

/* Who is refused is so again within seconds, unless that has changed. */
#define REFUSAL_FRESH_MS 30000u

/* Under the lock: the newest refusal of that name, or NULL. */
static const struct zk_cluster_refusal *
refusal_of(const struct zk_cluster *c, const char *name)
{
	const struct zk_cluster_refusal *newest = NULL;
	const uint64_t now = zk_cluster_now_ms();

	for (size_t i = 0; i < ZK_REFUSALS_KEPT; i++) {
		const struct zk_cluster_refusal *r = &c->refusals[i];

		if (strcmp(r->name, name) == 0 && r->reason != ZK_REFUSED_NOT &&
		    now - r->seen_ms < REFUSAL_FRESH_MS &&
		    (newest == NULL || r->seen_ms >= newest->seen_ms))
			newest = r;
	}
	return newest;
}

/* Our name follows. */
static const char namesake[] =
    "is connected with another daemon that is called";

/* What keeps us apart; NULL: nothing does. */
static const char *
why_apart(const struct zk_cluster *c, const struct zk_directory_member *m)
{
	const struct zk_cluster_session *session =
	    zk_cluster_session_of(c, m->name);
	const struct zk_cluster_refusal *refusal = refusal_of(c, m->name);

	if (session == NULL && refusal != NULL && refusal->by_peer &&
	    refusal->reason == ZK_REFUSED_NAME)
		return namesake;
	if (session == NULL && refusal != NULL)
		return zk_refusal_text(refusal->reason);
	if (session == NULL)
		return m->node == 0 && c->formed ? "has not come yet"
		                                 : "is not reached";
	if (c->formed && !zk_cluster_may_talk(c, session))
		return "has another data directory than the member";
	return NULL;
}

/* Under the lock. */
static void
explain(const struct zk_cluster *c, struct line *line, bool all)
{
	/* Of SOURCE only the names count once there is an ensemble. */
	const struct zk_directory *directory =
	    c->formed ? &c->directory : &c->source;

	for (size_t i = 0; i < directory->count; i++) {
		const struct zk_directory_member *m = &directory->members[i];
		const char *why = why_apart(c, m);

		if (strcmp(m->name, c->name) == 0 || (c->formed && !m->votes) ||
		    (why == NULL && !all))
			continue;
		add(line, "%s%s (%s) %s", line->len > 0 ? "; " : "", m->name,
		    m->address, why != NULL ? why : "is there");
		if (why == namesake)
			add(line, " %s", c->name);
	}
}

void
zk_cluster_explain(struct zk_cluster *c, char *buf, size_t cap)
{
	struct line line = {.buf = buf, .cap = cap};

	ZK_ASSERT(cap > 0);

	buf[0] = '\0';
	(void)pthread_mutex_lock(&c->lock);
	if (c->stranger && !c->formed && c->stranger_node != 0)
		add(&line,
		    "%s is a member of this ensemble with another data "
		    "directory (node %016" PRIx64 ")",
		    c->name, c->stranger_node);
	explain(c, &line, true);
	(void)pthread_mutex_unlock(&c->lock);
}

void
zk_cluster_unreached(struct zk_cluster *c, char *buf, size_t cap)
{
	struct line line = {.buf = buf, .cap = cap};

	ZK_ASSERT(cap > 0);

	buf[0] = '\0';
	(void)pthread_mutex_lock(&c->lock);
	explain(c, &line, false);
	(void)pthread_mutex_unlock(&c->lock);
}
