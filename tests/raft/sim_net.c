#include "tests/raft/sim.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"

/* The network: a bag of packets, of which anyone may take any. */

const char *
sim_msg_name(enum zk_msg_type type)
{
	static const char *const names[] = {"?", "PREVOTE", "PREVOTE_REPLY",
	    "VOTE", "VOTE_REPLY", "APPEND", "APPEND_REPLY", "HEARTBEAT",
	    "HEARTBEAT_REPLY", "COMMIT", "TIMEOUT_NOW", "READ", "READ_REPLY"};

	return names[type];
}

struct sim_packet *
sim_packet_new(struct sim *sim, const struct zk_msg *msg, bool held)
{
	ZK_ASSERT(msg->to >= 1 && msg->to <= SIM_NODES_MAX);

	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &sim->packets[i];

		if (packet->state != SIM_FREE)
			continue;
		packet->state = held ? SIM_HELD : SIM_FLYING;
		packet->seq = ++sim->seq;
		packet->snapshot = false;
		packet->count = 0;
		packet->msg = *msg;
		return packet;
	}
	return NULL; /* lost */
}

struct sim_packet *
sim_oldest(struct sim *sim,
    bool (*match)(const struct sim_packet *packet, const void *arg),
    const void *arg)
{
	struct sim_packet *best = NULL;

	for (uint32_t i = 0; i < SIM_PACKETS_MAX; i++) {
		struct sim_packet *packet = &sim->packets[i];

		if (packet->state != SIM_FLYING ||
		    (match != NULL && !match(packet, arg)))
			continue;
		if (best == NULL || packet->seq < best->seq)
			best = packet;
	}
	return best;
}

static void
print_fields(FILE *out, const struct zk_msg *m)
{
	if (m->type == ZK_MSG_APPEND)
		fprintf(out, " prev=%ju/%ju entries=%ju commit=%ju",
		    (uintmax_t)m->index, (uintmax_t)m->log_term,
		    (uintmax_t)(m->last - m->index), (uintmax_t)m->commit);
	else if (m->type == ZK_MSG_VOTE || m->type == ZK_MSG_PREVOTE)
		fprintf(out, " last=%ju/%ju%s", (uintmax_t)m->index,
		    (uintmax_t)m->log_term, m->transfer ? " transfer" : "");
	else if (m->type == ZK_MSG_APPEND_REPLY && m->reject)
		fprintf(out, " prev=%ju hint=%ju/%ju", (uintmax_t)m->index,
		    (uintmax_t)m->hint_index, (uintmax_t)m->log_term);
	else if (m->type == ZK_MSG_APPEND_REPLY)
		fprintf(out, " match=%ju", (uintmax_t)m->index);
	else if (m->type == ZK_MSG_READ_REPLY)
		fprintf(out, " index=%ju", (uintmax_t)m->index);
	else if (m->type == ZK_MSG_HEARTBEAT || m->type == ZK_MSG_COMMIT)
		fprintf(out, " commit=%ju", (uintmax_t)m->commit);
	if (m->reject)
		fprintf(out, " no");
}

void
sim_print_packet(FILE *out, const struct sim_packet *packet)
{
	const struct zk_msg *m = &packet->msg;

	fprintf(out, "%ju->%ju ", (uintmax_t)m->from, (uintmax_t)m->to);
	if (packet->snapshot) {
		fprintf(out, "SNAPSHOT %ju/%ju\n", (uintmax_t)m->index,
		    (uintmax_t)m->log_term);
		return;
	}
	fprintf(out, "%s term=%ju", sim_msg_name(m->type), (uintmax_t)m->term);
	print_fields(out, m);
	fprintf(out, "\n");
}

static void
snapshot_result(struct sim *sim, const struct sim_packet *packet, bool done)
{
	struct sim_node *from = sim_node(sim, packet->msg.from);
	struct zk_event ev = {
	    .type = done ? ZK_EV_SNAPSHOT_DONE : ZK_EV_SNAPSHOT_FAILED,
	    .peer = packet->msg.to,
	    .index = packet->msg.index,
	};

	if (from->up)
		sim_step(sim, from, &ev);
}

static int
deliver_snapshot(struct sim *sim, struct sim_node *node,
    const struct sim_packet *packet)
{
	struct zk_event ev = {
	    .type = ZK_EV_INSTALL,
	    .index = packet->msg.index,
	    .term = packet->msg.log_term,
	    .conf = &sim->confs[packet->entries[0].conf],
	    .conf_index = packet->conf_index,
	};
	int rc = sim_step_packet(sim, node, &ev, packet);

	snapshot_result(sim, packet, true);
	return rc;
}

static int
deliver_msg(struct sim *sim, struct sim_node *node,
    const struct sim_packet *packet)
{
	struct zk_conf_entry confs[SIM_BATCH_MAX];
	struct zk_event ev = {
	    .type = ZK_EV_MSG,
	    .msg = &packet->msg,
	    .confs = confs,
	};

	for (uint32_t i = 0; i < packet->count; i++) {
		const struct sim_entry *entry = &packet->entries[i];

		if (entry->kind == ZK_ENTRY_CONF)
			confs[ev.conf_count++] = (struct zk_conf_entry){
			    .index = packet->msg.index + 1 + i,
			    .conf = sim->confs[entry->conf],
			};
	}
	return sim_step_packet(sim, node, &ev, packet);
}

void
sim_deliver(struct sim *sim, struct sim_packet *packet, bool keep)
{
	struct sim_packet copy = *packet;
	struct sim_node *node;
	int rc;

	if (!keep)
		packet->state = SIM_FREE;
	if (copy.msg.to > sim->node_count || !sim->nodes[copy.msg.to].up) {
		if (copy.snapshot && !keep)
			snapshot_result(sim, &copy, false);
		return;
	}
	node = sim_node(sim, copy.msg.to);
	if (sim->trace != NULL && sim->verbose)
		sim_print_packet(sim->trace, &copy);
	if (copy.snapshot)
		rc = deliver_snapshot(sim, node, &copy);
	else
		rc = deliver_msg(sim, node, &copy);
	if (rc == -EPROTO && sim->trace != NULL)
		fprintf(sim->trace, "%ju: EPROTO\n", (uintmax_t)node->id);
	if (node->autoflush)
		sim_flush(sim, node);
}

void
sim_drop(struct sim *sim, struct sim_packet *packet)
{
	packet->state = SIM_FREE;
	if (packet->snapshot)
		snapshot_result(sim, packet, false);
}

void
sim_settle(struct sim *sim)
{
	struct sim_packet *packet;

	while ((packet = sim_oldest(sim, NULL, NULL)) != NULL) {
		if (sim->cut[packet->msg.from][packet->msg.to])
			sim_drop(sim, packet);
		else
			sim_deliver(sim, packet, false);
	}
}
