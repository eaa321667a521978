#ifndef ZK_CONSENSUS_TRANSPORT_IMPL_H
#define ZK_CONSENSUS_TRANSPORT_IMPL_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "consensus/transport.h"

/*
 * Private to consensus/transport*.c.
 *
 * One thread, "the manager", owns everything but the bytes on their way: it
 * dials, takes what was accepted, steps the handshakes, opens and ends
 * sessions, watches the time and calls peer_up, peer_down and refused.  nng's
 * threads run four short callbacks; those that find something for the manager
 * set a flag in the connection and wake it.  So there is one state machine,
 * and only one thread moves it.
 *
 * Locks: transport.lock, then conn.lock; nng's own come after both.  No lock
 * is held while a callback of the user runs.
 *
 * Rules learnt from nng 1.5.2, whose source says so:
 *  - nng_stream_recv() or _send() on an aio that was stopped returns without
 *    calling back; on a TLS stream that was closed it may never be completed,
 *    and nng_aio_stop() then waits for ever.  So both are called only under
 *    conn.lock, after looking at conn.closing, and closing is set under
 *    that lock before nng_stream_close().
 *  - a dialer whose dial was cancelled must not dial again: each attempt has
 *    a dialer of its own.
 *  - a TLS stream that failed accepts data to send and drops it: only silence
 *    tells.
 *  - a write to a TCP socket is tried within nng_stream_send(): when that
 *    returns the aio has written something, or nothing and waits.
 *  - an accepted stream must be read at once, or the poller spins when the
 *    other end resets it.
 *  - a listener can close itself: then it is opened anew.
 */

enum {
	ZK_RETRY_MIN_MS = 20,
	ZK_RETRY_MAX_MS = 200,
	ZK_RETRY_REFUSED_MS = 1000,
	ZK_SESSION_SHORT_MS = 1000,
	ZK_LISTEN_RETRY_MS = 100,
	/* A manager that is this late was not running: no peer's fault. */
	ZK_STALL_MS = 200,
	ZK_FAST_CHUNK_BYTES = 16384,
	ZK_BULK_CHUNK_BYTES = 262144,
	ZK_SEND_BYTES_MAX = 262144,
	ZK_SEND_CHUNKS_MAX = 8,
	/* What is queued waits for no more than this. */
	ZK_QUEUED_BYTES_MAX = 32768,
	/* A buffer grown for one large frame shrinks after so many small. */
	ZK_SHRINK_FRAMES = 64,
};

struct chunk {
	struct chunk *next;
	size_t off, len, cap; /* off: what was sent of len */
	uint8_t bytes[];
};

enum conn_phase {
	CONN_DIALING,
	CONN_HANDSHAKE,
	CONN_READY,  /* proved, waits for the session's other lanes */
	CONN_FRAMES, /* the session is up */
	CONN_DEAD,   /* shut; to be freed */
};

struct conn {
	/* The manager's. */
	struct conn *next;
	struct zk_transport *t;
	struct slot *slot; /* NULL: a stranger */
	uint64_t session;
	uint64_t deadline_ms; /* of dialing and of the handshake */
	uint64_t born_ms;
	bool dialed;
	uint8_t lane;
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1];
	char host[64]; /* of a stranger */
	struct zk_auth auth;
	nng_stream_dialer *dialer;
	nng_aio *dial_aio;

	/* Set before they are shared. */
	nng_stream *stream;
	nng_aio *send_aio, *recv_aio;
	nng_aio *now_aio;      /* has no callback; under lock */
	enum conn_phase phase; /* changed only while nothing is received */

	/* Whoever receives: nng's thread, or the manager when it does not. */
	uint8_t message[ZK_AUTH_MESSAGE_MAX];
	size_t message_len, message_due;
	uint8_t *in;
	size_t in_off, in_len, in_cap;
	size_t in_cap_base;
	uint32_t in_number, in_small;
	uint64_t in_peer; /* node id */
	bool in_checked;  /* the next body's checksum */

	_Atomic uint64_t heard_ms;

	pthread_mutex_t lock;
	/* Protected by lock. */
	bool closing;
	const char *broken; /* why; NULL: it is not */
	bool broken_tls;    /* that is why */
	bool broken_mute;   /* and nothing had come before */
	bool dial_done, message_ready;
	bool paused, kicked;
	uint32_t resumes;
	bool sending;
	struct chunk *out_first, *out_last, *out_spare;
	size_t out_bytes, out_bytes_max;
	uint32_t out_number;
	uint64_t sent_ms;
};

enum slot_state { SLOT_DOWN, SLOT_OPENING, SLOT_UP };

/* A member we know of: from the list, or because it dialed us. */
struct slot {
	bool used;
	bool listed;
	char name[ZK_AUTH_NAME_MAX + 1];
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1]; /* "": it dials */
	uint64_t wanted_node;                       /* 0: any */
	nng_tls_config *tls;
	struct conn *attempt; /* our lane 0, not yet proved */
	uint64_t retry_ms;
	uint64_t deadline_ms; /* OPENING: until when */
	uint64_t up_ms;       /* UP: since when */
	uint64_t down_ms;     /* DOWN: since when */
	bool dialed;
	unsigned mute; /* connections in a row that ended without a word */
	uint64_t session;
	struct zk_identity peer;
	/* Written by the manager under transport.lock. */
	enum slot_state state;
	struct conn *conns[ZK_LANES_MAX];
};

struct zk_transport {
	struct zk_transport_callbacks callbacks;
	struct zk_identity self; /* ensemble: protected by lock */
	struct zk_auth_key key;
	uint16_t version;
	unsigned lanes;
	bool dial_all, is_listening;
	uint32_t keepalive_ms, silence_ms, handshake_ms;
	uint32_t queue_bytes[ZK_LANES_MAX];
	char listen_url[ZK_TRANSPORT_ADDRESS_MAX + 16];
	uint16_t port;
	char *cert_pem, *key_pem, *ca_pem; /* NULL: no TLS */

	pthread_t manager;
	bool has_manager;
	/* The manager's. */
	struct conn *conns;
	uint64_t prng;
	uint64_t now_ms, wake_ms;
	nng_tls_config *listener_tls;
	nng_stream_listener *listener;
	nng_aio *accept_aio;
	bool accepting;
	uint64_t accept_ms; /* when to accept again */

	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Protected by lock. */
	bool woken, stopping, accept_done;
	struct slot *new_peers; /* a list to be put in force */
	struct slot slots[ZK_TRANSPORT_PEERS_MAX];

	_Atomic uint64_t frames_in, frames_out, bytes_in, bytes_out;
	_Atomic uint64_t sessions, bad_frames, refused, evicted;
	_Atomic uint64_t accepted, dials;
	_Atomic uint32_t peers_up, strangers;
};

/* --- transport.c ---------------------------------------------------------- */

/* Milliseconds since boot; the second, cheaper, may be 4 ms behind. */
uint64_t zk_transport_now(void);
uint64_t zk_transport_now_coarse(void);
/* Any thread. */
void zk_transport_wake(struct zk_transport *t);
/* The manager: no later than that it must look again. */
void zk_transport_wake_at(struct zk_transport *t, uint64_t at_ms);
void zk_transport_report(const struct conn *conn, enum zk_refusal reason,
    bool by_peer);

/* --- transport_net.c: nng's listeners, dialers and TLS -------------------- */

int zk_net_error(int nng_code);
bool zk_net_address_is_good(const char *address);
/* Reads the PEM files and tries them. */
int zk_net_tls_load(struct zk_transport *t,
    const struct zk_transport_options *options);
int zk_net_listen(struct zk_transport *t);
/* Accepts again when it is time; opens a listener that closed. */
void zk_net_accept_step(struct zk_transport *t);
void zk_net_listen_stop(struct zk_transport *t);
/* Begins to dial conn->slot; the outcome is conn->dial_done. */
int zk_net_dial(struct conn *conn);
/* Takes the stream of a dial that is done; 0, or why there is none. */
int zk_net_dial_take(struct conn *conn);
void zk_net_dial_stop(struct conn *conn);
void zk_net_remote(nng_stream *stream, char *address, size_t address_size,
    char *host, size_t host_size);

/* --- transport_conn.c: bytes ---------------------------------------------- */

struct conn *zk_conn_new(struct zk_transport *t, unsigned lane);
/* Ends all I/O; no callback of it runs afterwards.  The manager. */
void zk_conn_shut(struct conn *conn);
void zk_conn_free(struct conn *conn); /* after zk_conn_shut */
/* Any thread: the manager will find it broken. */
void zk_conn_break(struct conn *conn, const char *why);
/* Queues bytes that are no frame: those of the handshake. */
int zk_conn_send_raw(struct conn *conn, const void *bytes, size_t len);
/* Reads the next message of the handshake. */
void zk_conn_read_message(struct conn *conn);
/* READY to FRAMES: 0, -ENOMEM. */
int zk_conn_prepare_frames(struct conn *conn, uint64_t peer);
void zk_conn_read_frames(struct conn *conn);
/* With conn->lock held: queues a frame, and writes what is queued. */
int zk_conn_queue_frame(struct conn *conn, struct zk_frame *frame,
    const struct iovec *iov, size_t iov_count);
void zk_conn_push(struct conn *conn);
/* FRAMES: pings, silence, resumes. */
void zk_conn_tend(struct conn *conn);

/* --- transport_session.c: who is connected -------------------------------- */

void zk_session_accept(struct zk_transport *t, nng_stream *stream);
/* What happened to a connection since the last look. */
void zk_session_step_conn(struct conn *conn);
/* Dials that are due, sessions that do not come up. */
void zk_session_step_slot(struct zk_transport *t, struct slot *slot);
void zk_session_end(struct zk_transport *t, struct slot *slot,
    const char *reason);
/* Shuts a connection that is no lane of a session. */
void zk_session_drop(struct conn *conn);

/* --- transport_slot.c: whom we know of, and let in ------------------------ */

struct slot *zk_slot_of_name(struct zk_transport *t, const char *name);
/* NULL: there are too many. */
struct slot *zk_slot_new(struct zk_transport *t, const char *name);
/* Whether peer may open a session; slot, of its name, may be NULL. */
enum zk_refusal zk_slot_judge(const struct zk_transport *t,
    const struct slot *slot, const struct zk_identity *peer, bool dialed);
/* Whether a further lane belongs to the session that its first opened. */
bool zk_slot_has_lane(const struct slot *slot, const struct conn *conn);
void zk_slot_set_peers(struct zk_transport *t, const struct slot *peers);

#endif
