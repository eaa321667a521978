#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "consensus/raft_impl.h"

/*
 * The runs of terms against a naive twin: an array with the term of every
 * entry.  With lookups nothing is ever unknown; without, what was forgotten
 * is as good as compacted.
 */

#define ENTRIES_MAX 4000u

static struct zk_raft r;
static uint64_t terms[ENTRIES_MAX];
static uint64_t base, last;
static uint64_t rng;

static uint64_t
term_of(void *arg, uint64_t index)
{
	cr_assert_eq(arg, terms);
	return index <= base ? 0 : terms[index];
}

static uint64_t
draw(uint64_t below)
{
	return zk_prng_next(&rng) % below;
}

static void
reset(uint64_t seed, bool lookup)
{
	struct zk_raft_start start = {
	    .self = 1,
	    .seed = seed,
	    .election_ms = 100,
	    .heartbeat_ms = 10,
	    .append_bytes_max = 1,
	    .window_bytes_max = 1,
	    .uncommitted_bytes_max = 1,
	    .conf.conf = {.count = 1, .voter_bits = 1, .ids = {1}},
	    .term_of = lookup ? term_of : NULL,
	    .term_arg = terms,
	};

	rng = seed;
	base = last = 0;
	memset(terms, 0, sizeof(terms));
	cr_assert_eq(zk_raft_init(&r, &start), 0);
}

static void
compare(void)
{
	cr_assert_eq(r.last_index, last);
	cr_assert_eq(zk_raft_last_term(&r), terms[last]);
	for (uint64_t i = r.base_index + 1; i <= last; i++)
		cr_assert_eq(zk_raft_term_at(&r, i), terms[i]);
	cr_assert_eq(zk_raft_term_at(&r, last + 1), 0);
	if (r.base_index > 0)
		cr_assert_eq(zk_raft_term_at(&r, r.base_index - 1), 0);
}

static uint64_t
naive_floor(uint64_t index, uint64_t term)
{
	if (index > last)
		index = last;
	while (index > r.base_index && terms[index] > term)
		index--;
	return index;
}

static uint64_t
naive_mismatch(uint64_t first, uint64_t end, uint64_t term)
{
	while (first <= end && first <= last && terms[first] == term)
		first++;
	return first;
}

static void
compare_searches(void)
{
	const uint64_t index = draw(last + 3);
	const uint64_t term = 1 + draw(terms[last] + 2);
	const uint64_t first = r.base_index + 1 + draw(last - r.base_index + 2);
	uint64_t end = first;

	cr_assert_eq(zk_raft_log_floor(&r, index, term),
	    naive_floor(index, term));
	cr_assert_eq(zk_raft_log_mismatch(&r, first, first + 5, term),
	    naive_mismatch(first, first + 5, term));
	if (first > last)
		return;
	while (end < last && terms[end + 1] == terms[first])
		end++;
	/* A run may be told in two pieces where forgetting has cut it. */
	cr_assert(zk_raft_run_end(&r, first) >= first);
	cr_assert(zk_raft_run_end(&r, first) <= end);
	if (first > r.forgot_index)
		cr_assert_eq(zk_raft_run_end(&r, first), end);
}

static void
change(void)
{
	const uint64_t what = draw(10);
	uint64_t term, to;

	if (what < 6) {
		to = last + 1 + draw(4);
		term = terms[last] + (draw(3) != 0);
		if (term == 0)
			term = 1;
		if (to >= ENTRIES_MAX ||
		    !zk_raft_log_has_room(&r, last + 1, term))
			return;
		zk_raft_log_append(&r, to, term);
		while (last < to)
			terms[++last] = term;
	} else if (what < 8 && last > r.commit_index) {
		to = r.commit_index + 1 + draw(last - r.commit_index);
		zk_raft_log_truncate(&r, to);
		last = to - 1;
	} else if (what == 8) {
		r.commit_index += draw(last - r.commit_index + 1);
	} else if (r.commit_index > r.base_index) {
		to = r.base_index + 1 + draw(r.commit_index - r.base_index);
		zk_raft_log_compact(&r, to, terms[to]);
		base = to;
	}
}

static void
run(uint64_t seed, bool lookup)
{
	reset(seed, lookup);
	for (unsigned i = 0; i < 1500; i++) {
		change();
		if (i % 16 == 0)
			compare();
		compare_searches();
		cr_assert(r.run_count <= ZK_RUNS_MAX);
		cr_assert(lookup || r.forgot_index == r.base_index);
	}
}

Test(raft_log, runs_are_as_good_as_an_array)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		run(seed, true);
}

Test(raft_log, without_lookups_the_oldest_run_is_given_up)
{
	for (uint64_t seed = 1; seed <= 60; seed++)
		run(seed, false);
}

Test(raft_log, an_uncommitted_run_is_not_given_up)
{
	reset(1, false);
	for (uint64_t i = 1; i <= ZK_RUNS_MAX; i++)
		zk_raft_log_append(&r, i, i);
	cr_expect(zk_raft_log_has_room(&r, ZK_RUNS_MAX + 1, ZK_RUNS_MAX));
	cr_expect_not(
	    zk_raft_log_has_room(&r, ZK_RUNS_MAX + 1, ZK_RUNS_MAX + 1));
	cr_expect(zk_raft_log_has_room(&r, ZK_RUNS_MAX, ZK_RUNS_MAX + 1),
	    "where entries are replaced there is room");
	r.commit_index = 1;
	cr_expect(zk_raft_log_has_room(&r, ZK_RUNS_MAX + 1, ZK_RUNS_MAX + 1));
	zk_raft_log_append(&r, ZK_RUNS_MAX + 1, ZK_RUNS_MAX + 1);
	cr_expect_eq(r.base_index, 1);
	cr_expect_eq(r.base_term, 1);
}

/* --- what is found on disk ----------------------------------------------- */

static struct zk_raft_start
sane_start(void)
{
	return (struct zk_raft_start){
	    .self = 1,
	    .election_ms = 100,
	    .heartbeat_ms = 10,
	    .append_bytes_max = 1000,
	    .window_bytes_max = 1000,
	    .uncommitted_bytes_max = 1000,
	    .term = 9,
	    .conf.conf = {.count = 3, .voter_bits = 3, .ids = {1, 2, 3}},
	};
}

Test(raft_start, gaps_and_falling_terms_are_corruption)
{
	struct zk_raft_start start = sane_start();

	cr_expect_eq(zk_raft_start_entry(&start, 2, 1), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 1, 0), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 1, 4), 0);
	cr_expect_eq(zk_raft_start_entry(&start, 1, 4), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 3, 4), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 2, 3), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 2, 5), 0);
	cr_expect_eq(zk_raft_init(&r, &start), 0);
	cr_expect_eq(r.last_index, 2);

	start = sane_start();
	start.base_index = 7;
	start.base_term = 4;
	start.commit_index = 7;
	cr_expect_eq(zk_raft_start_entry(&start, 8, 3), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 7, 4), -ZK_ECORRUPT);
	cr_expect_eq(zk_raft_start_entry(&start, 8, 4), 0);
	cr_expect_eq(zk_raft_init(&r, &start), 0);
	cr_expect_eq(zk_raft_term_at(&r, 7), 4);
}

Test(raft_start, contradictions_are_refused)
{
	const struct zk_conf_entry conf = {
	    .index = 2,
	    .conf = {.count = 1, .voter_bits = 1, .ids = {1}},
	};
	struct zk_raft_start start = sane_start();

	start.commit_index = 1;
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT,
	    "applied what is not in the log");
	start = sane_start();
	start.term = 3;
	cr_assert_eq(zk_raft_start_entry(&start, 1, 4), 0);
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT,
	    "an entry of a term that was never known");
	start = sane_start();
	start.term = 0;
	start.vote = 2;
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT,
	    "a vote in no term");
	start = sane_start();
	start.confs = &conf;
	start.conf_count = 1;
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT,
	    "members of an entry that is not there");
	start = sane_start();
	start.conf.conf.ids[2] = 1;
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT, "a member twice");
	start = sane_start();
	start.conf.index = 1;
	cr_expect_eq(zk_raft_init(&r, &start), -ZK_ECORRUPT,
	    "members applied beyond what was applied");
	start = sane_start();
	start.heartbeat_ms = 100;
	cr_expect_eq(zk_raft_init(&r, &start), -EINVAL);
	start = sane_start();
	start.self = 0;
	cr_expect_eq(zk_raft_init(&r, &start), -EINVAL);
}

Test(raft_start, members_come_from_the_newest_entry)
{
	const struct zk_conf_entry confs[] = {
	    {.index = 2, .conf = {.count = 1, .voter_bits = 1, .ids = {1}}},
	    {.index = 3, .conf = {.count = 2, .voter_bits = 3, .ids = {1, 5}}},
	};
	struct zk_raft_start start = sane_start();

	for (uint64_t i = 1; i <= 3; i++)
		cr_assert_eq(zk_raft_start_entry(&start, i, 1), 0);
	start.confs = confs;
	start.conf_count = 2;
	cr_assert_eq(zk_raft_init(&r, &start), 0);
	cr_expect_eq(r.conf_index, 3);
	cr_expect(zk_raft_conf_is_voter(zk_raft_conf(&r), 5));
	cr_expect_eq(r.conf_before_index, 2);
}

/* A log of more terms than are remembered, as a crash loop leaves behind. */
Test(raft_start, many_terms_are_looked_up)
{
	struct zk_raft_start start = sane_start();

	start.term = 500;
	start.term_of = term_of;
	start.term_arg = terms;
	base = 0;
	for (uint64_t i = 1; i <= 300; i++) {
		terms[i] = i;
		cr_assert_eq(zk_raft_start_entry(&start, i, i), 0);
	}
	cr_assert_eq(zk_raft_init(&r, &start), 0);
	cr_expect_eq(r.commit_index, 0);
	cr_expect_eq(r.base_index, 0);
	for (uint64_t i = 1; i <= 300; i++)
		cr_expect_eq(zk_raft_term_at(&r, i), i);
}
