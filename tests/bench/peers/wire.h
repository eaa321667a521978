#ifndef ZK_BENCH_WIRE_H
#define ZK_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * TCP connections with buffers, all in one poll(2), for the generators that
 * speak a peer's protocol themselves.  One thread.  A connection that is lost
 * stays in the table with fd -1.
 */
#define ZK_WIRES_MAX      128
#define ZK_WIRE_HOST_SIZE 64

struct zk_wire {
	int fd;
	char host[ZK_WIRE_HOST_SIZE];
	uint8_t *in, *out;
	size_t in_len, out_len, out_cap;
	void *protocol; /* the generator's */
};

struct zk_wires {
	struct zk_wire wire[ZK_WIRES_MAX];
	size_t count;
	/* Puts what the protocol wants to say; may be NULL. */
	void (*fill)(struct zk_wire *wire);
	/* Takes bytes from wire->in; returns how many, or -1 to hang up. */
	long (*take)(struct zk_wire *wire);
};

/* Connects to "ip:port"; false when nobody listens. */
bool zk_wire_open(struct zk_wires *wires, const char *host);
/* `count` connections, the i-th to host i mod N; 0: one to each host. */
void zk_wires_open(struct zk_wires *wires, char *hosts, size_t count);
void zk_wire_put(struct zk_wire *wire, const void *bytes, size_t len);
/* One turn: say what is to be said, wait for an answer, take it. */
void zk_wires_turn(struct zk_wires *wires, int timeout_ms);

#endif
