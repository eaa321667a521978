#include "base/codec.h"
#include "base/hash.h"
#include "consensus/msg_codec.h"
#include "store/group_row.h"
#include "store/read.h"
#include "store/topic.h"
#include "store_rig.h"

#include <sys/stat.h>

static uint64_t session, other, topic, group, next;

static int
command_of(uint64_t of, const struct zk_command *cmd,
    struct zk_outcome *ret_out)
{
	struct zk_command mine = *cmd;
	const struct zk_outcome *out;

	mine.session = of;
	out = rig_apply(&mine);
	CHECK(out != NULL, "no answer");
	if (ret_out != NULL)
		*ret_out = *out;
	return out->rc;
}

static uint64_t
make_dir(uint64_t parent, const char *name)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_CREATE,
	    .ino = parent,
	    .mode = S_IFDIR | 0755,
	    .name = name,
	    .name_len = strlen(name),
	};
	struct zk_outcome out;

	cr_assert_eq(command_of(session, &cmd, &out), 0);
	return out.attr.ino;
}

static uint64_t
find(uint64_t parent, const char *name)
{
	struct zk_attr attr;

	cr_assert_eq(zk_read_lookup(rig.tx, parent, name, strlen(name), &attr),
	    0);
	return attr.ino;
}

static int
write_text(uint64_t of, uint64_t ino, const char *text)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_WRITE,
	    .ino = ino,
	    .handle = 77,
	    .data = text,
	    .data_len = strlen(text),
	};

	return command_of(of, &cmd, NULL);
}

static void
expect_offset(const char *name, const char *want)
{
	char buf[64];
	size_t len = 0;

	cr_assert_eq(zk_read_content(rig.tx, find(group, name), 0, buf,
	                 sizeof(buf) - 1, &len),
	    0);
	buf[len] = '\0';
	cr_expect_str_eq(buf, want);
}

/* Returns when it joined, which is its name in the rows. */
static uint64_t
join(uint64_t of, uint64_t handle)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_JOIN,
	    .ino = next,
	    .handle = handle,
	};
	struct zk_outcome out;

	cr_assert_eq(command_of(of, &cmd, &out), 0);
	return out.offset;
}

static void
leave(uint64_t of, uint64_t handle)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_RELEASE,
	    .ino = next,
	    .handle = handle,
	};

	cr_assert_eq(command_of(of, &cmd, NULL), 0);
}

static int
ack(uint64_t of, uint64_t handle, uint32_t number, uint32_t flags,
    uint64_t offset)
{
	const struct zk_ack one = {
	    .number = number,
	    .flags = (uint8_t)flags,
	    .offset = offset,
	};
	uint8_t buf[ZK_ACK_BYTES];
	const struct zk_command cmd = {
	    .op = ZK_OP_ACK,
	    .ino = group,
	    .handle = handle,
	    .data = buf,
	    .data_len = sizeof(buf),
	};

	zk_ack_encode(buf, &one);
	return command_of(of, &cmd, NULL);
}

static int
try_record(uint64_t of, uint64_t handle, uint64_t offset, uint32_t tries,
    uint64_t *ret_told)
{
	const struct zk_ack one = {
	    .flags = ZK_ACK_TRIED,
	    .tries = tries,
	    .offset = offset,
	};
	uint8_t buf[ZK_ACK_BYTES];
	const struct zk_command cmd = {
	    .op = ZK_OP_ACK,
	    .ino = group,
	    .handle = handle,
	    .data = buf,
	    .data_len = sizeof(buf),
	};
	struct zk_outcome out;
	int rc;

	zk_ack_encode(buf, &one);
	rc = command_of(of, &cmd, &out);
	*ret_told = out.offset;
	return rc;
}

static struct zk_share
share(uint32_t number)
{
	struct zk_share s;

	cr_assert_eq(zk_share_get(rig.tx, group, number, &s), 0);
	return s;
}

static void
init(void)
{
	uint8_t buf[ZK_CONF_WIRE_MAX];
	const struct zk_conf conf = {
	    .count = 1,
	    .voter_bits = 1,
	    .ids = {100},
	};
	struct zk_enc enc;
	uint64_t topics;

	rig_init();
	rig_begin();
	zk_enc_init(&enc, buf, sizeof(buf));
	zk_conf_encode(&enc, &conf);
	cr_assert_eq(zk_conf_row_put(rig.tx, 0, buf, enc.len), 0);
	session = rig_session("z1");
	other = rig_session("z2");
	topics = make_dir(ZK_INO_ROOT, "topics");
	topic = make_dir(topics, "t");
	cr_assert_eq(
	    write_text(session, find(topic, "config"), "partitions=4\n"), 0);
	group = make_dir(find(topic, "groups"), "g");
	next = find(group, "next");
}

static void
fini(void)
{
	rig_verify();
	rig_fini();
}

TestSuite(group, .init = init, .fini = fini);

Test(group, it_has_a_file_for_each_partition)
{
	expect_offset("p0", "0\n");
	expect_offset("p3", "0\n");
	cr_assert_eq(
	    write_text(session, find(topic, "config"), "partitions=6\n"), 0);
	expect_offset("p5", "0\n");
}

Test(group, one_member_owns_everything)
{
	const uint64_t a = join(session, 1);

	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(share(i).owner, a);
	/* Partitions that come later, too. */
	cr_assert_eq(
	    write_text(session, find(topic, "config"), "partitions=6\n"), 0);
	cr_expect_eq(share(5).owner, a);
}

Test(group, what_moves_is_given_up_first)
{
	const uint64_t a = join(session, 1), b = join(other, 1);
	unsigned moving = 0;

	for (uint32_t i = 0; i < 4; i++) {
		cr_expect_eq(share(i).owner, a);
		moving += share(i).want == b;
	}
	cr_expect_eq(moving, 2);
	for (uint32_t i = 0; i < 4; i++)
		if (share(i).want == b) {
			cr_assert_eq(ack(session, 1, i, ZK_ACK_RELEASE, 5), 0);
			cr_expect_eq(share(i).owner, b);
			cr_expect_eq(share(i).committed, 5);
		}
}

Test(group, the_next_owner_is_not_acknowledged_for)
{
	const uint64_t b = (join(session, 1), join(other, 1));
	uint32_t i = 0;

	while (share(i).want != b)
		i++;
	cr_assert_eq(ack(other, 1, i, 0, 99), 0);
	cr_expect_eq(share(i).committed, 0);
	cr_assert_eq(ack(session, 1, i, ZK_ACK_RELEASE, 10), 0);
	/* The old one comes late. */
	cr_assert_eq(ack(session, 1, i, 0, 50), 0);
	cr_expect_eq(share(i).committed, 10);
	cr_assert_eq(ack(other, 1, i, 0, 20), 0);
	cr_expect_eq(share(i).committed, 20);
}

Test(group, the_committed_offset_does_not_go_back)
{
	(void)join(session, 1);
	cr_assert_eq(ack(session, 1, 0, 0, 100), 0);
	cr_assert_eq(ack(session, 1, 0, 0, 40), 0);
	expect_offset("p0", "100\n");
}

Test(group, the_end_of_a_member_frees_what_it_had)
{
	const uint64_t b = (join(session, 1), join(other, 1));

	leave(session, 1);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(share(i).owner, b);
	cr_expect_eq(ack(session, 1, 0, 0, 1), -ESTALE);
	leave(other, 1);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(share(i).owner, 0);
}

Test(group, the_end_of_a_session_is_that_of_its_members)
{
	const struct zk_command end = {.op = ZK_OP_SESSION_END, .ino = session};
	uint64_t c;

	(void)join(session, 1);
	(void)join(session, 2);
	c = join(other, 1);
	cr_assert_eq(command_of(other, &end, NULL), 0);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(share(i).owner, c);
}

Test(group, how_often_a_record_was_tried_outlives_its_owners)
{
	const struct zk_command end = {.op = ZK_OP_SESSION_END, .ino = other};
	uint64_t told;

	(void)join(other, 1);
	cr_assert_eq(ack(other, 1, 0, 0, 10), 0);
	cr_assert_eq(try_record(other, 1, 10, 1, &told), 0);
	cr_expect_eq(told, 1);
	/* Said twice, it is the same try. */
	cr_assert_eq(try_record(other, 1, 10, 1, &told), 0);
	cr_expect_eq(share(0).tries, 1);
	cr_assert_eq(command_of(session, &end, NULL), 0);
	cr_expect_eq(share(0).owner, 0);
	cr_expect_eq(share(0).tries, 1);
	(void)join(session, 1);
	cr_assert_eq(try_record(session, 1, 10, 2, &told), 0);
	cr_expect_eq(share(0).tries, 2);
	/* What is before it is not what is tried. */
	cr_assert_eq(try_record(session, 1, 5, 3, &told), 0);
	cr_expect_eq(told, 0);
	cr_expect_eq(share(0).tries, 2);
	/* The one after it was not, yet. */
	cr_assert_eq(ack(session, 1, 0, 0, 20), 0);
	cr_expect_eq(share(0).tries, 0);
	/* To try one is to be done with those before. */
	cr_assert_eq(try_record(session, 1, 30, 1, &told), 0);
	cr_expect_eq(share(0).committed, 30);
	cr_expect_eq(share(0).tries, 1);
}

Test(group, who_is_not_the_owner_tries_nothing)
{
	uint64_t told = 9;

	(void)join(session, 1);
	(void)join(other, 1);
	cr_assert_eq(share(0).owner, share(1).owner);
	cr_assert_eq(try_record(other, 1, 0, 7, &told), 0);
	cr_expect_eq(told, 0);
	cr_expect_eq(share(0).tries, 0);
}

Test(group, a_reset_begins_to_count_anew)
{
	uint64_t told;

	(void)join(session, 1);
	cr_assert_eq(try_record(session, 1, 0, 4, &told), 0);
	leave(session, 1);
	cr_expect_eq(share(0).tries, 4);
	cr_expect_eq(write_text(session, find(group, "p0"), "0\n"), 0);
	cr_expect_eq(share(0).tries, 0);
}

Test(group, a_reset_needs_that_nobody_has_the_partition)
{
	const uint64_t p0 = find(group, "p0");

	cr_expect_eq(write_text(session, p0, "12\n"), 0);
	expect_offset("p0", "12\n");
	cr_expect_eq(write_text(session, p0, "x\n"), -EINVAL);
	cr_expect_eq(write_text(session, p0, ""), -EINVAL);
	cr_expect_eq(write_text(session, p0, "1\n2\n"), -EINVAL);
	cr_expect_eq(write_text(session, p0, "99999999999999999999\n"),
	    -EINVAL);
	cr_expect_eq(write_text(session, p0, "3"), 0);
	(void)join(session, 1);
	cr_expect_eq(write_text(session, p0, "4\n"), -EBUSY);
	leave(session, 1);
	cr_expect_eq(write_text(session, p0, "4\n"), 0);
}

Test(group, whoever_has_locked_an_offset_alone_writes_it)
{
	const uint64_t p0 = find(group, "p0");
	const struct zk_command lock = {
	    .op = ZK_OP_LOCK,
	    .flags = ZK_F_FLOCK,
	    .ino = p0,
	    .handle = 77,
	    .owner = 5,
	    .lock_type = ZK_LOCK_EXCLUSIVE,
	};

	cr_assert_eq(command_of(session, &lock, NULL), 0);
	cr_expect_eq(write_text(other, p0, "7\n"), -EBUSY);
	cr_expect_eq(write_text(session, p0, "8\n"), 0);
	expect_offset("p0", "8\n");
}

Test(group, one_with_members_is_not_removed)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_RMDIR,
	    .ino = find(topic, "groups"),
	    .name = "g",
	    .name_len = 1,
	};

	(void)join(session, 1);
	cr_expect_eq(command_of(session, &cmd, NULL), -EBUSY);
	leave(session, 1);
	cr_expect_eq(command_of(session, &cmd, NULL), 0);
	cr_expect_eq(command_of(session,
	                 &(struct zk_command){.op = ZK_OP_JOIN,
	                     .ino = next,
	                     .handle = 9},
	                 NULL),
	    -ESTALE);
}

/* --- who gets what -------------------------------------------------------- */

static size_t
count_of(const uint64_t *want, size_t count, uint64_t member)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		n += want[i] == member;
	return n;
}

/* A member comes or goes; some of 12 at most. */
static size_t
come_or_go(uint64_t *seed, uint64_t *members, size_t count, uint64_t id)
{
	size_t at;

	if (count < 12 && (count == 0 || zk_prng_next(seed) % 2 == 0)) {
		members[count] = id;
		return count + 1;
	}
	at = zk_prng_next(seed) % count--;
	memmove(&members[at], &members[at + 1],
	    (count - at) * sizeof(*members));
	return count;
}

static bool
is_one_of(const uint64_t *members, size_t count, uint64_t id)
{
	return count_of(members, count, id) > 0;
}

/* Owners that go; and some that give up what others are to have. */
static void
hand_some_over(uint64_t *seed, const uint64_t *members, size_t count,
    uint64_t *owner, const uint64_t *want, size_t shares)
{
	const uint64_t rare = zk_prng_next(seed) % 4;

	for (size_t i = 0; i < shares; i++)
		if (!is_one_of(members, count, owner[i]) ||
		    zk_prng_next(seed) % 4 < rare)
			owner[i] = want[i];
}

/* Each has as many as any other, or one more, and no more moves than must. */
static void
check_dealt(const uint64_t *members, size_t count, const uint64_t *owner,
    const uint64_t *want, size_t shares)
{
	size_t over = 0, above = 0, moved = 0;

	if (count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		const size_t has = count_of(want, shares, members[i]);
		const size_t had = count_of(owner, shares, members[i]);
		const size_t base = shares / count;

		CHECK(has == base || has == base + 1,
		    "%zu of %zu for one of %zu", has, shares, count);
		above += had > base;
		over += had > base ? had - base : 0;
	}
	for (size_t i = 0; i < shares; i++)
		moved +=
		    is_one_of(members, count, owner[i]) && want[i] != owner[i];
	over -= above < shares % count ? above : shares % count;
	CHECK(moved == over, "%zu moved for %zu", moved, over);
}

Test(assign, shares_are_even_and_few_move)
{
	uint64_t seed = 42, members[12], owner[64] = {0}, want[64] = {0};
	size_t count = 0;

	for (uint64_t round = 1; round < 4000; round++) {
		const size_t shares = 1 + zk_prng_next(&seed) % 64;
		uint64_t again[64];

		count = come_or_go(&seed, members, count, round);
		zk_group_assign(members, count, owner, want, shares);
		check_dealt(members, count, owner, want, shares);
		memcpy(again, want, sizeof(again));
		zk_group_assign(members, count, owner, again, shares);
		CHECK(memcmp(again, want, shares * sizeof(*want)) == 0,
		    "again");
		hand_some_over(&seed, members, count, owner, want, 64);
	}
}

/* Two came, and went again before anybody had given anything up for them. */
Test(assign, who_has_not_given_up_keeps)
{
	const uint64_t members[] = {1, 2, 3, 4};
	const uint64_t owner[] = {1, 1, 2, 2};
	uint64_t want[] = {1, 1, 2, 2};

	zk_group_assign(members, 3, owner, want, 4);
	zk_group_assign(members, 4, owner, want, 4);
	cr_expect_eq(count_of(want, 4, 3), 1);
	cr_expect_eq(count_of(want, 4, 4), 1);
	zk_group_assign((const uint64_t[]){1, 2, 4}, 3, owner, want, 4);
	zk_group_assign(members, 2, owner, want, 4);
	cr_expect_arr_eq(want, owner, sizeof(want));
}

Test(assign, who_joins_beyond_the_shares_waits)
{
	const uint64_t members[] = {1, 2, 3}, owner[] = {0, 0};
	uint64_t want[] = {0, 0};

	zk_group_assign(members, 3, owner, want, 2);
	cr_expect_eq(want[0], 1);
	cr_expect_eq(want[1], 2);
}
