#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "consensus/msg_codec.h"

/* Messages as bytes: what goes out comes in, and nothing else does. */

static const struct zk_msg full = {
    .type = ZK_MSG_APPEND,
    .reject = true,
    .transfer = true,
    .from = UINT64_MAX,
    .to = 2,
    .term = 3,
    .index = 4,
    .log_term = 5,
    .last = 6,
    .entry_term = 7,
    .hint_index = 8,
    .commit = 9,
    .ctx = ZK_INDEX_MAX - 1,
};

static size_t
encode(const struct zk_msg *msg, uint8_t *buf, size_t cap)
{
	struct zk_enc enc;

	zk_enc_init(&enc, buf, cap);
	zk_msg_encode(&enc, msg);
	return enc.failed ? 0 : enc.len;
}

static int
decode(const uint8_t *buf, size_t len, struct zk_msg *ret_msg)
{
	struct zk_dec dec;

	zk_dec_init(&dec, buf, len);
	return zk_msg_decode(&dec, ret_msg);
}

Test(raft_codec, a_message_comes_back)
{
	uint8_t buf[ZK_MSG_WIRE_BYTES];
	struct zk_msg msg;

	memset(&msg, 0xff, sizeof(msg));
	cr_assert_eq(encode(&full, buf, sizeof(buf)), ZK_MSG_WIRE_BYTES);
	cr_assert_eq(decode(buf, sizeof(buf), &msg), 0);
	cr_expect_eq(msg.type, full.type);
	cr_expect(msg.reject);
	cr_expect(msg.transfer);
	cr_expect_not(msg.after_flush, "does not travel");
	cr_expect_eq(msg.max_bytes, 0);
	cr_expect_eq(msg.from, full.from);
	cr_expect_eq(msg.to, full.to);
	cr_expect_eq(msg.term, full.term);
	cr_expect_eq(msg.index, full.index);
	cr_expect_eq(msg.log_term, full.log_term);
	cr_expect_eq(msg.last, full.last);
	cr_expect_eq(msg.entry_term, full.entry_term);
	cr_expect_eq(msg.hint_index, full.hint_index);
	cr_expect_eq(msg.commit, full.commit);
	cr_expect_eq(msg.ctx, full.ctx);
}

Test(raft_codec, every_truncation_is_refused)
{
	uint8_t buf[ZK_MSG_WIRE_BYTES];
	struct zk_msg msg;

	cr_assert_eq(encode(&full, buf, sizeof(buf)), ZK_MSG_WIRE_BYTES);
	for (size_t len = 0; len < sizeof(buf); len++) {
		cr_expect_eq(decode(buf, len, &msg), -EPROTO);
		cr_expect_eq(
		    encode(&full, (uint8_t[ZK_MSG_WIRE_BYTES]){0}, len), 0,
		    "nor does it fit");
	}
}

Test(raft_codec, fields_are_bounded)
{
	static const struct {
		const char *label;
		size_t offset;
		uint8_t value;
	} cases[] = {
	    {"type 0", 0, 0},
	    {"type beyond the last", 0, ZK_MSG_TYPE_LAST + 1},
	    {"unknown flag", 1, 4},
	    {"reserved", 2, 1},
	    {"reserved too", 3, 1},
	    {"term", 27, 0x40},
	    {"index", 35, 0x40},
	    {"log term", 43, 0x80},
	    {"last", 51, 0x40},
	    {"more entries than allowed", 46, 2},
	    {"fewer than none", 44, 3},
	    {"entry term", 59, 0x40},
	    {"hint", 67, 0x40},
	    {"commit", 75, 0xff},
	    {"ctx", 83, 0x40},
	    {"entries in a vote", 0, ZK_MSG_VOTE},
	};
	uint8_t buf[ZK_MSG_WIRE_BYTES];
	struct zk_msg msg;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cr_assert_eq(encode(&full, buf, sizeof(buf)), sizeof(buf));
		buf[cases[i].offset] = cases[i].value;
		cr_expect_eq(decode(buf, sizeof(buf), &msg), -EPROTO, "%s",
		    cases[i].label);
	}
	cr_assert_eq(encode(&full, buf, sizeof(buf)), sizeof(buf));
	memset(buf + 12, 0xff, 8);
	cr_expect_eq(decode(buf, sizeof(buf), &msg), -EPROTO, "to oneself");
	memset(buf + 12, 0, 8);
	cr_expect_eq(decode(buf, sizeof(buf), &msg), -EPROTO, "to nobody");
}

Test(raft_codec, members_come_back)
{
	struct zk_conf conf = {.count = ZK_MEMBERS_MAX, .voter_bits = 0x7f};
	struct zk_conf back;
	uint8_t buf[ZK_CONF_WIRE_MAX];
	struct zk_enc enc;
	struct zk_dec dec;

	for (uint32_t i = 0; i < conf.count; i++)
		conf.ids[i] = UINT64_MAX / (i + 1);
	zk_enc_init(&enc, buf, sizeof(buf));
	zk_conf_encode(&enc, &conf);
	cr_assert_not(enc.failed);
	cr_expect_eq(enc.len, ZK_CONF_WIRE_MAX);
	zk_dec_init(&dec, buf, enc.len);
	cr_assert_eq(zk_conf_decode(&dec, &back), 0);
	cr_expect(zk_dec_done(&dec));
	cr_expect_eq(memcmp(&conf, &back, sizeof(conf)), 0);

	for (size_t len = 0; len < enc.len; len++) {
		zk_dec_init(&dec, buf, len);
		cr_expect_eq(zk_conf_decode(&dec, &back), -EPROTO);
	}
	buf[0]++;
	zk_dec_init(&dec, buf, enc.len);
	cr_expect_eq(zk_conf_decode(&dec, &back), -EPROTO, "one too many");
}

/*
 * Anything that decodes goes into a living member, which may refuse it but
 * must stay whole: zk_raft_step() asserts that around every event.
 */
static void
init_member(struct zk_raft *r)
{
	struct zk_raft_start start = {
	    .self = 2,
	    .election_ms = 1000,
	    .heartbeat_ms = 100,
	    .append_bytes_max = 1000,
	    .window_bytes_max = 4000,
	    .uncommitted_bytes_max = 1000,
	    .term = 2,
	    .commit_index = 1,
	    .conf.conf = {.count = 3, .voter_bits = 7, .ids = {1, 2, 3}},
	};

	for (uint64_t i = 1; i <= 3; i++)
		cr_assert_eq(zk_raft_start_entry(&start, i, (i + 1) / 2), 0);
	cr_assert_eq(zk_raft_init(r, &start), 0);
}

Test(raft_codec, random_messages_leave_a_member_whole)
{
	static struct zk_raft r;
	static struct zk_effects fx;
	uint64_t rng = 2026;
	unsigned accepted = 0, refused = 0;

	init_member(&r);
	for (unsigned i = 0; i < 200000; i++) {
		struct zk_msg msg = {
		    .type = 1 + zk_prng_next(&rng) % ZK_MSG_TYPE_LAST,
		    .reject = zk_prng_next(&rng) % 4 == 0,
		    .transfer = zk_prng_next(&rng) % 8 == 0,
		    .from = 1 + 2 * (zk_prng_next(&rng) % 3),
		    .to = 2,
		    .term = r.term + zk_prng_next(&rng) % 8 / 6,
		    .index = zk_prng_next(&rng) % 8,
		    .log_term = zk_prng_next(&rng) % (r.term + 2),
		    .entry_term = zk_prng_next(&rng) % (r.term + 2),
		    .hint_index = zk_prng_next(&rng) % 8,
		    .commit = zk_prng_next(&rng) % 64 == 0
		        ? zk_prng_next(&rng) % 6
		        : 0,
		    .ctx = zk_prng_next(&rng) % 4,
		};
		struct zk_event ev = {.type = ZK_EV_MSG, .msg = &msg};
		struct zk_event tick = {
		    .type = ZK_EV_TICK,
		    .elapsed_ms = 700,
		};

		msg.last = msg.type == ZK_MSG_APPEND
		    ? msg.index + zk_prng_next(&rng) % 4
		    : 0;
		if (zk_raft_step(&r, &ev, &fx) == 0)
			accepted++;
		else
			refused++;
		if (i % 7 == 0)
			cr_assert_eq(zk_raft_step(&r, &tick, &fx), 0);
		if (i % 1000 == 999)
			init_member(&r);
	}
	cr_expect(accepted > 1000, "%u", accepted);
	cr_expect(refused > 1000, "%u", refused);
}

Test(raft_codec, random_bytes_do_no_harm)
{
	uint8_t buf[ZK_MSG_WIRE_BYTES + ZK_CONF_WIRE_MAX];
	uint64_t rng = 7;

	for (unsigned i = 0; i < 100000; i++) {
		size_t len = zk_prng_next(&rng) % sizeof(buf);
		struct zk_msg msg;
		struct zk_conf conf;
		struct zk_dec dec;

		for (size_t k = 0; k < len; k++)
			buf[k] = (uint8_t)zk_prng_next(&rng);
		(void)decode(buf, len, &msg);
		zk_dec_init(&dec, buf, len);
		if (zk_conf_decode(&dec, &conf) == 0)
			cr_expect_eq(zk_raft_conf_check(&conf), 0);
	}
}
