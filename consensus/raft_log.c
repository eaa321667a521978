#include "consensus/raft.h"

#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "consensus/raft_impl.h"

/*
 * The log as the core knows it: a base, which is the last entry of the
 * snapshot or of what was compacted; entries whose terms were forgotten and
 * must be looked up; and runs of entries of one term.
 *
 *   base_index | .. forgot_index | runs[0]: first_index.. | .. last_index
 *
 * Terms never fall from one entry to the next, so that a forgotten one is
 * found by bisection.
 */

/* 0: it is not there any more. */
static uint64_t
look_up(const struct zk_raft *r, uint64_t index)
{
	uint64_t term;

	ZK_ASSERT(index > r->base_index);
	ZK_ASSERT(index < r->forgot_index);
	ZK_ASSERT(r->term_of != NULL);

	term = r->term_of(r->term_arg, index);
	/* Nobody may have deleted what is not committed. */
	ZK_ASSERT(term != 0 || index <= r->commit_index);
	ZK_ASSERT(term <= r->forgot_term);
	return term;
}

uint64_t
zk_raft_term_at(const struct zk_raft *r, uint64_t index)
{
	if (index == r->forgot_index)
		return r->forgot_term;
	if (index == r->base_index)
		return r->base_term;
	if (index < r->base_index || index > r->last_index)
		return 0;
	if (index < r->forgot_index)
		return look_up(r, index);
	for (uint32_t i = r->run_count; i > 0; i--) {
		if (r->runs[i - 1].first_index <= index)
			return r->runs[i - 1].term;
	}
	ZK_ASSERT(r->run_count == 0);
	return 0;
}

/* The highest index of low..high whose term is at most term; low's is. */
static uint64_t
bisect(const struct zk_raft *r, uint64_t low, uint64_t high, uint64_t term)
{
	ZK_ASSERT(low <= high);

	while (low < high) {
		const uint64_t middle = high - (high - low) / 2;

		if (zk_raft_term_at(r, middle) <= term)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

uint64_t
zk_raft_last_term(const struct zk_raft *r)
{
	return r->run_count > 0 ? r->runs[r->run_count - 1].term
	                        : r->forgot_term;
}

uint64_t
zk_raft_run_end(const struct zk_raft *r, uint64_t index)
{
	ZK_ASSERT(index > r->base_index);
	ZK_ASSERT(index <= r->last_index);

	if (index <= r->forgot_index)
		return bisect(r, index, r->forgot_index,
		    zk_raft_term_at(r, index));
	for (uint32_t i = 1; i < r->run_count; i++) {
		if (r->runs[i].first_index > index)
			return r->runs[i].first_index - 1;
	}
	return r->last_index;
}

bool
zk_raft_log_has_room(const struct zk_raft *r, uint64_t from, uint64_t term)
{
	uint32_t kept = 0;

	ZK_ASSERT(from > r->base_index);
	ZK_ASSERT(from <= r->last_index + 1);

	while (kept < r->run_count && r->runs[kept].first_index < from)
		kept++;
	if (kept < ZK_RUNS_MAX || r->runs[kept - 1].term == term)
		return true;
	if (r->term_of != NULL)
		return true;
	/* The oldest run would be lost: only if nobody can dispute it. */
	return r->runs[1].first_index - 1 <= r->commit_index;
}

static void
forget_oldest(struct zk_raft *r)
{
	const uint64_t end = r->runs[1].first_index - 1;

	if (r->term_of == NULL) {
		zk_raft_log_compact(r, end, r->runs[0].term);
		return;
	}
	r->forgot_index = end;
	r->forgot_term = r->runs[0].term;
	r->run_count--;
	memmove(r->runs, r->runs + 1, r->run_count * sizeof(r->runs[0]));
}

void
zk_raft_log_append(struct zk_raft *r, uint64_t last, uint64_t term)
{
	const uint64_t first = r->last_index + 1;

	ZK_ASSERT(last >= first);
	ZK_ASSERT(term >= zk_raft_last_term(r));
	ZK_ASSERT(zk_raft_log_has_room(r, first, term));

	if (r->run_count == 0 || r->runs[r->run_count - 1].term != term) {
		if (r->run_count == ZK_RUNS_MAX)
			forget_oldest(r);
		r->runs[r->run_count++] = (struct zk_run){
		    .first_index = first,
		    .term = term,
		};
	}
	r->last_index = last;
}

void
zk_raft_log_truncate(struct zk_raft *r, uint64_t from)
{
	ZK_ASSERT(from > r->commit_index);
	ZK_ASSERT(from > r->base_index);
	ZK_ASSERT(from <= r->last_index);

	if (from <= r->forgot_index) {
		const uint64_t term = zk_raft_term_at(r, from - 1);

		r->forgot_index = from - 1;
		r->forgot_term = term;
	}
	while (
	    r->run_count > 0 && r->runs[r->run_count - 1].first_index >= from)
		r->run_count--;
	r->last_index = from - 1;
	if (r->stored_index > r->last_index)
		r->stored_index = r->last_index;
}

void
zk_raft_log_compact(struct zk_raft *r, uint64_t base, uint64_t base_term)
{
	uint32_t gone = 0;

	ZK_ASSERT(base >= r->base_index);
	ZK_ASSERT(base <= r->last_index);
	ZK_ASSERT(base <= r->commit_index);

	if (base == r->base_index)
		return;
	if (base_term == 0 || base >= r->forgot_index)
		base_term = zk_raft_term_at(r, base);
	r->base_index = base;
	r->base_term = base_term;
	if (base < r->forgot_index)
		return;
	r->forgot_index = base;
	r->forgot_term = base_term;
	while (gone < r->run_count &&
	    (base == r->last_index ||
	        (gone + 1 < r->run_count &&
	            r->runs[gone + 1].first_index <= base + 1)))
		gone++;
	r->run_count -= gone;
	memmove(r->runs, r->runs + gone, r->run_count * sizeof(r->runs[0]));
	if (r->run_count > 0 && r->runs[0].first_index <= base)
		r->runs[0].first_index = base + 1;
}

uint64_t
zk_raft_log_mismatch(const struct zk_raft *r, uint64_t first, uint64_t last,
    uint64_t term)
{
	ZK_ASSERT(first > r->base_index);

	while (first <= last && zk_raft_term_at(r, first) == term) {
		const uint64_t end = zk_raft_run_end(r, first);

		first = (end < last ? end : last) + 1;
	}
	return first;
}

uint64_t
zk_raft_log_floor(const struct zk_raft *r, uint64_t index, uint64_t term)
{
	if (index > r->last_index)
		index = r->last_index;
	for (uint32_t i = r->run_count; i > 0; i--) {
		if (r->runs[i - 1].first_index > index)
			continue;
		if (r->runs[i - 1].term <= term)
			return index;
		index = r->runs[i - 1].first_index - 1;
	}
	if (index <= r->base_index)
		return index;
	return bisect(r, r->base_index, index, term);
}

int
zk_raft_start_entry(struct zk_raft_start *start, uint64_t index, uint64_t term)
{
	return zk_raft_start_run(start, index, index, term);
}

int
zk_raft_start_run(struct zk_raft_start *start, uint64_t first, uint64_t last,
    uint64_t term)
{
	uint32_t n = start->run_count;
	uint64_t last_term = n > 0 ? start->runs[n - 1].term : start->base_term;

	if (n == 0)
		start->last_index = start->base_index;
	if (first != start->last_index + 1 || last < first ||
	    last >= ZK_INDEX_MAX)
		return -ZK_ECORRUPT;
	if (term == 0 || term < last_term)
		return -ZK_ECORRUPT;

	if (n > 0 && term == last_term) {
		start->last_index = last;
		return 0;
	}
	if (n == ZK_RUNS_MAX) {
		start->forgot_index = start->runs[1].first_index - 1;
		start->forgot_term = start->runs[0].term;
		memmove(start->runs, start->runs + 1,
		    (n - 1) * sizeof(start->runs[0]));
		n--;
	}
	start->runs[n] = (struct zk_run){.first_index = first, .term = term};
	start->run_count = n + 1;
	start->last_index = last;
	return 0;
}
