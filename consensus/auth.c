#include "consensus/auth.h"

#include <errno.h>
#include <string.h>

#include <mbedtls/constant_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>

#include "base/assert.h"
#include "base/codec.h"
#include "consensus/frame.h"

enum message_type {
	TYPE_HELLO = 1,
	TYPE_CHALLENGE,
	TYPE_PROOF,
	TYPE_WELCOME,
	TYPE_REFUSED,
};

enum {
	MAGIC = 0x69686b7a, /* "zkhi" */
	FLAG_KEY = 1,
	HEAD_BYTES = ZK_AUTH_PREFIX_BYTES + 1,
	INTRODUCTION_BYTES = HEAD_BYTES + 7 + 24 + ZK_ENSEMBLE_BYTES +
	    ZK_AUTH_NONCE_BYTES + 2 * (1 + ZK_AUTH_NAME_MAX),
	PROOF_BYTES = HEAD_BYTES + ZK_AUTH_PROOF_BYTES,
	REFUSED_BYTES = HEAD_BYTES + 1,
};

_Static_assert(INTRODUCTION_BYTES <= ZK_AUTH_MESSAGE_MAX,
    "the longest message fits");

const char *
zk_refusal_text(enum zk_refusal reason)
{
	static const char *const texts[] = {
#define X(name, text) text,
	    ZK_REFUSAL_LIST(X)
#undef X
	};

	ZK_ASSERT((size_t)reason < sizeof(texts) / sizeof(texts[0]));
	return texts[reason];
}

/* --- messages ------------------------------------------------------------- */

static void
put_head(struct zk_enc *enc, struct zk_auth_out *out, uint16_t version,
    enum message_type type, size_t len)
{
	zk_enc_init(enc, out->bytes, sizeof(out->bytes));
	zk_enc_u32(enc, MAGIC);
	zk_enc_u16(enc, version);
	zk_enc_u16(enc, (uint16_t)len);
	zk_enc_u8(enc, (uint8_t)type);
	out->len = len;
}

static void
put_name(struct zk_enc *enc, const char *name)
{
	static const char padding[ZK_AUTH_NAME_MAX];
	const size_t len = strlen(name);

	ZK_ASSERT(len <= ZK_AUTH_NAME_MAX);
	zk_enc_u8(enc, (uint8_t)len);
	zk_enc_raw(enc, name, len);
	zk_enc_raw(enc, padding, sizeof(padding) - len);
}

static void
put_introduction(const struct zk_auth *auth, enum message_type type,
    struct zk_auth_out *out)
{
	const struct zk_identity *self = &auth->self;
	struct zk_enc enc;

	put_head(&enc, out, auth->version, type, INTRODUCTION_BYTES);
	zk_enc_u8(&enc, auth->key.len > 0 ? FLAG_KEY : 0);
	zk_enc_u8(&enc, self->lane);
	zk_enc_u8(&enc, self->lanes);
	zk_enc_u32(&enc, self->features);
	zk_enc_u64(&enc, self->session);
	zk_enc_u64(&enc, self->node);
	zk_enc_u64(&enc, self->incarnation);
	zk_enc_raw(&enc, self->ensemble, sizeof(self->ensemble));
	zk_enc_raw(&enc, auth->nonce, sizeof(auth->nonce));
	put_name(&enc, self->name);
	put_name(&enc, self->wants);
	ZK_ASSERT(!enc.failed);
	ZK_ASSERT(enc.len == out->len);
}

/*
 * A name is what may stand in a file of configuration and in a line of a log:
 * no byte of it is blank or a control character.
 */
static bool
get_name(struct zk_dec *dec, bool may_be_empty,
    char ret_name[ZK_AUTH_NAME_MAX + 1])
{
	const size_t len = zk_dec_u8(dec);
	const uint8_t *bytes = zk_dec_raw(dec, ZK_AUTH_NAME_MAX);

	if (bytes == NULL || len > ZK_AUTH_NAME_MAX)
		return false;
	if (len == 0 && !may_be_empty)
		return false;
	for (size_t i = 0; i < ZK_AUTH_NAME_MAX; i++) {
		const bool plain = bytes[i] > ' ' && bytes[i] < 0x7f;

		if (i < len ? !plain : bytes[i] != 0)
			return false;
	}
	memcpy(ret_name, bytes, len);
	ret_name[len] = '\0';
	return true;
}

static bool
get_introduction(const uint8_t *bytes, size_t len,
    struct zk_identity *ret_identity, unsigned *ret_flags)
{
	struct zk_identity who;
	const void *raw;
	struct zk_dec dec;

	zk_dec_init(&dec, bytes, len);
	(void)zk_dec_raw(&dec, HEAD_BYTES);
	*ret_flags = zk_dec_u8(&dec);
	who.lane = zk_dec_u8(&dec);
	who.lanes = zk_dec_u8(&dec);
	who.features = zk_dec_u32(&dec);
	who.session = zk_dec_u64(&dec);
	who.node = zk_dec_u64(&dec);
	who.incarnation = zk_dec_u64(&dec);
	raw = zk_dec_raw(&dec, sizeof(who.ensemble));
	if (raw == NULL)
		return false;
	memcpy(who.ensemble, raw, sizeof(who.ensemble));
	(void)zk_dec_raw(&dec, ZK_AUTH_NONCE_BYTES);
	if (!get_name(&dec, false, who.name) ||
	    !get_name(&dec, true, who.wants))
		return false;
	if (!zk_dec_done(&dec) || (*ret_flags & ~(unsigned)FLAG_KEY) != 0)
		return false;
	if (who.node == 0 || who.lanes > ZK_LANES_MAX || who.lane >= who.lanes)
		return false;
	*ret_identity = who;
	return true;
}

/* Another version may say it like us: then it can be named when refused. */
static void
get_claim(struct zk_auth *auth, const uint8_t *bytes, size_t len)
{
	struct zk_identity claim;
	unsigned flags;

	if (get_introduction(bytes, len, &claim, &flags))
		memcpy(auth->peer.name, claim.name, sizeof(auth->peer.name));
}

/* --- proofs --------------------------------------------------------------- */

/* One pass of HMAC (RFC 2104): the hash of the padded key and two parts. */
static void
hash(const uint8_t key[ZK_AUTH_KEY_MAX], uint8_t pad, const char word[16],
    const uint8_t *rest, size_t rest_len, uint8_t ret_hash[ZK_AUTH_PROOF_BYTES])
{
	uint8_t block[ZK_AUTH_KEY_MAX];
	mbedtls_sha256_context sha;
	int rc;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = key[i] ^ pad;
	mbedtls_sha256_init(&sha);
	rc = mbedtls_sha256_starts_ret(&sha, 0);
	rc |= mbedtls_sha256_update_ret(&sha, block, sizeof(block));
	rc |= mbedtls_sha256_update_ret(&sha, (const uint8_t *)word,
	    word != NULL ? 16 : 0);
	rc |= mbedtls_sha256_update_ret(&sha, rest, rest_len);
	rc |= mbedtls_sha256_finish_ret(&sha, ret_hash);
	/* In software it has no way to fail. */
	ZK_ASSERT(rc == 0);
	mbedtls_sha256_free(&sha);
	mbedtls_platform_zeroize(block, sizeof(block));
}

static void
prove(const struct zk_auth *auth, enum message_type type,
    uint8_t ret_proof[ZK_AUTH_PROOF_BYTES])
{
	/* Of one length, so that no word can begin like another. */
	static const char dialer[16] = "zkfs dialer 1  ";
	static const char listener[16] = "zkfs listener 1";
	uint8_t inner[ZK_AUTH_PROOF_BYTES];

	/* A key shorter than a block is padded with zeros: it already is. */
	_Static_assert(ZK_AUTH_KEY_MAX == 64, "SHA-256 has blocks of 64 bytes");
	ZK_ASSERT(auth->seen_len == (size_t)2 * INTRODUCTION_BYTES);
	hash(auth->key.bytes, 0x36, type == TYPE_PROOF ? dialer : listener,
	    auth->seen, auth->seen_len, inner);
	hash(auth->key.bytes, 0x5c, NULL, inner, sizeof(inner), ret_proof);
}

static void
put_proof(const struct zk_auth *auth, enum message_type type,
    struct zk_auth_out *out)
{
	uint8_t proof[ZK_AUTH_PROOF_BYTES];
	struct zk_enc enc;

	prove(auth, type, proof);
	put_head(&enc, out, auth->version, type, PROOF_BYTES);
	zk_enc_raw(&enc, proof, sizeof(proof));
	ZK_ASSERT(enc.len == out->len);
}

static bool
proof_is_good(const struct zk_auth *auth, enum message_type type,
    const uint8_t *bytes)
{
	uint8_t proof[ZK_AUTH_PROOF_BYTES];

	prove(auth, type, proof);
	return mbedtls_ct_memcmp(proof, bytes + HEAD_BYTES, sizeof(proof)) == 0;
}

static void
remember(struct zk_auth *auth, const uint8_t *bytes, size_t len)
{
	ZK_ASSERT(auth->seen_len + len <= sizeof(auth->seen));
	memcpy(auth->seen + auth->seen_len, bytes, len);
	auth->seen_len += len;
}

/* --- the two sides -------------------------------------------------------- */

static int
fail(struct zk_auth *auth, enum zk_refusal reason)
{
	ZK_ASSERT(reason != ZK_REFUSED_NOT);
	auth->state = ZK_AUTH_FAILED;
	auth->reason = reason;
	return -EACCES;
}

/* A record of TLS that begins a handshake; no message of ours is as long. */
static bool
is_client_hello(const uint8_t *bytes, size_t len)
{
	return len >= 2 && bytes[0] == 0x16 && bytes[1] == 0x03;
}

static int
refuse(struct zk_auth *auth, enum zk_refusal reason, struct zk_auth_out *out)
{
	struct zk_enc enc;

	put_head(&enc, out, auth->version, TYPE_REFUSED, REFUSED_BYTES);
	zk_enc_u8(&enc, (uint8_t)reason);
	return fail(auth, reason);
}

static bool
is_zero(const uint8_t ensemble[ZK_ENSEMBLE_BYTES])
{
	static const uint8_t zero[ZK_ENSEMBLE_BYTES];

	return memcmp(ensemble, zero, sizeof(zero)) == 0;
}

/* What either side minds about the other, whatever is connected else. */
static enum zk_refusal
objection(const struct zk_auth *auth)
{
	const struct zk_identity *self = &auth->self, *peer = &auth->peer;

	if (!is_zero(self->ensemble) && !is_zero(peer->ensemble) &&
	    memcmp(self->ensemble, peer->ensemble, ZK_ENSEMBLE_BYTES) != 0)
		return ZK_REFUSED_ENSEMBLE;
	if (peer->node == self->node)
		return ZK_REFUSED_SELF;
	if (strcmp(peer->name, self->name) == 0)
		return ZK_REFUSED_NAME;
	return ZK_REFUSED_NOT;
}

static int
step_hello(struct zk_auth *auth, const uint8_t *bytes, size_t len,
    struct zk_auth_out *out)
{
	unsigned flags;

	if (!get_introduction(bytes, len, &auth->peer, &flags))
		return refuse(auth, ZK_REFUSED_GARBAGE, out);
	if ((flags != 0) != (auth->key.len > 0))
		return refuse(auth, ZK_REFUSED_KEYLESS, out);
	if (auth->peer.lanes != auth->self.lanes)
		return refuse(auth, ZK_REFUSED_LANES, out);
	auth->self.session = auth->peer.session;
	auth->self.lane = auth->peer.lane;
	memcpy(auth->self.wants, auth->peer.name, sizeof(auth->self.wants));
	remember(auth, bytes, len);
	put_introduction(auth, TYPE_CHALLENGE, out);
	remember(auth, out->bytes, out->len);
	auth->state = ZK_AUTH_PROOF;
	return 0;
}

static int
step_proof(struct zk_auth *auth, const uint8_t *bytes, struct zk_auth_out *out)
{
	const struct zk_identity *peer = &auth->peer;
	enum zk_refusal reason;

	if (!proof_is_good(auth, TYPE_PROOF, bytes))
		return refuse(auth, ZK_REFUSED_KEY, out);
	reason = objection(auth);
	if (reason == ZK_REFUSED_NOT && peer->wants[0] != '\0' &&
	    strcmp(peer->wants, auth->self.name) != 0)
		reason = ZK_REFUSED_UNEXPECTED;
	if (reason != ZK_REFUSED_NOT)
		return refuse(auth, reason, out);
	auth->state = ZK_AUTH_JUDGE;
	return 0;
}

static int
step_challenge(struct zk_auth *auth, const uint8_t *bytes, size_t len,
    struct zk_auth_out *out)
{
	const struct zk_identity *self = &auth->self, *peer = &auth->peer;
	enum zk_refusal reason;
	unsigned flags;

	if (!get_introduction(bytes, len, &auth->peer, &flags))
		return fail(auth, ZK_REFUSED_GARBAGE);
	if ((flags != 0) != (auth->key.len > 0))
		return fail(auth, ZK_REFUSED_KEYLESS);
	/* An answer to another HELLO is none to ours. */
	if (peer->session != self->session || peer->lane != self->lane ||
	    peer->lanes != self->lanes || strcmp(peer->wants, self->name) != 0)
		return fail(auth, ZK_REFUSED_GARBAGE);
	reason = objection(auth);
	if (reason == ZK_REFUSED_NOT && self->wants[0] != '\0' &&
	    strcmp(self->wants, peer->name) != 0)
		reason = ZK_REFUSED_UNEXPECTED;
	if (reason != ZK_REFUSED_NOT)
		return fail(auth, reason);
	remember(auth, bytes, len);
	put_proof(auth, TYPE_PROOF, out);
	auth->state = ZK_AUTH_WELCOME;
	return 0;
}

static int
step_welcome(struct zk_auth *auth, const uint8_t *bytes)
{
	if (!proof_is_good(auth, TYPE_WELCOME, bytes))
		return fail(auth, ZK_REFUSED_KEY);
	auth->state = ZK_AUTH_DONE;
	return 0;
}

/* The one message that is read whatever version it is of. */
static int
step_refused(struct zk_auth *auth, const uint8_t *bytes, size_t len)
{
	const unsigned reason = len == REFUSED_BYTES ? bytes[HEAD_BYTES] : 0;

	if (reason == ZK_REFUSED_NOT || reason > ZK_REFUSED_TLS)
		return fail(auth, ZK_REFUSED_GARBAGE);
	auth->told = true;
	return fail(auth, (enum zk_refusal)reason);
}

/* --- for the transport ---------------------------------------------------- */

void
zk_auth_init(struct zk_auth *auth, uint16_t version,
    const struct zk_auth_key *key, const struct zk_identity *self,
    const uint8_t nonce[ZK_AUTH_NONCE_BYTES], struct zk_auth_out *ret_out)
{
	ZK_ASSERT(key->len == 0 || key->len >= ZK_AUTH_KEY_MIN);
	ZK_ASSERT(key->len <= ZK_AUTH_KEY_MAX);
	ZK_ASSERT(self->node != 0);
	ZK_ASSERT(self->name[0] != '\0');

	*auth = (struct zk_auth){
	    .state = ret_out != NULL ? ZK_AUTH_CHALLENGE : ZK_AUTH_HELLO,
	    .version = version,
	    .self = *self,
	};
	/* Copied so that what follows the key is zero, whatever it was. */
	auth->key.len = key->len;
	memcpy(auth->key.bytes, key->bytes, key->len);
	memcpy(auth->nonce, nonce, sizeof(auth->nonce));
	if (ret_out == NULL)
		return;
	put_introduction(auth, TYPE_HELLO, ret_out);
	remember(auth, ret_out->bytes, ret_out->len);
}

int
zk_auth_length(const uint8_t prefix[ZK_AUTH_PREFIX_BYTES], size_t *ret_len)
{
	struct zk_dec dec;
	size_t len;

	zk_dec_init(&dec, prefix, ZK_AUTH_PREFIX_BYTES);
	if (zk_dec_u32(&dec) != MAGIC)
		return -EPROTO;
	(void)zk_dec_u16(&dec);
	len = zk_dec_u16(&dec);
	if (len <= HEAD_BYTES || len > ZK_AUTH_MESSAGE_MAX)
		return -EPROTO;
	*ret_len = len;
	return 0;
}

static size_t
length_due(enum zk_auth_state state)
{
	return state == ZK_AUTH_HELLO || state == ZK_AUTH_CHALLENGE
	    ? (size_t)INTRODUCTION_BYTES
	    : (size_t)PROOF_BYTES;
}

int
zk_auth_step(struct zk_auth *auth, const uint8_t *bytes, size_t len,
    struct zk_auth_out *ret_out)
{
	static const enum message_type due[] = {
	    [ZK_AUTH_HELLO] = TYPE_HELLO,
	    [ZK_AUTH_CHALLENGE] = TYPE_CHALLENGE,
	    [ZK_AUTH_PROOF] = TYPE_PROOF,
	    [ZK_AUTH_WELCOME] = TYPE_WELCOME,
	};
	const enum zk_auth_state state = auth->state;
	struct zk_dec dec;
	unsigned version;
	size_t said = 0;

	ZK_ASSERT(state <= ZK_AUTH_PROOF || state == ZK_AUTH_WELCOME);
	ret_out->len = 0;
	if (len <= HEAD_BYTES || zk_auth_length(bytes, &said) < 0 ||
	    said != len)
		return fail(auth,
		    is_client_hello(bytes, len) ? ZK_REFUSED_TLS
		                                : ZK_REFUSED_GARBAGE);
	if (bytes[HEAD_BYTES - 1] == TYPE_REFUSED &&
	    (state == ZK_AUTH_CHALLENGE || state == ZK_AUTH_WELCOME))
		return step_refused(auth, bytes, len);
	zk_dec_init(&dec, bytes, len);
	(void)zk_dec_u32(&dec);
	version = zk_dec_u16(&dec);
	if (version != auth->version && state == ZK_AUTH_HELLO) {
		get_claim(auth, bytes, len);
		return refuse(auth, ZK_REFUSED_VERSION, ret_out);
	}
	if (version != auth->version)
		return fail(auth, ZK_REFUSED_VERSION);
	if (bytes[HEAD_BYTES - 1] != due[state] || len != length_due(state))
		return fail(auth, ZK_REFUSED_GARBAGE);
	switch (state) {
	case ZK_AUTH_HELLO:
		return step_hello(auth, bytes, len, ret_out);
	case ZK_AUTH_PROOF:
		return step_proof(auth, bytes, ret_out);
	case ZK_AUTH_CHALLENGE:
		return step_challenge(auth, bytes, len, ret_out);
	case ZK_AUTH_WELCOME:
		return step_welcome(auth, bytes);
	case ZK_AUTH_JUDGE:
	case ZK_AUTH_DONE:
	case ZK_AUTH_FAILED:
	default:
		break;
	}
	return -EACCES;
}

void
zk_auth_judge(struct zk_auth *auth, enum zk_refusal reason,
    struct zk_auth_out *ret_out)
{
	ZK_ASSERT(auth->state == ZK_AUTH_JUDGE);

	if (reason != ZK_REFUSED_NOT) {
		(void)refuse(auth, reason, ret_out);
		return;
	}
	put_proof(auth, TYPE_WELCOME, ret_out);
	auth->state = ZK_AUTH_DONE;
}

void
zk_auth_fini(struct zk_auth *auth)
{
	mbedtls_platform_zeroize(auth, sizeof(*auth));
}
