#ifndef ZK_TESTS_FAULT_FAULT_H
#define ZK_TESTS_FAULT_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A workload of transactions, and the two things that are done to it: the
 * power fails at every point (replay.c), and calls fail (inject.c).  Plain
 * programs; every choice comes from a seed.
 *
 * The workload goes through stages: 0 nothing, 1 the files are made, and from
 * there each stage is acknowledged as a whole.  What a stage does depends on
 * its number alone, so it can be done to whatever is one stage behind.
 */
#define STAGE_MADE 1u
#define STAGES     30u /* the last one is STAGES - 1 */

struct subject {
	const char *name;
	/* What is right: the same work without any fault. */
	int (*expect)(const char *dir);
	/* 0, or a negative code; *ret_it stays NULL then. */
	int (*open)(const char *dir, void **ret_it);
	/* From stage - 1 to stage; stage > STAGE_MADE. */
	int (*stage)(void *it, uint32_t stage);
	/* flush: leave nothing to be done again.  NULL is fine. */
	int (*close)(void *it, bool flush);
	/*
	 * Opens what is in dir, which must be as of that stage or all of the
	 * next, and carries on.  NULL, or what is wrong: a static line.
	 */
	const char *(*check)(const char *dir, uint32_t acked);
	bool survives_full; /* a write without room is refused, no more */
	/*
	 * Make each call fail, or every so many; 0: none, for there are two
	 * threads, and it would not be the same call each time.
	 */
	unsigned int step;
};

extern const struct subject subject_tree, subject_flushed, subject_topics;

/* How a run of the workload went. */
struct run_result {
	uint32_t acked;        /* the last stage that was acknowledged */
	uint32_t failed_stage; /* the first that failed, 0: none */
	int failed_rc;
	uint32_t hits; /* calls that were made to fail */
	bool at_open;  /* it was the opening that failed */
};

/* Both return the number of failures, after telling each. */
unsigned int replay_all(const struct subject *subject, const char *log_path,
    const char *dir);
unsigned int inject_all(const struct subject *subject, const char *self,
    const char *shim, const char *dir);

/* fault.c: a directory for one store; made empty again at each call. */
void scratch_clear(const char *dir);
/* Runs this program under the shim; env is "NAME=VALUE". */
int run_shimmed(const struct subject *subject, const char *self,
    const char *shim, const char *env, const char *dir,
    struct run_result *ret_result);

#endif
