#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/command.h"
#include "base/hash.h"

#define NAME_BYTES 300u
#define DATA_BYTES 5000u

/* Criterion reports every check to its runner, which is slow: only failures. */
#define CHECK(cond, ...)                                                       \
	do {                                                                   \
		if (!(cond))                                                   \
			cr_assert(false, __VA_ARGS__);                         \
	} while (0)

static uint64_t seed;
static uint32_t groups[ZK_GROUPS_MAX], got_groups[ZK_GROUPS_MAX];
static char names[2][NAME_BYTES];
static uint8_t data[DATA_BYTES], buf[16384];

/* Often zero, often small, sometimes anything. */
static uint64_t
draw(void)
{
	const uint64_t value = zk_prng_next(&seed);

	switch (zk_prng_next(&seed) % 4) {
	case 0:
		return 0;
	case 1:
		return value % 4;
	case 2:
		return value | 1ull << 63;
	default:
		return value;
	}
}

static uint32_t
draw32(void)
{
	return (uint32_t)draw();
}

static size_t
draw_len(size_t max)
{
	return zk_prng_next(&seed) % 3 == 0 ? 0
	                                    : zk_prng_next(&seed) % (max + 1);
}

static void
draw_bytes(void *to, size_t len)
{
	uint8_t *p = to;

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)zk_prng_next(&seed);
}

static struct zk_command
draw_command(void)
{
	struct zk_command c = {
	    .op = 1 + (enum zk_op)(zk_prng_next(&seed) % (ZK_OP_MAX - 1)),
	    .flags = draw32(),
	    .session = draw(),
	    .number = draw(),
	    .acked = draw(),
	    .uid = draw32(),
	    .gid = draw32(),
	    .ino = draw(),
	    .ino2 = draw(),
	    .handle = draw(),
	    .off = draw(),
	    .len = draw(),
	    .expect = draw(),
	    .mode = draw32(),
	    .rdev = draw(),
	    .atime = {(int64_t)draw(), draw32() % 1000000000u},
	    .mtime = {(int64_t)draw(), draw32() % 1000000000u},
	    .owner = draw(),
	    .lock_type = draw32(),
	    .pid = draw32(),
	    .groups = groups,
	    .group_count = draw_len(ZK_GROUPS_MAX),
	    .name = names[0],
	    .name_len = draw_len(ZK_NAME_MAX),
	    .name2 = names[1],
	    .name2_len = draw_len(ZK_NAME_MAX),
	    .data = data,
	    .data_len = draw_len(DATA_BYTES),
	};

	draw_bytes(groups, sizeof(groups));
	draw_bytes(names, sizeof(names));
	draw_bytes(data, sizeof(data));
	return c;
}

static bool
same_bytes(const void *a, size_t a_len, const void *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool
same_stamp(const struct zk_stamp *a, const struct zk_stamp *b)
{
	return a->sec == b->sec && a->nsec == b->nsec;
}

static bool
same_command(const struct zk_command *a, const struct zk_command *b)
{
	return a->op == b->op && a->flags == b->flags &&
	    a->session == b->session && a->number == b->number &&
	    a->acked == b->acked && a->uid == b->uid && a->gid == b->gid &&
	    a->ino == b->ino && a->ino2 == b->ino2 && a->handle == b->handle &&
	    a->off == b->off && a->len == b->len && a->expect == b->expect &&
	    a->mode == b->mode && a->rdev == b->rdev &&
	    same_stamp(&a->atime, &b->atime) &&
	    same_stamp(&a->mtime, &b->mtime) && a->owner == b->owner &&
	    a->lock_type == b->lock_type && a->pid == b->pid &&
	    same_bytes(a->groups, a->group_count * sizeof(groups[0]), b->groups,
	        b->group_count * sizeof(groups[0])) &&
	    same_bytes(a->name, a->name_len, b->name, b->name_len) &&
	    same_bytes(a->name2, a->name2_len, b->name2, b->name2_len) &&
	    same_bytes(a->data, a->data_len, b->data, b->data_len);
}

Test(command, random_commands_come_back_as_they_were)
{
	seed = 1;
	for (int i = 0; i < 3000; i++) {
		const struct zk_command cmd = draw_command();
		struct zk_command got;
		size_t len;

		CHECK(zk_command_encode(&cmd, buf, sizeof(buf), &len) == 0 &&
		        len <= zk_command_size(&cmd) &&
		        zk_command_decode(buf, len, got_groups, &got) == 0 &&
		        same_command(&cmd, &got),
		    "command %d", i);
	}
}

Test(command, every_cut_and_every_addition_is_refused)
{
	seed = 2;
	for (int i = 0; i < 60; i++) {
		const struct zk_command cmd = draw_command();
		struct zk_command got = {.op = ZK_OP_NOP};
		size_t len;

		cr_assert_eq(zk_command_encode(&cmd, buf, sizeof(buf), &len),
		    0);
		for (size_t cut = 0; cut < len; cut++)
			CHECK(zk_command_decode(buf, cut, got_groups, &got) ==
			        -EPROTO,
			    "cut to %zu of %zu", cut, len);
		buf[len] = 0;
		cr_assert_eq(zk_command_decode(buf, len + 1, got_groups, &got),
		    -EPROTO);
		cr_assert_eq(got.op, ZK_OP_NOP, "set on success only");
	}
}

/*
 * One form only: what decodes encodes to the same bytes, so whatever a
 * changed byte makes, it is refused or it is another well-formed command.
 */
Test(command, a_mutated_command_is_refused_or_is_canonical)
{
	static uint8_t again[sizeof(buf)];
	unsigned int refused = 0, accepted = 0;
	size_t len = 0;

	seed = 3;
	for (int i = 0; i < 20000; i++) {
		struct zk_command cmd, got;
		size_t len2;

		if (i % 100 == 0) {
			cmd = draw_command();
			cmd.data_len %= 64;
			cr_assert_eq(
			    zk_command_encode(&cmd, buf, sizeof(buf), &len), 0);
		}
		uint8_t *at = &buf[zk_prng_next(&seed) % len];
		const uint8_t bit = (uint8_t)(1u << zk_prng_next(&seed) % 8);

		*at ^= bit;
		if (zk_command_decode(buf, len, got_groups, &got) == 0) {
			accepted++;
			CHECK(zk_command_encode(&got, again, sizeof(again),
			          &len2) == 0 &&
			        same_bytes(buf, len, again, len2),
			    "step %d", i);
		} else {
			refused++;
		}
		*at ^= bit;
	}
	cr_expect(refused > 500, "%u", refused);
	cr_expect(accepted > 1000, "%u", accepted);
}

Test(command, garbage_is_refused_without_harm)
{
	struct zk_command got;
	unsigned int accepted = 0;

	seed = 4;
	for (int i = 0; i < 20000; i++) {
		const size_t len = zk_prng_next(&seed) % 600;

		draw_bytes(buf, len);
		if (len > 0)
			buf[0] %= ZK_OP_MAX + 1;
		accepted += zk_command_decode(buf, len, got_groups, &got) == 0;
	}
	cr_expect(accepted < 10, "%u", accepted);
}

Test(command, bounds_are_kept_on_both_sides)
{
	struct zk_command cmd = {.op = ZK_OP_WRITE}, got;
	size_t len;

	cmd.group_count = ZK_GROUPS_MAX + 1;
	cmd.groups = groups;
	cr_expect_eq(zk_command_encode(&cmd, buf, sizeof(buf), &len),
	    -EMSGSIZE);
	cmd = (struct zk_command){.op = ZK_OP_WRITE, .data = data};
	cmd.data_len = ZK_WRITE_MAX + 1;
	cr_expect_eq(zk_command_encode(&cmd, buf, sizeof(buf), &len),
	    -EMSGSIZE);
	cmd.data_len = 100;
	cr_expect_eq(zk_command_encode(&cmd, buf, 50, &len), -EMSGSIZE);

	/* A name that is too long can be encoded, but not believed. */
	cmd = (struct zk_command){
	    .op = ZK_OP_CREATE,
	    .name = names[0],
	    .name_len = ZK_NAME_MAX + 1,
	};
	if (zk_command_encode(&cmd, buf, sizeof(buf), &len) == 0)
		cr_expect_eq(zk_command_decode(buf, len, got_groups, &got),
		    -EPROTO);
}

Test(command, every_operation_has_a_name)
{
	for (int op = 1; op < ZK_OP_MAX; op++) {
		const char *name = zk_op_name((enum zk_op)op);

		cr_assert_not_null(name);
		for (int other = 1; other < op; other++)
			cr_assert(
			    strcmp(name, zk_op_name((enum zk_op)other)) != 0);
	}
}
