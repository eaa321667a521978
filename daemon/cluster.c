#include "daemon/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"

/* --- for the node --------------------------------------------------------- */

static void
net_send(void *arg, uint64_t to, bool bulk, const void *bytes, size_t len)
{
	struct zk_cluster *c = arg;
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};

	/* Who is not there, or too slow, gets it again from Raft. */
	(void)zk_transport_send(c->transport, to,
	    bulk ? ZK_LANE_BULK : ZK_LANE_FAST, ZK_GROUP_TREE, &iov, 1);
}

static void
net_resume(void *arg)
{
	struct zk_cluster *c = arg;

	(void)pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->session_count; i++)
		zk_transport_resume(c->transport, c->sessions[i].node);
	(void)pthread_mutex_unlock(&c->lock);
}

static void
net_bad_frame(void *arg, uint64_t peer)
{
	struct zk_cluster *c = arg;

	zk_log_warnx("GARBAGE node=%016" PRIx64
	             " reason=sent what no member sends",
	    peer);
	zk_transport_disconnect(c->transport, peer);
}

/* --- formation ------------------------------------------------------------ */

/* Under the lock: what was recorded is in force. */
static void
set_formed(struct zk_cluster *c, const struct zk_directory *directory)
{
	c->directory = *directory;
	memcpy(c->ensemble, zk_store_ident(c->store)->ensemble,
	    sizeof(c->ensemble));
	c->founders = (struct zk_conf){.count = (uint32_t)directory->count};
	for (size_t i = 0; i < directory->count; i++) {
		c->founders.ids[i] = directory->members[i].node;
		c->founders.voter_bits |= 1u << i;
	}
	c->formed = true;
}

/* Before anything is done as a member: it cannot be forgotten any more. */
static int
record(struct zk_cluster *c, const uint8_t ensemble[ZK_ENSEMBLE_BYTES],
    const struct zk_directory *directory)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(c->store, &tx);
	if (rc < 0)
		return rc;
	rc = zk_store_join(tx, ensemble);
	if (rc == 0)
		rc = zk_directory_store(tx, directory);
	if (rc < 0) {
		zk_store_abort(tx);
		return rc;
	}
	return zk_store_commit(tx);
}

static int
form(struct zk_cluster *c, const uint8_t ensemble[ZK_ENSEMBLE_BYTES],
    const struct zk_directory *directory, struct zk_fault *ret_fault)
{
	const int rc = record(c, ensemble, directory);

	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    c->data, zk_err_text(rc));
	set_formed(c, directory);
	zk_transport_set_ensemble(c->transport, ensemble);
	zk_log_info("FORMED member=%s members=%zu", c->name, directory->count);
	zk_cluster_greet_all(c);
	return 1;
}

static bool
same_names(const struct zk_directory *a, const struct zk_directory *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (zk_directory_find(b, a->members[i].name) < 0)
			return false;
	return a->count == b->count;
}

/* Under the lock: what somebody told us. */
static int
judge_found(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_directory *found = &c->found_directory;
	const int self = zk_directory_find(found, c->name);

	if (!same_names(found, &c->source))
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "SOURCE: lists other members than those of the ensemble: "
		    "it must be the same on every host");
	/* The teller looked at both; so it is not for us. */
	if (found->members[self].node != zk_store_ident(c->store)->node) {
		c->found = false;
		return 0;
	}
	return form(c, c->found_ensemble, found, ret_fault);
}

/* Whoever is first by name founds, whatever the order of SOURCE. */
static bool
is_founder(const struct zk_cluster *c)
{
	for (size_t i = 0; i < c->source.count; i++)
		if (strcmp(c->source.members[i].name, c->name) < 0)
			return false;
	return true;
}

/* Under the lock. */
static const struct zk_cluster_session *
session_of(const struct zk_cluster *c, const char *name)
{
	for (size_t i = 0; i < c->session_count; i++)
		if (strcmp(c->sessions[i].name, name) == 0)
			return &c->sessions[i];
	return NULL;
}

/* Under the lock: found the ensemble when all are here, and fresh. */
static int
found(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_ident *ident = zk_store_ident(c->store);
	struct zk_directory directory = c->source;
	uint8_t ensemble[ZK_ENSEMBLE_BYTES];

	for (size_t i = 0; i < directory.count; i++) {
		struct zk_directory_member *m = &directory.members[i];
		const struct zk_cluster_session *session;

		if (strcmp(m->name, c->name) == 0) {
			m->node = ident->node;
			continue;
		}
		session = session_of(c, m->name);
		if (session == NULL || !session->fresh)
			return 0;
		m->node = session->node;
	}
	/* The new ensemble's id is the one that our store drew at random. */
	memcpy(ensemble, ident->ensemble, sizeof(ensemble));
	return form(c, ensemble, &directory, ret_fault);
}

int
zk_cluster_poll(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	int rc = 0;

	(void)pthread_mutex_lock(&c->lock);
	if (c->formed)
		rc = 1;
	else if (c->found)
		rc = judge_found(c, ret_fault);
	else if (!c->stranger && is_founder(c))
		rc = found(c, ret_fault);
	(void)pthread_mutex_unlock(&c->lock);
	return rc;
}

void
zk_cluster_attach(struct zk_cluster *c, struct zk_node *node)
{
	(void)pthread_mutex_lock(&c->lock);
	c->node = node;
	for (size_t i = 0; i < c->session_count; i++)
		if (zk_cluster_is_member(c, &c->sessions[i]))
			zk_node_peer(node, c->sessions[i].node, true);
	(void)pthread_mutex_unlock(&c->lock);
}

/* --- what is wrong -------------------------------------------------------- */

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

/* Under the lock: the newest refusal of that name, or none. */
static enum zk_refusal
refusal_of(const struct zk_cluster *c, const char *name)
{
	enum zk_refusal reason = ZK_REFUSED_NOT;
	uint64_t newest = 0;

	for (size_t i = 0; i < ZK_REFUSALS_KEPT; i++) {
		const struct zk_cluster_refusal *r = &c->refusals[i];

		if (strcmp(r->name, name) == 0 && r->told_ms >= newest &&
		    r->reason != ZK_REFUSED_NOT) {
			newest = r->told_ms;
			reason = r->reason;
		}
	}
	return reason;
}

static void
explain_member(const struct zk_cluster *c, struct line *line,
    const struct zk_directory_member *m)
{
	const struct zk_cluster_session *session = session_of(c, m->name);
	const enum zk_refusal reason = refusal_of(c, m->name);

	if (strcmp(m->name, c->name) == 0)
		return;
	add(line, "%s%s (%s) ", line->len > 0 ? "; " : "", m->name, m->address);
	if (session == NULL && reason != ZK_REFUSED_NOT)
		add(line, "%s", zk_refusal_text(reason));
	else if (session == NULL)
		add(line, "is not reached");
	else if (c->formed && !zk_cluster_is_member(c, session))
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
	if (c->stranger && c->stranger_node != 0)
		add(&line,
		    "%s is a member of this ensemble with another data "
		    "directory (node %016" PRIx64 "); remove and add it",
		    c->name, c->stranger_node);
	else if (c->stranger)
		add(&line, "%s is not a member of this ensemble", c->name);
	for (size_t i = 0; !c->stranger && i < c->source.count; i++)
		explain_member(c, &line, &c->source.members[i]);
	(void)pthread_mutex_unlock(&c->lock);
}

/* --- life ----------------------------------------------------------------- */

/* What the store knows of an ensemble, against what was asked for. */
static int
load(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_ident *ident = zk_store_ident(c->store);
	struct zk_store_usage usage = {0};
	struct zk_directory directory;
	int rc;

	if (strcmp(ident->member, c->name) != 0)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "name=%s: the data directory %s belongs to member %s",
		    c->name, c->data, ident->member);
	rc = zk_directory_load(c->store, &directory);
	if (rc == 0) {
		set_formed(c, &directory);
		return 0;
	}
	if (rc == -ENOENT)
		rc = zk_store_usage(c->store, &usage);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    c->data, zk_err_text(rc));
	if (usage.applied_index > 0)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "data=%s: belongs to an ensemble of one member, and SOURCE "
		    "lists %zu",
		    c->data, c->source.count);
	return 0;
}

/* The transport orders the starts of a member by this. */
static int
count_boot(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	struct zk_tx *tx;
	int rc;

	rc = zk_store_begin(c->store, &tx);
	if (rc == 0) {
		rc = zk_store_count_boot(tx);
		if (rc == 0)
			rc = zk_store_commit(tx);
		else
			zk_store_abort(tx);
	}
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    c->data, zk_err_text(rc));
	return 0;
}

static int
open_transport(struct zk_cluster *c, const struct zk_cluster_options *o,
    struct zk_fault *ret_fault)
{
	const struct zk_ident *ident = zk_store_ident(c->store);
	struct zk_transport_options options = {
	    .name = c->name,
	    .node = ident->node,
	    .incarnation = ident->boots,
	    .version = ZK_CLUSTER_VERSION,
	    .listen = o->listen,
	    .key = o->key != NULL ? o->key->bytes : NULL,
	    .key_len = o->key != NULL ? o->key->len : 0,
	    .insecure = o->key == NULL,
	    .tls_cert = o->tls_cert,
	    .tls_key = o->tls_key,
	    .tls_ca = o->tls_ca,
	    .callbacks = zk_cluster_callbacks(c),
	};
	int rc;

	if (c->formed)
		memcpy(options.ensemble, c->ensemble, sizeof(options.ensemble));
	rc = zk_transport_open(&options, &c->transport);
	if (rc == -EBADMSG)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE,
		    "tls_cert, tls_key, tls_ca: not what they should be: a "
		    "certificate, its key and that of its authority, in PEM");
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "%s=%s: %s",
		    o->listen_key, o->listen, zk_err_text(rc));
	return 0;
}

/* SOURCE tells where the members are now, the directory who they are. */
static int
set_peers(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_directory *who = c->formed ? &c->directory : &c->source;
	struct zk_transport_peer peers[ZK_DIRECTORY_MAX];
	int rc;

	for (size_t i = 0; i < who->count; i++) {
		const struct zk_directory_member *m = &who->members[i];
		const int at = zk_directory_find(&c->source, m->name);

		peers[i] = (struct zk_transport_peer){
		    .name = m->name,
		    .address =
		        at >= 0 ? c->source.members[at].address : m->address,
		};
	}
	for (size_t i = 0; c->formed && i < c->source.count; i++)
		if (zk_directory_find(who, c->source.members[i].name) < 0)
			zk_log_warnx("SOURCE member=%s reason=not a member of "
			             "this ensemble",
			    c->source.members[i].name);
	rc = zk_transport_set_peers(c->transport, peers, who->count);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_USAGE,
		    "SOURCE: a name or an address cannot be used: %s",
		    zk_err_text(rc));
	return 0;
}

static int
start_transport(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const int rc = zk_transport_start(c->transport);

	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_SYSTEM,
		    "cannot start a thread: %s", zk_err_text(rc));
	return 0;
}

int
zk_cluster_open(const struct zk_cluster_options *options,
    struct zk_cluster **ret_cluster, struct zk_fault *ret_fault)
{
	struct zk_cluster *c = calloc(1, sizeof(*c));
	int rc;

	ZK_ASSERT(zk_directory_find(options->source, options->name) >= 0);

	if (c == NULL)
		return zk_fault_set(ret_fault, -ENOMEM, ZK_EXIT_SYSTEM, "%s",
		    zk_err_text(-ENOMEM));
	c->store = options->store;
	c->wake = options->wake;
	c->arg = options->arg;
	c->source = *options->source;
	(void)snprintf(c->name, sizeof(c->name), "%s", options->name);
	(void)snprintf(c->data, sizeof(c->data), "%s", options->data);
	c->network = (struct zk_node_network){
	    .arg = c,
	    .send = net_send,
	    .resume = net_resume,
	    .bad_frame = net_bad_frame,
	};
	(void)pthread_mutex_init(&c->lock, NULL);
	rc = load(c, ret_fault);
	if (rc == 0)
		rc = count_boot(c, ret_fault);
	if (rc == 0)
		rc = open_transport(c, options, ret_fault);
	if (rc == 0)
		rc = set_peers(c, ret_fault);
	if (rc == 0)
		rc = start_transport(c, ret_fault);
	if (rc < 0) {
		zk_cluster_close(c);
		return rc;
	}
	*ret_cluster = c;
	return 0;
}

void
zk_cluster_stop(struct zk_cluster *c)
{
	if (c != NULL && c->transport != NULL)
		zk_transport_stop(c->transport);
}

void
zk_cluster_close(struct zk_cluster *c)
{
	if (c == NULL)
		return;
	zk_transport_close(c->transport);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct zk_conf *
zk_cluster_founders(const struct zk_cluster *c)
{
	return &c->founders;
}

const struct zk_directory *
zk_cluster_directory(const struct zk_cluster *c)
{
	return &c->directory;
}

const struct zk_node_network *
zk_cluster_network(const struct zk_cluster *c)
{
	return &c->network;
}

void
zk_cluster_stats(struct zk_cluster *c, struct zk_cluster_stats *ret_stats)
{
	struct zk_transport_stats stats;

	zk_transport_stats(c->transport, &stats);
	*ret_stats = (struct zk_cluster_stats){
	    .frames_in = stats.frames_in,
	    .frames_out = stats.frames_out,
	    .bytes_in = stats.bytes_in,
	    .bytes_out = stats.bytes_out,
	    .bad_frames = stats.bad_frames,
	    .refused = stats.refused,
	    .peers_up = stats.peers_up,
	};
}
