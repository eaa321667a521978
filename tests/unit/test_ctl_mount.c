#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

/* The objects of ctl/ belong to its program: a test brings what it tests. */
/* NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "ctl/mount.c"

static struct zk_ctl_mounts
mounts_of(const char *text)
{
	struct zk_ctl_mounts mounts = {0};
	char *copy = strdup(text);
	FILE *in = fmemopen(copy, strlen(text) + 1, "r");

	cr_assert_not_null(in);
	cr_assert_eq(zk_ctl_mounts_read(in, &mounts), 0);
	(void)fclose(in);
	free(copy);
	return mounts;
}

#define ROOT                                                                   \
	"21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"             \
	"22 21 0:20 / /proc rw - proc proc rw\n"
#define ZK  "40 21 0:50 / /zk rw,nosuid shared:9 master:2 - fuse.zkfs zkfs rw\n"
#define ZK2 "41 21 0:51 / /zk2 rw,nosuid - fuse.zkfs z1=10.0.0.1:4180 rw\n"

Test(ctl_mount, host_without_zkfs_has_none)
{
	struct zk_ctl_mounts mounts =
	    mounts_of(ROOT "42 21 0:52 / /ssh rw - fuse.sshfs zkfs rw\n");
	const struct zk_ctl_mount *only;

	cr_expect_eq(mounts.count, 0);
	cr_expect_eq(zk_ctl_mounts_only(&mounts, &only), -ENOENT);
	zk_ctl_mounts_free(&mounts);
}

Test(ctl_mount, only_mount_of_the_host_is_found)
{
	struct zk_ctl_mounts mounts = mounts_of(ROOT ZK);
	const struct zk_ctl_mount *only = NULL;

	cr_assert_eq(zk_ctl_mounts_only(&mounts, &only), 0);
	cr_expect_str_eq(only->dir, "/zk");
	cr_expect_eq(only->dev, makedev(0, 50));
	zk_ctl_mounts_free(&mounts);
}

Test(ctl_mount, two_ensembles_are_ambiguous_but_each_has_its_device)
{
	struct zk_ctl_mounts mounts = mounts_of(ROOT ZK ZK2);
	const struct zk_ctl_mount *only;

	cr_expect_eq(zk_ctl_mounts_only(&mounts, &only), -ENOTUNIQ);
	cr_expect_str_eq(zk_ctl_mounts_find(&mounts, makedev(0, 51))->dir,
	    "/zk2");
	cr_expect_null(zk_ctl_mounts_find(&mounts, makedev(254, 0)));
	zk_ctl_mounts_free(&mounts);
}

/* A part of the tree has no .zkfs of its own. */
Test(ctl_mount, bind_mount_of_a_part_leads_to_the_whole)
{
	struct zk_ctl_mounts mounts =
	    mounts_of(ZK "43 21 0:50 /app /srv/app rw - fuse.zkfs zkfs rw\n");
	const struct zk_ctl_mount *only = NULL;

	cr_assert_eq(zk_ctl_mounts_only(&mounts, &only), 0);
	cr_expect_str_eq(only->dir, "/zk");
	zk_ctl_mounts_free(&mounts);
}

static void
expect_below(const struct zk_ctl_mounts *mounts, const char *real,
    const char *want)
{
	const struct zk_ctl_mount *above = NULL;
	char *path = zk_ctl_mounts_below(mounts, makedev(0, 50), real, &above);

	cr_expect_not_null(path);
	if (path != NULL)
		cr_expect_str_eq(path, want);
	free(path);
}

static void
expect_beside(const struct zk_ctl_mounts *mounts, dev_t dev, const char *real)
{
	const struct zk_ctl_mount *above = NULL;
	char *path;

	errno = 0;
	path = zk_ctl_mounts_below(mounts, dev, real, &above);
	cr_expect_null(path);
	cr_expect_eq(errno, EXDEV);
	free(path);
}

Test(ctl_mount, path_in_the_tree_is_that_of_the_mount_it_is_below)
{
	struct zk_ctl_mounts mounts =
	    mounts_of(ZK "43 21 0:50 /app /srv/app rw - fuse.zkfs zkfs rw\n"
	                 "44 21 0:50 / /srv/all rw - fuse.zkfs zkfs rw\n"
	                 "45 21 0:50 /a\\040b /zk/in rw - fuse.zkfs zkfs rw\n");

	expect_below(&mounts, "/zk", "/");
	expect_below(&mounts, "/zk/a/f", "/a/f");
	expect_below(&mounts, "/zk/inn", "/inn");
	expect_below(&mounts, "/zk/in/f", "/a b/f");
	expect_below(&mounts, "/srv/app", "/app");
	expect_below(&mounts, "/srv/app/f", "/app/f");
	expect_below(&mounts, "/srv/all", "/");
	expect_below(&mounts, "/srv/all/app/f", "/app/f");
	expect_beside(&mounts, makedev(0, 50), "/zkk/f");
	expect_beside(&mounts, makedev(0, 51), "/zk/f");
	zk_ctl_mounts_free(&mounts);
}

Test(ctl_mount, part_is_better_than_nothing)
{
	struct zk_ctl_mounts mounts =
	    mounts_of("43 21 0:50 /app /srv/app rw - fuse.zkfs zkfs rw\n");
	const struct zk_ctl_mount *only = NULL;

	cr_assert_eq(zk_ctl_mounts_only(&mounts, &only), 0);
	cr_expect_str_eq(only->dir, "/srv/app");
	cr_expect_not(only->whole);
	zk_ctl_mounts_free(&mounts);
}

Test(ctl_mount, escaped_characters_of_the_directory_come_back)
{
	struct zk_ctl_mounts mounts = mounts_of(
	    "40 21 0:50 / /my\\040zk\\011a\\134b\\012 rw - fuse.zkfs z rw\n");

	cr_assert_eq(mounts.count, 1);
	cr_expect_str_eq(mounts.list[0].dir, "/my zk\ta\\b\n");
	zk_ctl_mounts_free(&mounts);
}

Test(ctl_mount, lines_that_are_none_are_passed_over)
{
	static const char *const lines[] = {
	    "",
	    "\n",
	    "40\n",
	    "40 21 0:50 / /zk rw\n",
	    "40 21 0:50 / /zk rw -\n",
	    "40 21 0:50 / /zk rw shared:1 fuse.zkfs zkfs rw\n",
	    "40 21 050 / /zk rw - fuse.zkfs zkfs rw\n",
	    "40 21 0:x / /zk rw - fuse.zkfs zkfs rw\n",
	    "40 21 0:50 / /zk rw - fuse.zkfsx zkfs rw\n",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char text[256];
		struct zk_ctl_mounts mounts;

		(void)snprintf(text, sizeof(text), "%s%s", ROOT, lines[i]);
		mounts = mounts_of(text);
		cr_expect_eq(mounts.count, 0, "%s", lines[i]);
		zk_ctl_mounts_free(&mounts);
	}
}
