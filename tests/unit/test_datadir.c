#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "base/err.h"
#include "queue/broker.h"
#include "queue/plog.h"
#include "store_rig.h"

/* What zk_store_open() makes of what it finds in a directory. */

static void
setup(void)
{
	rig_init();
	rig_close();
}

TestSuite(datadir, .init = setup, .fini = rig_fini);

static char *why;

static int
try_open(const char *dir)
{
	const struct zk_store_options options = {
	    .dir = dir,
	    .member = "z1",
	    .map_bytes = (size_t)256 << 20,
	    .seed = 7,
	};

	free(why);
	why = NULL;
	return zk_store_open(&options, &why, &rig.store);
}

static void
tree_path(char *buf, size_t cap)
{
	rig_path(buf, cap, ZK_DATADIR_TREE);
}

static void
cut_tree(off_t len)
{
	char path[128];

	tree_path(path, sizeof(path));
	cr_assert_eq(truncate(path, len), 0);
}

static void
write_tree(off_t off, const void *bytes, size_t len)
{
	char path[128];
	int fd;

	tree_path(path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(pwrite(fd, bytes, len, off), (ssize_t)len);
	(void)close(fd);
}

static off_t
tree_size(void)
{
	char path[128];
	struct stat st;

	tree_path(path, sizeof(path));
	return stat(path, &st) == 0 ? st.st_size : -1;
}

Test(datadir, a_store_is_who_it_was_when_it_comes_back)
{
	struct zk_ident ident;

	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	ident = *zk_store_ident(rig.store);
	cr_expect_not(ident.fresh);
	cr_expect_str_eq(ident.member, "z1");
	rig_close();
	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	cr_expect_eq(zk_store_ident(rig.store)->node, ident.node);
}

Test(datadir, only_one_can_have_it_open)
{
	struct zk_store *first;

	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	first = rig.store;
	cr_expect_eq(try_open(rig.dir), -EBUSY);
	cr_expect_not_null(strstr(why, rig.dir));
	rig.store = first;
}

Test(datadir, a_directory_with_something_else_in_it_is_left_alone)
{
	char path[128];
	int fd;

	rig_path(path, sizeof(path), "letter.txt");
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	(void)close(fd);
	cr_expect_eq(try_open(rig.dir), -ZK_EFOREIGN);
	cr_expect_not_null(strstr(why, "letter.txt"));
	(void)unlink(path);
	cr_expect_eq(try_open(rig.dir), 0);
}

Test(datadir, a_file_that_is_no_tree_is_left_alone)
{
	static uint8_t letters[20000];

	memset(letters, 'x', sizeof(letters));
	write_tree(0, letters, sizeof(letters));
	cr_expect_eq(try_open(rig.dir), -ZK_EFOREIGN);
	cr_expect_not_null(strstr(why, ZK_DATADIR_TREE));
	cr_expect(tree_size() >= (off_t)sizeof(letters));
	cut_tree(0);
	write_tree(0, "hello", 5);
	cr_expect_eq(try_open(rig.dir), -ZK_ECORRUPT);
	cr_expect_eq(tree_size(), 5);
}

/* The two first pages of a used tree are not those of an unused one. */
Test(datadir, a_tree_that_was_cut_short_is_not_taken_for_a_new_one)
{
	static const off_t lens[] = {8192, 8191, 5000, 4096, 200, 100, 1, 0};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		cut_tree(lens[i]);
		cr_expect(try_open(rig.dir) < 0, "%d bytes", (int)lens[i]);
		cr_expect_not_null(why);
		cr_expect_eq(tree_size(), lens[i]);
	}
}

#define UNMADE_KINDS 5

/* What a crash can leave of LMDB's first write, and nothing else. */
static void
leave_unmade(const char *name, int kind)
{
	static uint8_t metas[8192];
	char path[128];
	MDB_env *env;
	int fd;

	rig_path(path, sizeof(path), name);
	cr_assert(truncate(path, 0) == 0 || errno == ENOENT);
	cr_assert_eq(mdb_env_create(&env), 0);
	cr_assert_eq(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	mdb_env_close(env);
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(read(fd, metas, sizeof(metas)), 8192);
	cr_assert_eq(ftruncate(fd, 0), 0);
	if (kind == 1)
		cr_assert_eq(ftruncate(fd, 8192), 0);
	else if (kind == 2)
		cr_assert_eq(pwrite(fd, metas, 4096, 0), 4096);
	else if (kind == 3)
		cr_assert_eq(pwrite(fd, metas + 4096, 4096, 4096), 4096);
	else if (kind == 4)
		cr_assert_eq(pwrite(fd, metas, 8192, 0), 8192);
	(void)close(fd);
}

/* A file that was emptied looks the same, but nobody was about to make it. */
Test(datadir, a_tree_that_was_emptied_is_not_taken_for_a_new_one)
{
	for (int i = 0; i < UNMADE_KINDS; i++) {
		leave_unmade(ZK_DATADIR_TREE, i);
		const off_t len = tree_size();

		cr_expect(try_open(rig.dir) < 0, "%d", i);
		cr_expect_not_null(why);
		cr_expect_not_null(strstr(why, ZK_DATADIR_TREE), "%s", why);
		cr_expect_eq(tree_size(), len);
	}
}

Test(datadir, a_tree_that_was_never_made_is_made)
{
	char path[128];
	int fd;

	for (int i = 0; i < UNMADE_KINDS; i++) {
		leave_unmade(ZK_DATADIR_TREE, i);
		rig_path(path, sizeof(path), ZK_DATADIR_JOURNAL);
		if (i % 2 == 0)
			(void)unlink(path);
		else
			cr_assert_eq(truncate(path, 0), 0);
		rig_path(path, sizeof(path), ZK_DATADIR_MAKING);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		cr_assert(fd >= 0);
		(void)close(fd);
		cr_assert_eq(try_open(rig.dir), 0, "%d: %s", i, why);
		cr_expect(zk_store_ident(rig.store)->fresh);
		cr_expect(access(path, F_OK) != 0, "it is made now");
		rig_close();
		cr_assert_eq(try_open(rig.dir), 0, "%d: %s", i, why);
		cr_expect_not(zk_store_ident(rig.store)->fresh);
		rig_close();
	}
}

/* What follows from no entry must be in the journal. */
Test(datadir, what_only_this_member_knows_survives_a_power_failure)
{
	const struct zk_hard_state hard = {.term = 7, .vote = 9};
	struct zk_hard_state got = {0};
	struct zk_tx *tx;
	char peers[8];
	size_t len = 0;

	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
	cr_assert_eq(zk_peers_put(tx, "peers", 5), 0);
	cr_assert_eq(zk_store_commit(tx), 0);
	cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
	cr_assert_eq(zk_hard_state_put(tx, &hard), 0);
	cr_assert_eq(zk_store_commit(tx), 0);
	zk_store_abandon(rig.store);
	rig.store = NULL;
	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	cr_assert_eq(zk_read_begin(rig.store, &tx), 0);
	cr_expect_eq(zk_peers_get(tx, peers, sizeof(peers), &len), 0);
	cr_expect_eq(len, 5);
	cr_expect_eq(zk_hard_state_get(tx, &got), 0);
	cr_expect_eq(got.term, 7);
	zk_read_end(tx);
	rig_close();
}

Test(datadir, a_part_that_is_missing_is_missed)
{
	static const char *const parts[] = {ZK_DATADIR_TREE,
	    ZK_DATADIR_JOURNAL};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		char path[128], aside[160];

		cr_assert_eq(try_open(rig.dir), 0, "%s", why);
		rig_close();
		rig_path(path, sizeof(path), parts[i]);
		(void)snprintf(aside, sizeof(aside), "%s.aside", rig.dir);
		cr_assert_eq(rename(path, aside), 0);
		cr_expect_eq(try_open(rig.dir), -ZK_ECORRUPT);
		cr_expect_not_null(why);
		cr_expect_not_null(strstr(why, parts[i]), "%s", why);
		cr_expect(access(path, F_OK) != 0, "it is not made anew");
		cr_assert_eq(rename(aside, path), 0);
	}
}

Test(datadir, missing_directories_are_made_for_the_owner_only)
{
	char deep[128], parent[128], path[160];
	static const char *const names[] = {ZK_DATADIR_TREE, ZK_DATADIR_LOCK,
	    ZK_DATADIR_JOURNAL};
	struct stat st;

	rig_path(parent, sizeof(parent), "lost+found");
	rig_path(deep, sizeof(deep), "lost+found/zkfs");
	cr_assert_eq(try_open(deep), 0, "%s", why);
	cr_assert_eq(stat(deep, &st), 0);
	cr_expect_eq(st.st_mode & 07777, 0700);
	rig_close();
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", deep, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(deep);
	(void)rmdir(parent);
}

/* --- the partitions' file ------------------------------------------------- */

static int
try_claim(void)
{
	int rc = try_open(rig.dir);

	if (rc == 0)
		rc = zk_broker_claim(rig.dir, rig.store);
	rig_close();
	return rc;
}

static int
open_plog(uint64_t node, struct zk_plog **ret_plog)
{
	const struct zk_plog_options options = {
	    .dir = rig.dir,
	    .self = node,
	    .map_bytes = (size_t)256 << 20,
	};

	return zk_plog_open(&options, ret_plog);
}

/* As if it had held something: one row of a partition. */
static void
fill_topics(uint64_t node)
{
	struct zk_tx tx = {.store = NULL};
	struct zk_plog *plog;

	cr_assert_eq(open_plog(node, &plog), 0);
	cr_assert_eq(zk_env_begin(zk_plog_env(plog), &tx), 0);
	cr_assert_eq(zk_phard_put(&tx, 5, 3, 1), 0);
	cr_assert_eq(zk_env_commit(&tx), 0);
	zk_plog_close(plog);
}

static bool
topics_are_filled(uint64_t node)
{
	struct zk_plog *plog;
	uint64_t term, vote;
	struct zk_tx *tx;
	int rc;

	cr_assert_eq(open_plog(node, &plog), 0);
	cr_assert_eq(zk_env_read_begin(zk_plog_env(plog), &tx), 0);
	rc = zk_phard_get(tx, 5, &term, &vote);
	zk_env_read_end(tx);
	zk_plog_close(plog);
	return rc == 0;
}

static off_t
topics_size(void)
{
	char path[128];
	struct stat st;

	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

static void
remove_topics(void)
{
	char path[128];

	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS);
	(void)unlink(path);
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS_LOCK);
	(void)unlink(path);
}

static void
expect_topics_refused(const char *text)
{
	const off_t size = topics_size();

	for (int i = 0; i < 2; i++) {
		cr_expect_eq(try_claim(), -ZK_ECORRUPT, "%s", text);
		cr_expect_not_null(why, "%s", text);
		cr_expect_not_null(strstr(why, ZK_DATADIR_TOPICS), "%s", why);
		cr_expect_not_null(strstr(why, text), "%s: %s", text, why);
		cr_expect_eq(topics_size(), size);
	}
}

Test(datadir, partitions_that_were_lost_are_not_taken_for_new)
{
	char path[128], aside[160];

	cr_assert_eq(try_claim(), 0, "%s", why);
	cr_assert_eq(try_claim(), 0, "again: %s", why);
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS);
	(void)snprintf(aside, sizeof(aside), "%s.aside", rig.dir);
	cr_assert_eq(rename(path, aside), 0);
	expect_topics_refused("missing, and it was not new");
	for (int i = 0; i < UNMADE_KINDS; i++) {
		leave_unmade(ZK_DATADIR_TOPICS, i);
		expect_topics_refused(i == 0 ? "empty" : "");
	}
	cr_assert_eq(rename(aside, path), 0);
	cr_expect_eq(try_claim(), 0, "%s", why);
}

static uint64_t
own_node(void)
{
	uint64_t node;

	cr_assert_eq(try_open(rig.dir), 0, "%s", why);
	node = zk_store_ident(rig.store)->node;
	rig_close();
	return node;
}

Test(datadir, partitions_that_were_made_anew_are_not_those_that_were)
{
	struct zk_tx tx = {.store = NULL};
	struct zk_plog *plog;
	uint64_t node;

	cr_assert_eq(try_claim(), 0, "%s", why);
	node = own_node();
	remove_topics();
	fill_topics(node);
	expect_topics_refused("made anew");
	/* The number of another tree. */
	cr_assert_eq(open_plog(node, &plog), 0);
	cr_assert_eq(zk_env_begin(zk_plog_env(plog), &tx), 0);
	cr_assert_eq(zk_topics_id_put(&tx, 1), 0);
	cr_assert_eq(zk_env_commit(&tx), 0);
	cr_assert_eq(zk_env_checkpoint(zk_plog_env(plog)), 0);
	zk_plog_close(plog);
	expect_topics_refused("of another directory");
}

/* The tree says what it knows of them only when they are on disk. */
Test(datadir, partitions_that_were_never_made_are_made)
{
	for (int i = 0; i < UNMADE_KINDS; i++) {
		char path[128];

		leave_unmade(ZK_DATADIR_TOPICS, i);
		cr_expect_eq(try_claim(), 0, "%d: %s", i, why);
		cr_expect(topics_size() > 8192);
		remove_topics();
		expect_topics_refused("missing");
		rig_path(path, sizeof(path), ZK_DATADIR_TREE);
		(void)unlink(path);
		rig_path(path, sizeof(path), ZK_DATADIR_JOURNAL);
		(void)unlink(path);
	}
}

/* A directory from before the tree knew of them. */
Test(datadir, partitions_of_an_older_version_are_kept)
{
	const uint64_t node = own_node();

	fill_topics(node);
	cr_expect_eq(try_claim(), 0, "%s", why);
	cr_expect(topics_are_filled(node));
	cr_expect_eq(try_claim(), 0, "%s", why);
	remove_topics();
	expect_topics_refused("missing");
}

/* --- their journal -------------------------------------------------------- */

static void
remove_topics_journal(void)
{
	char path[128];

	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS_JOURNAL);
	cr_assert_eq(unlink(path), 0);
}

Test(datadir, partitions_without_their_journal_are_refused)
{
	const uint64_t node = own_node();
	struct zk_plog *plog;
	char path[128];
	int fd;

	fill_topics(node);
	cr_expect(topics_are_filled(node));
	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS_JOURNAL);
	/* Where the checkpoints are. */
	fd = open(path, O_WRONLY);
	cr_assert(fd >= 0);
	for (off_t at = 0; at < 8192; at += 4096)
		cr_assert_eq(pwrite(fd, "damaged!", 8, at), 8);
	close(fd);
	cr_expect_eq(try_claim(), -ZK_ECORRUPT);
	cr_expect_eq(open_plog(node, &plog), -ZK_ECORRUPT);
	remove_topics_journal();
	cr_expect_eq(open_plog(node, &plog), -ZK_ECORRUPT);
	cr_expect_eq(open_plog(node, &plog), -ZK_ECORRUPT);
}

/* As it was made when each commit was flushed: format u32, node u64. */
static void
make_flushed(uint64_t node)
{
	char path[128];
	const struct zk_env_options options = {
	    .path = path,
	    .map_bytes = (size_t)256 << 20,
	};
	struct zk_tx tx = {.store = NULL};
	uint8_t value[12];
	struct zk_key key;
	struct zk_env *env;
	struct zk_enc enc;

	rig_path(path, sizeof(path), ZK_DATADIR_TOPICS);
	zk_enc_init(&enc, value, sizeof(value));
	zk_enc_u32(&enc, 1);
	zk_enc_u64(&enc, node);
	zk_key_init(&key, ZK_TABLE_TOPICS);
	cr_assert_eq(zk_env_open(&options, &env), 0);
	cr_assert_eq(zk_env_begin(env, &tx), 0);
	cr_assert_eq(zk_row_put(&tx, &key, value, sizeof(value)), 0);
	cr_assert_eq(zk_phard_put(&tx, 5, 3, 1), 0);
	cr_assert_eq(zk_env_commit(&tx), 0);
	zk_env_close(env);
}

Test(datadir, partitions_from_before_the_journal_get_one)
{
	const uint64_t node = own_node();
	struct zk_plog *plog;

	make_flushed(node);
	cr_expect(topics_are_filled(node));
	cr_expect(topics_are_filled(node));
	cr_expect_eq(try_claim(), 0, "%s", why);
	remove_topics_journal();
	cr_expect_eq(open_plog(node, &plog), -ZK_ECORRUPT);
}
