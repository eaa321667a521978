#include "tests/bench/table.h"

#include "base/assert.h"

#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static size_t goals_met, goals_missed;

double
zk_bench_now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

void
zk_samples_add(struct zk_samples *samples, double value)
{
	size_t cap;
	double *values;

	if (samples->count == samples->cap) {
		cap = samples->cap == 0 ? 64 : samples->cap * 2;
		values = realloc(samples->values, cap * sizeof(*values));
		if (values == NULL)
			err(1, "samples");
		samples->values = values;
		samples->cap = cap;
	}
	samples->values[samples->count++] = value;
}

static int
compare_doubles(const void *a, const void *b)
{
	double x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

double
zk_samples_at(const struct zk_samples *samples, double share)
{
	size_t bytes = samples->count * sizeof(*samples->values);
	double *sorted, value;

	ZK_ASSERT(share >= 0 && share <= 1);
	if (samples->count == 0)
		errx(1, "nothing was measured");
	/* A copy: the order of measuring pairs the rounds of two sides. */
	sorted = malloc(bytes);
	if (sorted == NULL)
		err(1, "samples");
	memcpy(sorted, samples->values, bytes);
	qsort(sorted, samples->count, sizeof(*sorted), compare_doubles);
	value = sorted[(size_t)(share * (double)(samples->count - 1) + 0.5)];
	free(sorted);
	return value;
}

void
zk_samples_fini(struct zk_samples *samples)
{
	if (samples == NULL)
		return;
	free(samples->values);
	*samples = (struct zk_samples){0};
}

static int
decimals(double value)
{
	if (value >= 1000)
		return 0;
	if (value >= 100)
		return 1;
	return value >= 10 ? 2 : 3;
}

void
zk_bench_head(void)
{
	(void)printf("%-44s %11s %-7s %-22s %8s %7s %-15s %-9s\n", "measure",
	    "value", "unit", "against", "its", "ratio", "p10..p90", "goal");
	(void)fflush(stdout);
}

static void
print_goal(const struct zk_row *row, double figure)
{
	bool met;

	if (row->goal == ZK_GOAL_NONE) {
		(void)printf("\n");
		return;
	}
	met = row->goal == ZK_GOAL_AT_MOST ? figure <= row->bound
	                                   : figure >= row->bound;
	if (met)
		goals_met++;
	else
		goals_missed++;
	(void)printf(" %s %-6g %s\n",
	    row->goal == ZK_GOAL_AT_MOST ? "<=" : ">=", row->bound,
	    met ? "ok" : "MISS");
}

/* The spread is that of the figure which the goal is about. */
void
zk_bench_row(const struct zk_row *row)
{
	struct zk_samples ratios = {0}, *shown = row->ours;
	double share = row->share > 0 ? row->share : 0.5;
	double value, ref, figure, low, high;
	char spread[32];

	if (row->against != NULL) {
		ZK_ASSERT(row->ours->count == row->ref->count);
		for (size_t i = 0; i < row->ours->count; i++)
			zk_samples_add(&ratios,
			    row->ours->values[i] / row->ref->values[i]);
		shown = &ratios;
	}
	figure = zk_samples_at(shown, share);
	low = zk_samples_at(shown, 0.1);
	high = zk_samples_at(shown, 0.9);
	value = zk_samples_at(row->ours, share);
	(void)printf("%-44s %11.*f %-7s ", row->name, decimals(value), value,
	    row->unit);
	if (row->against != NULL) {
		ref = zk_samples_at(row->ref, share);
		(void)printf("%-22s %8.*f %7.2f ", row->against, decimals(ref),
		    ref, figure);
	} else {
		(void)printf("%-22s %8s %7s ", "", "", "");
	}
	spread[0] = '\0';
	if (shown->count > 1)
		(void)snprintf(spread, sizeof(spread), "%.*f..%.*f",
		    decimals(low), low, decimals(high), high);
	(void)printf("%-15s", spread);
	print_goal(row, figure);
	(void)fflush(stdout);
	zk_samples_fini(&ratios);
}

void
zk_bench_single(const char *name, double value, const char *unit,
    enum zk_goal goal, double bound)
{
	struct zk_samples one = {0};
	struct zk_row row = {
	    .name = name,
	    .unit = unit,
	    .ours = &one,
	    .goal = goal,
	    .bound = bound,
	};

	zk_samples_add(&one, value);
	zk_bench_row(&row);
	zk_samples_fini(&one);
}

void
zk_bench_note(const char *text)
{
	(void)printf("# %s\n", text);
	(void)fflush(stdout);
}

size_t
zk_bench_foot(void)
{
	(void)printf("# goals: %zu met, %zu missed\n", goals_met, goals_missed);
	(void)fflush(stdout);
	return goals_missed;
}

void
zk_bench_interleave(struct zk_side *sides, size_t count, size_t rounds,
    double budget_us)
{
	size_t side;

	for (side = 0; side < count; side++)
		(void)sides[side].round(sides[side].arg, budget_us);
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < count; i++) {
			/* Back and forth, so that no side is always second. */
			side = round % 2 == 0 ? i : count - 1 - i;
			zk_samples_add(&sides[side].got,
			    sides[side].round(sides[side].arg, budget_us));
		}
	}
}
