#include <dirent.h>

#include "base/err.h"
#include "base/hash.h"
#include "store/snapshot.h"
#include "tree_rig.h"

/* Two stores: one that sends, and `rig`, which is made to be like it. */

static struct rig source;

static struct zk_tx *from; /* what is read of the source */
static struct zk_snapshot_head head;
static uint8_t part[ZK_SNAPSHOT_PART_MAX];
static size_t part_len;

static void
put_row(enum zk_table table, uint64_t a, const void *value, size_t len)
{
	const struct zk_key key = zk_key2(table, 99, a);

	CHECK(zk_row_put(rig.tx, &key, value, len) == 0, "put");
}

/* Rows of no meaning: verify() is not for them. */
static void
put_rows(uint64_t seed, uint64_t count)
{
	uint8_t value[9000];

	rig_begin();
	for (uint64_t i = 0; i < count; i++) {
		const uint64_t r = zk_mix64(seed + i);

		memset(value, (int)(r >> 8), sizeof(value));
		put_row(ZK_TABLE_XATTR, r % 200, value, r % sizeof(value));
	}
	rig_commit();
}

static void
add_state(uint64_t index)
{
	rig_begin();
	rig.tx->state.applied_index = index;
	rig.tx->state.applied_term = 3;
	cr_assert_eq(zk_conf_row_put(rig.tx, 1, "members", 7), 0);
	rig_commit();
}

static void
setup(void)
{
	tree_setup();
	add_state(1000);
	source = rig;
	memset(&rig, 0, sizeof(rig));
	rig_init();
	cr_assert_eq(zk_read_begin(source.store, &from), 0);
	cr_assert_eq(zk_snapshot_head(from, &head), 0);
}

static void
teardown(void)
{
	rig_fini();
	zk_read_end(from);
	rig = source;
	rig_fini();
}

TestSuite(snapshot, .init = setup, .fini = teardown);

/* After changes of the source. */
static void
look_again(void)
{
	zk_read_end(from);
	cr_assert_eq(zk_read_begin(source.store, &from), 0);
	cr_assert_eq(zk_snapshot_head(from, &head), 0);
}

static struct zk_spool *
open_spool(void)
{
	struct zk_spool *spool;

	cr_assert_eq(zk_spool_open(rig.store, &head, &spool), 0);
	return spool;
}

static size_t
fill(struct zk_spool *spool, size_t want)
{
	struct zk_snapshot_place place;
	size_t count = 0;

	for (zk_snapshot_start(&place); !place.end; count++) {
		CHECK(zk_snapshot_read(from, &place, want, part, &part_len) ==
		        0,
		    "read");
		CHECK(zk_spool_add(spool, part, part_len) == 0, "add");
	}
	return count;
}

/* The number of rows that changed. */
static uint64_t
install(size_t want)
{
	struct zk_spool *spool = open_spool();
	uint64_t changes;

	(void)fill(spool, want);
	cr_assert_eq(zk_spool_check(spool), 0);
	rig_begin();
	cr_assert_eq(zk_spool_install(spool, rig.tx), 0);
	changes = rig.tx->changes;
	rig_commit();
	zk_spool_close(spool);
	return changes;
}

/* Row by row, as a snapshot has them. */
static void
expect_same_rows(void)
{
	static uint8_t other[ZK_SNAPSHOT_PART_MAX];
	struct zk_snapshot_place a, b;
	struct zk_tx *tx;
	size_t len;

	cr_assert_eq(zk_read_begin(rig.store, &tx), 0);
	zk_snapshot_start(&b);
	for (zk_snapshot_start(&a); !a.end;) {
		CHECK(zk_snapshot_read(from, &a, 4000, part, &part_len) == 0,
		    "source");
		CHECK(zk_snapshot_read(tx, &b, 4000, other, &len) == 0, "copy");
		CHECK(len == part_len && memcmp(part, other, len) == 0,
		    "rows differ");
	}
	cr_expect(b.end);
	zk_read_end(tx);
}

static void
expect_state(void)
{
	struct zk_store_usage usage;

	cr_assert_eq(zk_store_usage(rig.store, &usage), 0);
	cr_expect_eq(usage.applied_index, head.state.applied_index);
	cr_expect_eq(usage.digest, head.state.digest);
	cr_expect_eq(usage.row_bytes, head.state.row_bytes);
	cr_expect_eq(usage.nodes, head.state.nodes);
}

Test(snapshot, an_empty_store_becomes_the_tree)
{
	(void)install(300);
	expect_state();
	expect_same_rows();
	rig_begin();
	rig_verify();
}

Test(snapshot, the_installed_tree_survives_a_restart)
{
	(void)install(ZK_SNAPSHOT_PART_MAX);
	rig_close();
	rig_open();
	expect_state();
	rig_begin();
	rig_verify();
}

Test(snapshot, another_tree_becomes_the_same)
{
	for (uint64_t round = 0; round < 8; round++) {
		struct rig target;

		put_rows(round * 1000, 150);
		target = rig;
		rig = source;
		put_rows(round * 777 + 5, 150);
		source = rig;
		rig = target;
		look_again();
		(void)install(1000 + round * 5000);
		expect_state();
		expect_same_rows();
	}
}

Test(snapshot, rows_that_are_equal_stay)
{
	cr_expect(install(1000) > 5);
	cr_expect_eq(install(1000), 0);
}

Test(snapshot, until_the_commit_the_old_tree_is_there)
{
	struct zk_spool *spool = open_spool();
	struct zk_state before, after;
	struct zk_tx *reader;

	(void)fill(spool, 2000);
	cr_assert_eq(zk_read_begin(rig.store, &reader), 0);
	cr_assert_eq(zk_state_get(reader, &before), 0);
	rig_begin();
	cr_assert_eq(zk_spool_install(spool, rig.tx), 0);
	zk_store_abort(rig.tx);
	rig_begin();
	rig_verify();
	cr_expect_eq(rig.tx->state.applied_index, 0);
	cr_assert_eq(zk_spool_install(spool, rig.tx), 0);
	rig_commit();
	cr_assert_eq(zk_state_get(reader, &after), 0);
	cr_expect_eq(after.digest, before.digest);
	zk_read_end(reader);
	zk_spool_close(spool);
	expect_state();
}

Test(snapshot, a_spool_has_no_name)
{
	struct zk_spool *spool = open_spool();
	struct dirent *entry;
	DIR *stream = opendir(rig.dir);

	cr_assert_not_null(stream);
	while ((entry = readdir(stream)) != NULL)
		CHECK(strcmp(entry->d_name, ZK_DATADIR_SPOOL) != 0, "%s",
		    entry->d_name);
	(void)closedir(stream);
	zk_spool_close(spool);
}

Test(snapshot, what_a_crash_can_leave_of_a_spool_does_no_harm)
{
	char path[128];
	int fd;

	rig_path(path, sizeof(path), ZK_DATADIR_SPOOL);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, "old", 3), 3);
	(void)close(fd);
	rig_close();
	rig_open();
	(void)install(1000);
	expect_state();
	cr_expect_eq(access(path, F_OK), -1);
}

Test(snapshot, any_flipped_bit_is_refused)
{
	struct zk_snapshot_place place;

	zk_snapshot_start(&place);
	cr_assert_eq(zk_snapshot_read(from, &place, 2000, part, &part_len), 0);
	for (size_t i = 0; i < part_len; i += 7) {
		struct zk_spool *spool = open_spool();

		part[i] ^= (uint8_t)(1u << i % 8);
		CHECK(zk_spool_add(spool, part, part_len) == -EPROTO,
		    "byte %zu", i);
		part[i] ^= (uint8_t)(1u << i % 8);
		zk_spool_close(spool);
	}
}

Test(snapshot, a_part_comes_once_and_in_its_turn)
{
	struct zk_spool *spool = open_spool();
	struct zk_snapshot_place place;

	zk_snapshot_start(&place);
	cr_assert_eq(zk_snapshot_read(from, &place, 500, part, &part_len), 0);
	cr_assert_eq(zk_spool_add(spool, part, part_len), 0);
	cr_expect_eq(zk_spool_add(spool, part, part_len), -EPROTO);
	zk_spool_close(spool);
}

Test(snapshot, a_missing_part_is_noticed)
{
	struct zk_spool *spool = open_spool();
	struct zk_snapshot_place place;

	cr_expect_eq(zk_spool_check(spool), -EPROTO);
	zk_snapshot_start(&place);
	cr_assert_eq(zk_snapshot_read(from, &place, 500, part, &part_len), 0);
	while (!place.end) {
		cr_assert_eq(
		    zk_snapshot_read(from, &place, 500, part, &part_len), 0);
		cr_assert_eq(zk_spool_add(spool, part, part_len), 0);
	}
	cr_expect_eq(zk_spool_check(spool), -EPROTO);
	zk_spool_close(spool);
}

Test(snapshot, more_than_was_announced_is_refused)
{
	struct zk_snapshot_place place;
	struct zk_spool *spool;

	head.state.row_bytes = 100;
	spool = open_spool();
	zk_snapshot_start(&place);
	cr_assert_eq(zk_snapshot_read(from, &place, 2000, part, &part_len), 0);
	cr_expect_eq(zk_spool_add(spool, part, part_len), -EPROTO);
	zk_spool_close(spool);
}

Test(snapshot, of_another_ensemble_is_refused)
{
	struct zk_spool *spool;

	head.state.ensemble[3] ^= 1;
	cr_expect_eq(zk_spool_open(rig.store, &head, &spool), -EPROTO);
}

Test(snapshot, of_more_than_the_disk_holds_is_refused)
{
	struct zk_spool *spool;

	head.state.row_bytes = UINT64_MAX / 4;
	cr_expect_eq(zk_spool_open(rig.store, &head, &spool), -ENOSPC);
}

Test(snapshot, a_head_is_read_as_it_was_written_and_not_in_part)
{
	uint8_t bytes[ZK_SNAPSHOT_HEAD_MAX];
	struct zk_snapshot_head read = {0};
	struct zk_enc enc;
	struct zk_dec dec;

	zk_enc_init(&enc, bytes, sizeof(bytes));
	zk_snapshot_head_encode(&enc, &head);
	cr_assert_not(enc.failed);
	zk_dec_init(&dec, bytes, enc.len);
	cr_assert_eq(zk_snapshot_head_decode(&dec, &read), 0);
	cr_expect(zk_dec_done(&dec));
	cr_expect_eq(read.state.digest, head.state.digest);
	cr_expect_eq(read.state.ino_next, head.state.ino_next);
	cr_expect_eq(read.conf_index, 1);
	cr_expect_eq(read.conf_len, 7);
	cr_expect_eq(memcmp(read.conf, "members", 7), 0);
	for (size_t len = 0; len < enc.len; len++) {
		zk_dec_init(&dec, bytes, len);
		CHECK(zk_snapshot_head_decode(&dec, &read) == -EPROTO, "%zu",
		    len);
	}
}
