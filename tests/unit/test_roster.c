#include "store_rig.h"

#include "store/roster.h"

/* The roster: who is to be a member, as apply keeps it. */

static struct zk_roster roster;

static int
ask(enum zk_member_verb verb, const char *name, uint64_t node,
    const char *address)
{
	const struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = verb,
	    .ino = node,
	    .name = name,
	    .name_len = strlen(name),
	    .data = address,
	    .data_len = strlen(address),
	};
	const struct zk_outcome *out = rig_apply(&cmd);

	cr_assert_not_null(out);
	return out->rc;
}

static const struct zk_roster_row *
row(const char *name)
{
	cr_assert_eq(zk_roster_load(rig.tx, &roster), 0);
	return zk_roster_find(&roster, name);
}

static int
send_founders(size_t count)
{
	uint8_t data[ZK_ROSTER_FOUND_BYTES_MAX];
	struct zk_roster founders = {.count = count};
	struct zk_command cmd = {
	    .op = ZK_OP_MEMBER,
	    .mode = ZK_MEMBER_FOUND,
	    .data = data,
	};

	for (size_t i = 0; i < count; i++) {
		struct zk_roster_row *r = &founders.rows[i];

		r->node = 100 + i;
		(void)snprintf(r->name, sizeof(r->name), "z%zu", i + 1);
		(void)snprintf(r->address, sizeof(r->address), "h%zu:1", i + 1);
	}
	cmd.data_len = zk_roster_found_encode(&founders, data);
	return rig_apply(&cmd)->rc;
}

static void
setup(void)
{
	rig_init();
	rig_begin();
}

static void
teardown(void)
{
	rig_verify();
	rig_fini();
}

TestSuite(roster, .init = setup, .fini = teardown);

Test(roster, nobody_joins_before_the_founders)
{
	cr_expect_eq(ask(ZK_MEMBER_ADD, "z9", 0, "h9:1"), -EAGAIN);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "z9", 9, ""), -EAGAIN);
	cr_expect_eq(send_founders(0), -EINVAL);
	cr_expect_eq(send_founders(3), 0);
	cr_assert_not_null(row("z2"));
	cr_expect_eq(row("z2")->node, 101);
	cr_expect_eq(row("z2")->role, ZK_ROSTER_VOTER);
	cr_expect_str_eq(row("z2")->address, "h2:1");
	/* Once. */
	cr_expect_eq(send_founders(5), 0);
	cr_expect_eq(row("z5"), NULL);
}

Test(roster, an_observer_joins_by_itself_and_again)
{
	uint64_t since;

	cr_assert_eq(send_founders(3), 0);
	cr_assert_eq(ask(ZK_MEMBER_JOIN, "o", 7, ""), 0);
	since = rig.index;
	cr_expect_eq(row("o")->role, ZK_ROSTER_OBSERVER);
	cr_expect_eq(row("o")->since, since);
	cr_expect_eq(ask(ZK_MEMBER_PROMOTE, "o", 0, ""), -EADDRNOTAVAIL);
	const struct zk_command again = {
	    .op = ZK_OP_MEMBER,
	    .mode = ZK_MEMBER_JOIN,
	    .ino = 7,
	    .name = "o",
	    .name_len = 1,
	    .data = "new:1",
	    .data_len = 5,
	};
	const struct zk_outcome *out = rig_apply(&again);
	cr_expect_eq(out->rc, 0);
	cr_expect_eq(out->index, since, "it is the same member");
	cr_expect_str_eq(row("o")->address, "new:1");
	cr_expect_eq(ask(ZK_MEMBER_PROMOTE, "o", 0, ""), 0);
	cr_expect_eq(row("o")->role, ZK_ROSTER_VOTER);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "o", 8, ""), -EEXIST);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "p", 7, ""), -ENOTUNIQ);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "q", 0, ""), -EINVAL);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "../q", 9, ""), -EINVAL);
}

Test(roster, who_was_added_joins_as_a_voter)
{
	cr_assert_eq(send_founders(3), 0);
	cr_expect_eq(ask(ZK_MEMBER_ADD, "z4", 0, ""), -EINVAL);
	cr_expect_eq(ask(ZK_MEMBER_ADD, "z4", 0, "h1:1"), -EADDRINUSE);
	cr_assert_eq(ask(ZK_MEMBER_ADD, "z4", 0, "h4:1"), 0);
	cr_expect_eq(ask(ZK_MEMBER_ADD, "z4", 0, "h5:1"), -EEXIST);
	cr_expect_eq(ask(ZK_MEMBER_TRANSFER, "z4", 0, ""), -EINVAL);
	cr_assert_eq(ask(ZK_MEMBER_JOIN, "z4", 7, ""), 0);
	cr_expect_eq(row("z4")->role, ZK_ROSTER_VOTER);
	cr_expect_eq(row("z4")->node, 7);
	cr_expect_str_eq(row("z4")->address, "h4:1");
}

Test(roster, removing_is_marked_then_done)
{
	cr_assert_eq(send_founders(2), 0);
	cr_expect_eq(ask(ZK_MEMBER_REMOVE, "z9", 0, ""), -ENOENT);
	cr_expect_eq(ask(ZK_MEMBER_FORGET, "z2", 101, ""), -ENOENT);
	cr_assert_eq(ask(ZK_MEMBER_REMOVE, "z2", 0, ""), 0);
	cr_expect_eq(ask(ZK_MEMBER_REMOVE, "z2", 0, ""), 0);
	cr_expect_eq(row("z2")->role, ZK_ROSTER_LEAVING);
	cr_expect_eq(ask(ZK_MEMBER_REMOVE, "z1", 0, ""), -EBUSY,
	    "somebody must stay");
	cr_expect_eq(ask(ZK_MEMBER_PROMOTE, "z2", 0, ""), -EBUSY);
	cr_expect_eq(ask(ZK_MEMBER_FORGET, "z2", 55, ""), -ENOENT);
	cr_expect_eq(ask(ZK_MEMBER_FORGET, "z2", 101, ""), 0);
	cr_expect_eq(row("z2"), NULL);
	/* One that never came is gone at once. */
	cr_assert_eq(ask(ZK_MEMBER_ADD, "z3", 0, "h3:1"), 0);
	cr_expect_eq(ask(ZK_MEMBER_REMOVE, "z1", 0, ""), -EBUSY,
	    "who has not come does not count");
	cr_assert_eq(ask(ZK_MEMBER_REMOVE, "z3", 0, ""), 0);
	cr_expect_eq(row("z3"), NULL);
}

Test(roster, there_are_bounds)
{
	char name[16];

	cr_assert_eq(send_founders(7), 0);
	cr_expect_eq(ask(ZK_MEMBER_ADD, "z8", 0, "h8:1"), -EUSERS);
	for (unsigned i = 0; i < ZK_ROSTER_OBSERVERS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "o%u", i);
		cr_assert_eq(ask(ZK_MEMBER_JOIN, name, 1000 + i, ""), 0);
	}
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "more", 2000, ""), -EUSERS);
	cr_assert_eq(ask(ZK_MEMBER_JOIN, "o1", 1001, "ho1:1"), 0);
	cr_expect_eq(ask(ZK_MEMBER_PROMOTE, "o1", 0, ""), -EUSERS);
	cr_assert_eq(ask(ZK_MEMBER_REMOVE, "o2", 0, ""), 0);
	cr_assert_eq(ask(ZK_MEMBER_FORGET, "o2", 1002, ""), 0);
	cr_expect_eq(ask(ZK_MEMBER_JOIN, "more", 2000, ""), 0);
}
