#ifndef ZK_CONSENSUS_FRAME_H
#define ZK_CONSENSUS_FRAME_H

#include <stddef.h>
#include <stdint.h>

/*
 * What travels on a connection between members once both have proved
 * themselves: frames, each a head and a body.  Little-endian:
 *
 *    0 u16 magic "zk"        8 u32 bytes of the body
 *    2 u8  version, 1       12 u32 group
 *    3 u8  kind             16 u32 number of the frame on its connection, from
 *    4 u8  lane                    0 on: a lost or doubled one is noticed
 *    5 u8  zero, 3 times    20 u32 CRC-32C of the body
 *                           24 u32 CRC-32C of bytes 0 to 23
 *
 * The head has a checksum of its own, so that a length is believed, and
 * memory claimed for it, only when it is what the sender wrote.
 *
 * Plain values; any thread.
 */

#define ZK_FRAME_HEAD_BYTES 28u
#define ZK_FRAME_VERSION    1u

/* Lanes do not wait for each other: each is a connection of its own. */
enum zk_lane {
	ZK_LANE_FAST, /* heartbeats, votes, replies: never behind a payload */
	ZK_LANE_BULK, /* entries with payload, snapshots */
	/* For groups that must not wait for the tree's. */
	ZK_LANE_FAST_2,
	ZK_LANE_BULK_2,
};
#define ZK_LANES_MAX 4u

/* The largest body of a frame. */
#define ZK_FRAME_FAST_MAX 65536u
#define ZK_FRAME_BULK_MAX 4521984u /* a turn of the node, and its framing */

enum zk_frame_kind {
	ZK_FRAME_DATA = 1,
	ZK_FRAME_PING = 2, /* "I am here": no body, no group */
};

struct zk_frame {
	enum zk_frame_kind kind;
	uint8_t lane;
	uint32_t len, group, number, body_crc;
};

/* The largest body on a lane. */
uint32_t zk_frame_body_max(unsigned lane);

/* Writes a head; all fields of *frame must be valid. */
void zk_frame_encode(const struct zk_frame *frame,
    uint8_t out[ZK_FRAME_HEAD_BYTES]);

/*
 * Checks and reads a head that came in on `lane` and must be the
 * `number`th.  0, or -EPROTO.
 */
int zk_frame_decode(const uint8_t head[ZK_FRAME_HEAD_BYTES], unsigned lane,
    uint32_t number, struct zk_frame *ret_frame);

/* 0, or -EPROTO when the body is not what the head promised. */
int zk_frame_check(const struct zk_frame *frame, const void *body);

#endif
