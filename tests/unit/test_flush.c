#include "store_rig.h"

/* Commits whose flush comes after them, or is begun before. */

static bool background; /* with a thread */

static void
setup(void)
{
	rig_init();
	rig_close();
}

TestSuite(flush, .init = setup, .fini = rig_fini);

static void
open_it(void)
{
	const struct zk_store_options options = {
	    .dir = rig.dir,
	    .member = "z1",
	    .map_bytes = (size_t)256 << 20,
	    .background = background,
	    .seed = 7,
	};
	char *why = NULL;

	cr_assert_eq(zk_store_open(&options, &why, &rig.store), 0, "%s", why);
}

static uint64_t
term_of_reader(void)
{
	struct zk_hard_state got = {0};
	struct zk_tx *tx;

	int rc;

	cr_assert_eq(zk_read_begin(rig.store, &tx), 0);
	rc = zk_hard_state_get(tx, &got);
	cr_assert(rc == 0 || rc == -ENOENT);
	zk_read_end(tx);
	return got.term;
}

/* As after a power failure. */
static void
fall(void)
{
	zk_store_abandon(rig.store);
	rig.store = NULL;
	open_it();
}

static void
put_term(struct zk_tx *tx, uint64_t term)
{
	const struct zk_hard_state hard = {.term = term, .vote = 9};

	cr_assert_eq(zk_hard_state_put(tx, &hard), 0);
}

/* Seen at once, and there after a power failure only when it was flushed. */
Test(flush, what_is_committed_ahead_is_durable_with_its_flush)
{
	open_it();
	for (uint64_t term = 1; term <= 6; term++) {
		const bool flushed = term % 3 == 1;
		struct zk_tx *tx;

		cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
		put_term(tx, term);
		cr_assert_eq(zk_store_commit_ahead(tx), 0);
		cr_expect(zk_store_is_ahead(rig.store));
		cr_expect_eq(term_of_reader(), term);
		if (flushed)
			cr_assert_eq(zk_store_flush(rig.store), 0);
		cr_expect_neq(zk_store_is_ahead(rig.store), flushed);
		fall();
		cr_expect_eq(term_of_reader(), term - (term - 1) % 3);
	}
	rig_close();
}

/* All of it or a part, and more than fits into the notes that there were. */
Test(flush, a_flush_that_is_begun_early_makes_the_commit_durable)
{
	static const uint64_t after[] = {0, 1, 2000};
	uint64_t term = 0;

	for (unsigned i = 0; i < 12; i++) {
		const uint64_t before = term;
		struct zk_tx *tx;

		background = i % 2 == 0;
		open_it();
		cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
		put_term(tx, ++term);
		cr_assert_eq(zk_store_begin_flush(tx), 0);
		for (uint64_t n = after[i / 2 % 3]; n > 0; n--)
			put_term(tx, ++term);
		cr_expect_eq(term_of_reader(), before);
		cr_assert_eq(zk_store_commit(tx), 0);
		cr_expect_eq(term_of_reader(), term);
		fall();
		cr_expect_eq(term_of_reader(), term);
		rig_close();
	}
}

Test(flush, a_flush_that_was_begun_is_taken_back_by_an_abort)
{
	struct zk_tx *tx;

	for (unsigned i = 0; i < 4; i++) {
		background = i % 2 == 0;
		open_it();
		cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
		put_term(tx, i + 1);
		cr_assert_eq(zk_store_commit(tx), 0);
		cr_assert_eq(zk_store_begin(rig.store, &tx), 0);
		put_term(tx, 100);
		cr_assert_eq(zk_store_begin_flush(tx), 0);
		zk_store_abort(tx);
		cr_expect_eq(zk_store_broken(rig.store), 0);
		fall();
		cr_expect_eq(term_of_reader(), i + 1);
		rig_close();
	}
}
