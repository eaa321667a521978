#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cluster_directory.h"

/* Who the members are, as members tell it to each other. */

static struct zk_directory directory, got;
static uint8_t bytes[ZK_DIRECTORY_BYTES_MAX];

static void
fill(size_t count, uint64_t index)
{
	memset(&directory, 0, sizeof(directory));
	directory.index = index;
	directory.count = count;
	for (size_t i = 0; i < count; i++) {
		struct zk_directory_member *m = &directory.members[i];

		(void)snprintf(m->name, sizeof(m->name), "z%zu", i);
		(void)snprintf(m->address, sizeof(m->address), "h%zu:1", i);
		m->node = 10 + i;
		m->since = i;
		m->votes = i % 2 == 0;
	}
}

static int
pass(void)
{
	const size_t len = zk_directory_encode(&directory, bytes);

	return zk_directory_decode(bytes, len, &got);
}

Test(directory, comes_back_as_it_went)
{
	static uint8_t again[ZK_DIRECTORY_BYTES_MAX];
	size_t len;

	fill(ZK_DIRECTORY_MAX, 77);
	directory.members[3].node = 0; /* has not come yet */
	directory.members[4].node = 0;
	memset(directory.members[5].address, 0, ZK_TRANSPORT_ADDRESS_MAX);
	memset(directory.members[6].name, 'n', ZK_AUTH_NAME_MAX);
	memset(directory.members[6].address, 'a', ZK_TRANSPORT_ADDRESS_MAX);
	cr_assert_eq(pass(), 0);
	cr_expect_eq(got.index, 77);
	cr_expect_eq(got.count, ZK_DIRECTORY_MAX);
	len = zk_directory_encode(&got, again);
	cr_expect_eq(len, zk_directory_encode(&directory, bytes));
	cr_expect_eq(memcmp(again, bytes, len), 0);
	cr_expect_eq(zk_directory_find(&got, "z9"), 9);
	cr_expect_eq(zk_directory_find_node(&got, 19), 9);
	cr_expect_eq(zk_directory_find_node(&got, 0), -1);
}

Test(directory, of_founders_is_complete_and_small)
{
	fill(7, 0);
	cr_expect_eq(pass(), 0);
	directory.members[2].node = 0;
	cr_expect_eq(pass(), -EPROTO);
	fill(8, 0);
	cr_expect_eq(pass(), -EPROTO);
}

Test(directory, of_no_sense_is_refused)
{
	size_t len;

	fill(3, 5);
	(void)snprintf(directory.members[2].name, 8, "z1");
	cr_expect_eq(pass(), -EPROTO, "a name twice");
	fill(3, 5);
	directory.members[2].node = 10;
	cr_expect_eq(pass(), -EPROTO, "a node twice");
	fill(3, 5);
	directory.members[1].name[0] = '\0';
	cr_expect_eq(pass(), -EPROTO, "no name");
	fill(0, 5);
	cr_expect_eq(pass(), -EPROTO, "nobody");
	fill(3, 5);
	len = zk_directory_encode(&directory, bytes);
	for (size_t i = 0; i < len; i++)
		cr_expect_eq(zk_directory_decode(bytes, i, &got), -EPROTO);
	bytes[len] = 0;
	cr_expect_eq(zk_directory_decode(bytes, len + 1, &got), -EPROTO);
	bytes[0] = 1;
	cr_expect_eq(zk_directory_decode(bytes, len, &got), -EPROTO);
}
