#ifndef ZK_CONSENSUS_MSG_CODEC_H
#define ZK_CONSENSUS_MSG_CODEC_H

#include "base/codec.h"
#include "consensus/raft.h"

/*
 * Raft messages and configurations as bytes, little-endian, fixed fields.
 *
 * Message, ZK_MSG_WIRE_BYTES:
 *   u8 type, u8 flags (1: reject, 2: transfer), u16 zero,
 *   u64 from, to, term, index, log_term, last, entry_term, hint_index,
 *   commit, ctx.
 * The payload entries of an APPEND, last - index of them, follow; they are
 * the driver's.
 *
 * Configuration, at most ZK_CONF_WIRE_MAX:
 *   u8 count, u32 voter_bits, count times u64 id.
 *
 * Encoders and decoders of untrusted bytes; any thread.
 */

#define ZK_MSG_WIRE_BYTES 84u
#define ZK_CONF_WIRE_MAX  (5u + 8u * ZK_MEMBERS_MAX)

/* An error sticks to *enc. */
void zk_msg_encode(struct zk_enc *enc, const struct zk_msg *msg);
void zk_conf_encode(struct zk_enc *enc, const struct zk_conf *conf);

/*
 * 0, or -EPROTO: truncated, or a field out of its bounds.  What follows in
 * *dec is left for the caller.  Sets the fields off the wire to zero.
 */
int zk_msg_decode(struct zk_dec *dec, struct zk_msg *ret_msg);
int zk_conf_decode(struct zk_dec *dec, struct zk_conf *ret_conf);

#endif
