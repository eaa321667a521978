#ifndef ZK_TESTS_RAFT_VERBS_H
#define ZK_TESTS_RAFT_VERBS_H

#include "tests/raft/sim.h"

/* One line of a script, and the verbs that have files of their own. */

#define VERB_ARGS_MAX 16u

struct args {
	struct sim *sim;
	size_t count;
	char *arg[VERB_ARGS_MAX];
};

/* The argument as a number; 0 when it is missing or none. */
uint64_t verb_number(const struct args *args, size_t at);
/* The text after key=, or NULL. */
const char *verb_option(const struct args *args, const char *key);
uint64_t verb_option_number(const struct args *args, const char *key,
    uint64_t otherwise);
/* The member named there, NULL: none; up: only one that runs. */
struct sim_node *verb_node_arg(const struct args *args, size_t at);
struct sim_node *verb_up_arg(const struct args *args, size_t at);

/* Adds the members of a list like 1,2,3. */
void verb_add_ids(struct zk_conf *conf, const char *text, bool voters);

/* Each does its line, writing to sim->trace; false: a bad line. */
bool verb_deliver(const struct args *args);
bool verb_drop(const struct args *args);
bool verb_repeat(const struct args *args);
bool verb_latest(const struct args *args);
bool verb_net(const struct args *args);
bool verb_settle(const struct args *args);
bool verb_cut(const struct args *args);
bool verb_uncut(const struct args *args);
bool verb_split(const struct args *args);
bool verb_heal(const struct args *args);
bool verb_send(const struct args *args);
bool verb_status(const struct args *args);
bool verb_log(const struct args *args);
bool verb_members(const struct args *args);
bool verb_peers(const struct args *args);
bool verb_check(const struct args *args);

#endif
