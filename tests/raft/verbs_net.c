#include "tests/raft/verbs.h"

#include <string.h>

/* Verbs that move messages, and links. */

struct filter {
	uint64_t from, to;
	const char *type;
};

static bool
matches(const struct sim_packet *packet, const void *arg)
{
	const struct filter *filter = arg;
	const char *type =
	    packet->snapshot ? "SNAPSHOT" : sim_msg_name(packet->msg.type);

	return (filter->from == 0 || filter->from == packet->msg.from) &&
	    (filter->to == 0 || filter->to == packet->msg.to) &&
	    (filter->type == NULL || strcmp(filter->type, type) == 0);
}

static struct filter
filter_args(const struct args *args)
{
	return (struct filter){
	    .from = verb_option_number(args, "from", 0),
	    .to = verb_option_number(args, "to", 0),
	    .type = verb_option(args, "type"),
	};
}

static bool
move_packets(const struct args *args, bool deliver, bool keep)
{
	struct sim *sim = args->sim;
	const struct filter filter = filter_args(args);
	const uint64_t last_seq = sim->seq;
	uint64_t n = verb_option_number(args, "n", 1);
	bool any = false;

	for (bool all = n == 0; all || n > 0; n--) {
		struct sim_packet *packet = sim_oldest(sim, matches, &filter);

		/* All means those that are there now. */
		if (packet == NULL || (all && packet->seq > last_seq))
			break;
		any = true;
		if (deliver)
			sim_deliver(sim, packet, keep);
		else
			sim_drop(sim, packet);
	}
	if (!any)
		fprintf(sim->trace, "no such message\n");
	return true;
}

bool
verb_deliver(const struct args *args)
{
	return move_packets(args, true, false);
}

bool
verb_drop(const struct args *args)
{
	return move_packets(args, false, false);
}

bool
verb_repeat(const struct args *args)
{
	return move_packets(args, true, true);
}

bool
verb_latest(const struct args *args)
{
	struct sim *sim = args->sim;
	const struct filter filter = filter_args(args);
	struct sim_packet *newest = NULL;

	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &sim->packets[i];

		if (packet->state == SIM_FLYING && matches(packet, &filter) &&
		    (newest == NULL || packet->seq > newest->seq))
			newest = packet;
	}
	if (newest == NULL)
		fprintf(sim->trace, "no such message\n");
	else
		sim_deliver(sim, newest, false);
	return true;
}

bool
verb_net(const struct args *args)
{
	struct sim *sim = args->sim;
	uint64_t after = 0;

	for (;;) {
		const struct sim_packet *next = NULL;

		for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
			const struct sim_packet *packet = &sim->packets[i];

			if (packet->state != SIM_FREE && packet->seq > after &&
			    (next == NULL || packet->seq < next->seq))
				next = packet;
		}
		if (next == NULL)
			return true;
		if (next->state == SIM_HELD)
			fprintf(sim->trace, "held: ");
		sim_print_packet(sim->trace, next);
		after = next->seq;
	}
}

bool
verb_settle(const struct args *args)
{
	sim_settle(args->sim);
	return true;
}

static void
set_links(const struct args *args, bool cut)
{
	const uint64_t from = verb_number(args, 0);
	const uint64_t to = verb_number(args, 1);

	for (uint64_t a = 1; a <= args->sim->node_count; a++) {
		for (uint64_t b = 1; b <= args->sim->node_count; b++) {
			if ((from == 0 || a == from) && (to == 0 || b == to) &&
			    a != b)
				args->sim->cut[a][b] = cut;
		}
	}
}

bool
verb_cut(const struct args *args)
{
	set_links(args, true);
	return args->count == 2;
}

bool
verb_uncut(const struct args *args)
{
	set_links(args, false);
	return args->count == 2;
}

bool
verb_split(const struct args *args)
{
	struct sim *sim = args->sim;
	struct zk_conf side = {0};

	verb_add_ids(&side, args->count > 0 ? args->arg[0] : NULL, true);
	for (uint64_t a = 1; a <= sim->node_count; a++) {
		for (uint64_t b = 1; b <= sim->node_count; b++) {
			if ((zk_raft_conf_slot(&side, a) >= 0) !=
			    (zk_raft_conf_slot(&side, b) >= 0))
				sim->cut[a][b] = true;
		}
	}
	return side.count > 0;
}

bool
verb_heal(const struct args *args)
{
	memset(args->sim->cut, 0, sizeof(args->sim->cut));
	return true;
}

bool
verb_send(const struct args *args)
{
	const char *type = verb_option(args, "type");
	struct zk_msg msg = {
	    .from = verb_option_number(args, "from", 0),
	    .to = verb_option_number(args, "to", 0),
	    .term = verb_option_number(args, "term", 0),
	    .index = verb_option_number(args, "index", 0),
	    .log_term = verb_option_number(args, "log_term", 0),
	    .last = verb_option_number(args, "last", 0),
	    .entry_term = verb_option_number(args, "entry_term", 0),
	    .commit = verb_option_number(args, "commit", 0),
	    .hint_index = verb_option_number(args, "hint", 0),
	    .ctx = verb_option_number(args, "ctx", 0),
	    .reject = verb_option_number(args, "reject", 0) != 0,
	    .transfer = verb_option_number(args, "transfer", 0) != 0,
	};
	struct sim_packet *packet;

	for (int t = ZK_MSG_PREVOTE; t <= ZK_MSG_TYPE_LAST; t++) {
		if (type != NULL &&
		    strcmp(type, sim_msg_name((enum zk_msg_type)t)) == 0)
			msg.type = (enum zk_msg_type)t;
	}
	if (msg.type == 0 || msg.to == 0 || msg.to > args->sim->node_count)
		return false;
	if (msg.type == ZK_MSG_APPEND && msg.last == 0)
		msg.last = msg.index;
	packet = sim_packet_new(args->sim, &msg, false);
	if (packet == NULL || msg.last > msg.index + SIM_BATCH_MAX)
		return false;
	for (uint64_t i = msg.index; i < msg.last; i++)
		packet->entries[packet->count++] = (struct sim_entry){
		    .term = msg.entry_term,
		    .value = args->sim->next_value++,
		};
	sim_deliver(args->sim, packet, false);
	return true;
}
