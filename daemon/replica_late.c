#include "daemon/replica_impl.h"

/* Messages and applies that may be late: see member_pace.c. */

bool
zk_replica_put_off(struct zk_replica *r, const struct zk_msg *msg)
{
	const struct zk_replica_sink *sink = &r->options.sink;

	if (msg->type != ZK_MSG_COMMIT || sink->put_off_commit == NULL ||
	    r->late_count == ZK_MEMBERS_MAX ||
	    !sink->put_off_commit(sink->arg, msg->to))
		return false;
	zk_replica_drop_late(r, msg->to);
	r->late[r->late_count++] = *msg;
	return true;
}

void
zk_replica_drop_late(struct zk_replica *r, uint64_t to)
{
	for (size_t i = 0; i < r->late_count; i++) {
		if (r->late[i].to != to)
			continue;
		r->late[i] = r->late[--r->late_count];
		return;
	}
}

size_t
zk_replica_late_commits(const struct zk_replica *r)
{
	return r->late_count;
}

void
zk_replica_send_late(struct zk_replica *r)
{
	while (r->late_count > 0) {
		const struct zk_msg msg = r->late[r->late_count - 1];

		/* Without entries, it cannot fail; it forgets the message. */
		(void)zk_replica_send(r, &msg);
	}
}

void
zk_replica_apply_later(struct zk_replica *r, bool later)
{
	r->applies_later = later;
}
