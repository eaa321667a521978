#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/request.h"

/* What is written to .zkfs/member. */

static struct zk_command cmd;
static char text[600];

static int
parse(const char *request)
{
	(void)snprintf(text, sizeof(text), "%s", request);
	memset(&cmd, 0, sizeof(cmd));
	return zk_request_parse(text, &cmd);
}

static bool
is(const char *want, const char *got, size_t len)
{
	return strlen(want) == len && memcmp(want, got, len) == 0;
}

Test(request, each_verb_is_known)
{
	cr_assert_eq(parse("add z4=10.0.0.4:4180\n"), 0);
	cr_expect_eq(cmd.op, ZK_OP_MEMBER);
	cr_expect_eq(cmd.mode, ZK_MEMBER_ADD);
	cr_expect(is("z4", cmd.name, cmd.name_len));
	cr_expect(is("10.0.0.4:4180", cmd.data, cmd.data_len));
	cr_assert_eq(parse("  remove\tz4"), 0);
	cr_expect_eq(cmd.mode, ZK_MEMBER_REMOVE);
	cr_expect_eq(cmd.data_len, 0);
	cr_assert_eq(parse("promote o-1.example_x \n"), 0);
	cr_expect_eq(cmd.mode, ZK_MEMBER_PROMOTE);
	cr_expect(is("o-1.example_x", cmd.name, cmd.name_len));
	cr_assert_eq(parse("transfer z1\n\n"), 0);
	cr_expect_eq(cmd.mode, ZK_MEMBER_TRANSFER);
	cr_assert_eq(parse("add z6=[::1]:1"), 0);
	cr_expect(is("[::1]:1", cmd.data, cmd.data_len));
}

Test(request, nothing_else_is)
{
	static const char *const bad[] = {"", "\n", "add", "remove", "add z4",
	    "add z4=", "add =h:1", "add z4=h", "add z4=h:0", "add z4=h:x",
	    "remove z4=h:1", "promote z4=", "transfer", "remove z4 z5",
	    "remove z4\nremove z5", "join z4", "forget z4", "found",
	    "REMOVE z4", "remove -z4", "remove z/4", "remove z\xc3\xa4",
	    "add z4=h:1 now"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
	(void)snprintf(text, sizeof(text), "remove %0100d", 1);
	cr_expect_eq(zk_request_parse(text, &cmd), -EINVAL, "a long name");
}

Test(request, each_refusal_has_a_reason)
{
	static const int codes[] = {-EPROTO, -EINVAL, -EAGAIN, -EEXIST,
	    -EADDRINUSE, -EADDRNOTAVAIL, -EUSERS, -ENOENT, -EBUSY, -EROFS,
	    -ETIMEDOUT, -EIO};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		cr_expect(strlen(zk_request_reason(codes[i])) > 4);
}
