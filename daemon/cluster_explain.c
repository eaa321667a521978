#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/cluster_impl.h"

/* Why there is no majority, in one line. */

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

/* Under the lock: the newest refusal of that name, or NULL. */
static const struct zk_cluster_refusal *
refusal_of(const struct zk_cluster *c, const char *name)
{
	const struct zk_cluster_refusal *newest = NULL;

	for (size_t i = 0; i < ZK_REFUSALS_KEPT; i++) {
		const struct zk_cluster_refusal *r = &c->refusals[i];

		if (strcmp(r->name, name) == 0 && r->reason != ZK_REFUSED_NOT &&
		    (newest == NULL || r->told_ms >= newest->told_ms))
			newest = r;
	}
	return newest;
}

static void
explain_member(const struct zk_cluster *c, struct line *line,
    const struct zk_directory_member *m)
{
	const struct zk_cluster_session *session =
	    zk_cluster_session_of(c, m->name);
	const struct zk_cluster_refusal *refusal = refusal_of(c, m->name);

	if (strcmp(m->name, c->name) == 0)
		return;
	add(line, "%s%s (%s) ", line->len > 0 ? "; " : "", m->name, m->address);
	if (session == NULL && refusal != NULL && refusal->by_peer &&
	    refusal->reason == ZK_REFUSED_NAME)
		add(line, "is connected with another daemon that is called %s",
		    c->name);
	else if (session == NULL && refusal != NULL)
		add(line, "%s", zk_refusal_text(refusal->reason));
	else if (session == NULL)
		add(line, "is not reached");
	else if (c->formed && !zk_cluster_may_talk(c, session))
		add(line, "has another data directory than the member");
	else
		add(line, "is there");
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
	for (size_t i = 0; i < c->source.count; i++)
		explain_member(c, &line, &c->source.members[i]);
	(void)pthread_mutex_unlock(&c->lock);
}
