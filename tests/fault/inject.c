/*
 * Calls fail.  For each kind of call, the first fails in one run, the second
 * in the next, and so on until a run has no such call left.  Whatever
 * happens, nothing acknowledged is lost, nothing half done is seen; and the
 * code tells a full disk, after which work goes on, from a disk that cannot be
 * trusted, after which the process must end.
 */
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS_MAX 1000u

struct kind {
	const char *what;
	int error;
	unsigned int step; /* try each, or every third call */
	bool may_go_on; /* the code may be -ENOSPC, and the rest then works */
	bool may_not_open; /* ... of opening, which changes nothing then */
};

static unsigned int
check_after(const struct subject *subject, const char *label, const char *dir,
    const struct run_result *res)
{
	const char *why = subject->check(dir, res->acked);

	if (why == NULL)
		return 0;
	fprintf(stderr, "%s: afterwards: %s, stage %u\n", label, why,
	    res->acked);
	return 1;
}

static unsigned int
check_result(const char *label, const struct kind *kind,
    const struct run_result *res)
{
	if (res->hits == 0)
		return 0;
	if (res->failed_rc >= 0) {
		fprintf(stderr, "%s: nobody noticed\n", label);
		return 1;
	}
	/* Before there is a store, nothing can be lost. */
	if (kind->may_not_open && res->at_open && res->failed_rc == -ENOSPC)
		return 0;
	if (!kind->may_go_on && res->failed_rc == -ENOSPC &&
	    res->failed_stage > 1) {
		fprintf(stderr, "%s: taken for a full disk\n", label);
		return 1;
	}
	if (kind->may_go_on && res->failed_rc != -ENOSPC) {
		fprintf(stderr, "%s: %d for a full disk\n", label,
		    res->failed_rc);
		return 1;
	}
	if (kind->may_go_on && res->failed_stage > 1 &&
	    res->acked != STAGES - 1) {
		fprintf(stderr, "%s: work did not go on\n", label);
		return 1;
	}
	return 0;
}

static unsigned int
inject_kind(const struct subject *subject, const char *self, const char *shim,
    const char *dir, const struct kind *kind)
{
	unsigned int failures = 0, runs = 0;

	for (unsigned int n = 1; n < RUNS_MAX; n += kind->step) {
		char label[64], env[96];
		struct run_result res = {.acked = 0};

		(void)snprintf(label, sizeof(label), "%s:%u:%d", kind->what, n,
		    kind->error);
		(void)snprintf(env, sizeof(env), "ZKFS_FAULT=%s", label);
		scratch_clear(dir);
		if (run_shimmed(subject, self, shim, env, dir, &res) != 0) {
			fprintf(stderr, "%s: the process died\n", label);
			return failures + 1;
		}
		runs++;
		failures += check_result(label, kind, &res);
		failures += check_after(subject, label, dir, &res);
		if (res.hits == 0)
			break;
	}
	printf("fault: %s: %s fails with %s: %u runs, %u failures\n",
	    subject->name, kind->what, strerror(kind->error), runs, failures);
	return failures + (runs < 2);
}

unsigned int
inject_all(const struct subject *subject, const char *self, const char *shim,
    const char *dir)
{
	static const struct kind kinds[] = {
	    {"sync", EIO, 1, false, false},
	    {"sync", ENOSPC, 3, false, false},
	    {"meta", EIO, 1, false, false},
	    {"meta", ENOSPC, 3, false, false},
	    {"durable", EIO, 1, false, false},
	    {"durable", ENOSPC, 3, false, false},
	    {"data", EIO, 5, false, false},
	    {"data", ENOSPC, 3, true, false},
	    {"short", EIO, 5, false, false},
	    {"full", ENOSPC, 3, true, false},
	};
	unsigned int failures = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct kind kind = kinds[i];

		kind.may_not_open = kind.may_go_on && !subject->survives_full;
		kind.may_go_on = kind.may_go_on && subject->survives_full;
		kind.step *= subject->step;
		failures += inject_kind(subject, self, shim, dir, &kind);
	}
	return failures;
}
