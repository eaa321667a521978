#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/codec.h"
#include "base/err.h"
#include "base/hash.h"
#include "store/table.h"
#include "store_rig.h"

TestSuite(table, .init = rig_init, .fini = rig_fini);

static void
put(uint64_t ino, uint64_t slot, const char *value)
{
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, ino, slot);

	cr_assert_eq(zk_row_put(rig.tx, &key, value, strlen(value)), 0);
}

static void
expect(uint64_t ino, uint64_t slot, const char *want)
{
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, ino, slot);
	const void *value;
	size_t len;
	int rc = zk_row_get(rig.tx, &key, &value, &len);

	if (want == NULL) {
		cr_assert_eq(rc, -ENOENT);
		return;
	}
	cr_assert_eq(rc, 0);
	cr_assert_eq(len, strlen(want));
	cr_assert_eq(memcmp(value, want, len), 0);
}

Test(table, what_is_put_is_got_until_it_is_deleted)
{
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, 1, 1);

	rig_begin();
	expect(1, 1, NULL);
	put(1, 1, "one");
	expect(1, 1, "one");
	put(1, 1, "");
	expect(1, 1, "");
	cr_expect_eq(zk_row_delete(rig.tx, &key), 0);
	expect(1, 1, NULL);
	cr_expect_eq(zk_row_delete(rig.tx, &key), -ENOENT);
	cr_expect_eq(rig.tx->fatal, 0, "absence is no failure");
}

Test(table, digest_does_not_depend_on_the_order_or_the_way)
{
	struct zk_state before, after;
	struct zk_key key;

	rig_begin();
	before = rig.tx->state;
	put(1, 1, "one");
	put(1, 2, "two");
	after = rig.tx->state;
	cr_expect_neq(before.digest, after.digest);

	key = zk_key1(ZK_TABLE_XATTR, 1);
	cr_assert_eq(zk_rows_delete(rig.tx, &key), 0);
	cr_expect_eq(rig.tx->state.digest, before.digest);
	cr_expect_eq(rig.tx->state.row_bytes, before.row_bytes);

	put(1, 2, "something longer");
	put(1, 1, "one");
	put(1, 2, "two");
	cr_expect_eq(rig.tx->state.digest, after.digest);
	cr_expect_eq(rig.tx->state.row_bytes, after.row_bytes);
}

Test(table, rows_of_this_member_are_not_in_the_digest)
{
	const struct zk_hard_state hard = {.term = 3, .vote = 9};
	struct zk_hard_state got;
	uint64_t digest;

	rig_begin();
	digest = rig.tx->state.digest;
	cr_assert_eq(zk_hard_state_put(rig.tx, &hard), 0);
	cr_expect_eq(rig.tx->state.digest, digest);
	cr_assert_eq(zk_hard_state_get(rig.tx, &got), 0);
	cr_expect_eq(got.term, 3);
	cr_expect_eq(got.vote, 9);
}

/* The slots that a walk over ino's rows sees, as a sum of bits. */
static uint64_t
walk(uint64_t ino, void (*at_each)(uint64_t slot))
{
	const struct zk_key from = zk_key1(ZK_TABLE_XATTR, ino);
	uint64_t seen = 0, last = 0;
	struct zk_scan scan;
	int rc;

	cr_assert_eq(zk_scan_begin(rig.tx, &from, from.len, &scan), 0);
	while ((rc = zk_scan_next(&scan)) == 0) {
		const uint64_t slot = zk_get_be64(scan.at.bytes + 9);

		cr_assert(slot > last, "in order, and each once");
		last = slot;
		seen |= 1ull << slot;
		if (at_each != NULL)
			at_each(slot);
	}
	cr_assert_eq(rc, -ENOENT);
	zk_scan_end(&scan);
	return seen;
}

static void
change_neighbours(uint64_t slot)
{
	const struct zk_key self = zk_key2(ZK_TABLE_XATTR, 2, slot);
	const struct zk_key next = zk_key2(ZK_TABLE_XATTR, 2, slot + 1);

	cr_assert_eq(zk_row_delete(rig.tx, &self), 0);
	if (slot % 4 == 1)
		(void)zk_row_delete(rig.tx, &next);
	if (slot == 5)
		put(2, 40, "ahead");
	if (slot == 6)
		put(2, 1, "behind");
}

Test(table, a_walk_sees_the_rows_as_they_are_at_each_step)
{
	rig_begin();
	for (uint64_t slot = 1; slot <= 8; slot++) {
		put(1, slot, "x");
		put(2, slot, "x");
		put(3, slot, "x");
	}
	cr_expect_eq(walk(2, NULL), 0x1feull, "its own rows only");
	/* 2 and 6 go before they are reached, 40 comes, 1 comes too late. */
	cr_expect_eq(walk(2, change_neighbours),
	    1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 7 |
	        1ull << 8 | 1ull << 40);
	cr_expect_eq(walk(1, NULL), 0x1feull);
	cr_expect_eq(walk(3, NULL), 0x1feull);
}

Test(table, a_trial_sees_its_changes_and_leaves_none)
{
	struct zk_state before;
	struct zk_tx inner, *outer;

	rig_begin();
	outer = rig.tx;
	put(1, 1, "outer");
	before = outer->state;

	cr_assert_eq(zk_store_trial_begin(outer, &inner), 0);
	rig.tx = &inner;
	put(1, 1, "inner");
	put(1, 2, "inner");
	expect(1, 1, "inner");
	rig.tx = outer;
	cr_assert_eq(zk_store_trial_end(outer, &inner), 0);
	expect(1, 1, "outer");
	expect(1, 2, NULL);
	cr_expect_eq(outer->state.digest, before.digest);
	cr_expect_eq(outer->state.row_bytes, before.row_bytes);
}

Test(table, an_aborted_transaction_leaves_nothing)
{
	rig_begin();
	put(1, 1, "kept");
	rig_commit();
	rig_begin();
	put(1, 1, "lost");
	put(1, 2, "lost");
	zk_store_abort(rig.tx);
	rig_begin();
	expect(1, 1, "kept");
	expect(1, 2, NULL);
}

Test(table, a_reader_sees_its_snapshot_until_it_ends)
{
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, 1, 1);
	struct zk_tx *reader;
	const void *value;
	size_t len;

	rig_begin();
	put(1, 1, "old");
	rig_commit();
	cr_assert_eq(zk_read_begin(rig.store, &reader), 0);
	rig_begin();
	put(1, 1, "new!");
	rig_commit();
	cr_assert_eq(zk_row_get(reader, &key, &value, &len), 0);
	cr_expect_eq(len, 3);
	zk_read_end(reader);
	cr_assert_eq(zk_read_begin(rig.store, &reader), 0);
	cr_assert_eq(zk_row_get(reader, &key, &value, &len), 0);
	cr_expect_eq(len, 4);
	zk_read_end(reader);
}

/* Changes one bit of the one place in the file that holds text. */
static void
flip_in_file(const char *text)
{
	char path[128], *data, *at;
	struct stat st;
	int fd;

	rig_path(path, sizeof(path), ZK_DATADIR_TREE);
	fd = open(path, O_RDWR);
	cr_assert(fd >= 0);
	cr_assert_eq(fstat(fd, &st), 0);
	data = malloc((size_t)st.st_size);
	cr_assert_not_null(data);
	cr_assert_eq(pread(fd, data, (size_t)st.st_size, 0), st.st_size);
	at = memmem(data, (size_t)st.st_size, text, strlen(text));
	cr_assert_not_null(at);
	*at ^= 1;
	cr_assert_eq(pwrite(fd, at, 1, at - data), 1);
	free(data);
	(void)close(fd);
}

Test(table, a_flipped_bit_is_noticed_by_every_way_to_read)
{
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, ZK_INO_ROOT, 1);
	const struct zk_key from = zk_key1(ZK_TABLE_XATTR, ZK_INO_ROOT);
	struct zk_scan scan;
	const void *value;
	size_t len;

	rig_begin();
	put(ZK_INO_ROOT, 1, "a value that is found again");
	rig_commit();
	/* The store is open: its start would refuse such a file. */
	flip_in_file("a value that is found again");
	rig_begin();
	cr_expect_eq(zk_row_get(rig.tx, &key, &value, &len), -ZK_ECORRUPT);
	cr_expect_eq(rig.tx->fatal, -ZK_ECORRUPT);
	zk_store_abort(rig.tx);

	rig_begin();
	cr_assert_eq(zk_scan_begin(rig.tx, &from, from.len, &scan), 0);
	cr_expect_eq(zk_scan_next(&scan), -ZK_ECORRUPT);
	zk_scan_end(&scan);
	cr_expect_eq(zk_store_commit(rig.tx), -ZK_ECORRUPT,
	    "such a transaction cannot be kept");
	rig.tx = NULL;
}

Test(table, long_and_short_values_survive_a_restart)
{
	static char big[40000];

	memset(big, 'b', sizeof(big) - 1);
	rig_begin();
	put(ZK_INO_ROOT, 1, big);
	put(ZK_INO_ROOT, 2, "");
	rig_commit();
	rig_close();
	rig_open();
	rig_begin();
	expect(ZK_INO_ROOT, 1, big);
	expect(ZK_INO_ROOT, 2, "");
	rig_verify();
}

/* A naive twin: random changes, then both must hold the same. */
Test(table, random_changes_agree_with_an_array)
{
	static char model[16][16];
	char value[16];
	uint64_t seed = 42;

	rig_begin();
	for (int i = 0; i < 5000; i++) {
		const uint64_t draw = zk_prng_next(&seed);
		const uint64_t ino = ZK_INO_ROOT, slot = draw % 16;
		const struct zk_key key = zk_key2(ZK_TABLE_XATTR, ino, slot);

		if (draw >> 8 & 1) {
			(void)snprintf(value, sizeof(value), "v%u",
			    (unsigned int)(draw >> 16 & 0xffff));
			put(ino, slot, value);
			memcpy(model[slot], value, sizeof(value));
		} else {
			cr_assert_eq(zk_row_delete(rig.tx, &key),
			    model[slot][0] != '\0' ? 0 : -ENOENT);
			model[slot][0] = '\0';
		}
		if (i % 500 == 0) {
			rig_commit();
			rig_begin();
		}
	}
	for (uint64_t slot = 0; slot < 16; slot++)
		expect(ZK_INO_ROOT, slot,
		    model[slot][0] != '\0' ? model[slot] : NULL);
	rig_verify();
}

#define WALK_ROWS 3000u

static bool walk_has[WALK_ROWS + 1];

/* Rows of many pages, some of them on pages of their own. */
static void
walk_put(uint64_t slot, uint64_t draw, bool is_new)
{
	static uint8_t value[3000];
	const struct zk_key key = zk_key2(ZK_TABLE_XATTR, 7, slot);
	const size_t len = draw % 9 == 0 ? 2500 + draw % 500 : draw % 200;
	int rc;

	memset(value, (int)slot, len);
	rc = is_new ? zk_row_add(rig.tx, &key, value, len)
	            : zk_row_put(rig.tx, &key, value, len);
	cr_assert_eq(rc, 0);
	walk_has[slot] = true;
}

/*
 * Walk on from row to row; delete where the walk is, delete ahead and behind,
 * put ahead and behind: what comes next is always what the array says.
 */
static void
walk_once(uint64_t *seed, unsigned deletes)
{
	const struct zk_key from = zk_key1(ZK_TABLE_XATTR, 7);
	struct zk_scan scan;
	uint64_t at = 0;

	cr_assert_eq(zk_scan_begin(rig.tx, &from, from.len, &scan), 0);
	for (;;) {
		const uint64_t draw = zk_prng_next(seed);
		const uint64_t other = 1 + (draw >> 8) % WALK_ROWS;
		const struct zk_key key = zk_key2(ZK_TABLE_XATTR, 7, other);
		uint64_t next = at + 1;
		int rc = zk_scan_next(&scan);

		while (next <= WALK_ROWS && !walk_has[next])
			next++;
		if (next > WALK_ROWS) {
			cr_assert_eq(rc, -ENOENT);
			break;
		}
		cr_assert_eq(rc, 0);
		at = zk_get_be64(scan.at.bytes + 1 + 8);
		cr_assert_eq(at, next);
		if (draw % 100 < deletes) {
			cr_assert_eq(zk_scan_delete(&scan), 0);
			walk_has[at] = false;
		}
		if (draw >> 40 & 7)
			continue;
		if (walk_has[other] && draw >> 44 & 1) {
			cr_assert_eq(zk_row_delete(rig.tx, &key), 0);
			walk_has[other] = false;
		} else {
			walk_put(other, draw >> 48, draw >> 45 & 1);
		}
	}
	zk_scan_end(&scan);
}

Test(table, a_walk_deletes_where_it_is)
{
	const struct zk_key prefix = zk_key1(ZK_TABLE_XATTR, 7);
	struct zk_state before;
	uint64_t seed = 4;

	rig_begin();
	before = rig.tx->state;
	for (uint64_t slot = 1; slot <= WALK_ROWS; slot++)
		walk_put(slot, zk_prng_next(&seed), true);
	for (unsigned deletes = 0; deletes <= 100; deletes += 10) {
		walk_once(&seed, deletes);
		for (unsigned i = 0; i < WALK_ROWS / 2; i++)
			walk_put(1 + zk_prng_next(&seed) % WALK_ROWS,
			    zk_prng_next(&seed), i % 2 == 0);
	}
	cr_assert_eq(zk_rows_delete(rig.tx, &prefix), 0);
	cr_expect_eq(rig.tx->state.digest, before.digest);
	cr_expect_eq(rig.tx->state.row_bytes, before.row_bytes);
}
