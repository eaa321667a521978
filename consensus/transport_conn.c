/*
 * One connection: the queue of what is to be sent, and the frames or the
 * handshake's messages that come in.
 */

#include "consensus/transport_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crc32c.h"

/* --- out ------------------------------------------------------------------ */

static void
drop_sent(struct conn *conn, size_t bytes)
{
	ZK_ASSERT(bytes <= conn->out_bytes);
	conn->out_bytes -= bytes;
	while (bytes > 0) {
		struct chunk *c = conn->out_first;
		size_t left;

		ZK_ASSERT(c != NULL);
		left = c->len - c->off;
		if (bytes < left) {
			c->off += bytes;
			return;
		}
		bytes -= left;
		conn->out_first = c->next;
		if (conn->out_first == NULL)
			conn->out_last = NULL;
		if (conn->out_spare == NULL && c->cap <= ZK_BULK_CHUNK_BYTES)
			conn->out_spare = c;
		else
			free(c);
	}
}

/* What is queued, as far as one write goes; how many pieces. */
static unsigned
gather(const struct conn *conn, nng_iov iov[ZK_SEND_CHUNKS_MAX])
{
	size_t bytes = 0;
	unsigned count = 0;

	for (struct chunk *c = conn->out_first; c != NULL; c = c->next) {
		if (count == ZK_SEND_CHUNKS_MAX || bytes >= ZK_SEND_BYTES_MAX)
			break;
		iov[count].iov_buf = c->bytes + c->off;
		iov[count++].iov_len = c->len - c->off;
		bytes += c->len - c->off;
	}
	return count;
}

/*
 * Writes as much as the socket takes at once; false: it takes nothing.  An aio
 * without a callback is over when nng has written something, where one with a
 * callback costs another thread's turn for each frame; cancelled, it has
 * written nothing.
 */
static bool
send_now(struct conn *conn, unsigned count, nng_iov *iov)
{
	size_t bytes;

	(void)nng_aio_set_iov(conn->now_aio, count, iov);
	nng_stream_send(conn->stream, conn->now_aio);
	nng_aio_cancel(conn->now_aio);
	nng_aio_wait(conn->now_aio);
	if (nng_aio_result(conn->now_aio) != 0)
		return false;
	bytes = nng_aio_count(conn->now_aio);
	drop_sent(conn, bytes);
	(void)atomic_fetch_add_explicit(&conn->t->bytes_out, bytes,
	    memory_order_relaxed);
	return true;
}

/* Unless nng is still busy with what went before. */
void
zk_conn_push(struct conn *conn)
{
	nng_iov iov[ZK_SEND_CHUNKS_MAX];
	unsigned count;

	if (conn->sending || conn->closing || conn->broken != NULL)
		return;
	while ((count = gather(conn, iov)) > 0) {
		/* A TLS stream may have begun what is cancelled. */
		if (conn->t->cert_pem == NULL && send_now(conn, count, iov))
			continue;
		conn->sending = true;
		(void)nng_aio_set_iov(conn->send_aio, count, iov);
		nng_stream_send(conn->stream, conn->send_aio);
		return;
	}
}

static void
on_sent(void *arg)
{
	struct conn *conn = arg;
	const int rc = nng_aio_result(conn->send_aio);
	const size_t bytes = nng_aio_count(conn->send_aio);

	(void)pthread_mutex_lock(&conn->lock);
	conn->sending = false;
	if (rc == 0) {
		drop_sent(conn, bytes);
		zk_conn_push(conn);
	}
	(void)pthread_mutex_unlock(&conn->lock);
	if (rc != 0) {
		zk_conn_break(conn, "cannot be written to");
		return;
	}
	(void)atomic_fetch_add_explicit(&conn->t->bytes_out, bytes,
	    memory_order_relaxed);
}

/* Room for so many bytes at the end of the queue. */
static struct chunk *
room_for(struct conn *conn, size_t bytes)
{
	struct chunk *c = conn->out_last;
	size_t cap = zk_frame_body_max(conn->lane) > ZK_BULK_CHUNK_BYTES
	    ? ZK_BULK_CHUNK_BYTES
	    : ZK_FAST_CHUNK_BYTES;

	if (c != NULL && c->cap - c->len >= bytes)
		return c;
	if (conn->out_spare != NULL && conn->out_spare->cap >= bytes) {
		c = conn->out_spare;
		conn->out_spare = NULL;
	} else {
		if (cap < bytes)
			cap = bytes;
		c = malloc(sizeof(*c) + cap);
		if (c == NULL)
			return NULL;
		c->cap = cap;
	}
	c->next = NULL;
	c->off = c->len = 0;
	if (conn->out_last != NULL)
		conn->out_last->next = c;
	else
		conn->out_first = c;
	conn->out_last = c;
	return c;
}

static void
append(struct chunk *c, const void *bytes, size_t len)
{
	ZK_ASSERT(c->cap - c->len >= len);
	if (len > 0)
		memcpy(c->bytes + c->len, bytes, len);
	c->len += len;
}

int
zk_conn_queue_frame(struct conn *conn, struct zk_frame *frame,
    const struct iovec *iov, size_t iov_count)
{
	const size_t bytes = ZK_FRAME_HEAD_BYTES + frame->len;
	uint8_t head[ZK_FRAME_HEAD_BYTES];
	struct chunk *c;

	if (conn->closing || conn->broken != NULL)
		return -ENOTCONN;
	if (conn->out_bytes + bytes > conn->out_bytes_max)
		return -EAGAIN;
	c = room_for(conn, bytes);
	if (c == NULL)
		return -ENOMEM;
	frame->lane = conn->lane;
	frame->number = conn->out_number++;
	zk_frame_encode(frame, head);
	append(c, head, sizeof(head));
	for (size_t i = 0; i < iov_count; i++)
		append(c, iov[i].iov_base, iov[i].iov_len);
	conn->out_bytes += bytes;
	conn->sent_ms = zk_transport_now_coarse();
	if (conn->out_bytes >= ZK_QUEUED_BYTES_MAX)
		zk_conn_push(conn);
	return 0;
}

int
zk_conn_send_raw(struct conn *conn, const void *bytes, size_t len)
{
	struct chunk *c;

	if (len == 0)
		return 0;
	(void)pthread_mutex_lock(&conn->lock);
	c = room_for(conn, len);
	if (c != NULL) {
		append(c, bytes, len);
		conn->out_bytes += len;
		zk_conn_push(conn);
	}
	(void)pthread_mutex_unlock(&conn->lock);
	return c != NULL ? 0 : -ENOMEM;
}

/* --- in ------------------------------------------------------------------- */

static void
receive(struct conn *conn, void *buf, size_t len)
{
	nng_iov iov = {buf, len};

	ZK_ASSERT(len > 0);
	(void)pthread_mutex_lock(&conn->lock);
	if (!conn->closing) {
		(void)nng_aio_set_iov(conn->recv_aio, 1, &iov);
		nng_stream_recv(conn->stream, conn->recv_aio);
	}
	(void)pthread_mutex_unlock(&conn->lock);
}

/*
 * The next whole frame in the buffer.  1: *ret_frame and *ret_body, which
 * stay where they are; 0: not yet, and *ret_need bytes make the next
 * step; -EPROTO.
 */
static int
peek_frame(struct conn *conn, struct zk_frame *ret_frame,
    const uint8_t **ret_body, size_t *ret_need)
{
	const size_t have = conn->in_len - conn->in_off;
	const uint8_t *head = conn->in + conn->in_off;

	*ret_need = ZK_FRAME_HEAD_BYTES;
	if (have < ZK_FRAME_HEAD_BYTES)
		return 0;
	if (zk_frame_decode(head, conn->lane, conn->in_number, ret_frame) < 0)
		return -EPROTO;
	*ret_need = ZK_FRAME_HEAD_BYTES + ret_frame->len;
	if (have < *ret_need)
		return 0;
	*ret_body = head + ZK_FRAME_HEAD_BYTES;
	if (!conn->in_checked && zk_frame_check(ret_frame, *ret_body) < 0)
		return -EPROTO;
	conn->in_checked = true;
	return 1;
}

/* Offers a frame; false: no room, and nothing is read until there is some. */
static bool
deliver(struct conn *conn, const struct zk_frame *frame, const uint8_t *body)
{
	const struct zk_transport_callbacks *to = &conn->t->callbacks;
	const struct zk_transport_frame in = {
	    .peer = conn->in_peer,
	    .group = frame->group,
	    .lane = frame->lane,
	    .bytes = body,
	    .len = frame->len,
	};
	uint32_t resumes;
	bool stay;

	do {
		(void)pthread_mutex_lock(&conn->lock);
		resumes = conn->resumes;
		(void)pthread_mutex_unlock(&conn->lock);
		if (to->received(to->arg, &in)) {
			(void)atomic_fetch_add_explicit(&conn->t->frames_in, 1,
			    memory_order_relaxed);
			return true;
		}
		/* Room that was made in the meantime must not be missed. */
		(void)pthread_mutex_lock(&conn->lock);
		stay = conn->resumes != resumes && !conn->closing;
		conn->paused = !stay;
		(void)pthread_mutex_unlock(&conn->lock);
	} while (stay);
	return false;
}

static void
consume(struct conn *conn, const struct zk_frame *frame)
{
	const size_t bytes = ZK_FRAME_HEAD_BYTES + frame->len;

	conn->in_off += bytes;
	conn->in_number++;
	conn->in_checked = false;
	if (bytes > conn->in_cap_base)
		conn->in_small = 0;
	else if (conn->in_small < ZK_SHRINK_FRAMES)
		conn->in_small++;
}

/* Makes room for `need` bytes from in_off on, and no more than it takes. */
static int
make_room(struct conn *conn, size_t need)
{
	const size_t have = conn->in_len - conn->in_off;
	uint8_t *from = conn->in + conn->in_off;
	uint8_t *old = NULL;
	size_t cap = conn->in_cap;

	ZK_ASSERT(conn->in != NULL);
	ZK_ASSERT(have < need);
	if (need > cap)
		cap = need;
	else if (need <= conn->in_cap_base &&
	    conn->in_small == ZK_SHRINK_FRAMES)
		cap = conn->in_cap_base;
	if (cap != conn->in_cap) {
		uint8_t *in = malloc(cap);

		if (in == NULL)
			return -ENOMEM;
		old = conn->in;
		conn->in = in;
		conn->in_cap = cap;
	}
	/* Move only when it must be, or costs little. */
	if (old != NULL || conn->in_off + need > cap || have < 4096) {
		memmove(conn->in, from, have);
		conn->in_off = 0;
		conn->in_len = have;
	}
	free(old);
	return 0;
}

void
zk_conn_read_frames(struct conn *conn)
{
	struct zk_frame frame;
	const uint8_t *body;
	size_t need;
	int rc;

	while ((rc = peek_frame(conn, &frame, &body, &need)) > 0) {
		if (frame.kind == ZK_FRAME_DATA && !deliver(conn, &frame, body))
			return;
		consume(conn, &frame);
	}
	if (rc < 0) {
		(void)atomic_fetch_add(&conn->t->bad_frames, 1);
		zk_conn_break(conn, "sent something that is not a frame");
		return;
	}
	if (make_room(conn, need) < 0) {
		zk_conn_break(conn, "sent a frame there is no memory for");
		return;
	}
	receive(conn, conn->in + conn->in_len, conn->in_cap - conn->in_len);
}

/*
 * Takes bytes of the handshake.  Never reads beyond a message: what follows
 * it may be meant for a larger buffer.
 */
static void
take_message(struct conn *conn, size_t bytes)
{
	bool whole;

	conn->message_len += bytes;
	whole = conn->message_len == conn->message_due;
	if (whole && conn->message_due == ZK_AUTH_PREFIX_BYTES &&
	    zk_auth_length(conn->message, &conn->message_due) == 0)
		whole = false;
	if (!whole) {
		receive(conn, conn->message + conn->message_len,
		    conn->message_due - conn->message_len);
		return;
	}
	(void)pthread_mutex_lock(&conn->lock);
	conn->message_ready = true;
	(void)pthread_mutex_unlock(&conn->lock);
	zk_transport_wake(conn->t);
}

static void
on_received(void *arg)
{
	struct conn *conn = arg;
	const int rc = nng_aio_result(conn->recv_aio);
	const size_t bytes = nng_aio_count(conn->recv_aio);

	if (rc != 0 || bytes == 0) {
		const bool tls = rc == NNG_EPEERAUTH || rc == NNG_ECRYPTO;

		(void)pthread_mutex_lock(&conn->lock);
		conn->broken_tls = tls;
		conn->broken_mute = !tls && conn->phase == CONN_HANDSHAKE &&
		    conn->message_len == 0;
		(void)pthread_mutex_unlock(&conn->lock);
		zk_conn_break(conn,
		    bytes == 0 && (rc == 0 || rc == NNG_ECONNSHUT)
		        ? "closed the connection"
		        : "connection lost");
		return;
	}
	(void)atomic_fetch_add_explicit(&conn->t->bytes_in, bytes,
	    memory_order_relaxed);
	if (conn->phase == CONN_HANDSHAKE) {
		take_message(conn, bytes);
		return;
	}
	atomic_store_explicit(&conn->heard_ms, zk_transport_now_coarse(),
	    memory_order_relaxed);
	conn->in_len += bytes;
	zk_conn_read_frames(conn);
}

void
zk_conn_read_message(struct conn *conn)
{
	conn->message_len = 0;
	conn->message_due = ZK_AUTH_PREFIX_BYTES;
	receive(conn, conn->message, conn->message_due);
}

int
zk_conn_prepare_frames(struct conn *conn, uint64_t peer)
{
	const size_t largest =
	    ZK_FRAME_HEAD_BYTES + zk_frame_body_max(conn->lane);

	conn->in_peer = peer;
	conn->in_cap_base =
	    largest < ZK_BULK_CHUNK_BYTES ? largest : ZK_BULK_CHUNK_BYTES;
	conn->in_cap = conn->in_cap_base;
	conn->in = malloc(conn->in_cap);
	return conn->in != NULL ? 0 : -ENOMEM;
}

/* --- a connection as a whole ---------------------------------------------- */

static void
on_dialed(void *arg)
{
	struct conn *conn = arg;

	(void)pthread_mutex_lock(&conn->lock);
	conn->dial_done = true;
	(void)pthread_mutex_unlock(&conn->lock);
	zk_transport_wake(conn->t);
}

struct conn *
zk_conn_new(struct zk_transport *t, unsigned lane)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL)
		return NULL;
	conn->t = t;
	conn->lane = (uint8_t)lane;
	conn->born_ms = t->now_ms;
	conn->deadline_ms = t->now_ms + t->handshake_ms;
	conn->out_bytes_max = t->queue_bytes[lane];
	(void)pthread_mutex_init(&conn->lock, NULL);
	if (nng_aio_alloc(&conn->dial_aio, on_dialed, conn) != 0 ||
	    nng_aio_alloc(&conn->now_aio, NULL, NULL) != 0 ||
	    nng_aio_alloc(&conn->send_aio, on_sent, conn) != 0 ||
	    nng_aio_alloc(&conn->recv_aio, on_received, conn) != 0) {
		zk_conn_free(conn);
		return NULL;
	}
	return conn;
}

void
zk_conn_shut(struct conn *conn)
{
	(void)pthread_mutex_lock(&conn->lock);
	conn->closing = true;
	(void)pthread_mutex_unlock(&conn->lock);
	zk_net_dial_stop(conn);
	if (conn->stream != NULL)
		nng_stream_close(conn->stream);
	nng_aio_stop(conn->recv_aio);
	nng_aio_stop(conn->now_aio);
	nng_aio_stop(conn->send_aio);
	conn->phase = CONN_DEAD;
}

void
zk_conn_free(struct conn *conn)
{
	struct chunk *c;

	while ((c = conn->out_first) != NULL) {
		conn->out_first = c->next;
		free(c);
	}
	free(conn->out_spare);
	free(conn->in);
	nng_aio_free(conn->dial_aio);
	nng_aio_free(conn->now_aio);
	nng_aio_free(conn->send_aio);
	nng_aio_free(conn->recv_aio);
	if (conn->stream != NULL)
		nng_stream_free(conn->stream);
	zk_auth_fini(&conn->auth);
	(void)pthread_mutex_destroy(&conn->lock);
	free(conn);
}

void
zk_conn_break(struct conn *conn, const char *why)
{
	bool first;

	(void)pthread_mutex_lock(&conn->lock);
	first = conn->broken == NULL && !conn->closing;
	if (first)
		conn->broken = why;
	(void)pthread_mutex_unlock(&conn->lock);
	if (first)
		zk_transport_wake(conn->t);
}

void
zk_conn_tend(struct conn *conn)
{
	struct zk_transport *t = conn->t;
	const uint64_t heard = atomic_load(&conn->heard_ms);
	uint64_t next = t->now_ms + t->silence_ms;
	bool resume, quiet = false;

	(void)pthread_mutex_lock(&conn->lock);
	resume = conn->paused && conn->kicked;
	conn->kicked = false;
	if (resume) {
		conn->paused = false;
		atomic_store(&conn->heard_ms, t->now_ms);
	} else if (!conn->paused) {
		/* Who does not listen cannot complain of silence. */
		quiet = t->now_ms >= heard + t->silence_ms;
		next = heard + t->silence_ms;
	}
	if (t->now_ms >= conn->sent_ms + t->keepalive_ms && !conn->sending) {
		struct zk_frame ping = {.kind = ZK_FRAME_PING};

		(void)zk_conn_queue_frame(conn, &ping, NULL, 0);
		zk_conn_push(conn);
		conn->sent_ms = t->now_ms;
	}
	if (conn->sent_ms + t->keepalive_ms < next)
		next = conn->sent_ms + t->keepalive_ms;
	/* Data under way: look again when a ping could be due. */
	if (next <= t->now_ms)
		next = t->now_ms + t->keepalive_ms;
	(void)pthread_mutex_unlock(&conn->lock);
	if (quiet) {
		zk_conn_break(conn, "silent for too long");
		return;
	}
	zk_transport_wake_at(t, next);
	if (resume)
		zk_conn_read_frames(conn);
}
