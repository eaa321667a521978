#include <errno.h>

#include "base/hash.h"
#include "store/lock_range.h"
#include "store_rig.h"

/*
 * The twin: a byte is a byte.  Positions 0 to BYTES - 2 are bytes of the
 * file, the last stands for all that follow.
 */
#define BYTES  24u
#define OWNERS 4u

struct cell {
	bool held, exclusive;
	uint64_t handle;
};

static struct cell model[2][OWNERS][BYTES];
static struct zk_lock_set set;
static uint64_t seed;

static struct zk_held
draw_lock(void)
{
	const uint64_t draw = zk_prng_next(&seed);
	const uint64_t a = draw % BYTES, b = (draw >> 8) % BYTES;
	const uint64_t first = a < b ? a : b, last = a < b ? b : a;

	return (struct zk_held){
	    .session = 1 + (draw >> 16) % 2,
	    .owner = 10 + (draw >> 17) % 2,
	    .flock = (draw >> 18) % 2 != 0,
	    .handle = (draw >> 19) % 4 == 0 ? 2 : 1,
	    .first = first,
	    .last = last == BYTES - 1 ? ZK_LOCK_END : last,
	    .exclusive = (draw >> 21) % 2 != 0,
	    .fence = 1 + draw % 1000,
	};
}

static size_t
owner_of(const struct zk_held *held)
{
	return (held->session - 1) * 2 + (held->owner - 10);
}

static uint64_t
end_of(const struct zk_held *held)
{
	return held->last == ZK_LOCK_END ? BYTES - 1 : held->last;
}

static bool
model_conflicts(const struct zk_held *want)
{
	for (size_t o = 0; o < OWNERS; o++)
		for (uint64_t i = want->first; i <= end_of(want); i++) {
			const struct cell *cell = &model[want->flock][o][i];

			if (o != owner_of(want) && cell->held &&
			    (cell->exclusive || want->exclusive))
				return true;
		}
	return false;
}

static void
model_put(const struct zk_held *want, bool held)
{
	for (uint64_t i = want->first; i <= end_of(want); i++)
		model[want->flock][owner_of(want)][i] = (struct cell){
		    .held = held,
		    .exclusive = held && want->exclusive,
		    .handle = held ? want->handle : 0,
		};
}

static bool
same_cell(const struct cell *a, const struct cell *b)
{
	return a->held == b->held && a->exclusive == b->exclusive &&
	    a->handle == b->handle;
}

/* The set says what the model says, and says it in the fewest words. */
static void
compare(void)
{
	static struct cell seen[2][OWNERS][BYTES];

	memset(seen, 0, sizeof(seen));
	for (size_t i = 0; i < set.count; i++) {
		const struct zk_held *held = &set.held[i];
		const struct zk_held *before = i > 0 ? held - 1 : NULL;

		for (uint64_t at = held->first; at <= end_of(held); at++) {
			struct cell *cell =
			    &seen[held->flock][owner_of(held)][at];

			CHECK(!cell->held, "an owner's ranges overlap");
			*cell =
			    (struct cell){true, held->exclusive, held->handle};
		}
		if (before == NULL)
			continue;
		CHECK(zk_held_compare_owner(before, held) <= 0, "order");
		if (zk_held_compare_owner(before, held) != 0)
			continue;
		CHECK(before->last < held->first, "order of ranges");
		CHECK(before->last + 1 < held->first ||
		        before->exclusive != held->exclusive ||
		        before->handle != held->handle,
		    "neighbours that should be one");
	}
	for (size_t k = 0; k < 2; k++)
		for (size_t o = 0; o < OWNERS; o++)
			for (size_t i = 0; i < BYTES; i++)
				CHECK(
				    same_cell(&seen[k][o][i], &model[k][o][i]),
				    "kind %zu owner %zu byte %zu", k, o, i);
}

Test(lock_range, random_locks_agree_with_a_twin_that_counts_bytes)
{
	unsigned int put = 0, refused = 0;

	seed = 5;
	for (int i = 0; i < 40000; i++) {
		const struct zk_held want = draw_lock();
		const bool cut = zk_prng_next(&seed) % 3 == 0;
		bool changed;

		if (cut) {
			CHECK(zk_lock_set_cut(&set, &want, &changed) == 0,
			    "cut");
			model_put(&want, false);
		} else {
			const bool conflict =
			    zk_lock_set_conflict(&set, &want) != NULL;

			CHECK(conflict == model_conflicts(&want),
			    "step %d: conflict %d", i, conflict);
			if (conflict) {
				refused++;
				continue;
			}
			CHECK(zk_lock_set_put(&set, &want) == 0, "put");
			CHECK(zk_lock_set_cover(&set, &want) != NULL, "cover");
			model_put(&want, true);
			put++;
		}
		compare();
	}
	zk_lock_set_fini(&set);
	cr_expect(put > 5000, "%u", put);
	cr_expect(refused > 5000, "%u", refused);
}

static struct zk_held
lock_of(uint64_t owner, uint64_t first, uint64_t last, bool exclusive)
{
	return (struct zk_held){
	    .session = 1,
	    .owner = owner,
	    .first = first,
	    .last = last,
	    .exclusive = exclusive,
	    .fence = owner,
	};
}

Test(lock_range, the_last_byte_of_all_can_be_locked_alone)
{
	struct zk_held whole = lock_of(1, 0, ZK_LOCK_END, true);
	struct zk_held last = lock_of(1, ZK_LOCK_END, ZK_LOCK_END, true);
	struct zk_held other = lock_of(2, 0, ZK_LOCK_END - 1, true);
	bool changed;

	cr_assert_eq(zk_lock_set_put(&set, &whole), 0);
	cr_expect(zk_lock_set_sovereign(&set, false) == &set.held[0]);
	cr_expect_null(zk_lock_set_sovereign(&set, true));
	cr_assert_eq(zk_lock_set_cut(&set, &other, &changed), 0);
	cr_expect_not(changed, "it was not that owner's");
	other.owner = 1;
	cr_assert_eq(zk_lock_set_cut(&set, &other, &changed), 0);
	cr_expect(changed);
	cr_assert_eq(set.count, 1);
	cr_expect_eq(set.held[0].first, ZK_LOCK_END);
	other.owner = 2;
	cr_expect_null(zk_lock_set_conflict(&set, &other));
	last.owner = 2;
	cr_expect_not_null(zk_lock_set_conflict(&set, &last));
	zk_lock_set_fini(&set);
}

Test(lock_range, the_conflict_named_is_the_lowest)
{
	struct zk_held want = lock_of(9, 0, ZK_LOCK_END, true);
	struct zk_held a = lock_of(1, 50, 60, false);
	struct zk_held b = lock_of(2, 10, 20, false);

	cr_assert_eq(zk_lock_set_put(&set, &a), 0);
	cr_assert_eq(zk_lock_set_put(&set, &b), 0);
	cr_assert_eq(zk_lock_set_conflict(&set, &want)->first, 10);
	zk_lock_set_fini(&set);
}

Test(lock_range, a_full_set_refuses_to_grow_but_not_to_shrink)
{
	struct zk_held lock;
	bool changed;

	for (uint64_t i = 0; i < ZK_LOCKS_PER_FILE_MAX; i++) {
		lock = lock_of(1, 4 * i, 4 * i + 2, true);
		CHECK(zk_lock_set_put(&set, &lock) == 0, "put");
	}
	lock = lock_of(2, 3, 3, true);
	cr_expect_eq(zk_lock_set_put(&set, &lock), -ENOLCK);
	lock = lock_of(1, 1, 1, true);
	cr_expect_eq(zk_lock_set_cut(&set, &lock, &changed), -ENOLCK,
	    "one lock would become two");
	cr_expect_eq(set.count, ZK_LOCKS_PER_FILE_MAX);
	lock = lock_of(1, 3, 3, true);
	cr_expect_eq(zk_lock_set_put(&set, &lock), 0, "three become one");
	lock = lock_of(1, 0, ZK_LOCK_END, true);
	cr_expect_eq(zk_lock_set_cut(&set, &lock, &changed), 0);
	cr_expect_eq(set.count, 0);
	zk_lock_set_fini(&set);
}
