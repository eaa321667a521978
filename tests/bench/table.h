#ifndef ZK_BENCH_TABLE_H
#define ZK_BENCH_TABLE_H

#include <stddef.h>
#include <stdio.h>

/*
 * What every measuring program here shares: the clock, samples, and the one
 * table that all of them print.  A program that cannot measure ends with
 * err(3): there is nobody to hand an error to.  One thread unless said
 * otherwise.
 */

/* Monotonic microseconds.  Any thread. */
double zk_bench_now_us(void);

/* A growing list of figures.  Start from zeros; fini frees, NULL is fine. */
struct zk_samples {
	double *values;
	size_t count, cap;
};
void zk_samples_add(struct zk_samples *samples, double value);
/* The value below which `share` (0..1) of the samples lie. */
double zk_samples_at(const struct zk_samples *samples, double share);
void zk_samples_fini(struct zk_samples *samples);

enum zk_goal {
	ZK_GOAL_NONE,
	ZK_GOAL_AT_MOST,
	ZK_GOAL_AT_LEAST,
};

/*
 * A line of the table.  Without `against` the goal is about the value, with
 * it about the ratio ours/ref, which is taken round by round: both lists must
 * be in the order of measuring and equally long.
 */
struct zk_row {
	const char *name, *unit;
	struct zk_samples *ours;
	double share; /* of ours to print; 0 is the median, 1 the largest */
	const char *against;
	struct zk_samples *ref;
	enum zk_goal goal;
	double bound;
};

void zk_bench_head(void);
/* Prints the line and keeps it for the last line's count of misses. */
void zk_bench_row(const struct zk_row *row);
/* The line of a figure that was measured once. */
void zk_bench_single(const char *name, double value, const char *unit,
    enum zk_goal goal, double bound);
/* A line that is no figure: what was left out and why. */
void zk_bench_note(const char *text);
/* Prints how many goals were met; returns how many were missed. */
size_t zk_bench_foot(void);

/* A side of a comparison: one round of about budget_us, giving its figure. */
struct zk_side {
	double (*round)(void *arg, double budget_us);
	void *arg;
	struct zk_samples got;
};

/* Runs every side once to warm up, then all of them in turn, `rounds` times. */
void zk_bench_interleave(struct zk_side *sides, size_t count, size_t rounds,
    double budget_us);

#endif
