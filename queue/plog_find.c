#include <errno.h>

#include "base/assert.h"
#include "base/err.h"
#include "queue/plog.h"

/* Looking for entries by what only grows from one to the next. */

/* What is looked for; true: the entry is at or behind it. */
struct aim {
	bool (*reached)(const struct aim *aim, const struct zk_pentry *entry);
	uint64_t offset, term;
	struct zk_stamp time;
};

static bool
ends_after(const struct aim *aim, const struct zk_pentry *entry)
{
	return zk_pentry_end(entry) > aim->offset;
}

static bool
is_not_before(const struct aim *aim, const struct zk_pentry *entry)
{
	return zk_stamp_compare(entry->time, aim->time) >= 0;
}

static bool
is_of_later_term(const struct aim *aim, const struct zk_pentry *entry)
{
	return entry->term > aim->term;
}

/* An index of the span near which the offset should be. */
static uint64_t
guess(struct zk_pspan span, uint64_t offset)
{
	const uint64_t count = span.last - span.first;
	const double part =
	    (double)(offset - span.start) / (double)(span.end - span.start);
	const double at = (double)count * part;

	return span.first + (at < (double)count ? (uint64_t)at : count);
}

/* Invariant: what is before the span is before the aim, what is after not. */
static int
find(struct zk_tx *tx, uint64_t id, struct zk_pspan span, const struct aim *aim,
    bool by_offset, uint64_t *ret_index)
{
	bool halve = !by_offset;

	ZK_ASSERT(span.first > 0);

	while (span.first <= span.last) {
		uint64_t at = span.first + (span.last - span.first) / 2;
		struct zk_pentry entry;
		bool reached;
		int rc;

		/* Every other step halves, so that a bad guess costs little. */
		if (!halve && span.start <= aim->offset &&
		    aim->offset < span.end)
			at = guess(span, aim->offset);
		halve = !halve || !by_offset;
		rc = zk_plog_head(tx, id, at, &entry);
		if (rc == -ENOENT)
			rc = tx->fatal = -ZK_ECORRUPT;
		if (rc < 0)
			return rc;
		reached = aim->reached(aim, &entry);
		if (reached && by_offset && entry.offset <= aim->offset) {
			span.first = at; /* it holds the offset */
			break;
		}
		if (reached) {
			span.last = at - 1;
			span.end = entry.offset;
		} else {
			span.first = at + 1;
			span.start = zk_pentry_end(&entry);
		}
	}
	*ret_index = span.first;
	return 0;
}

int
zk_plog_find_offset(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    uint64_t offset, uint64_t *ret_index)
{
	const struct aim aim = {.reached = ends_after, .offset = offset};

	return find(tx, id, span, &aim, true, ret_index);
}

int
zk_plog_find_time(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    struct zk_stamp time, uint64_t *ret_index)
{
	const struct aim aim = {.reached = is_not_before, .time = time};

	return find(tx, id, span, &aim, false, ret_index);
}

int
zk_plog_find_term(struct zk_tx *tx, uint64_t id, struct zk_pspan span,
    uint64_t term, uint64_t *ret_index)
{
	const struct aim aim = {.reached = is_of_later_term, .term = term};

	return find(tx, id, span, &aim, false, ret_index);
}
