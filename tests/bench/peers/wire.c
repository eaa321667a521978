#include "tests/bench/peers/wire.h"

#include "tests/bench/peers/peer.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES (1u << 20)

bool
zk_wire_open(struct zk_wires *wires, const char *host)
{
	struct zk_wire *wire = &wires->wire[wires->count];
	struct sockaddr_in addr = {.sin_family = AF_INET};
	char ip[ZK_WIRE_HOST_SIZE], *port;
	int one = 1;

	if (wires->count == ZK_WIRES_MAX)
		errx(2, "too many connections");
	(void)snprintf(ip, sizeof(ip), "%s", host);
	port = strchr(ip, ':');
	if (port == NULL)
		errx(2, "%s is not ip:port", host);
	*port++ = '\0';
	addr.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, ip, &addr.sin_addr) != 1)
		errx(2, "%s is not an address", ip);
	*wire = (struct zk_wire){0};
	wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (wire->fd < 0)
		err(1, "socket");
	if (connect(wire->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		(void)close(wire->fd);
		return false;
	}
	(void)setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)snprintf(wire->host, sizeof(wire->host), "%s", host);
	wire->in = malloc(IN_BYTES);
	if (wire->in == NULL)
		err(1, "wire");
	wires->count++;
	return true;
}

void
zk_wires_open(struct zk_wires *wires, char *hosts, size_t count)
{
	char *host[ZK_PEER_HOSTS_MAX];
	size_t host_count = zk_peer_split(hosts, host);

	if (count == 0)
		count = host_count;
	for (size_t i = 0; i < count; i++)
		if (!zk_wire_open(wires, host[i % host_count]))
			err(1, "connect %s", host[i % host_count]);
}

void
zk_wire_put(struct zk_wire *wire, const void *bytes, size_t len)
{
	if (wire->out_len + len > wire->out_cap) {
		wire->out_cap = (wire->out_len + len) * 2;
		wire->out = realloc(wire->out, wire->out_cap);
		if (wire->out == NULL)
			err(1, "wire");
	}
	memcpy(wire->out + wire->out_len, bytes, len);
	wire->out_len += len;
}

static void
hang_up(struct zk_wire *wire)
{
	(void)close(wire->fd);
	wire->fd = -1;
}

static void
say(struct zk_wires *wires, struct zk_wire *wire)
{
	ssize_t sent;

	if (wires->fill != NULL)
		wires->fill(wire);
	if (wire->out_len == 0)
		return;
	sent = send(wire->fd, wire->out, wire->out_len, MSG_DONTWAIT);
	if (sent < 0 && errno != EAGAIN) {
		hang_up(wire);
	} else if (sent > 0) {
		wire->out_len -= (size_t)sent;
		memmove(wire->out, wire->out + sent, wire->out_len);
	}
}

static void
hear(struct zk_wires *wires, struct zk_wire *wire)
{
	ssize_t got = recv(wire->fd, wire->in + wire->in_len,
	    IN_BYTES - wire->in_len, MSG_DONTWAIT);
	long taken;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		hang_up(wire);
		return;
	}
	wire->in_len += (size_t)got;
	taken = wires->take(wire);
	if (taken < 0) {
		hang_up(wire);
		return;
	}
	wire->in_len -= (size_t)taken;
	memmove(wire->in, wire->in + taken, wire->in_len);
}

void
zk_wires_turn(struct zk_wires *wires, int timeout_ms)
{
	struct pollfd ready[ZK_WIRES_MAX];

	for (size_t i = 0; i < wires->count; i++) {
		struct zk_wire *wire = &wires->wire[i];

		if (wire->fd >= 0)
			say(wires, wire);
		ready[i] = (struct pollfd){
		    .fd = wire->fd,
		    .events = wire->out_len > 0 ? POLLIN | POLLOUT : POLLIN,
		};
	}
	if (poll(ready, wires->count, timeout_ms) <= 0)
		return;
	for (size_t i = 0; i < wires->count; i++)
		if ((ready[i].revents & ~POLLOUT) != 0 &&
		    wires->wire[i].fd >= 0)
			hear(wires, &wires->wire[i]);
}
