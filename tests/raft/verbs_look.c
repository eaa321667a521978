#include "tests/raft/verbs.h"

/* Verbs that only look. */

static void
print_status(const struct sim *sim, const struct sim_node *node)
{
	const struct zk_raft *r = &node->r;

	if (!node->up) {
		fprintf(sim->trace, "%ju: down\n", (uintmax_t)node->id);
		return;
	}
	fprintf(sim->trace,
	    "%ju: %s term=%ju vote=%ju leader=%ju commit=%ju last=%ju "
	    "stored=%ju base=%ju\n",
	    (uintmax_t)node->id, sim_role_name(r->role), (uintmax_t)r->term,
	    (uintmax_t)r->vote, (uintmax_t)r->leader,
	    (uintmax_t)r->commit_index, (uintmax_t)r->last_index,
	    (uintmax_t)r->stored_index, (uintmax_t)r->base_index);
}

bool
verb_status(const struct args *args)
{
	const struct sim_node *node = verb_node_arg(args, 0);

	for (uint32_t i = 1; i <= args->sim->node_count; i++) {
		const struct sim_node *each = &args->sim->nodes[i];

		if (each->id != 0 && (node == NULL || node == each))
			print_status(args->sim, each);
	}
	return true;
}

bool
verb_log(const struct args *args)
{
	const struct sim_node *node = verb_up_arg(args, 0);

	if (node == NULL)
		return false;
	fprintf(args->sim->trace, "%ju: base %ju/%ju", (uintmax_t)node->id,
	    (uintmax_t)node->r.base_index, (uintmax_t)node->r.base_term);
	for (uint64_t i = node->r.base_index + 1; i <= node->r.last_index; i++)
		fprintf(args->sim->trace, " %ju/%ju", (uintmax_t)i,
		    (uintmax_t)zk_raft_term_at(&node->r, i));
	fprintf(args->sim->trace, "\n");
	return true;
}

bool
verb_members(const struct args *args)
{
	const struct sim_node *node = verb_up_arg(args, 0);
	const struct zk_conf *conf;

	if (node == NULL)
		return false;
	conf = zk_raft_conf(&node->r);
	fprintf(args->sim->trace, "%ju: since %ju:", (uintmax_t)node->id,
	    (uintmax_t)node->r.conf_index);
	for (uint32_t i = 0; i < conf->count; i++)
		fprintf(args->sim->trace, " %ju%s", (uintmax_t)conf->ids[i],
		    (conf->voter_bits >> i & 1) != 0 ? "" : " (learner)");
	fprintf(args->sim->trace, "\n");
	return true;
}

bool
verb_peers(const struct args *args)
{
	static const char *const states[] = {"probe", "replicate", "snapshot"};
	const struct sim_node *node = verb_up_arg(args, 0);
	struct zk_member_status status;

	if (node == NULL)
		return false;
	for (uint32_t i = 0; zk_raft_member_status(&node->r, i, &status) == 0;
	     i++)
		fprintf(args->sim->trace, "%ju: %s match=%ju%s%s\n",
		    (uintmax_t)status.id, states[status.state],
		    (uintmax_t)status.match, status.voter ? "" : " learner",
		    status.active ? "" : " silent");
	return true;
}

bool
verb_check(const struct args *args)
{
	sim_check_logs(args->sim);
	return true;
}
