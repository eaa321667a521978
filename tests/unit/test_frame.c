#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "consensus/frame.h"

static const struct zk_frame example = {
    .kind = ZK_FRAME_DATA,
    .lane = ZK_LANE_BULK,
    .len = 5,
    .group = 77,
    .number = 12,
};

static void
encode(struct zk_frame frame, uint8_t head[ZK_FRAME_HEAD_BYTES])
{
	frame.body_crc = zk_crc32c(0, "hello", 5);
	zk_frame_encode(&frame, head);
}

Test(frame, what_was_encoded_is_decoded)
{
	uint8_t head[ZK_FRAME_HEAD_BYTES];
	struct zk_frame frame;

	encode(example, head);
	cr_assert_eq(zk_frame_decode(head, ZK_LANE_BULK, 12, &frame), 0);
	cr_expect_eq(frame.kind, ZK_FRAME_DATA);
	cr_expect_eq(frame.len, 5);
	cr_expect_eq(frame.group, 77);
	cr_expect_eq(frame.number, 12);
	cr_expect_eq(zk_frame_check(&frame, "hello"), 0);
	cr_expect_eq(zk_frame_check(&frame, "hellp"), -EPROTO);
}

Test(frame, every_flipped_bit_of_a_head_is_noticed)
{
	uint8_t head[ZK_FRAME_HEAD_BYTES];
	struct zk_frame frame;

	encode(example, head);
	for (size_t bit = 0; bit < sizeof(head) * 8; bit++) {
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_expect_eq(zk_frame_decode(head, ZK_LANE_BULK, 12, &frame),
		    -EPROTO, "bit %zu", bit);
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

/* Heads whose checksum is right, so that only what they say is wrong. */
Test(frame, a_head_of_another_place_is_refused)
{
	static const struct {
		const char *label;
		size_t at;
		uint8_t value;
	} cases[] = {
	    {"magic", 0, 'y'},
	    {"version", 2, 2},
	    {"no kind", 3, 0},
	    {"unknown kind", 3, 3},
	    {"a ping with a body", 3, ZK_FRAME_PING},
	    {"lane", 4, ZK_LANE_FAST},
	    {"what must be zero", 5, 1},
	    {"what must be zero, too", 7, 1},
	    {"an earlier frame again", 16, 11},
	    {"a frame was lost", 16, 13},
	    {"longer than any", 11, 1},
	};
	uint8_t head[ZK_FRAME_HEAD_BYTES];
	struct zk_frame frame;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t crc;

		encode(example, head);
		head[cases[i].at] = cases[i].value;
		crc = zk_crc32c(0, head, 24);
		for (unsigned j = 0; j < 4; j++)
			head[24 + j] = (uint8_t)(crc >> 8 * j);
		cr_expect_eq(zk_frame_decode(head, ZK_LANE_BULK, 12, &frame),
		    -EPROTO, "%s", cases[i].label);
	}
}

Test(frame, each_lane_has_its_own_largest_body)
{
	struct zk_frame frame = example;
	uint8_t head[ZK_FRAME_HEAD_BYTES];

	frame.len = ZK_FRAME_FAST_MAX + 1;
	zk_frame_encode(&frame, head);
	cr_expect_eq(zk_frame_decode(head, ZK_LANE_BULK, 12, &frame), 0);
	cr_expect_eq(zk_frame_body_max(ZK_LANE_FAST), ZK_FRAME_FAST_MAX);
	cr_expect_eq(zk_frame_body_max(ZK_LANE_BULK_2), ZK_FRAME_BULK_MAX);
	/* The same on the fast lane, made by hand: no sender would. */
	head[4] = ZK_LANE_FAST;
	for (unsigned j = 0; j < 4; j++)
		head[24 + j] = (uint8_t)(zk_crc32c(0, head, 24) >> 8 * j);
	cr_expect_eq(zk_frame_decode(head, ZK_LANE_FAST, 12, &frame), -EPROTO);
}
