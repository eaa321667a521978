#include "daemon/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/command.h"
#include "store/lock.h"
#include "store/roster.h"
#include "store/session.h"

/* A text that stops growing when the buffer is full. */
struct text {
	char *buf;
	size_t len, cap;
};

__attribute__((format(printf, 2, 3))) static void
say(struct text *text, const char *fmt, ...)
{
	const size_t room = text->cap - text->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text->buf + text->len, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	text->len += (size_t)n < room ? (size_t)n : room;
}

/* Six voters, with what is wrong with each. */
#define UNREACHED_BYTES 4096

/* Everything that status, status.json and metrics tell. */
struct picture {
	struct zk_node_status node;
	struct zk_store_usage store;
	const struct zk_ident *ident;
	char ensemble[33];
	char unreached[UNREACHED_BYTES];
	uint64_t uptime_s;
};

static int
take_picture(struct zk_report *report, struct picture *ret_picture)
{
	struct picture p = {0};
	struct timespec now;

	p.ident = zk_store_ident(report->store);
	for (size_t i = 0; i < sizeof(p.ident->ensemble); i++)
		(void)snprintf(p.ensemble + 2 * i, 3, "%02x",
		    p.ident->ensemble[i]);
	zk_node_status(report->node, &p.node);
	if (report->cluster != NULL)
		zk_cluster_unreached(report->cluster, p.unreached,
		    sizeof(p.unreached));
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	p.uptime_s = (uint64_t)(now.tv_sec - report->started.tv_sec);
	*ret_picture = p;
	return zk_store_usage(report->store, &ret_picture->store);
}

/* A member's name; its number when it has none here, "-" for nobody. */
static void
say_name(struct zk_report *report, struct text *text, uint64_t node)
{
	char name[ZK_AUTH_NAME_MAX + 1];

	if (report->cluster == NULL)
		say(text, "%s", zk_store_ident(report->store)->member);
	else if (node == 0)
		say(text, "-");
	else if (zk_cluster_name(report->cluster, node, name))
		say(text, "%s", name);
	else
		say(text, "%016" PRIx64, node);
}

static int
text_state(struct zk_report *report, struct text *text)
{
	struct zk_node_status status;

	zk_node_status(report->node, &status);
	say(text, "%s\n", status.state);
	return 0;
}

static int
text_session(struct zk_report *report, struct text *text)
{
	say(text, "%" PRIx64 "\n", zk_node_session(report->node));
	return 0;
}

static int
text_leader(struct zk_report *report, struct text *text)
{
	struct zk_node_status status;

	zk_node_status(report->node, &status);
	say_name(report, text, status.leader);
	say(text, "\n");
	return 0;
}

static void
say_own_address(struct zk_report *report, struct text *text)
{
	const struct zk_address *listen = zk_options_listen(report->options);

	if (listen == NULL)
		say(text, "-");
	else
		say(text, "%s:%u", listen->host, (unsigned)listen->port);
}

static const struct zk_node_member *
find_node(const struct zk_node_status *status, uint64_t node)
{
	for (size_t i = 0; node != 0 && i < status->member_count; i++)
		if (status->members[i].node == node)
			return &status->members[i];
	return NULL;
}

static void
say_rest(struct text *text, const struct zk_node_member *m, const char *role)
{
	if (m != NULL && m->known)
		say(text, " %s %" PRIu64 " %" PRIu32 "\n", role, m->lag,
		    m->contact_ms);
	else
		say(text, " %s - -\n", role);
}

/* What is wanted, where the group is not so far. */
static const char *
role_of(const struct zk_roster_row *row, const struct zk_node_member *m)
{
	if (row->role == ZK_ROSTER_LEAVING)
		return "leaving";
	if (m == NULL ||
	    (row->role == ZK_ROSTER_VOTER && strcmp(m->role, "observer") == 0))
		return "joining";
	return m->role;
}

static void
say_member(struct zk_report *report, struct text *text,
    const struct zk_roster_row *row, const struct zk_node_member *m)
{
	say(text, "%s ", row->name);
	if (report->cluster == NULL)
		say_own_address(report, text);
	else
		say(text, "%s", row->address[0] != '\0' ? row->address : "-");
	say_rest(text, m, role_of(row, m));
}

static int
load_roster(struct zk_report *report, struct zk_roster *ret_roster)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(report->store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_roster_load(tx, ret_roster);
	zk_read_end(tx);
	return rc;
}

/* Lag in entries, contact in milliseconds; "-" where it is not known. */
static int
text_members(struct zk_report *report, struct text *text)
{
	struct zk_roster *roster = malloc(sizeof(*roster));
	struct zk_node_status status;
	int rc;

	if (roster == NULL)
		return -ENOMEM;
	zk_node_status(report->node, &status);
	rc = load_roster(report, roster);
	say(text, "NAME ADDRESS ROLE LAG CONTACT\n");
	for (size_t i = 0; rc == 0 && i < roster->count; i++)
		say_member(report, text, &roster->rows[i],
		    find_node(&status, roster->rows[i].node));
	/* Before the first leader has named the founders. */
	for (size_t i = 0;
	     rc == 0 && roster->count == 0 && i < status.member_count; i++) {
		say_name(report, text, status.members[i].node);
		say(text, " -");
		say_rest(text, &status.members[i], status.members[i].role);
	}
	free(roster);
	return rc;
}

/* How the members' digests compare with the leader's. */
static int
text_digests(struct zk_report *report, struct text *text)
{
	struct zk_node_status status;

	zk_node_status(report->node, &status);
	say(text, "NAME INDEX DIGEST\n");
	for (size_t i = 0; i < status.member_count; i++) {
		const struct zk_node_member *m = &status.members[i];

		say_name(report, text, m->node);
		if (!m->known || m->compared == 0)
			say(text, " - -\n");
		else
			say(text, " %" PRIu64 " %s\n", m->compared,
			    m->differs                     ? "differs"
			        : m->node == status.leader ? "leader"
			                                   : "same");
	}
	return 0;
}

/* Raft's, but that an observer follows without a vote. */
static const char *
own_role(const struct picture *p)
{
	const struct zk_node_member *m = find_node(&p->node, p->ident->node);

	return m != NULL && strcmp(m->role, "observer") == 0 ? m->role
	                                                     : p->node.role;
}

static int
text_status(struct zk_report *report, struct text *text)
{
	struct picture p;
	int rc = take_picture(report, &p);

	if (rc < 0)
		return rc;
	say(text, "ensemble: %s\nmember: %s\nrole: %s\nstate: %s\nleader: ",
	    p.ensemble, p.ident->member, own_role(&p), p.node.state);
	say_name(report, text, p.node.leader);
	say(text,
	    "\nunreached: %s\nterm: %" PRIu64 "\napplied: %" PRIu64 "\n"
	    "nodes: %" PRIu64 "\nbytes: %" PRIu64 "\nsession: %" PRIx64 "\n"
	    "version: %s\ndata: %s\nuptime: %" PRIu64 "\npid: %ld\n"
	    "upgrades: %" PRIu64 "\nrefused upgrades: %" PRIu64 "\n",
	    p.unreached[0] != '\0' ? p.unreached : "-", p.node.term,
	    p.store.applied_index, p.store.nodes, p.store.row_bytes,
	    p.node.session, ZK_VERSION, report->options->data, p.uptime_s,
	    (long)getpid(), report->upgrades,
	    atomic_load(&report->upgrades_refused));
	return 0;
}

/* Strings that come from outside, as JSON wants them. */
static void
say_json(struct text *text, const char *string)
{
	say(text, "\"");
	for (const char *p = string; *p != '\0'; p++) {
		const unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\')
			say(text, "\\%c", c);
		else if (c < 0x20)
			say(text, "\\u%04x", c);
		else
			say(text, "%c", c);
	}
	say(text, "\"");
}

static int
text_status_json(struct zk_report *report, struct text *text)
{
	struct picture p;
	int rc = take_picture(report, &p);

	if (rc < 0)
		return rc;
	say(text, "{\"ensemble\":\"%s\",\"member\":", p.ensemble);
	say_json(text, p.ident->member);
	/* Names of members have no character that JSON minds. */
	say(text, ",\"role\":\"%s\",\"state\":\"%s\",\"leader\":\"",
	    own_role(&p), p.node.state);
	say_name(report, text, p.node.leader);
	say(text, "\",\"unreached\":");
	say_json(text, p.unreached);
	say(text,
	    ",\"term\":%" PRIu64 ",\"applied\":%" PRIu64 ",\"nodes\":%" PRIu64
	    ",\"bytes\":%" PRIu64 ",\"session\":\"%" PRIx64
	    "\",\"version\":\"%s\",\"data\":",
	    p.node.term, p.store.applied_index, p.store.nodes,
	    p.store.row_bytes, p.node.session, ZK_VERSION);
	say_json(text, report->options->data);
	say(text,
	    ",\"uptime\":%" PRIu64 ",\"pid\":%ld,\"upgrades\":%" PRIu64
	    ",\"upgrades_refused\":%" PRIu64 "}\n",
	    p.uptime_s, (long)getpid(), report->upgrades,
	    atomic_load(&report->upgrades_refused));
	return 0;
}

static void
metric(struct text *text, const char *name, const char *type, const char *help,
    uint64_t value)
{
	say(text, "# TYPE %s %s\n# HELP %s %s\n%s%s %" PRIu64 "\n", name, type,
	    name, help, name, strcmp(type, "counter") == 0 ? "_total" : "",
	    value);
}

static void
text_network(struct zk_report *report, struct text *text)
{
	struct zk_cluster_stats stats;

	zk_cluster_stats(report->cluster, &stats);
	metric(text, "zkfs_members_connected", "gauge",
	    "Other members with a connection.", stats.peers_up);
	metric(text, "zkfs_network_frames_in", "counter",
	    "Frames of other members.", stats.frames_in);
	metric(text, "zkfs_network_frames_out", "counter",
	    "Frames to other members.", stats.frames_out);
	metric(text, "zkfs_network_bytes_in", "counter",
	    "Bytes of other members.", stats.bytes_in);
	metric(text, "zkfs_network_bytes_out", "counter",
	    "Bytes to other members.", stats.bytes_out);
	metric(text, "zkfs_network_bad_frames", "counter",
	    "Connections closed for what came in.", stats.bad_frames);
	metric(text, "zkfs_network_refused", "counter",
	    "Connections refused, by either side.", stats.refused);
}

static void
metrics_replay(struct zk_report *report, struct text *text)
{
	struct zk_replay_counts counts = {0};

	if (report->fs != NULL)
		zk_fs_replay_counts(report->fs, &counts);
	metric(text, "zkfs_watch_raised", "counter",
	    "Changes raised for inotify.", counts.raised);
	metric(text, "zkfs_watch_tasks", "counter",
	    "System calls on the mount to raise them.", counts.tasks);
	metric(text, "zkfs_watch_merged", "counter",
	    "Changes raised together with a later one.", counts.merged);
	metric(text, "zkfs_watch_failed", "counter",
	    "Changes that could not be raised.", counts.failed);
	metric(text, "zkfs_watch_lost", "counter",
	    "Changes for which there was no room.", counts.lost);
	metric(text, "zkfs_watch_restarts", "counter",
	    "Helper processes that took another's place.", counts.restarts);
	metric(text, "zkfs_watch_waiting", "gauge",
	    "Changes still to be raised.", counts.waiting);
}

static int
text_metrics(struct zk_report *report, struct text *text)
{
	struct picture p;
	int rc = take_picture(report, &p);

	if (rc < 0)
		return rc;
	metric(text, "zkfs_fuse_requests", "counter",
	    "Requests of the kernel answered.",
	    zk_fs_request_count(report->fs));
	metrics_replay(report, text);
	metric(text, "zkfs_commands", "counter", "Commands agreed on.",
	    p.node.commands);
	metric(text, "zkfs_turns", "counter",
	    "Flushes; commands per turn is the batching.", p.node.turns);
	metric(text, "zkfs_queue_length", "gauge", "Commands that wait.",
	    p.node.queued);
	if (report->cluster != NULL)
		text_network(report, text);
	metric(text, "zkfs_snapshots_installed", "counter",
	    "Trees taken from another member as a whole.",
	    p.node.snapshots_installed);
	metric(text, "zkfs_term", "gauge", "Raft's term.", p.node.term);
	metric(text, "zkfs_applied_index", "gauge",
	    "Log index up to which the tree is.", p.store.applied_index);
	metric(text, "zkfs_log_first_index", "gauge",
	    "The log's oldest index; who lacks older ones needs a snapshot.",
	    p.node.first_index);
	metric(text, "zkfs_nodes", "gauge", "Nodes of the tree.",
	    p.store.nodes);
	metric(text, "zkfs_tree_bytes", "gauge", "Bytes of the tree's rows.",
	    p.store.row_bytes);
	metric(text, "zkfs_file_bytes", "gauge",
	    "Bytes of the tree's file in use.", p.store.file_bytes);
	metric(text, "zkfs_disk_free_bytes", "gauge",
	    "Bytes free where the data is.", p.store.disk_free);
	metric(text, "zkfs_uptime_seconds", "gauge",
	    "Since the daemon started.", p.uptime_s);
	say(text, "# EOF\n");
	return 0;
}

static int
text_digest(struct zk_report *report, struct text *text)
{
	struct picture p;
	int rc = take_picture(report, &p);

	if (rc == 0)
		say(text, "%" PRIu64 " %016" PRIx64 "\n", p.store.applied_index,
		    p.store.digest);
	return rc;
}

/* A line of zkfs.conf(5); none for what is not given. */
static void
say_setting(struct text *text, const char *key, const char *value)
{
	if (value[0] == '\0')
		return;
	say(text, "%s = ", key);
	if (strpbrk(value, " \t#\"\\") == NULL) {
		say(text, "%s\n", value);
		return;
	}
	say(text, "\"");
	for (const char *p = value; *p != '\0'; p++)
		say(text, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
	say(text, "\"\n");
}

static void
say_address(struct text *text, const char *key,
    const struct zk_address *address)
{
	const bool v6 = address != NULL && strchr(address->host, ':') != NULL;

	if (address != NULL && address->host[0] != '\0')
		say(text, "%s = %s%s%s:%u\n", key, v6 ? "[" : "", address->host,
		    v6 ? "]" : "", (unsigned)address->port);
}

static int
text_config(struct zk_report *report, struct text *text)
{
	static const char *const levels[] = {"error", "warn", "info", "debug"};
	const struct zk_options *o = report->options;

	say_setting(text, "source", o->source);
	say_setting(text, "name", zk_store_ident(report->store)->member);
	say_setting(text, "data", o->data);
	say_address(text, "listen", zk_options_listen(o));
	say(text,
	    "session_timeout = %ums\nop_timeout = %ums\nlost = %s\n"
	    "ro = %s\nmax_file = %" PRIu64 "\n",
	    o->session_timeout_ms, o->op_timeout_ms,
	    o->lost_eio ? "eio" : "stale", o->read_only ? "yes" : "no",
	    o->max_file_bytes);
	say_setting(text, "key", o->key);
	say_setting(text, "tls_cert", o->tls_cert);
	say_setting(text, "tls_key", o->tls_key);
	say_setting(text, "tls_ca", o->tls_ca);
	say(text, "insecure = %s\n", o->insecure ? "yes" : "no");
	say_address(text, "http", &o->http);
	say(text, "log = %s\n", levels[o->log_level]);
	if (o->log_syslog)
		say(text, "log = syslog\n");
	return 0;
}

static int
text_version(struct zk_report *report, struct text *text)
{
	(void)report;
	say(text, "%s\n", ZK_VERSION);
	return 0;
}

static int
text_sessions(struct zk_report *report, struct text *text)
{
	struct zk_session session;
	uint64_t after = 0;
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(report->store, &tx);
	if (rc < 0)
		return rc;
	say(text, "SESSION MEMBER OPENED\n");
	while ((rc = zk_session_next(tx, after, &session)) == 0) {
		after = session.id;
		say(text, "%" PRIx64 " %s %" PRId64 "\n", session.id,
		    session.member, session.opened.sec);
	}
	zk_read_end(tx);
	return rc == -ENOENT ? 0 : rc;
}

static void
say_lock(void *arg, const struct zk_lock_row *row)
{
	struct text *text = arg;

	say(text,
	    "%" PRIu64 " %s %s %s %" PRIu64 " %" PRIu64 " %" PRIx64 " %" PRIu32
	    " %" PRIu64 "\n",
	    row->ino, row->flock ? "flock" : "posix",
	    row->type == ZK_LOCK_EXCLUSIVE ? "write" : "read",
	    row->waiting ? "waits" : "holds", row->off, row->len, row->session,
	    row->pid, row->fence);
}

static int
text_locks(struct zk_report *report, struct text *text)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_read_begin(report->store, &tx);
	if (rc < 0)
		return rc;
	say(text, "INO KIND TYPE STATE START LENGTH SESSION PID FENCE\n");
	rc = zk_lock_list(tx, say_lock, text);
	zk_read_end(tx);
	return rc;
}

static const struct {
	const char *name;
	int (*text)(struct zk_report *report, struct text *text);
} files[] = {
    {"state", text_state},
    {"session", text_session},
    {"leader", text_leader},
    {"members", text_members},
    {"status", text_status},
    {"status.json", text_status_json},
    {"sessions", text_sessions},
    {"locks", text_locks},
    {"metrics", text_metrics},
    {"digest", text_digest},
    {"digests", text_digests},
    {"config", text_config},
    {"version", text_version},
};

#define FILE_COUNT (sizeof(files) / sizeof(files[0]))

const char *const zk_report_news[ZK_REPORT_NEWS] = {"state", "leader",
    "members", "session", "sessions", "locks"};

const char *
zk_report_name(size_t i)
{
	return i < FILE_COUNT ? files[i].name : NULL;
}

int
zk_report_text(struct zk_report *report, const char *name, char *buf,
    size_t cap, size_t *ret_len)
{
	struct text text = {.buf = buf, .cap = cap};
	int rc;

	for (size_t i = 0; i < FILE_COUNT; i++) {
		if (strcmp(files[i].name, name) != 0)
			continue;
		rc = files[i].text(report, &text);
		if (rc == 0)
			*ret_len = text.len;
		return rc;
	}
	return -ENOENT;
}
