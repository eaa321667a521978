#ifndef ZK_CONSENSUS_AUTH_H
#define ZK_CONSENSUS_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How two members prove to each other, on a new connection and before any
 * frame, that both hold the ensemble's key, and who they are.
 *
 *   dialer                              listener
 *   HELLO    identity, nonce       -->
 *                                  <--  CHALLENGE  identity, nonce
 *   PROOF    HMAC                  -->
 *                                  <--  WELCOME  HMAC   (or REFUSED, reason)
 *
 * Each HMAC-SHA-256 is over a word for its direction and all bytes of HELLO
 * and CHALLENGE: both nonces, names, node ids, incarnations, ensembles,
 * versions, the lane and the session.  So nothing of it can be replayed,
 * reflected, or used with another member; the dialer proves first, so that
 * a port scan learns nothing.  Without a key the same is done with a key that
 * everybody knows, and both sides must agree to that.
 *
 * After it frames carry checksums, not MACs: who must fear somebody on the
 * wire uses TLS around it.
 *
 * Each message is: u32 magic "zkhi", u16 version of this protocol, u16
 * bytes of the whole message, u8 type, then, little-endian, for HELLO and
 * CHALLENGE:
 *   u8 flags (1: there is a key), u8 lane, u8 lanes, u32 features,
 *   u64 session, u64 node id, u64 incarnation, 16 bytes ensemble, 32 bytes
 *   nonce, u8 length of the name, 63 bytes name, padded with zeros,
 *   u8 length, 63 bytes name of the member it is meant for;
 * for PROOF and WELCOME: 32 bytes HMAC; for REFUSED: u8 reason.
 *
 * A pure state machine: no I/O, clock or randomness.  One thread at a time.
 */

#define ZK_AUTH_NAME_MAX     63u
#define ZK_AUTH_KEY_MIN      32u
#define ZK_AUTH_KEY_MAX      64u
#define ZK_AUTH_NONCE_BYTES  32u
#define ZK_AUTH_PROOF_BYTES  32u
#define ZK_AUTH_PREFIX_BYTES 8u
#define ZK_AUTH_MESSAGE_MAX  256u
#define ZK_ENSEMBLE_BYTES    16u

/* Why a connection is refused; travels as a u8, but for MUTE. */
#define ZK_REFUSAL_LIST(X)                                                     \
	X(ZK_REFUSED_NOT, "not refused")                                       \
	X(ZK_REFUSED_GARBAGE, "does not speak this protocol")                  \
	X(ZK_REFUSED_VERSION, "speaks another version of the protocol")        \
	X(ZK_REFUSED_KEY, "has another key")                                   \
	X(ZK_REFUSED_KEYLESS, "one side has a key, the other has not")         \
	X(ZK_REFUSED_ENSEMBLE, "belongs to another ensemble")                  \
	X(ZK_REFUSED_SELF, "is this very member")                              \
	X(ZK_REFUSED_NAME, "has the name of another connected member")         \
	X(ZK_REFUSED_NODE, "has the node id of another connected member")      \
	X(ZK_REFUSED_UNEXPECTED, "is not the member it was taken for")         \
	X(ZK_REFUSED_STALE, "a newer process of that member is connected")     \
	X(ZK_REFUSED_DUPLICATE, "that member is connected already")            \
	X(ZK_REFUSED_SESSION, "that lane belongs to no open session")          \
	X(ZK_REFUSED_LANES, "uses other lanes")                                \
	X(ZK_REFUSED_FULL, "too many members are connected")                   \
	X(ZK_REFUSED_TIMEOUT, "did not prove itself in time")                  \
	X(ZK_REFUSED_TLS,                                                      \
	    "no agreement on TLS, or its certificate is not good")             \
	X(ZK_REFUSED_MUTE,                                                     \
	    "closes every connection at once: TLS may be on one side only")

enum zk_refusal {
#define X(name, text) name,
	ZK_REFUSAL_LIST(X)
#undef X
};

/* Static text. */
const char *zk_refusal_text(enum zk_refusal reason);

/* What one side says of itself. */
struct zk_identity {
	char name[ZK_AUTH_NAME_MAX + 1];
	char wants[ZK_AUTH_NAME_MAX + 1]; /* who it means to talk to; "": any */
	uint64_t node;                    /* never 0 */
	uint64_t incarnation; /* grows with each start of the member */
	uint64_t session;     /* drawn by the dialer; its lanes share it */
	uint8_t ensemble[ZK_ENSEMBLE_BYTES]; /* zero: not yet formed */
	uint32_t features; /* not judged here: for the user of the transport */
	uint8_t lane, lanes;
};

/* The ensemble's key; len 0: none, and none is asked for. */
struct zk_auth_key {
	size_t len;
	uint8_t bytes[ZK_AUTH_KEY_MAX];
};

enum zk_auth_state {
	ZK_AUTH_HELLO,     /* listener: HELLO is due */
	ZK_AUTH_CHALLENGE, /* dialer: CHALLENGE is due */
	ZK_AUTH_PROOF,     /* listener: PROOF is due */
	ZK_AUTH_JUDGE,     /* listener: to be welcomed or refused by the user */
	ZK_AUTH_WELCOME,   /* dialer: WELCOME is due */
	ZK_AUTH_DONE,
	ZK_AUTH_FAILED,
};

struct zk_auth {
	enum zk_auth_state state;
	enum zk_refusal reason; /* FAILED: why, ours or the peer's */
	bool told;              /* FAILED: the peer said so */
	uint16_t version;
	struct zk_auth_key key;
	struct zk_identity self, peer;
	uint8_t nonce[ZK_AUTH_NONCE_BYTES];
	size_t seen_len; /* HELLO and CHALLENGE as they travelled */
	uint8_t seen[2 * ZK_AUTH_MESSAGE_MAX];
};

/* One message to be sent; len 0: none. */
struct zk_auth_out {
	size_t len;
	uint8_t bytes[ZK_AUTH_MESSAGE_MAX];
};

/*
 * Starts one side.  nonce: from the system's random source, for this
 * connection only.  The dialer's HELLO is put into *ret_out; a listener,
 * who has to say nothing yet, passes NULL.  Of a listener's identity lane,
 * lanes' meaning and session are the dialer's and are taken from its HELLO;
 * `lanes` must agree.
 */
void zk_auth_init(struct zk_auth *auth, uint16_t version,
    const struct zk_auth_key *key, const struct zk_identity *self,
    const uint8_t nonce[ZK_AUTH_NONCE_BYTES], struct zk_auth_out *ret_out);

/*
 * The length of the message that begins so: at most ZK_AUTH_MESSAGE_MAX.
 * -EPROTO when it is not one.  For readers that must not read further.
 */
int zk_auth_length(const uint8_t prefix[ZK_AUTH_PREFIX_BYTES], size_t *ret_len);

/*
 * Takes one whole message.  0: state has moved on, *ret_out is to be sent
 * if it is not empty.  -EACCES: state is FAILED; *ret_out, if not empty, tells
 * the peer why; then close.
 */
int zk_auth_step(struct zk_auth *auth, const uint8_t *bytes, size_t len,
    struct zk_auth_out *ret_out);

/*
 * Listener in state JUDGE, when auth->peer has proved that it is who it says:
 * ZK_REFUSED_NOT welcomes (state DONE), another reason refuses (FAILED).
 */
void zk_auth_judge(struct zk_auth *auth, enum zk_refusal reason,
    struct zk_auth_out *ret_out);

/* Forgets the key. */
void zk_auth_fini(struct zk_auth *auth);

#endif
