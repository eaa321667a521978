#ifndef ZK_TESTS_FAULT_FAULT_H
#define ZK_TESTS_FAULT_FAULT_H

#include <stdint.h>

#include "store/store.h"

/*
 * A workload of store transactions, and the two things that are done to it:
 * the power fails at every point (replay.c), and calls fail (inject.c).
 * Plain programs with one thread; every choice comes from a seed.
 */

/*
 * The workload goes through stages: 0 nothing, 1 the store is made, 2 the
 * tree has a root, and from there each stage is one transaction.  What a
 * stage does depends on its number alone, so it can be done to any store that
 * is one stage behind.
 */
#define STAGE_MADE      1u
#define STAGE_BOOTSTRAP 2u
#define STAGES          30u /* the last one is STAGES - 1 */

struct fingerprint {
	uint64_t applied, digest, nodes, row_bytes;
	uint64_t log_last, term; /* its beginning depends on checkpoints */
};

/* 0, or a negative code; *ret_store stays NULL then. */
int workload_open(const char *dir, struct zk_store **ret_store);
/* From stage - 1 to stage; stage > STAGE_MADE.  What zk_store_commit() says. */
int workload_stage(struct zk_store *store, uint32_t stage);
/* Verifies the store, too.  *ret_why gets a static line. */
int workload_fingerprint(struct zk_store *store, struct fingerprint *ret_print,
    const char **ret_why);

/* How a run of the workload went. */
struct run_result {
	uint32_t acked;        /* the last stage that was acknowledged */
	uint32_t failed_stage; /* the first that failed, 0: none */
	int failed_rc;
	uint32_t hits; /* calls that were made to fail */
};

/* What a store must look like after each stage. */
extern struct fingerprint expected[STAGES];

/* Both return the number of failures, after telling each. */
unsigned int replay_all(const char *log_path, const char *dir);
unsigned int inject_all(const char *self, const char *shim, const char *dir);

/* fault.c: a directory for one store; made empty again at each call. */
void scratch_clear(const char *dir);
/* Runs this program under the shim; env is "NAME=VALUE". */
int run_shimmed(const char *self, const char *shim, const char *env,
    const char *dir, struct run_result *ret_result);

#endif
