#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "daemon/port.h"
#include "daemon/topics.h"
#include "queue/partitioner.h"
#include "store/group.h"
#include "store/roster.h"
#include "store/session.h"
#include "store/topic.h"

/* The part of fs/port.h that is about topics. */

static struct zk_broker *
broker_of(struct zk_port *port)
{
	return zk_topics_node_broker(zk_topics_node_of(port->topics));
}

static struct zk_port_partition
partition_of(const struct zk_partition_info *info)
{
	return (struct zk_port_partition){
	    .start = info->start,
	    .end = info->end,
	    .stored = info->stored,
	    .time = info->time,
	    .local = info->local,
	};
}

/* What is in the tree and not yet known to the partitions is told to them. */
static int
info_of(struct zk_port *port, uint64_t partition,
    struct zk_partition_info *ret_info)
{
	int rc = zk_broker_info(broker_of(port), partition, ret_info);

	if (rc != -ENOENT)
		return rc;
	rc = zk_topics_set(port->topics, partition);
	return rc < 0 ? rc : -EREMOTE;
}

static int
port_info(void *impl, uint64_t partition, struct zk_port_partition *ret_info)
{
	struct zk_partition_info info;
	int rc = info_of(impl, partition, &info);

	if (rc < 0)
		return rc;
	if (!info.local || !info.known)
		return -EREMOTE;
	*ret_info = partition_of(&info);
	return 0;
}

static int
port_fetch(void *impl, uint64_t partition, uint64_t off, void *buf, size_t cap,
    size_t *ret_len)
{
	struct zk_port *port = impl;
	int rc;

	rc = zk_broker_read(broker_of(port), partition, off, buf, cap, ret_len);
	if (rc != -ENOENT)
		return rc;
	rc = zk_topics_set(port->topics, partition);
	return rc < 0 ? rc : -EREMOTE;
}

/* --- asking --------------------------------------------------------------- */

struct asked {
	zk_told_fn told;
	void *arg;
};

static void
on_reply(void *arg, const struct zk_reply *reply)
{
	const struct asked *asked = arg;
	const struct zk_told told = {
	    .rc = reply->rc,
	    .offset = reply->offset,
	    .bytes = reply->bytes,
	    .len = reply->len,
	    .info = partition_of(&reply->info),
	};

	asked->told(asked->arg, &told);
	free(arg);
}

static const enum zk_request_kind kinds[] = {
    [ZK_ASK_APPEND] = ZK_REQUEST_APPEND,
    [ZK_ASK_INFO] = ZK_REQUEST_INFO,
    [ZK_ASK_READ] = ZK_REQUEST_READ,
    [ZK_ASK_TIME] = ZK_REQUEST_TIME,
    [ZK_ASK_RECORD] = ZK_REQUEST_RECORD,
    [ZK_ASK_DIGEST] = ZK_REQUEST_DIGEST,
    [ZK_ASK_SYNC] = ZK_REQUEST_SYNC,
};

static int
port_ask(void *impl, const struct zk_ask *ask, zk_told_fn told, void *arg)
{
	struct zk_port *port = impl;
	struct zk_request request = {
	    .kind = kinds[ask->kind],
	    .partition = ask->partition,
	    .offset = ask->offset,
	    .time = ask->time,
	    .want = ask->want,
	    .limit_ms = ask->limit_ms,
	    .holder = ask->session,
	    .done = on_reply,
	};
	struct zk_partition_info info;
	struct asked *asked;
	int rc;

	rc = info_of(port, ask->partition, &info);
	if (rc < 0 && rc != -EREMOTE)
		return rc;
	if (ask->kind == ZK_ASK_DIGEST) {
		rc = zk_broker_info(broker_of(port), ask->partition, &info);
		if (rc == 0 && ask->replica >= info.replica_count)
			rc = -EINVAL;
		if (rc < 0)
			return rc;
		request.node = info.replicas[ask->replica];
	}
	asked = malloc(sizeof(*asked));
	if (asked == NULL)
		return -ENOMEM;
	asked->told = told;
	asked->arg = arg;
	request.arg = asked;
	rc = zk_topics_node_submit(zk_topics_node_of(port->topics), &request,
	    ask->bytes, ask->len);
	if (rc < 0)
		free(asked);
	return rc;
}

static void
port_watch(void *impl, uint64_t partition, bool on)
{
	struct zk_port *port = impl;
	const struct zk_request request = {
	    .kind = on ? ZK_REQUEST_WATCH : ZK_REQUEST_UNWATCH,
	    .partition = partition,
	};

	(void)zk_topics_node_submit(zk_topics_node_of(port->topics), &request,
	    NULL, 0);
}

static int
port_follow(void *impl, uint64_t partition, bool on)
{
	struct zk_port *port = impl;
	const struct zk_request request = {
	    .kind = on ? ZK_REQUEST_FOLLOW : ZK_REQUEST_UNFOLLOW,
	    .partition = partition,
	};
	struct zk_partition_info info;
	const int rc = on ? info_of(port, partition, &info) : 0;

	if (rc < 0 && rc != -EREMOTE)
		return rc;
	return zk_topics_node_submit(zk_topics_node_of(port->topics), &request,
	    NULL, 0);
}

static int
port_glimpse(void *impl, uint64_t partition, struct zk_port_partition *ret_info)
{
	struct zk_partition_info info;
	const int rc = info_of(impl, partition, &info);

	if (rc < 0 || !info.known || !info.current)
		return rc < 0 ? rc : -EREMOTE;
	*ret_info = partition_of(&info);
	return 0;
}

static bool
port_served(void *impl, uint64_t partition)
{
	struct zk_partition_info info;

	return zk_broker_info(broker_of(impl), partition, &info) < 0 ||
	    info.served;
}

static int
port_memory(void *impl, uint64_t partition, struct zk_port_partition *ret_info,
    bool *ret_alone)
{
	struct zk_partition_info info;
	const int rc = zk_broker_info(broker_of(impl), partition, &info);

	*ret_alone = rc == 0 && info.alone;
	if (rc < 0 || !info.known)
		return rc < 0 ? rc : -EREMOTE;
	*ret_info = partition_of(&info);
	return 0;
}

static uint32_t
port_partition_of(void *impl, const void *key, size_t len, uint32_t partitions)
{
	(void)impl;
	return zk_partition_of(key, len, partitions);
}

/* --- the tree ------------------------------------------------------------- */

static int
port_topic(void *impl, uint64_t ino, struct zk_port_topic *ret_topic)
{
	struct zk_port *port = impl;
	struct zk_topic topic;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_topic_get(tx, ino, &topic);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	*ret_topic = (struct zk_port_topic){
	    .partitions = topic.config.partitions,
	    .record_max = topic.config.record_max,
	};
	return 0;
}

static int
port_partition(void *impl, uint64_t topic, uint32_t number, uint64_t *ret_ino)
{
	struct zk_port *port = impl;
	struct zk_partition partition;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_partition_get(tx, topic, number, &partition);
	zk_read_end(tx);
	if (rc == 0)
		*ret_ino = partition.ino;
	return rc;
}

static int
list_shares(struct zk_tx *tx, const struct zk_group_member *member,
    uint64_t topic, zk_share_fn fn, void *arg)
{
	struct zk_partition partition;
	struct zk_share share;
	int rc = 0;

	for (uint32_t i = 0; rc == 0; i++) {
		struct zk_port_share row;

		rc = zk_share_get(tx, member->group, i, &share);
		if (rc == 0 && share.owner != member->joined &&
		    share.want != member->joined)
			continue;
		if (rc == 0)
			rc = zk_partition_get(tx, topic, i, &partition);
		if (rc < 0)
			break;
		row = (struct zk_port_share){
		    .number = i,
		    .partition = partition.ino,
		    .committed = share.committed,
		    .since = share.since,
		    .mine = share.owner == member->joined,
		    .wanted = share.want == member->joined,
		    .tries = share.tries,
		};
		fn(arg, &row);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int
port_shares(void *impl, uint64_t group, uint64_t session, uint64_t handle,
    zk_share_fn fn, void *arg)
{
	struct zk_port *port = impl;
	struct zk_group_member member;
	struct zk_attr attr;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_inode_attr(tx, group, &attr);
	if (rc == 0)
		rc = zk_group_seat(tx, session, handle, &member);
	if (rc == 0 && member.group != group)
		rc = -ENOENT;
	if (rc == 0)
		rc = list_shares(tx, &member, attr.topic, fn, arg);
	zk_read_end(tx);
	return rc == -ENOENT ? -ESTALE : rc;
}

static int
port_share(void *impl, uint64_t group, uint32_t number,
    struct zk_port_share *ret_share)
{
	struct zk_port *port = impl;
	struct zk_share share;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = zk_share_get(tx, group, number, &share);
	zk_read_end(tx);
	if (rc < 0)
		return rc == -ENOENT ? -ESTALE : rc;
	*ret_share = (struct zk_port_share){
	    .number = number,
	    .committed = share.committed,
	    .since = share.since,
	    .tries = share.tries,
	};
	return 0;
}

/* --- texts ---------------------------------------------------------------- */

/* Text that fills up; what does not fit is noticed at the end. */
struct text {
	char *buf;
	size_t len, cap;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void
print(struct text *text, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text->buf + text->len, text->cap - text->len, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= text->cap - text->len)
		text->full = true;
	else
		text->len += (size_t)n;
}

/* A member's name, or its node id where no name is known. */
static void
print_node(struct text *text, struct zk_port *port,
    const struct zk_roster *roster, uint64_t node)
{
	const struct zk_roster_row *row =
	    node == 0 ? NULL : zk_roster_find_node(roster, node);
	const struct zk_ident *self = zk_store_ident(port->store);

	if (row != NULL)
		print(text, "%s", row->name);
	else if (node == self->node)
		print(text, "%s", self->member);
	else if (node != 0)
		print(text, "%016" PRIx64, node);
	else
		print(text, "none");
}

static int
port_partition_text(void *impl, uint64_t partition, const char *name,
    const struct zk_port_partition *info, char *buf, size_t cap)
{
	struct zk_port *port = impl;
	struct text text = {.buf = buf, .cap = cap};
	struct zk_partition_info known;
	struct zk_roster roster;
	struct zk_tx *tx = NULL;
	int rc;

	if (strcmp(name, "start") == 0 || strcmp(name, "end") == 0) {
		print(&text, "%" PRIu64,
		    name[0] == 's' ? info->start : info->end);
		return (int)text.len;
	}
	rc = zk_broker_info(broker_of(port), partition, &known);
	if (rc == 0)
		rc = zk_read_begin(port->store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_roster_load(tx, &roster);
	zk_read_end(tx);
	if (rc < 0)
		return rc;
	if (strcmp(name, "leader") == 0)
		print_node(&text, port, &roster, known.leader);
	for (uint32_t i = 0;
	     strcmp(name, "replicas") == 0 && i < known.replica_count; i++) {
		if (i > 0)
			print(&text, ",");
		print_node(&text, port, &roster, known.replicas[i]);
	}
	return text.full ? -ERANGE : (int)text.len;
}

/* One line for each partition: its name, how far, the end, the difference. */
static int
print_lag(struct zk_port *port, struct zk_tx *tx, const struct zk_attr *attr,
    struct text *text)
{
	struct zk_partition partition = {0};
	struct zk_share share = {0};
	int rc = 0;

	for (uint32_t i = 0; rc == 0; i++) {
		struct zk_partition_info info = {.id = 0};
		uint64_t from;

		rc = zk_share_get(tx, attr->group, i, &share);
		if (rc == 0)
			rc = zk_partition_get(tx, attr->topic, i, &partition);
		if (rc < 0)
			break;
		if (zk_broker_info(broker_of(port), partition.ino, &info) < 0 ||
		    !info.known) {
			print(text, "p%" PRIu32 "\t%" PRIu64 "\t-\t-\n", i,
			    share.committed);
			continue;
		}
		from =
		    share.committed < info.start ? info.start : share.committed;
		print(text,
		    "p%" PRIu32 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\n", i,
		    from, info.end, info.end > from ? info.end - from : 0);
	}
	return rc == -ENOENT ? 0 : rc;
}

static void
print_shares(struct zk_tx *tx, const struct zk_group_member *member,
    struct text *text)
{
	struct zk_share share;
	const char *between = "";

	for (uint32_t i = 0; zk_share_get(tx, member->group, i, &share) == 0;
	     i++) {
		if (share.owner != member->joined)
			continue;
		print(text, "%sp%" PRIu32 "%s", between, i,
		    share.want == member->joined ? "" : "!");
		between = ",";
	}
	print(text, "%s\n", between[0] == '\0' ? "-" : "");
}

/* One line for each member: its host, when it joined, what it has. */
static int
print_members(struct zk_tx *tx, const struct zk_attr *attr, struct text *text)
{
	struct zk_group_member member = {.joined = 0};
	int rc;

	while ((rc = zk_group_member_next(tx, attr->group, member.joined,
	            &member)) == 0) {
		struct zk_session session = {.id = 0};

		rc = zk_session_get(tx, member.session, &session);
		if (rc < 0)
			return rc;
		print(text, "%s\t%" PRIu64 "\t", session.member, member.joined);
		print_shares(tx, &member, text);
	}
	return rc == -ENOENT ? 0 : rc;
}

static int
port_group_text(void *impl, const struct zk_attr *attr, char *buf, size_t cap,
    size_t *ret_len)
{
	struct text text = {.buf = buf, .cap = cap};
	struct zk_port *port = impl;
	struct zk_tx *tx;
	int rc = zk_read_begin(port->store, &tx);

	if (rc < 0)
		return rc;
	rc = attr->kind == ZK_NODE_LAG ? print_lag(port, tx, attr, &text)
	                               : print_members(tx, attr, &text);
	zk_read_end(tx);
	*ret_len = text.len;
	if (rc == 0 && text.full)
		rc = -EMSGSIZE;
	return rc;
}

void
zk_port_topics(struct zk_fs_port *port)
{
	port->topic = port_topic;
	port->partition = port_partition;
	port->info = port_info;
	port->memory = port_memory;
	port->fetch = port_fetch;
	port->ask = port_ask;
	port->served = port_served;
	port->partition_of = port_partition_of;
	port->watch = port_watch;
	port->follow = port_follow;
	port->glimpse = port_glimpse;
	port->partition_text = port_partition_text;
	port->shares = port_shares;
	port->share = port_share;
	port->group_text = port_group_text;
}
