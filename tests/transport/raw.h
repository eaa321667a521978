#ifndef ZK_TESTS_TRANSPORT_RAW_H
#define ZK_TESTS_TRANSPORT_RAW_H

/*
 * A peer made of plain sockets, which can do what no transport would.
 */

#include <sys/time.h>

#include "tests/transport/rig.h"

struct raw {
	int fd;
	struct zk_auth auth;
	struct zk_auth_out out;
};

static bool
raw_read(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* Reads one message of the handshake and steps with it. */
static int
raw_step(struct raw *raw)
{
	uint8_t message[ZK_AUTH_MESSAGE_MAX];
	size_t len;

	if (!raw_read(raw->fd, message, ZK_AUTH_PREFIX_BYTES) ||
	    zk_auth_length(message, &len) < 0 ||
	    !raw_read(raw->fd, message + ZK_AUTH_PREFIX_BYTES,
	        len - ZK_AUTH_PREFIX_BYTES))
		return -ECONNRESET;
	return zk_auth_step(&raw->auth, message, len, &raw->out);
}

static void
raw_write(struct raw *raw)
{
	RIG_CHECK(send(raw->fd, raw->out.bytes, raw->out.len, MSG_NOSIGNAL) ==
	        (ssize_t)raw->out.len,
	    "raw: write: %d", errno);
}

/* Dials m and says HELLO. */
static void
raw_hello(struct raw *raw, const struct member *m, const struct zk_identity *id)
{
	const struct timeval patience = {.tv_sec = RIG_WAIT_MS / 1000};
	uint8_t nonce[ZK_AUTH_NONCE_BYTES] = {0};
	struct zk_auth_key key = {.len = m->options.key_len};

	memcpy(key.bytes, m->options.key, key.len);
	raw->fd = rig_connect(m);
	RIG_CHECK(raw->fd >= 0, "raw: connect: %d", raw->fd);
	(void)setsockopt(raw->fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
	    sizeof(patience));
	zk_auth_init(&raw->auth, m->options.version, &key, id, nonce,
	    &raw->out);
	raw_write(raw);
}

/* The whole handshake: 0, or -EACCES and raw->auth.reason. */
static int
raw_join(struct raw *raw, const struct member *m, const struct zk_identity *id)
{
	int rc;

	raw_hello(raw, m, id);
	rc = raw_step(raw);
	if (rc < 0)
		return rc;
	raw_write(raw);
	return raw_step(raw);
}

static struct zk_identity
raw_identity(const char *name, uint64_t node, uint8_t lane)
{
	struct zk_identity id = {
	    .node = node,
	    .incarnation = 1,
	    .session = 4711,
	    .lane = lane,
	    .lanes = 2,
	};

	(void)snprintf(id.name, sizeof(id.name), "%s", name);
	return id;
}

/* Joins with both lanes. */
__attribute__((unused)) static void
raw_join_all(struct raw lanes[2], const struct member *m, const char *name,
    uint64_t node)
{
	for (uint8_t i = 0; i < 2; i++) {
		const struct zk_identity id = raw_identity(name, node, i);
		const int rc = raw_join(&lanes[i], m, &id);

		RIG_CHECK(rc == 0, "raw: join: %d", rc);
	}
}

#endif
