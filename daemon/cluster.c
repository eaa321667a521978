#include "daemon/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/log.h"
#include "daemon/cluster_impl.h"
#include "daemon/topics_node.h"

/* So long others may tell that they belong to another ensemble. */
#define DOUBT_MS 2000u

/* --- for the node --------------------------------------------------------- */

static void
net_send(void *arg, uint64_t to, bool bulk, const void *bytes, size_t len)
{
	struct zk_cluster *c = arg;
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};

	/* Who is not there, or too slow, gets it again from Raft. */
	(void)zk_transport_queue(c->transport, to,
	    bulk ? ZK_LANE_BULK : ZK_LANE_FAST, ZK_GROUP_TREE, &iov, 1);
}

static void
net_push(void *arg, uint64_t to, bool bulk)
{
	struct zk_cluster *c = arg;

	zk_transport_push(c->transport, to, bulk ? ZK_LANE_BULK : ZK_LANE_FAST);
}

static void
net_send_topics(void *arg, uint64_t to, bool bulk, const void *bytes,
    size_t len)
{
	struct zk_cluster *c = arg;
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};

	/* As above. */
	(void)zk_transport_send(c->transport, to,
	    bulk ? ZK_LANE_BULK_2 : ZK_LANE_FAST_2, ZK_GROUP_TOPICS, &iov, 1);
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

/* --- the directory -------------------------------------------------------- */

/*
 * SOURCE tells where the members are, the directory who they are; with its
 * help those are found, too, that came while we were away.  Who is connected
 * stays so until it has heard that it is a member no more.
 */
static size_t
list_peers(const struct zk_cluster *c, struct zk_transport_peer *peers)
{
	const struct zk_directory *who = &c->directory;
	size_t count = 0;

	for (size_t i = 0; i < c->source.count; i++)
		peers[count++] = (struct zk_transport_peer){
		    .name = c->source.members[i].name,
		    .address = c->source.members[i].address,
		};
	for (size_t i = 0; c->formed && i < who->count; i++) {
		const struct zk_directory_member *m = &who->members[i];

		if (zk_directory_find(&c->source, m->name) < 0)
			peers[count++] = (struct zk_transport_peer){
			    .name = m->name,
			    .address =
			        m->address[0] != '\0' ? m->address : NULL,
			};
	}
	for (size_t i = 0; i < c->session_count; i++) {
		const char *name = c->sessions[i].name;

		if (zk_directory_find(&c->source, name) < 0 &&
		    (!c->formed || zk_directory_find(who, name) < 0))
			peers[count++] =
			    (struct zk_transport_peer){.name = name};
	}
	return count;
}

int
zk_cluster_set_peers(struct zk_cluster *c)
{
	struct zk_transport_peer
	    peers[2 * ZK_DIRECTORY_MAX + ZK_TRANSPORT_PEERS_MAX];
	const size_t count = list_peers(c, peers);

	return zk_transport_set_peers(c->transport, peers,
	    count < ZK_TRANSPORT_PEERS_MAX ? count : ZK_TRANSPORT_PEERS_MAX);
}

void
zk_cluster_adopt(struct zk_cluster *c, const struct zk_directory *directory)
{
	bool talked[ZK_TRANSPORT_PEERS_MAX] = {false};
	int rc;

	for (size_t i = 0; i < c->session_count; i++)
		talked[i] = zk_cluster_may_talk(c, &c->sessions[i]);
	c->directory = *directory;
	rc = zk_cluster_set_peers(c);
	if (rc < 0)
		zk_log_warnx("PEERS reason=%s", zk_err_text(rc));
	for (size_t i = 0; c->node != NULL && i < c->session_count; i++) {
		const struct zk_cluster_session *session = &c->sessions[i];
		const bool talks = zk_cluster_may_talk(c, session);

		if (talks != talked[i])
			zk_node_peer(c->node, session->node, talks);
	}
	zk_cluster_greet_all(c);
}

void
zk_cluster_reload(struct zk_cluster *c)
{
	struct zk_directory directory;
	int rc;

	rc = zk_directory_load(c->store, &directory);
	/* At the next change, then; and a damaged row stops the member. */
	if (rc < 0) {
		zk_log_warnx("MEMBERS reason=%s", zk_err_text(rc));
		return;
	}
	(void)pthread_mutex_lock(&c->lock);
	if (directory.index > c->directory.index)
		zk_cluster_adopt(c, &directory);
	zk_cluster_announce(c);
	(void)pthread_mutex_unlock(&c->lock);
}

void
zk_cluster_attach(struct zk_cluster *c, struct zk_node *node)
{
	(void)pthread_mutex_lock(&c->lock);
	c->node = node;
	for (size_t i = 0; i < c->session_count; i++)
		if (zk_cluster_may_talk(c, &c->sessions[i]))
			zk_node_peer(node, c->sessions[i].node, true);
	(void)pthread_mutex_unlock(&c->lock);
}

void
zk_cluster_attach_topics(struct zk_cluster *c, struct zk_topics_node *topics)
{
	(void)pthread_mutex_lock(&c->lock);
	c->topics = topics;
	for (size_t i = 0; i < c->session_count; i++)
		if (zk_cluster_may_talk(c, &c->sessions[i]))
			zk_topics_node_peer(topics, c->sessions[i].node, true);
	(void)pthread_mutex_unlock(&c->lock);
}

bool
zk_cluster_name(struct zk_cluster *c, uint64_t node, char *buf)
{
	int i;

	(void)pthread_mutex_lock(&c->lock);
	i = zk_directory_find_node(&c->directory, node);
	if (i >= 0)
		memcpy(buf, c->directory.members[i].name, ZK_AUTH_NAME_MAX + 1);
	(void)pthread_mutex_unlock(&c->lock);
	return i >= 0;
}

/* --- life ----------------------------------------------------------------- */

static void
own_directory(const struct zk_cluster *c, struct zk_directory *ret_directory)
{
	*ret_directory = c->source;
	ret_directory->members[0].node = c->self;
}

/* What the store knows of an ensemble, against what was asked for. */
static int
load(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const struct zk_ident *ident = zk_store_ident(c->store);
	/* One that was alone without an address, and has one now. */
	const bool is_self = c->source.count == 1 &&
	    strcmp(c->source.members[0].name, c->name) == 0;
	struct zk_store_usage usage = {0};
	struct zk_directory directory;
	int rc;

	if (strcmp(ident->member, c->name) != 0)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "name=%s: the data directory %s belongs to member %s",
		    c->name, c->data, ident->member);
	rc = zk_directory_load(c->store, &directory);
	if (rc == 0 &&
	    (directory.count > 1 || is_self ||
	        directory.members[0].address[0] != '\0')) {
		zk_cluster_set_formed(c, &directory);
		return 0;
	}
	if (rc == -ENOENT || rc == 0)
		rc = zk_store_usage(c->store, &usage);
	if (rc < 0)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    c->data, zk_err_text(rc));
	if (usage.applied_index == 0)
		return 0;
	if (!is_self)
		return zk_fault_set(ret_fault, -EINVAL, ZK_EXIT_MOUNT,
		    "data=%s: belongs to an ensemble of one member, and SOURCE "
		    "lists others: start it with itself alone in SOURCE, and "
		    "let the others join it",
		    c->data);
	own_directory(c, &directory);
	zk_cluster_set_formed(c, &directory);
	return 0;
}

/* SOURCE may be out of date: that is told, and done without. */
static void
compare_source(struct zk_cluster *c)
{
	for (size_t i = 0; c->formed && i < c->source.count; i++) {
		const char *name = c->source.members[i].name;

		if (zk_directory_find(&c->directory, name) >= 0)
			continue;
		zk_log_warnx("SOURCE member=%s reason=not a member of this "
		             "ensemble",
		    name);
		c->doubtful_until_ms = zk_cluster_now_ms() + DOUBT_MS;
	}
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
	    .dial_all = o->listen != NULL && o->address[0] == '\0',
	    .key = o->key != NULL ? o->key->bytes : NULL,
	    .key_len = o->key != NULL ? o->key->len : 0,
	    .insecure = o->key == NULL,
	    .tls_cert = o->tls_cert,
	    .tls_key = o->tls_key,
	    .tls_ca = o->tls_ca,
	    .lanes = ZK_LANES_MAX,
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

static int
set_peers(struct zk_cluster *c, struct zk_fault *ret_fault)
{
	const int rc = zk_cluster_set_peers(c);

	compare_source(c);
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

	ZK_ASSERT(options->source->count <= ZK_DIRECTORY_MAX);

	if (c == NULL)
		return zk_fault_set(ret_fault, -ENOMEM, ZK_EXIT_SYSTEM, "%s",
		    zk_err_text(-ENOMEM));
	c->store = options->store;
	c->self = zk_store_ident(options->store)->node;
	c->wake = options->wake;
	c->removed = options->removed;
	c->arg = options->arg;
	c->source = *options->source;
	(void)snprintf(c->name, sizeof(c->name), "%s", options->name);
	(void)snprintf(c->address, sizeof(c->address), "%s", options->address);
	(void)snprintf(c->data, sizeof(c->data), "%s", options->data);
	c->network = (struct zk_node_network){
	    .arg = c,
	    .send = net_send,
	    .push = net_push,
	    .resume = net_resume,
	    .bad_frame = net_bad_frame,
	};
	c->topics_network = c->network;
	c->topics_network.send = net_send_topics;
	c->topics_network.push = NULL;
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

const struct zk_roster *
zk_cluster_roster(const struct zk_cluster *c)
{
	return c->has_roster ? &c->roster : NULL;
}

const struct zk_node_network *
zk_cluster_network(const struct zk_cluster *c)
{
	return &c->network;
}

const struct zk_node_network *
zk_cluster_topics_network(const struct zk_cluster *c)
{
	return &c->topics_network;
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
