#ifndef ZK_TESTS_TRANSPORT_RIG_H
#define ZK_TESTS_TRANSPORT_RIG_H

/*
 * A transport on loopback that remembers what its callbacks were told.
 * Include it once a program; RIG_CHECK(cond) says what failing means there.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "consensus/transport.h"

#define RIG_WAIT_MS 20000
#define RIG_KEY     "0123456789abcdef0123456789abcdef"

struct member {
	struct zk_transport_options options;
	struct zk_transport *t;
	char listen[64], address[64];
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Protected by lock. */
	unsigned ups, downs, refusals;
	enum zk_refusal refusal;
	bool refused_by_peer;
	struct zk_transport_peer_info last_up;
	const char *down_reason;
	uint64_t received[ZK_LANES_MAX], bytes[ZK_LANES_MAX];
	/* Of frames that begin with a u64 number, lane by lane. */
	uint64_t next_number[ZK_LANES_MAX];
	unsigned out_of_order;
	uint32_t last_group, last_crc;
	size_t last_len;
	bool full; /* refuse what comes on the bulk lane */
	/* NULL, or called with what came in, without the lock. */
	void (*hook)(struct member *m, const struct zk_transport_frame *frame);
};

static bool
rig_received(void *arg, const struct zk_transport_frame *frame)
{
	struct member *m = arg;
	uint64_t number;

	(void)pthread_mutex_lock(&m->lock);
	if (m->full && frame->lane == ZK_LANE_BULK) {
		(void)pthread_mutex_unlock(&m->lock);
		return false;
	}
	m->received[frame->lane]++;
	m->bytes[frame->lane] += frame->len;
	m->last_group = frame->group;
	m->last_len = frame->len;
	m->last_crc = zk_crc32c(0, frame->bytes, frame->len);
	if (frame->len >= sizeof(number)) {
		memcpy(&number, frame->bytes, sizeof(number));
		if (number != m->next_number[frame->lane]++)
			m->out_of_order++;
	}
	(void)pthread_cond_broadcast(&m->cond);
	(void)pthread_mutex_unlock(&m->lock);
	if (m->hook != NULL)
		m->hook(m, frame);
	return true;
}

static void
rig_up(void *arg, const struct zk_transport_peer_info *info)
{
	struct member *m = arg;

	(void)pthread_mutex_lock(&m->lock);
	m->ups++;
	m->last_up = *info;
	memset(m->next_number, 0, sizeof(m->next_number));
	(void)pthread_cond_broadcast(&m->cond);
	(void)pthread_mutex_unlock(&m->lock);
}

static void
rig_down(void *arg, uint64_t peer, const char *reason)
{
	struct member *m = arg;

	(void)peer;
	(void)pthread_mutex_lock(&m->lock);
	m->downs++;
	m->down_reason = reason;
	(void)pthread_cond_broadcast(&m->cond);
	(void)pthread_mutex_unlock(&m->lock);
}

static void
rig_refused(void *arg, const struct zk_transport_refusal *refusal)
{
	struct member *m = arg;

	(void)pthread_mutex_lock(&m->lock);
	m->refusals++;
	m->refusal = refusal->reason;
	m->refused_by_peer = refusal->by_peer;
	(void)pthread_cond_broadcast(&m->cond);
	(void)pthread_mutex_unlock(&m->lock);
}

/* Waits, with m->lock held, for cond; RIG_WAIT_MS at most. */
#define RIG_AWAIT(m, cond_expr)                                                \
	do {                                                                   \
		struct timespec until_;                                        \
		int rc_ = 0;                                                   \
		bool met_;                                                     \
                                                                               \
		(void)clock_gettime(CLOCK_REALTIME, &until_);                  \
		until_.tv_sec += RIG_WAIT_MS / 1000;                           \
		(void)pthread_mutex_lock(&(m)->lock);                          \
		while (!(cond_expr) && rc_ == 0)                               \
			rc_ = pthread_cond_timedwait(&(m)->cond, &(m)->lock,   \
			    &until_);                                          \
		met_ = (cond_expr);                                            \
		(void)pthread_mutex_unlock(&(m)->lock);                        \
		RIG_CHECK(met_, "%s: %s", (m)->options.name, #cond_expr);      \
	} while (0)

/* Name and node id; the rest is the default and may be changed after. */
static void
rig_init(struct member *m, const char *name, uint64_t node)
{
	memset(m, 0, sizeof(*m));
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_cond_init(&m->cond, NULL);
	(void)snprintf(m->listen, sizeof(m->listen), "127.0.0.1:0");
	m->options = (struct zk_transport_options){
	    .name = name,
	    .node = node,
	    .incarnation = 1,
	    .version = 1,
	    .listen = m->listen,
	    .key = RIG_KEY,
	    .key_len = 32,
	    .callbacks = {rig_received, rig_up, rig_down, rig_refused, m},
	};
}

static void
rig_open(struct member *m)
{
	int rc = zk_transport_open(&m->options, &m->t);

	RIG_CHECK(rc == 0, "%s: open: %d", m->options.name, rc);
	(void)snprintf(m->address, sizeof(m->address), "127.0.0.1:%u",
	    (unsigned)zk_transport_port(m->t));
	/* Opened again it shall be found where it was. */
	if (m->options.listen != NULL)
		(void)snprintf(m->listen, sizeof(m->listen), "%s", m->address);
	rc = zk_transport_start(m->t);
	RIG_CHECK(rc == 0, "%s: start: %d", m->options.name, rc);
}

static void
rig_close(struct member *m)
{
	zk_transport_close(m->t);
	m->t = NULL;
	(void)pthread_cond_destroy(&m->cond);
	(void)pthread_mutex_destroy(&m->lock);
}

__attribute__((unused)) static void
rig_know(struct member *m, const struct member *peers, size_t count)
{
	struct zk_transport_peer list[16];
	int rc;

	for (size_t i = 0; i < count; i++)
		list[i] = (struct zk_transport_peer){
		    .name = peers[i].options.name,
		    .address = peers[i].options.listen != NULL
		        ? peers[i].address
		        : NULL,
		};
	rc = zk_transport_set_peers(m->t, list, count);
	RIG_CHECK(rc == 0, "%s: set_peers: %d", m->options.name, rc);
}

/* Opens members "a", "b", ... and waits until each is joined to each. */
__attribute__((unused)) static void
rig_open_all(struct member *members, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rig_open(&members[i]);
	for (unsigned i = 0; i < count; i++)
		rig_know(&members[i], members, count);
	for (unsigned i = 0; i < count; i++)
		RIG_AWAIT(&members[i],
		    members[i].ups - members[i].downs == count - 1);
}

__attribute__((unused)) static int
rig_send(struct member *from, const struct member *to, unsigned lane,
    const void *bytes, size_t len)
{
	const struct iovec iov = {(void *)(uintptr_t)bytes, len};

	return zk_transport_send(from->t, to->options.node, lane, 7, &iov, 1);
}

/* A plain connection to a member's port. */
__attribute__((unused)) static int
rig_connect(const struct member *m)
{
	struct sockaddr_in sa = {
	    .sin_family = AF_INET,
	    .sin_port = htons(zk_transport_port(m->t)),
	    .sin_addr = {htonl(INADDR_LOOPBACK)},
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	RIG_CHECK(fd >= 0, "socket: %d", errno);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		(void)close(fd);
		return -errno;
	}
	return fd;
}

/* Waits until the other end closes, reading whatever it sends. */
__attribute__((unused)) static bool
rig_is_closed(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char sink[512];

	while (poll(&p, 1, RIG_WAIT_MS) > 0)
		if (read(fd, sink, sizeof(sink)) <= 0)
			return true;
	return false;
}

#endif
