#ifndef ZK_BENCH_PEER_H
#define ZK_BENCH_PEER_H

#include "tests/bench/table.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What the load generators of the peers share: a closed loop's account, and
 * owners that get killed.  Each generator runs one measure and ends.
 */
#define ZK_PEER_HOSTS_MAX   8
#define ZK_PEER_VALUE_BYTES 100

/* A value of ZK_PEER_VALUE_BYTES, for every put. */
extern const char zk_peer_value[ZK_PEER_VALUE_BYTES + 1];

/* Splits "a,b,c" in place; returns how many. */
size_t zk_peer_split(char *list, char *ret_parts[ZK_PEER_HOSTS_MAX]);

/* Answers counted between zk_load_begin and zk_load_end.  Any thread. */
struct zk_load {
	pthread_mutex_t lock; /* protects what follows */
	struct zk_samples took_us;
	size_t errors, inflight;
	double begun_us;
	double ended_us; /* 0: still counting */
};
void zk_load_begin(struct zk_load *load, size_t inflight);
/* An answer to what was asked at asked_us; true: ask the next one. */
bool zk_load_answer(struct zk_load *load, double asked_us, bool ok);
/* No more questions; then wait until nothing is in flight. */
void zk_load_end(struct zk_load *load);
size_t zk_load_inflight(struct zk_load *load);
/*
 * The rate, and with `latency` a second line with the median.  These, and
 * zk_peer_print_latency(), print bare figures for a script where the name is
 * "-": the rate, the median and the 99th percentile, on one line.
 */
bool zk_peer_is_bare(const char *name);
void zk_load_print(struct zk_load *load, const char *name, bool latency);

/* A process that owns something until it is killed. */
struct zk_owner {
	pid_t pid;
	double killed_us;
	_Atomic double gone_us; /* set by whoever sees it go; 0: it lives */
};
/* Forks `count` owners; own() never returns.  Call before any connection. */
void zk_owners_fork(struct zk_owner *owners, size_t count,
    void (*own)(size_t self, void *arg), void *arg);
/*
 * Kills them one by one over a third of the timeout, so that every phase of
 * their heartbeat is met, and prints how long each thing outlived its owner.
 * pass() lets time go by while events are taken.
 */
void zk_owners_kill(struct zk_owner *owners, size_t count, double timeout_s,
    void (*pass)(double us), const char *name);

/* Median with its spread, and the 99th percentile on a second line. */
void zk_peer_print_latency(const char *name, struct zk_samples *took_us);
void zk_peer_pause(double us);

/* A measure by its name; args are what follows the name. */
struct zk_verb {
	const char *name;
	int args;
	void (*run)(char **args);
};
/* Runs the verb of argv; never longer than a server may hang. */
int zk_peer_main(int argc, char **argv, const struct zk_verb *verbs,
    size_t count);

#endif
