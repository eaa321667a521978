#include "tests/raft/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/*
 * The verbs of the scripts.  Members are named by number; `all` is every one
 * that is up.
 *
 *   cluster 1,2,3 [learners=4,5] [election= heartbeat= append= window=
 *                 uncommitted= seed= lookup=]
 *   join ID               start a member that knows nobody yet
 *   verbose on|off        show every message that is delivered
 *   tick ID|all MS [TIMES]
 *   run MS                time passes for all, messages arrive
 *   elect ID              let its election timer run out
 *   settle                deliver everything, dropping what is cut off
 *   deliver|drop|repeat [from= to= type= n=]  the oldest that match (n=1
 *                 unless told; n=0: all); repeat leaves a copy in flight
 *   latest [from= to= type=]  deliver the newest that matches
 *   net                   list what is in flight or held for a flush
 *   propose ID [COUNT] | read ID CTX | transfer ID TO | lost ID PEER
 *   conf ID add-learner|add-voter|promote|demote|remove PEER
 *   flush ID | autoflush ID on|off | crash ID | restart ID | compact ID FIRST
 *   cut A B | uncut A B   one direction; * is everyone
 *   split A,B,..          both directions between these and the others
 *   heal                  mend all links
 *   status [ID] | log ID | members ID | peers ID | check
 *   send from= to= type= term= [index= log_term= last= entry_term= commit=
 *                 hint= ctx= reject= transfer=]   a message out of thin air
 *   install ID INDEX TERM  a snapshot out of thin air, with the same members
 *   topologies            every set of links between five members
 *   fuzz nodes= seeds=FIRST-LAST steps=
 */

uint64_t
verb_number(const struct args *args, size_t at)
{
	return at < args->count ? strtoull(args->arg[at], NULL, 10) : 0;
}

/* The text after key=, or NULL. */
const char *
verb_option(const struct args *args, const char *key)
{
	const size_t len = strlen(key);

	for (size_t i = 0; i < args->count; i++) {
		if (strncmp(args->arg[i], key, len) == 0 &&
		    args->arg[i][len] == '=')
			return args->arg[i] + len + 1;
	}
	return NULL;
}

uint64_t
verb_option_number(const struct args *args, const char *key, uint64_t otherwise)
{
	const char *text = verb_option(args, key);

	return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

/* A member that exists, whether up or not; NULL otherwise. */
struct sim_node *
verb_node_arg(const struct args *args, size_t at)
{
	const uint64_t id = verb_number(args, at);

	if (id == 0 || id > args->sim->node_count ||
	    args->sim->nodes[id].id == 0)
		return NULL;
	return &args->sim->nodes[id];
}

struct sim_node *
verb_up_arg(const struct args *args, size_t at)
{
	struct sim_node *node = verb_node_arg(args, at);

	return node != NULL && node->up ? node : NULL;
}

static bool
is_on(const struct args *args, size_t at)
{
	return at < args->count && strcmp(args->arg[at], "on") == 0;
}

static void
print_rc(const struct sim *sim, const struct sim_node *node, int rc)
{
	if (rc < 0)
		fprintf(sim->trace, "%ju: %s\n", (uintmax_t)node->id,
		    rc == -ZK_ENOTLEADER ? "ENOTLEADER" : strerrorname_np(-rc));
}

/* --- the cluster --------------------------------------------------------- */

void
verb_add_ids(struct zk_conf *conf, const char *text, bool voters)
{
	char *end;

	while (text != NULL && *text != '\0') {
		if (voters)
			conf->voter_bits |= 1u << conf->count;
		conf->ids[conf->count++] = strtoull(text, &end, 10);
		text = *end == ',' ? end + 1 : end;
	}
}

static bool
do_cluster(const struct args *args)
{
	struct sim *sim = args->sim;
	FILE *trace = sim->trace;
	struct zk_conf conf = {0};

	if (args->count < 1)
		return false;
	verb_add_ids(&conf, args->arg[0], true);
	verb_add_ids(&conf, verb_option(args, "learners"), false);
	sim_init(sim, &conf, verb_option_number(args, "seed", 1));
	sim->trace = trace;
	sim->no_lookup = verb_option_number(args, "lookup", 1) == 0;
	for (uint32_t i = 1; i <= sim->node_count; i++) {
		struct zk_raft *r = &sim->nodes[i].r;

		if (sim->no_lookup)
			r->term_of = NULL;

		r->election_ms = (uint32_t)verb_option_number(args, "election",
		    r->election_ms);
		r->heartbeat_ms = (uint32_t)verb_option_number(args,
		    "heartbeat", r->heartbeat_ms);
		r->append_bytes_max = (uint32_t)verb_option_number(args,
		    "append", r->append_bytes_max);
		r->window_bytes_max = (uint32_t)verb_option_number(args,
		    "window", r->window_bytes_max);
		r->uncommitted_bytes_max = verb_option_number(args,
		    "uncommitted", r->uncommitted_bytes_max);
	}
	return true;
}

static bool
do_join(const struct args *args)
{
	const uint64_t id = verb_number(args, 0);

	if (id == 0 || id > SIM_NODES_MAX || args->sim->nodes[id].id != 0)
		return false;
	sim_add_node(args->sim, id);
	return true;
}

static bool
do_verbose(const struct args *args)
{
	args->sim->verbose = is_on(args, 0);
	return true;
}

static bool
do_tick(const struct args *args)
{
	struct sim *sim = args->sim;
	const bool all = args->count > 0 && strcmp(args->arg[0], "all") == 0;
	const uint64_t times = args->count > 2 ? verb_number(args, 2) : 1;

	if (!all && verb_up_arg(args, 0) == NULL)
		return false;
	for (uint64_t t = 0; t < times; t++) {
		for (uint32_t i = 1; i <= sim->node_count; i++) {
			struct sim_node *node = &sim->nodes[i];

			if (node->up && (all || node == verb_up_arg(args, 0)))
				sim_tick(sim, node,
				    (uint32_t)verb_number(args, 1));
		}
	}
	return true;
}

static bool
do_run(const struct args *args)
{
	struct sim *sim = args->sim;

	for (uint64_t ms = 0; ms < verb_number(args, 0); ms += 10) {
		for (uint32_t i = 1; i <= sim->node_count; i++) {
			if (sim->nodes[i].up)
				sim_tick(sim, &sim->nodes[i], 10);
		}
		sim_settle(sim);
	}
	return args->count == 1;
}

static bool
do_elect(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);
	const struct zk_raft *r;

	if (node == NULL)
		return false;
	r = &node->r;
	sim_tick(args->sim, node,
	    r->election_limit_ms > r->election_elapsed_ms
	        ? r->election_limit_ms - r->election_elapsed_ms
	        : 0);
	return true;
}

static bool
do_crash(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL)
		return false;
	sim_crash(args->sim, node);
	return true;
}

static bool
do_restart(const struct args *args)
{
	struct sim_node *node = verb_node_arg(args, 0);

	if (node == NULL || node->up)
		return false;
	sim_restart(args->sim, node);
	return true;
}

static bool
do_flush(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL)
		return false;
	sim_flush(args->sim, node);
	return true;
}

static bool
do_autoflush(const struct args *args)
{
	struct sim_node *node = verb_node_arg(args, 0);

	if (node == NULL)
		return false;
	node->autoflush = is_on(args, 1);
	return true;
}

static bool
do_compact(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL || verb_number(args, 1) == 0 ||
	    verb_number(args, 1) > node->mem.applied + 1)
		return false;
	sim_compact(args->sim, node, verb_number(args, 1));
	return true;
}

/* --- requests ------------------------------------------------------------ */

static bool
request(const struct args *args, struct zk_event *ev)
{
	struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL)
		return false;
	print_rc(args->sim, node, sim_step(args->sim, node, ev));
	if (node->autoflush)
		sim_flush(args->sim, node);
	return true;
}

static bool
do_propose(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);
	const uint64_t count = args->count > 1 ? verb_number(args, 1) : 1;

	if (node == NULL)
		return false;
	print_rc(args->sim, node,
	    sim_propose(args->sim, node, (uint32_t)count));
	return true;
}

static bool
do_read(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL)
		return false;
	print_rc(args->sim, node,
	    sim_read(args->sim, node, verb_number(args, 1)));
	return true;
}

static bool
do_transfer(const struct args *args)
{
	return request(args,
	    &(struct zk_event){.type = ZK_EV_TRANSFER,
	        .peer = verb_number(args, 1)});
}

static bool
do_resign(const struct args *args)
{
	return request(args, &(struct zk_event){.type = ZK_EV_RESIGN});
}

static bool
do_lost(const struct args *args)
{
	return request(args,
	    &(struct zk_event){.type = ZK_EV_PEER_LOST,
	        .peer = verb_number(args, 1)});
}

static bool
do_met(const struct args *args)
{
	return request(args,
	    &(struct zk_event){.type = ZK_EV_PEER_MET,
	        .peer = verb_number(args, 1)});
}

static bool
do_conf(const struct args *args)
{
	static const char *const names[] = {"add-learner", "add-voter",
	    "promote", "demote", "remove"};
	struct zk_event ev = {.type = ZK_EV_CONF, .peer = verb_number(args, 2)};

	for (unsigned i = 0; i < 5 && args->count == 3; i++) {
		if (strcmp(args->arg[1], names[i]) != 0)
			continue;
		ev.conf_op = (enum zk_conf_op)i;
		return request(args, &ev);
	}
	return false;
}

static bool
do_install(const struct args *args)
{
	struct sim_node *node = verb_up_arg(args, 0);
	struct sim_packet packet = {.snapshot = true};
	struct zk_event ev = {
	    .type = ZK_EV_INSTALL,
	    .index = verb_number(args, 1),
	    .term = verb_number(args, 2),
	};

	if (node == NULL)
		return false;
	packet.entries[0].conf = node->mem.conf;
	packet.conf_index = node->mem.conf_index;
	ev.conf = &args->sim->confs[node->mem.conf];
	ev.conf_index = node->mem.conf_index;
	print_rc(args->sim, node,
	    sim_step_packet(args->sim, node, &ev, &packet));
	if (node->autoflush)
		sim_flush(args->sim, node);
	return true;
}

static bool
do_fuzz(const struct args *args)
{
	struct sim *sim = args->sim;
	FILE *trace = sim->trace;
	const char *seeds = verb_option(args, "seeds");
	const char *dash = seeds == NULL ? NULL : strchr(seeds, '-');
	const uint64_t first = verb_option_number(args, "seeds", 1);
	const uint64_t last =
	    dash == NULL ? first : strtoull(dash + 1, NULL, 10);
	const uint32_t nodes = (uint32_t)verb_option_number(args, "nodes", 3);
	int failed;

	failed = sim_fuzz(sim, nodes, first, last,
	    (uint32_t)verb_option_number(args, "steps", 3000), trace);
	sim->trace = trace;
	sim->violation[0] = '\0';
	fprintf(trace, "%ju seeds, %d failed\n", (uintmax_t)(last - first + 1),
	    failed);
	return true;
}

static bool
do_topologies(const struct args *args)
{
	struct sim *sim = args->sim;
	FILE *trace = sim->trace;
	const int failed = sim_topologies(sim, trace);

	sim->trace = trace;
	sim->violation[0] = '\0';
	fprintf(trace, "%d failed\n", failed);
	return true;
}

static const struct verb {
	const char *name;
	bool (*run)(const struct args *args);
} verbs[] = {
    {"autoflush", do_autoflush},
    {"check", verb_check},
    {"cluster", do_cluster},
    {"compact", do_compact},
    {"conf", do_conf},
    {"crash", do_crash},
    {"cut", verb_cut},
    {"deliver", verb_deliver},
    {"drop", verb_drop},
    {"elect", do_elect},
    {"flush", do_flush},
    {"fuzz", do_fuzz},
    {"heal", verb_heal},
    {"install", do_install},
    {"join", do_join},
    {"latest", verb_latest},
    {"log", verb_log},
    {"lost", do_lost},
    {"met", do_met},
    {"members", verb_members},
    {"net", verb_net},
    {"peers", verb_peers},
    {"propose", do_propose},
    {"read", do_read},
    {"repeat", verb_repeat},
    {"resign", do_resign},
    {"restart", do_restart},
    {"run", do_run},
    {"send", verb_send},
    {"settle", verb_settle},
    {"split", verb_split},
    {"status", verb_status},
    {"tick", do_tick},
    {"topologies", do_topologies},
    {"transfer", do_transfer},
    {"uncut", verb_uncut},
    {"verbose", do_verbose},
};

bool
verb_run(struct sim *sim, char *line)
{
	struct args args = {.sim = sim};
	char *save = NULL;
	const char *name = strtok_r(line, " ", &save);
	char *arg;

	while ((arg = strtok_r(NULL, " ", &save)) != NULL) {
		if (args.count == VERB_ARGS_MAX)
			return false;
		args.arg[args.count++] = arg;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name) == 0)
			return verbs[i].run(&args);
	}
	return false;
}
