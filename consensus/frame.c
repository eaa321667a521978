#include "consensus/frame.h"

#include <errno.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"

enum { MAGIC = 0x6b7a, HEAD_CRC_AT = 24 };

_Static_assert(HEAD_CRC_AT + 4 == ZK_FRAME_HEAD_BYTES, "the checksum is last");

uint32_t
zk_frame_body_max(unsigned lane)
{
	ZK_ASSERT(lane < ZK_LANES_MAX);

	return lane == ZK_LANE_FAST || lane == ZK_LANE_FAST_2
	    ? ZK_FRAME_FAST_MAX
	    : ZK_FRAME_BULK_MAX;
}

void
zk_frame_encode(const struct zk_frame *frame, uint8_t out[ZK_FRAME_HEAD_BYTES])
{
	struct zk_enc enc;

	ZK_ASSERT(frame->len <= zk_frame_body_max(frame->lane));
	ZK_ASSERT(frame->kind == ZK_FRAME_DATA || frame->len == 0);

	zk_enc_init(&enc, out, ZK_FRAME_HEAD_BYTES);
	zk_enc_u16(&enc, MAGIC);
	zk_enc_u8(&enc, ZK_FRAME_VERSION);
	zk_enc_u8(&enc, (uint8_t)frame->kind);
	zk_enc_u8(&enc, frame->lane);
	zk_enc_u8(&enc, 0);
	zk_enc_u16(&enc, 0);
	zk_enc_u32(&enc, frame->len);
	zk_enc_u32(&enc, frame->group);
	zk_enc_u32(&enc, frame->number);
	zk_enc_u32(&enc, frame->body_crc);
	zk_enc_u32(&enc, zk_crc32c(0, out, HEAD_CRC_AT));
	ZK_ASSERT(!enc.failed);
}

int
zk_frame_decode(const uint8_t head[ZK_FRAME_HEAD_BYTES], unsigned lane,
    uint32_t number, struct zk_frame *ret_frame)
{
	struct zk_frame frame;
	struct zk_dec dec;
	unsigned kind, zero;

	zk_dec_init(&dec, head, ZK_FRAME_HEAD_BYTES);
	if (zk_dec_u16(&dec) != MAGIC || zk_dec_u8(&dec) != ZK_FRAME_VERSION)
		return -EPROTO;
	kind = zk_dec_u8(&dec);
	frame.lane = zk_dec_u8(&dec);
	zero = zk_dec_u8(&dec);
	zero |= zk_dec_u16(&dec);
	frame.len = zk_dec_u32(&dec);
	frame.group = zk_dec_u32(&dec);
	frame.number = zk_dec_u32(&dec);
	frame.body_crc = zk_dec_u32(&dec);
	if (zk_dec_u32(&dec) != zk_crc32c(0, head, HEAD_CRC_AT))
		return -EPROTO;
	if (zero != 0 || frame.lane != lane || frame.number != number)
		return -EPROTO;
	if (frame.len > zk_frame_body_max(lane))
		return -EPROTO;
	if (kind == ZK_FRAME_PING && (frame.len != 0 || frame.group != 0))
		return -EPROTO;
	if (kind != ZK_FRAME_DATA && kind != ZK_FRAME_PING)
		return -EPROTO;
	frame.kind = (enum zk_frame_kind)kind;
	*ret_frame = frame;
	return 0;
}

int
zk_frame_check(const struct zk_frame *frame, const void *body)
{
	return zk_crc32c(0, body, frame->len) == frame->body_crc ? 0 : -EPROTO;
}
