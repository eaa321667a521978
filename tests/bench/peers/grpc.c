#include "tests/bench/peers/grpc.h"

#include "base/assert.h"
#include "tests/bench/table.h"

#include <arpa/inet.h>
#include <err.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

/* A gRPC message: a flag byte, a big-endian length, the protobuf. */
#define PREFIX_BYTES 5
#define STATUS_NONE  99
#define WIRE_VARINT  0u
#define WIRE_BYTES   2u

/* --- protobuf ----------------------------------------------------------- */

static void
put_varint(struct zk_call *call, uint64_t value)
{
	do {
		ZK_ASSERT(call->request_len < sizeof(call->request));
		call->request[call->request_len++] =
		    (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
		value >>= 7;
	} while (value != 0);
}

void
zk_call_begin(struct zk_call *call)
{
	call->request_len = PREFIX_BYTES;
}

void
zk_call_bytes(struct zk_call *call, unsigned field, const void *bytes,
    size_t len)
{
	put_varint(call, field << 3 | WIRE_BYTES);
	put_varint(call, len);
	ZK_ASSERT(len <= sizeof(call->request) - call->request_len);
	memcpy(call->request + call->request_len, bytes, len);
	call->request_len += len;
}

void
zk_call_number(struct zk_call *call, unsigned field, uint64_t value)
{
	put_varint(call, field << 3 | WIRE_VARINT);
	put_varint(call, value);
}

void
zk_call_nested(struct zk_call *call, unsigned field,
    const struct zk_call *inner)
{
	zk_call_bytes(call, field, inner->request + PREFIX_BYTES,
	    inner->request_len - PREFIX_BYTES);
}

static uint64_t
take_varint(struct zk_pb *message)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned shift = 0; message->len > 0 && shift < 64; shift += 7) {
		byte = *message->bytes++;
		message->len--;
		value |= (uint64_t)(byte & 127) << shift;
		if (byte < 128)
			break;
	}
	return value;
}

bool
zk_pb_next(struct zk_pb *message, struct zk_pb *ret_field)
{
	struct zk_pb field = {0};
	uint64_t tag;

	if (message->bytes == NULL || message->len == 0)
		return false;
	tag = take_varint(message);
	field.number = (unsigned)(tag >> 3);
	field.value = take_varint(message);
	if ((tag & 7) == WIRE_BYTES) {
		if (field.value > message->len)
			return false;
		field.bytes = message->bytes;
		field.len = (size_t)field.value;
		message->bytes += field.len;
		message->len -= field.len;
	}
	*ret_field = field;
	return true;
}

static size_t
first_message_len(const struct zk_call *call)
{
	uint32_t len;

	memcpy(&len, call->got + 1, sizeof(len));
	return ntohl(len);
}

struct zk_pb
zk_call_message(const struct zk_call *call)
{
	return (struct zk_pb){
	    .bytes = call->got + PREFIX_BYTES,
	    .len = first_message_len(call),
	};
}

/* --- HTTP/2 ------------------------------------------------------------- */

/* NOLINTBEGIN(readability-function-size): nghttp2's signatures. */
static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
    const uint8_t *name, size_t name_len, const uint8_t *value,
    size_t value_len, uint8_t flags, void *arg)
{
	struct zk_call *call =
	    nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

	(void)flags;
	(void)arg;
	if (call != NULL && name_len == 11 &&
	    memcmp(name, "grpc-status", 11) == 0)
		call->status = value_len == 1 ? value[0] - '0' : STATUS_NONE;
	return 0;
}

static int
on_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
    const uint8_t *data, size_t len, void *arg)
{
	struct zk_call *call =
	    nghttp2_session_get_stream_user_data(session, id);
	size_t message;

	(void)flags;
	(void)arg;
	/* Only its beginning matters of an answer that is this long. */
	if (call == NULL || len > sizeof(call->got) - call->got_len)
		return 0;
	memcpy(call->got + call->got_len, data, len);
	call->got_len += len;
	while (call->on_message != NULL && call->got_len >= PREFIX_BYTES) {
		message = PREFIX_BYTES + first_message_len(call);
		if (call->got_len < message)
			break;
		call->on_message(call);
		call->got_len -= message;
		memmove(call->got, call->got + message, call->got_len);
	}
	return 0;
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct zk_call *call =
	    nghttp2_session_get_stream_user_data(session, id);

	(void)arg;
	if (call == NULL)
		return 0;
	if (code != 0)
		call->status = STATUS_NONE;
	call->finished = true;
	if (call->on_end != NULL)
		call->on_end(call);
	return 0;
}

static ssize_t
on_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
    uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct zk_call *call = source->ptr;
	size_t left = call->request_len - call->request_off;

	(void)session;
	(void)id;
	(void)arg;
	if (left == 0 && call->stays_open)
		return NGHTTP2_ERR_DEFERRED;
	if (left > len)
		left = len;
	memcpy(buf, call->request + call->request_off, left);
	call->request_off += left;
	if (call->request_off == call->request_len && !call->stays_open)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)left;
}

/* NOLINTEND(readability-function-size) */

static nghttp2_session *
session_of(struct zk_wire *wire)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;

	if (wire->protocol != NULL)
		return wire->protocol;
	if (nghttp2_session_callbacks_new(&callbacks) != 0)
		errx(1, "nghttp2");
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
	    on_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
	    on_close);
	if (nghttp2_session_client_new(&session, callbacks, wire) != 0 ||
	    nghttp2_submit_settings(session, 0, NULL, 0) != 0)
		errx(1, "nghttp2");
	nghttp2_session_callbacks_del(callbacks);
	wire->protocol = session;
	return session;
}

static void
fill(struct zk_wire *wire)
{
	const uint8_t *bytes;
	ssize_t len;

	while ((len = nghttp2_session_mem_send(session_of(wire), &bytes)) > 0)
		zk_wire_put(wire, bytes, (size_t)len);
}

static long
take(struct zk_wire *wire)
{
	return (long)nghttp2_session_mem_recv(session_of(wire), wire->in,
	    wire->in_len);
}

void
zk_grpc_setup(struct zk_wires *wires)
{
	wires->fill = fill;
	wires->take = take;
}

static nghttp2_nv
header(const char *name, const char *value)
{
	return (nghttp2_nv){
	    .name = (uint8_t *)(uintptr_t)name,
	    .value = (uint8_t *)(uintptr_t)value,
	    .namelen = strlen(name),
	    .valuelen = strlen(value),
	};
}

void
zk_call_send(struct zk_call *call, const char *path)
{
	nghttp2_nv headers[] = {
	    header(":method", "POST"),
	    header(":scheme", "http"),
	    header(":path", path),
	    header(":authority", call->wire->host),
	    header("content-type", "application/grpc"),
	    header("te", "trailers"),
	};
	nghttp2_data_provider body = {
	    .source.ptr = call,
	    .read_callback = on_body,
	};
	uint32_t len = htonl((uint32_t)(call->request_len - PREFIX_BYTES));

	call->request[0] = 0;
	memcpy(call->request + 1, &len, sizeof(len));
	call->request_off = 0;
	call->got_len = 0;
	call->status = STATUS_NONE;
	call->finished = false;
	call->sent_us = zk_bench_now_us();
	if (nghttp2_submit_request(session_of(call->wire), NULL, headers, 6,
	        &body, call) < 0)
		errx(1, "nghttp2_submit_request");
}
