#include "tests/lib/history.h"

#include <stdlib.h>

void
history_add(struct history *history, const struct history_op *op)
{
	if (history->count == history->cap) {
		const size_t cap = history->cap == 0 ? 64 : 2 * history->cap;

		history->ops =
		    reallocarray(history->ops, cap, sizeof(*history->ops));
		if (history->ops == NULL)
			abort();
		history->cap = cap;
	}
	history->ops[history->count++] = *op;
}

void
history_free(struct history *history)
{
	free(history->ops);
	*history = (struct history){0};
}

/* --- sorting -------------------------------------------------------------- */

/* Registers, numbers and holds of one key are not the same thing. */
static int
class_of(const struct history_op *op)
{
	if (op->kind == HISTORY_NEXT)
		return 1;
	return op->kind == HISTORY_HOLD ? 2 : 0;
}

static int
compare(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare_ops(const void *left, const void *right)
{
	const struct history_op *a = left, *b = right;
	int order = compare(a->key, b->key);

	if (order == 0)
		order = compare((uint64_t)class_of(a), (uint64_t)class_of(b));
	if (order == 0 && class_of(a) != 0)
		order = compare(a->value, b->value);
	if (order == 0)
		order = compare(a->invoked, b->invoked);
	return order != 0 ? order : compare(a->name, b->name);
}

/* --- numbers and holds, sorted by value ----------------------------------- */

static bool
counts(const struct history_op *op)
{
	return op->result == HISTORY_DONE &&
	    (op->kind == HISTORY_HOLD || op->returned != HISTORY_NEVER);
}

/* Nothing is known of a hold without an end but that it began. */
static uint64_t
end_of(const struct history_op *op)
{
	return op->returned == HISTORY_NEVER ? op->invoked : op->returned;
}

/*
 * Each number was given once.  Of numbers: none that was returned before
 * another was asked for is greater.  Of holds: none was held still when one
 * with a greater fence was; holds that touch do not overlap.
 */
static struct history_report
check_numbers(const struct history_op *ops, size_t count)
{
	const struct history_op *first = NULL, *later = NULL;

	for (size_t i = count; i-- > 0;) {
		const struct history_op *op = &ops[i];

		if (!counts(op))
			continue;
		if (later != NULL && later->value == op->value)
			return (struct history_report){HISTORY_BAD,
			    "one number was given twice", op, later};
		later = op;
		if (first != NULL &&
		    (op->kind == HISTORY_NEXT ? end_of(first) < op->invoked
		                              : first->invoked < end_of(op)))
			return (struct history_report){HISTORY_BAD,
			    op->kind == HISTORY_NEXT
			        ? "numbers do not grow"
			        : "two hold at the same time",
			    op, first};
		/* Of all with greater numbers, who was there first. */
		if (first == NULL ||
		    (op->kind == HISTORY_NEXT ? end_of(op) < end_of(first)
		                              : op->invoked < first->invoked))
			first = op;
	}
	return (struct history_report){.verdict = HISTORY_GOOD};
}

/* --- all ------------------------------------------------------------------ */

struct history_report
history_check(struct history *history)
{
	struct history_report report = {.verdict = HISTORY_GOOD};
	struct history_op *ops = history->ops;
	size_t end;

	if (history->count > 0)
		qsort(ops, history->count, sizeof(*ops), compare_ops);
	for (size_t begin = 0; begin < history->count; begin = end) {
		for (end = begin + 1; end < history->count; end++)
			if (ops[end].key != ops[begin].key ||
			    class_of(&ops[end]) != class_of(&ops[begin]))
				break;
		report = class_of(&ops[begin]) == 0
		    ? history_check_register(&ops[begin], end - begin)
		    : check_numbers(&ops[begin], end - begin);
		if (report.verdict != HISTORY_GOOD)
			break;
	}
	return report;
}
