#include "daemon/join.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "daemon/cluster_key.h"
#include "daemon/launch.h"

int
zk_join_init(struct zk_join *join, struct zk_fault *ret_fault)
{
	*join = (struct zk_join){0};
	join->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (join->wake_fd < 0)
		return zk_fault_set(ret_fault, -errno, ZK_EXIT_SYSTEM,
		    "eventfd: %s", zk_err_text(-errno));
	return 0;
}

void
zk_join_wake(struct zk_join *join)
{
	const uint64_t one = 1;

	(void)!write(join->wake_fd, &one, sizeof(one));
}

static void
on_wake(void *arg)
{
	zk_join_wake(arg);
}

static void
on_removed(void *arg)
{
	const struct zk_join *join = arg;

	zk_join_wake(arg);
	if (join->removed != NULL)
		join->removed(join->arg);
}

void
zk_join_cancel(struct zk_join *join)
{
	atomic_store(&join->cancelled, true);
	zk_join_wake(join);
}

int
zk_join_check(const struct zk_join *join, struct zk_fault *ret_fault)
{
	if (!atomic_load(&join->cancelled))
		return 0;
	return zk_fault_set(ret_fault, -EINTR, ZK_EXIT_INTERRUPTED,
	    "interrupted, nothing is mounted");
}

/* --- the cluster ---------------------------------------------------------- */

/* Brackets keep the colons of IPv6 apart from the port's. */
static void
format_address(const struct zk_address *address, char *buf, size_t cap)
{
	const bool v6 = strchr(address->host, ':') != NULL;

	(void)snprintf(buf, cap, "%s%s%s:%u", v6 ? "[" : "", address->host,
	    v6 ? "]" : "", (unsigned)address->port);
}

static void
source_of(const struct zk_options *options, struct zk_directory *ret_source)
{
	_Static_assert(ZK_MEMBER_NAME_MAX <= ZK_AUTH_NAME_MAX, "names fit");
	_Static_assert(ZK_HOST_MAX + 8 <= ZK_TRANSPORT_ADDRESS_MAX,
	    "addresses fit");
	ZK_ASSERT(options->member_count <= ZK_DIRECTORY_MAX);

	*ret_source = (struct zk_directory){.count = options->member_count};
	for (size_t i = 0; i < options->member_count; i++) {
		struct zk_directory_member *m = &ret_source->members[i];

		(void)snprintf(m->name, sizeof(m->name), "%s",
		    options->members[i].name);
		format_address(&options->members[i].address, m->address,
		    sizeof(m->address));
	}
}

/* Without SOURCE the store says who the members are. */
static void
source_of_store(const struct zk_directory *stored,
    struct zk_directory *ret_source)
{
	ret_source->count = 0;
	for (size_t i = 0; i < stored->count; i++) {
		if (stored->members[i].address[0] == '\0')
			continue;
		ret_source->members[ret_source->count] = stored->members[i];
		ret_source->members[ret_source->count++].node = 0;
	}
	ret_source->index = 0;
}

static const char *
address_in(const struct zk_directory *directory, const char *name)
{
	const int i = zk_directory_find(directory, name);

	return i >= 0 ? directory->members[i].address : "";
}

/*
 * Where others find this member: where SOURCE says, or an operator has said,
 * or else where it listens by its own wish.
 */
static void
choose_address(const struct zk_options *options, const char *in_source,
    const char *in_store, char address[ZK_TRANSPORT_ADDRESS_MAX + 1])
{
	const char *host = options->listen.host;
	const size_t cap = ZK_TRANSPORT_ADDRESS_MAX + 1;

	(void)snprintf(address, cap, "%s", in_source);
	if (address[0] == '\0' && host[0] != '\0' &&
	    strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0)
		format_address(&options->listen, address, cap);
	if (address[0] == '\0')
		(void)snprintf(address, cap, "%s", in_store);
}

/* It listens there, unless it wishes otherwise. */
static int
listen_at(struct zk_options *options, const char *address,
    struct zk_fault *ret_fault)
{
	const char *reason;

	if (address[0] != '\0' && options->listen.host[0] == '\0' &&
	    zk_value_address(address, 0, &options->listen, &reason) < 0)
		return zk_fault_set(ret_fault, -ZK_ECORRUPT, ZK_EXIT_MOUNT,
		    "data=%s: the address of this member: %s", options->data,
		    reason);
	return zk_options_check_exposure(options, ret_fault);
}

static const char *
or_null(const char *path)
{
	return path[0] != '\0' ? path : NULL;
}

static int
open_cluster(struct zk_join *join, const struct zk_options *options,
    const struct zk_cluster_options *given, struct zk_fault *ret_fault)
{
	struct zk_cluster_options cluster = *given;
	char listen[ZK_HOST_MAX + 16];
	struct zk_auth_key key;
	int rc = 0;

	if (options->key[0] != '\0') {
		rc = zk_cluster_key_read(options->key, &key, ret_fault);
		cluster.key = &key;
	}
	if (rc < 0)
		return rc;
	if (options->listen.host[0] != '\0') {
		format_address(&options->listen, listen, sizeof(listen));
		cluster.listen = listen;
	}
	cluster.tls_cert = or_null(options->tls_cert);
	cluster.tls_key = or_null(options->tls_key);
	cluster.tls_ca = or_null(options->tls_ca);
	cluster.data = options->data;
	cluster.wake = on_wake;
	cluster.removed = on_removed;
	cluster.arg = join;
	rc = zk_cluster_open(&cluster, &join->cluster, ret_fault);
	explicit_bzero(&key, sizeof(key));
	return rc;
}

/* One member that nobody can reach is all that there is. */
static bool
is_alone(const struct zk_options *options, const struct zk_directory *stored)
{
	return options->member_count == 0 &&
	    (stored == NULL ||
	        (stored->count == 1 && stored->members[0].address[0] == '\0'));
}

int
zk_join_open(struct zk_join *join, struct zk_options *options,
    struct zk_store *store, struct zk_fault *ret_fault)
{
	const char *member = zk_store_ident(store)->member;
	const bool listens = options->listen.host[0] != '\0';
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1];
	struct zk_cluster_options cluster = {
	    .store = store,
	    .listen_key = listens ? "listen" : "source",
	    .address = address,
	};
	struct zk_directory source, stored = {0};
	int rc;

	if (join->deadline_ms == 0)
		join->deadline_ms =
		    (int64_t)zk_clock_ms() + ZK_LAUNCH_QUORUM_MS;
	rc = zk_directory_load(store, &stored);
	if (rc < 0 && rc != -ENOENT)
		return zk_fault_set(ret_fault, rc, ZK_EXIT_MOUNT, "data=%s: %s",
		    options->data, zk_err_text(rc));
	if (is_alone(options, rc == 0 ? &stored : NULL))
		return 0;
	if (options->member_count > 0)
		source_of(options, &source);
	else
		source_of_store(&stored, &source);
	cluster.source = &source;
	cluster.name = options->name[0] != '\0' ? options->name : member;
	choose_address(options, address_in(&source, cluster.name),
	    address_in(&stored, cluster.name), address);
	rc = listen_at(options, address, ret_fault);
	return rc < 0 ? rc : open_cluster(join, options, &cluster, ret_fault);
}

/* --- waiting -------------------------------------------------------------- */

/* A wake, a signal, or the end of all patience. */
static int
wait_more(struct zk_join *join, struct zk_fault *ret_fault)
{
	struct pollfd pfd = {.fd = join->wake_fd, .events = POLLIN};
	const int64_t left = join->deadline_ms - (int64_t)zk_clock_ms();
	char why[ZK_FAULT_TEXT_MAX / 2];
	uint64_t count;

	if (left <= 0) {
		zk_cluster_explain(join->cluster, why, sizeof(why));
		return zk_fault_set(ret_fault, -ETIMEDOUT, ZK_EXIT_MOUNT,
		    "no quorum within %u s: %s", ZK_LAUNCH_QUORUM_MS / 1000,
		    why);
	}
	if (poll(&pfd, 1,
	        left < ZK_CLUSTER_POLL_MS ? (int)left : ZK_CLUSTER_POLL_MS) > 0)
		(void)!read(join->wake_fd, &count, sizeof(count));
	return zk_join_check(join, ret_fault);
}

/*
 * Who was let in may learn only then where it is to listen: then it begins
 * anew, with what it has stored.
 */
static int
listen_at_last(struct zk_join *join, struct zk_options *options,
    struct zk_store *store, struct zk_fault *ret_fault)
{
	const char *name = zk_store_ident(store)->member;
	struct zk_directory stored;

	if (options->listen.host[0] != '\0' ||
	    zk_directory_load(store, &stored) < 0 ||
	    address_in(&stored, name)[0] == '\0')
		return 0;
	zk_cluster_close(join->cluster);
	join->cluster = NULL;
	return zk_join_open(join, options, store, ret_fault);
}

int
zk_join_wait_formed(struct zk_join *join, struct zk_options *options,
    struct zk_store *store, struct zk_fault *ret_fault)
{
	int rc;

	while ((rc = zk_cluster_poll(join->cluster, ret_fault)) == 0) {
		rc = wait_more(join, ret_fault);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? rc : listen_at_last(join, options, store, ret_fault);
}

int
zk_join_wait_session(struct zk_join *join, const struct zk_node *node,
    struct zk_fault *ret_fault)
{
	int rc = 0;

	while (rc == 0 && zk_node_session(node) == 0) {
		rc = zk_cluster_poll(join->cluster, ret_fault);
		if (rc >= 0)
			rc = wait_more(join, ret_fault);
	}
	return rc;
}

void
zk_join_close(struct zk_join *join)
{
	zk_cluster_close(join->cluster);
	join->cluster = NULL;
}
