#include <criterion/criterion.h>

#include "base/hash.h"
#include "tests/lib/history.h"

/*
 * The checker of histories against its naive twin, which tries every order of
 * a few operations, and leaves out those that may not have happened.
 */

#define OPS  6u
#define RUNS 6000u

static uint64_t rng = 20;

static uint64_t
draw(uint64_t below)
{
	return zk_prng_next(&rng) % below;
}

static struct history_op
draw_op(uint32_t name)
{
	static const enum history_kind kinds[] = {HISTORY_READ, HISTORY_READ,
	    HISTORY_WRITE, HISTORY_CAS, HISTORY_CREATE, HISTORY_REMOVE};
	struct history_op op = {
	    .kind = kinds[draw(6)],
	    .name = name,
	    .invoked = draw(20),
	    .value = draw(3),
	    .expect = draw(3),
	    .version = HISTORY_UNTOLD,
	};

	op.returned = op.invoked + draw(8);
	if (op.kind == HISTORY_READ && draw(3) == 0)
		op.value = HISTORY_NONE;
	if (draw(5) == 0)
		op.result = HISTORY_UNKNOWN;
	else if (op.kind != HISTORY_READ && draw(4) == 0)
		op.result = HISTORY_REFUSED;
	if (op.result == HISTORY_UNKNOWN && draw(2) == 0)
		op.returned = HISTORY_NEVER;
	return op;
}

static bool
is_open(const struct history_op *op)
{
	return op->result == HISTORY_UNKNOWN || op->returned == HISTORY_NEVER;
}

/* What the operation makes of the value, if it may come now. */
static bool
does(const struct history_op *op, uint64_t *value)
{
	const bool there = *value != HISTORY_NONE;
	bool meets = true;

	if (op->kind == HISTORY_READ)
		return op->result == HISTORY_UNKNOWN || *value == op->value;
	if (op->kind == HISTORY_WRITE && op->result == HISTORY_REFUSED)
		return true;
	if (op->kind == HISTORY_CAS)
		meets = there && *value == op->expect;
	if (op->kind == HISTORY_CREATE)
		meets = !there;
	if (op->kind == HISTORY_REMOVE)
		meets = there;
	if (op->result == HISTORY_REFUSED)
		return !meets;
	if (meets)
		*value = op->kind == HISTORY_REMOVE ? HISTORY_NONE : op->value;
	return meets;
}

static bool
explains(const struct history_op *ops, uint32_t left, uint64_t value)
{
	bool all_done = true;

	for (unsigned i = 0; i < OPS; i++)
		if ((left >> i & 1) != 0 && !is_open(&ops[i]))
			all_done = false;
	if (all_done)
		return true;
	for (unsigned i = 0; i < OPS; i++) {
		uint64_t after = value;
		bool first = (left >> i & 1) != 0;

		for (unsigned k = 0; k < OPS; k++)
			if ((left >> k & 1) != 0 && !is_open(&ops[k]) &&
			    ops[k].returned < ops[i].invoked)
				first = false;
		if (first && does(&ops[i], &after) &&
		    explains(ops, left & ~(1u << i), after))
			return true;
	}
	return false;
}

Test(history, says_what_trying_every_order_says)
{
	unsigned good = 0;

	for (unsigned run = 0; run < RUNS; run++) {
		struct history_op ops[OPS];
		struct history_report report;
		bool expected;

		for (uint32_t i = 0; i < OPS; i++)
			ops[i] = draw_op(i);
		expected = explains(ops, (1u << OPS) - 1, HISTORY_NONE);
		report = history_check_register(ops, OPS);
		cr_assert_eq(report.verdict,
		    expected ? HISTORY_GOOD : HISTORY_BAD, "run %u", run);
		good += expected;
	}
	/* Both happen often enough to mean something. */
	cr_expect(good > RUNS / 20);
	cr_expect(good < RUNS - RUNS / 20);
}
