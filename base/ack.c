#include "base/ack.h"

#include "base/assert.h"
#include "base/codec.h"

/* number u32, tries in 24 bits over flags in 8, offset u64, little-endian. */

void
zk_ack_encode(uint8_t buf[ZK_ACK_BYTES], const struct zk_ack *ack)
{
	struct zk_enc enc;

	ZK_ASSERT(ack->tries <= ZK_ACK_TRIES_MAX);
	zk_enc_init(&enc, buf, ZK_ACK_BYTES);
	zk_enc_u32(&enc, ack->number);
	zk_enc_u32(&enc, ack->tries << 8 | ack->flags);
	zk_enc_u64(&enc, ack->offset);
	ZK_ASSERT(!enc.failed);
}

void
zk_ack_decode(const uint8_t buf[ZK_ACK_BYTES], struct zk_ack *ret_ack)
{
	struct zk_dec dec;
	uint32_t word;

	zk_dec_init(&dec, buf, ZK_ACK_BYTES);
	ret_ack->number = zk_dec_u32(&dec);
	word = zk_dec_u32(&dec);
	ret_ack->flags = (uint8_t)word;
	ret_ack->tries = word >> 8;
	ret_ack->offset = zk_dec_u64(&dec);
	ZK_ASSERT(zk_dec_done(&dec));
}
