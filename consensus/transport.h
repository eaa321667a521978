#ifndef ZK_CONSENSUS_TRANSPORT_H
#define ZK_CONSENSUS_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "consensus/auth.h"
#include "consensus/frame.h"

/*
 * Frames between the members of an ensemble, over TCP or TLS.
 *
 * A *session* joins two members: one connection per lane, all dialed by the
 * same side.  It is up when every lane is; when one breaks, all are closed,
 * and the next session starts from nothing.  While it is up, frames of one
 * lane arrive in order, none lost, none twice; frames of different lanes
 * overtake each other.  What was sent on a session that broke may or may not
 * have arrived.
 *
 * Who dials: of two members the one whose name is lower (strcmp), and any
 * that does not listen or was told to (dial_all); when that has led to
 * nothing for a second, the other one, too: the first may not know it.  One connection per pair
 * and lane, rather than one for each direction, so that both sides agree
 * whether it is up, and a half-open one is noticed by either.  Should both
 * dial, the session of the lower name is kept, on both sides.
 *
 * A session ends when a connection ends or fails, when something on it is not
 * a frame, when nothing was heard on a lane for silence_ms (an idle lane
 * carries a ping every keepalive_ms), or when a newer process of the peer
 * proves itself.  Dialers try again at once, then after 20 to 200 ms,
 * for ever.
 *
 * Threads.  The callbacks run on threads of this module, with none of its
 * locks held; all functions but zk_transport_stop() and zk_transport_close()
 * may be called from within them.  None may block: they enqueue.
 *   peer_up, peer_down, refused   the transport's own thread, one at a time;
 *   received                      a thread of nng, or the transport's own
 *                                 after a resume; one at a time for each
 *                                 lane of each peer.
 * peer_up of a session comes before its first received, peer_down after its
 * last.  nng's threads start with the first zk_transport_open() of the
 * process: fork before that.
 */

#define ZK_TRANSPORT_PEERS_MAX   64u
#define ZK_TRANSPORT_ADDRESS_MAX 287u /* host, port and brackets */

/* Connections that have not proved anything yet; more evict one of them. */
#define ZK_TRANSPORT_STRANGERS_MAX 16u

/* Bytes queued for one lane of one peer; includes heads. */
#define ZK_TRANSPORT_FAST_QUEUE_BYTES 1048576u
#define ZK_TRANSPORT_BULK_QUEUE_BYTES 33554432u

#define ZK_TRANSPORT_IOV_MAX 8u

struct zk_transport;

/* What came in.  The bytes are borrowed until the callback returns. */
struct zk_transport_frame {
	uint64_t peer; /* node id */
	uint32_t group;
	uint8_t lane;
	const void *bytes;
	size_t len;
};

/* Who a session is with. */
struct zk_transport_peer_info {
	struct zk_identity identity;
	char address[ZK_TRANSPORT_ADDRESS_MAX + 1]; /* the connection's */
	bool dialed;                                /* by us */
};

/* A connection that came to nothing, for a line in a log. */
struct zk_transport_refusal {
	const char *address; /* of the connection's other end */
	const char *name;    /* what that end claims to be; "": nothing yet */
	enum zk_refusal reason;
	bool by_peer; /* it turned us away */
};

struct zk_transport_callbacks {
	/*
	 * false: no room.  The lane of that peer is not read any more until
	 * zk_transport_resume(); then this frame is offered again.
	 */
	bool (*received)(void *arg, const struct zk_transport_frame *frame);
	void (*peer_up)(void *arg, const struct zk_transport_peer_info *info);
	void (*peer_down)(void *arg, uint64_t peer, const char *reason);
	/* May be NULL.  Whoever finds the port can cause it: limit its rate. */
	void (*refused)(void *arg, const struct zk_transport_refusal *refusal);
	void *arg;
};

/* Zeroed fields take the default named.  Strings are copied. */
struct zk_transport_options {
	const char *name;
	uint64_t node;        /* random per data directory, not 0 */
	uint64_t incarnation; /* must grow with each start */
	uint8_t ensemble[ZK_ENSEMBLE_BYTES]; /* zero: not yet formed */
	uint16_t version; /* of what is spoken in frames; must be equal */
	uint32_t features;
	/* "host:port", "[v6]:port"; port 0: any.  NULL: only dial. */
	const char *listen;
	bool dial_all;
	/* 32 to 64 bytes, or NULL, and then insecure must say it is meant. */
	const void *key;
	size_t key_len;
	bool insecure;
	/*
	 * PEM files, all three or none: TLS.  The peer's certificate must
	 * come from this CA, and a listener's must bear its member name.
	 */
	const char *tls_cert, *tls_key, *tls_ca;
	unsigned lanes;        /* 2 */
	uint32_t keepalive_ms; /* 250 */
	uint32_t silence_ms;   /* 1500 */
	uint32_t handshake_ms; /* 2000: to connect, and to prove */
	uint32_t fast_queue_bytes, bulk_queue_bytes;
	struct zk_transport_callbacks callbacks;
};

struct zk_transport_peer {
	const char *name;
	const char *address; /* "host:port"; NULL: it will dial us */
	uint64_t node;       /* 0: whichever bears that name */
};

/*
 * Listens, but takes and dials nobody yet.  Returns 0; -EINVAL: an option; -ENOKEY: no
 * key, and not insecure; -EADDRINUSE, -EADDRNOTAVAIL, -EACCES ...: of the
 * listening address; -EBADMSG: a file for TLS does not hold what it should;
 * -errno of reading it; -ENOMEM, -EAGAIN.
 */
int zk_transport_open(const struct zk_transport_options *options,
    struct zk_transport **ret_transport);

/*
 * Starts the thread; callbacks may come from now on, so what they need, the
 * pointer from zk_transport_open() too, must be in place.  0; -EAGAIN.
 */
int zk_transport_start(struct zk_transport *t);

/*
 * Ends all sessions, each with its peer_down, and the thread.  No callback
 * runs after it.  Bounded: waits for no peer.  Twice is once.
 */
void zk_transport_stop(struct zk_transport *t);

/* Stops and frees.  NULL is fine.  Nobody else may be using it. */
void zk_transport_close(struct zk_transport *t);

/* The port listened on, 0 if none. */
uint16_t zk_transport_port(const struct zk_transport *t);

/* For sessions from now on; those that are up stay. */
void zk_transport_set_ensemble(struct zk_transport *t,
    const uint8_t ensemble[ZK_ENSEMBLE_BYTES]);

/*
 * Replaces the list of peers (copied), also before the start.  Ourselves may be in it, and is
 * skipped.  A peer that left the list is disconnected if it was in it, and
 * may still dial us: whom to talk to is decided above.  0; -EINVAL: a name
 * or an address; -E2BIG: too many; -ENOMEM.
 */
int zk_transport_set_peers(struct zk_transport *t,
    const struct zk_transport_peer *peers, size_t count);

/*
 * Queues one frame, copying it, and writes it at once when nothing waits
 * before it.  Never blocks on the network.  0; -ENOTCONN: no session is up;
 * -EAGAIN: the lane's queue is full, try after an answer or a while;
 * -EMSGSIZE: more than zk_frame_body_max(); -ENOMEM.  Any thread.
 */
int zk_transport_send(struct zk_transport *t, uint64_t peer, unsigned lane,
    uint32_t group, const struct iovec *iov, size_t iov_count);

/*
 * The same, but it may wait for what is sent there next on that lane, or for
 * zk_transport_push(): who has several to send saves a system call for each,
 * and the other end a wake-up.
 */
int zk_transport_queue(struct zk_transport *t, uint64_t peer, unsigned lane,
    uint32_t group, const struct iovec *iov, size_t iov_count);

/* Writes what has been queued for this peer on this lane.  Any thread. */
void zk_transport_push(struct zk_transport *t, uint64_t peer, unsigned lane);

/* Reads again what `received` had no room for.  Any thread; always safe. */
void zk_transport_resume(struct zk_transport *t, uint64_t peer);

/* Ends the session, if there is one; dialers dial again. */
void zk_transport_disconnect(struct zk_transport *t, uint64_t peer);

/* Since the start. */
struct zk_transport_stats {
	uint64_t frames_in, frames_out, bytes_in, bytes_out;
	uint64_t sessions;   /* that came up */
	uint64_t bad_frames; /* connections closed because of one */
	uint64_t refused;    /* connections, by us or by the peer */
	uint64_t evicted;    /* strangers that made room for others */
	uint64_t accepted, dialed;
	uint32_t peers_up, strangers;
};
void zk_transport_stats(struct zk_transport *t,
    struct zk_transport_stats *ret_stats);

#endif
