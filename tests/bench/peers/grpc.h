#ifndef ZK_BENCH_GRPC_H
#define ZK_BENCH_GRPC_H

#include "tests/bench/peers/wire.h"

/*
 * gRPC calls over the wires, and just enough protobuf: varints and byte
 * strings.  The HTTP/2 is libnghttp2's.  One thread.
 */
struct zk_call {
	struct zk_wire *wire;
	bool stays_open; /* a stream: the request does not end */
	void (*on_end)(struct zk_call *call);
	void (*on_message)(struct zk_call *call); /* of a stream */
	void *arg;
	int status; /* gRPC's; 99: none came */
	bool finished;
	double sent_us;
	uint8_t request[512], got[4096];
	size_t request_len, request_off, got_len;
};

/* Prepares the table of connections; before any is opened. */
void zk_grpc_setup(struct zk_wires *wires);

/* Build a request, field by field, then send it.  Reusable after its end. */
void zk_call_begin(struct zk_call *call);
void zk_call_bytes(struct zk_call *call, unsigned field, const void *bytes,
    size_t len);
void zk_call_number(struct zk_call *call, unsigned field, uint64_t value);
/* The request of another call as a field. */
void zk_call_nested(struct zk_call *call, unsigned field,
    const struct zk_call *inner);
void zk_call_send(struct zk_call *call, const char *path);

/* A protobuf message or field; the bytes belong to the call. */
struct zk_pb {
	unsigned number;
	uint64_t value;
	const uint8_t *bytes; /* NULL for numbers */
	size_t len;
};
/* The message that on_message was called for. */
struct zk_pb zk_call_message(const struct zk_call *call);
/* Takes the next field out of the message; false at its end. */
bool zk_pb_next(struct zk_pb *message, struct zk_pb *ret_field);

#endif
