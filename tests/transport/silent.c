/*
 * Peers that do not answer at all: their hosts are cut off, so that dialing
 * them ends only by the time that it may take.  That happens again and again
 * here, and at last all of them are found usable.
 */

#define RIG_CHECK(cond, ...)                                                   \
	do {                                                                   \
		if (!(cond)) {                                                 \
			(void)fprintf(stderr, __VA_ARGS__);                    \
			(void)fprintf(stderr, "\n");                           \
			exit(1);                                               \
		}                                                              \
	} while (0)
#include "tests/transport/rig.h"

enum { PEERS = 48, DIALS = 1000, HANDSHAKE_MS = 10 };

/* A listener whose queue is full: what more comes gets no answer at all. */
static uint16_t
full_listener(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	socklen_t len = sizeof(sa);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	RIG_CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0,
	    "bind");
	RIG_CHECK(listen(fd, 0) == 0, "listen");
	RIG_CHECK(getsockname(fd, (struct sockaddr *)&sa, &len) == 0, "name");
	for (int i = 0; i < 4; i++) {
		const int client =
		    socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

		(void)connect(client, (struct sockaddr *)&sa, sizeof(sa));
	}
	return ntohs(sa.sin_port);
}

int
main(void)
{
	struct zk_transport_peer peers[PEERS];
	struct zk_transport_stats stats;
	char address[64], names[PEERS][8];
	static struct member m, other;

	(void)snprintf(address, sizeof(address), "127.0.0.1:%u",
	    (unsigned)full_listener());
	for (int i = 0; i < PEERS; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "p%d", i);
		peers[i] = (struct zk_transport_peer){names[i], address, 0};
	}
	rig_init(&m, "a", 1);
	m.options.handshake_ms = HANDSHAKE_MS;
	rig_open(&m);
	RIG_CHECK(zk_transport_set_peers(m.t, peers, PEERS) == 0, "peers");
	for (unsigned i = 0; i < RIG_WAIT_MS / 10; i++) {
		zk_transport_stats(m.t, &stats);
		if (stats.dialed >= DIALS)
			break;
		(void)poll(NULL, 0, 10);
	}
	RIG_CHECK(stats.dialed >= DIALS, "%llu dials only",
	    (unsigned long long)stats.dialed);
	rig_close(&m);

	rig_init(&other, "p0", 2);
	rig_open(&other);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u",
	    (unsigned)zk_transport_port(other.t));
	rig_init(&m, "a", 1);
	rig_open(&m);
	RIG_CHECK(zk_transport_set_peers(m.t, peers, 1) == 0, "peers");
	RIG_AWAIT(&m, m.ups == 1);
	rig_close(&m);
	rig_close(&other);
	(void)printf("  SILENT  transport: %llu dials without an answer\n",
	    (unsigned long long)stats.dialed);
	return 0;
}
