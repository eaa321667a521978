#include <errno.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/answer.h"
#include "store/dirent.h"
#include "store/inode.h"
#include "store/lock_row.h"
#include "store/session.h"
#include "tree_rig.h"

TestSuite(verify, .init = tree_setup, .fini = rig_fini);

Test(verify, a_good_tree_is_good_for_writers_and_readers)
{
	struct zk_verify_report report, again;
	struct zk_tx *reader;

	rig_begin();
	cr_expect_eq(zk_verify(rig.tx, &report), 0, "%s", report.problem);
	cr_expect_str_eq(report.problem, "");
	cr_assert_eq(zk_read_begin(rig.store, &reader), 0);
	cr_expect_eq(zk_verify(reader, &again), 0, "%s", again.problem);
	zk_read_end(reader);
	cr_expect_eq(report.digest, again.digest);
	cr_expect_eq(report.nodes, 8);
	cr_expect_eq(again.nodes, 8);
}

/* --- what is wrong is found ----------------------------------------------- */

static struct zk_inode node;

static void
load(uint64_t ino)
{
	CHECK(zk_inode_get(rig.tx, ino, &node) == 0, "load");
}

static void
put(void)
{
	CHECK(zk_inode_put(rig.tx, &node) == 0, "put");
}

static void
put_row(struct zk_key key, const char *value)
{
	CHECK(zk_row_put(rig.tx, &key, value, strlen(value)) == 0, "put row");
}

static void
delete_row(struct zk_key key)
{
	CHECK(zk_row_delete(rig.tx, &key) == 0, "delete row");
}

static void
add_name(uint64_t parent, const char *name, uint64_t ino, uint32_t type)
{
	const struct zk_entry_ref ref = {.ino = ino, .type = type};

	CHECK(zk_dirent_put(rig.tx, parent, name, strlen(name), &ref) == 0,
	    "name");
}

static void
delete_name(uint64_t parent, const char *name)
{
	CHECK(zk_dirent_delete(rig.tx, parent, name, strlen(name)) == 0,
	    "no name");
}

static struct zk_key
chunk_key(uint64_t ino, uint32_t chunk)
{
	struct zk_key key = zk_key1(ZK_TABLE_CHUNK, ino);

	zk_key_u32(&key, chunk);
	return key;
}

static struct zk_key
link_key(uint64_t ino, uint64_t parent, const char *name)
{
	struct zk_key key = zk_key2(ZK_TABLE_NAME, ino, parent);

	zk_key_raw(&key, name, strlen(name));
	return key;
}

static void
name_to_nowhere(void)
{
	add_name(dir, "ghost", 999, S_IFREG);
}

static void
name_to_nowhere_below_others(void)
{
	struct zk_key key = zk_key1(ZK_TABLE_INODE, linked);

	delete_row(key);
}

static void
name_in_no_directory(void)
{
	load(linked);
	node.attr.nlink++;
	put();
	add_name(file, "below", linked, S_IFREG);
	put_row(link_key(linked, file, "below"), "");
}

static void
name_untold(void)
{
	delete_row(link_key(linked, subdir, "linked2"));
}

static void
name_told_that_is_not(void)
{
	put_row(link_key(file, dir, "file"), "");
}

static void
own_name_that_is_not(void)
{
	load(file);
	node.name[0] ^= 1;
	put();
}

static void
node_without_name(void)
{
	delete_name(dir, "file");
}

static void
orphan_without_holder(void)
{
	delete_row(zk_key2(ZK_TABLE_ORPHAN, orphan, session));
}

static void
holder_of_a_named_node(void)
{
	put_row(zk_key2(ZK_TABLE_ORPHAN, file, session), "");
}

static void
wrong_link_count(void)
{
	load(linked);
	node.attr.nlink = 3;
	put();
}

static void
wrong_type_in_name(void)
{
	add_name(dir, "file", file, S_IFIFO);
}

static void
misplaced_name(void)
{
	struct zk_entry_ref ref;
	const void *value;
	char copy[300];
	size_t len;

	CHECK(zk_dirent_get(rig.tx, dir, "file", 4, &ref) == 0, "get");
	const struct zk_key key = zk_key2(ZK_TABLE_DIRENT, dir, ref.slot);
	const struct zk_key wrong = zk_key2(ZK_TABLE_DIRENT, dir, 0x1000);

	CHECK(zk_row_get(rig.tx, &key, &value, &len) == 0, "get");
	memcpy(copy, value, len);
	CHECK(zk_row_put(rig.tx, &wrong, copy, len) == 0, "put");
	delete_row(key);
}

static void
directory_with_wrong_parent(void)
{
	load(subdir);
	node.attr.parent = ZK_INO_ROOT;
	put();
}

static void
directory_with_two_names(void)
{
	add_name(ZK_INO_ROOT, "sub", subdir, S_IFDIR);
}

static void
directory_that_counts_wrong(void)
{
	load(dir);
	node.attr.nlink++;
	put();
}

/* dir hangs below its own subdirectory, and nothing on the root. */
static void
directories_in_a_circle(void)
{
	delete_name(ZK_INO_ROOT, "dir");
	add_name(subdir, "dir", dir, S_IFDIR);
	load(dir);
	node.attr.parent = subdir;
	put();
	load(subdir);
	node.attr.nlink++;
	put();
	load(ZK_INO_ROOT);
	node.attr.nlink--;
	put();
}

static void
root_is_gone(void)
{
	struct zk_key key = zk_key1(ZK_TABLE_INODE, ZK_INO_ROOT);

	delete_row(key);
}

static void
chunk_of_a_small_file(void)
{
	put_row(chunk_key(file, 0), "chunk");
}

static void
chunk_behind_the_end(void)
{
	load(big);
	node.attr.blocks += 16;
	put();
	put_row(chunk_key(big, 9), "chunk");
}

static void
chunk_missing(void)
{
	delete_row(chunk_key(big, 1));
}

static void
chunk_of_no_file(void)
{
	put_row(chunk_key(998, 0), "chunk");
}

static void
content_lost(void)
{
	load(file);
	node.data_len = 0;
	put();
}

static void
node_of_the_future(void)
{
	load(file);
	rig.tx->state.ino_next = file;
}

static void
attribute_of_no_node(void)
{
	put_row(zk_key2(ZK_TABLE_XATTR, 997, 1), "value");
}

static void
ephemeral_without_owner(void)
{
	delete_row(zk_key2(ZK_TABLE_EPHEMERAL, session, 77));
}

static void
owner_without_ephemeral(void)
{
	const struct zk_ephemeral eph = {file, dir, 4, "file"};

	CHECK(zk_ephemeral_put(rig.tx, session, 78, &eph) == 0, "put");
}

static void
answer_of_no_session(void)
{
	const struct zk_outcome out = {.rc = 0};

	CHECK(zk_answer_put(rig.tx, 996, 1, &out) == 0, "put");
}

static void
session_of_the_future(void)
{
	const struct zk_session late = {.id = 100000, .member = "late"};

	CHECK(zk_session_put(rig.tx, &late) == 0, "put");
}

static void
all_of_a_session_but_itself(void)
{
	delete_row(zk_key1(ZK_TABLE_SESSION, session));
}

static void
change_locks(void (*fn)(struct zk_lock_file *file))
{
	struct zk_lock_file locks;

	CHECK(zk_lock_file_load(rig.tx, file, &locks) == 0, "load");
	fn(&locks);
	CHECK(zk_lock_file_store(&locks) == 0, "store");
	zk_lock_file_fini(&locks);
}

static void
add_conflict(struct zk_lock_file *locks)
{
	struct zk_held held = locks->set.held[0];

	held.owner = 5;
	CHECK(zk_lock_set_put(&locks->set, &held) == 0, "put");
}

static void
locks_in_conflict(void)
{
	change_locks(add_conflict);
}

static void
add_waiter(struct zk_lock_file *locks)
{
	locks->waiters++;
}

static void
waiters_counted_wrong(void)
{
	change_locks(add_waiter);
}

static void
share_lock(struct zk_lock_file *locks)
{
	struct zk_held held = locks->set.held[0];

	/* Held by the one that waits. */
	locks->set.count = 0;
	held.owner = 2;
	CHECK(zk_lock_set_put(&locks->set, &held) == 0, "put");
}

static void
wait_for_nobody(void)
{
	change_locks(share_lock);
}

static void
lock_its_owner_does_not_know(void)
{
	const struct zk_held owner = {
	    .session = session,
	    .owner = 1,
	    .flock = true,
	};

	delete_row(zk_lock_holds_key(&owner, file));
}

static void
owner_of_no_lock(void)
{
	const struct zk_held owner = {.session = session, .owner = 9};

	put_row(zk_lock_holds_key(&owner, file), "");
}

static void
unknown_table(void)
{
	put_row(zk_key1('z', 1), "");
}

static void
count_is_off(void)
{
	rig.tx->state.nodes++;
}

static void
bytes_are_off(void)
{
	rig.tx->state.row_bytes++;
}

static void
digest_is_off(void)
{
	rig.tx->state.digest++;
}

Test(verify, each_broken_promise_is_found)
{
	static const struct {
		const char *want;
		void (*sabotage)(void);
	} cases[] = {
	    {"names node 999, which is missing", name_to_nowhere},
	    {"which is missing", name_to_nowhere_below_others},
	    {"which is no directory", name_in_no_directory},
	    {"has 2 names, but tells 1", name_untold},
	    {"a name that is not one of several", name_told_that_is_not},
	    {"tells a wrong name", own_name_that_is_not},
	    {"counts 1 names, but has 0", node_without_name},
	    {"nobody holds it", orphan_without_holder},
	    {"is held without a name, but has one", holder_of_a_named_node},
	    {"counts 3 names, but has 2", wrong_link_count},
	    {"of another type than its name", wrong_type_in_name},
	    {"misplaced", misplaced_name},
	    {"takes 1 for its parent", directory_with_wrong_parent},
	    {"has 2 names", directory_with_two_names},
	    {"links, but has", directory_that_counts_wrong},
	    {"does not hang on the root", directories_in_a_circle},
	    {"no root", root_is_gone},
	    {"chunks up to", chunk_of_a_small_file},
	    {"chunks up to", chunk_behind_the_end},
	    {"chunks up to", chunk_missing},
	    {"chunks of node 998", chunk_of_no_file},
	    {"bytes in", content_lost},
	    {"of the future", node_of_the_future},
	    {"attribute of node 997", attribute_of_no_node},
	    {"its owner does not know it", ephemeral_without_owner},
	    {"owns an ephemeral file that is not", owner_without_ephemeral},
	    {"answer of session 996", answer_of_no_session},
	    {"session 100000 of the future", session_of_the_future},
	    {"which is over", all_of_a_session_but_itself},
	    {"locks in conflict", locks_in_conflict},
	    {"2 waits, but 1 wait", waiters_counted_wrong},
	    {"that nobody holds", wait_for_nobody},
	    {"a lock whose owner does not know it",
	        lock_its_owner_does_not_know},
	    {"said to hold a lock", owner_of_no_lock},
	    {"unknown table 0x7a", unknown_table},
	    {"9 are counted", count_is_off},
	    {"bytes of rows", bytes_are_off},
	    {"the digest is", digest_is_off},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct zk_verify_report report;

		rig_begin();
		cases[i].sabotage();
		cr_expect_eq(zk_verify(rig.tx, &report), -ZK_ECORRUPT, "%s",
		    cases[i].want);
		cr_expect_not_null(strstr(report.problem, cases[i].want),
		    "'%s' is not '%s'", report.problem, cases[i].want);
		zk_store_abort(rig.tx);
		rig.tx = NULL;
	}
}
