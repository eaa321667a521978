#include <criterion/criterion.h>

#include "fs/inode.h"

static struct zk_inodes table;

static void
setup(void)
{
	cr_assert_eq(zk_inodes_init(&table), 0);
}

static void
teardown(void)
{
	zk_inodes_fini(&table);
}

TestSuite(fs_inode, .init = setup, .fini = teardown);

Test(fs_inode, what_is_forgotten_as_often_as_told_is_gone)
{
	cr_assert_eq(zk_inodes_ref(&table, 7), 0);
	cr_assert_eq(zk_inodes_ref(&table, 7), 0);
	cr_expect_not(zk_inodes_forget(&table, 7, 1));
	cr_expect_not_null(zk_inodes_find(&table, 7));
	cr_expect_not(zk_inodes_forget(&table, 7, 1));
	cr_expect_null(zk_inodes_find(&table, 7));
	cr_expect_eq(table.count, 0);
}

Test(fs_inode, forgetting_too_much_or_nothing_known_does_no_harm)
{
	cr_expect_not(zk_inodes_forget(&table, 9, 5));
	cr_assert_eq(zk_inodes_ref(&table, 7), 0);
	cr_expect_not(zk_inodes_forget(&table, 7, 1000));
	cr_expect_eq(table.count, 0);
}

Test(fs_inode, an_orphan_is_reaped_once_when_it_is_forgotten)
{
	cr_assert_eq(zk_inodes_ref(&table, 7), 0);
	zk_inodes_find(&table, 7)->orphan = true;
	cr_expect(zk_inodes_forget(&table, 7, 1));
	cr_expect_not(zk_inodes_forget(&table, 7, 1));
}

Test(fs_inode, an_open_file_keeps_its_inode)
{
	struct zk_inode *inode;

	cr_assert_eq(zk_inodes_ref(&table, 7), 0);
	inode = zk_inodes_find(&table, 7);
	inode->opens = 1;
	inode->orphan = true;
	cr_expect_not(zk_inodes_forget(&table, 7, 1));
	inode->opens = 0;
	cr_expect(zk_inodes_put(&table, inode));
	cr_expect_eq(table.count, 0);
}

Test(fs_inode, many_inodes_are_all_found)
{
	for (uint64_t ino = 1; ino <= 10000; ino++)
		cr_assert_eq(zk_inodes_ref(&table, ino), 0);
	for (uint64_t ino = 1; ino <= 10000; ino++)
		cr_assert_not_null(zk_inodes_find(&table, ino));
	cr_expect_null(zk_inodes_find(&table, 10001));
	for (uint64_t ino = 1; ino <= 10000; ino++)
		cr_assert_not(zk_inodes_forget(&table, ino, 1));
	cr_expect_eq(table.count, 0);
}
