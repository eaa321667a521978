#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

/*
 * The network between members: frames are dropped, delayed and, because each
 * has its own delay, reordered; a link can be cut in one direction.
 */

static void
put_on_wire(struct sim *sim, struct sim_message *msg)
{
	struct sim_message **at = &sim->wire;

	while (*at != NULL && (*at)->at_us <= msg->at_us)
		at = &(*at)->next;
	msg->next = *at;
	*at = msg;
}

static void
send_one(struct sim *sim, unsigned from, unsigned to, const void *bytes,
    size_t len)
{
	struct sim_message *msg = malloc(sizeof(*msg) + len);

	if (msg == NULL)
		abort();
	msg->at_us = sim->now_us + 50 + sim_random(sim, sim->delay_us);
	msg->from = from;
	msg->to = to;
	msg->boot = sim->members[from].boots;
	msg->boot_to = sim->members[to].boots;
	msg->len = len;
	memcpy(msg->bytes, bytes, len);
	sim_trace(sim, bytes, len);
	put_on_wire(sim, msg);
}

void
sim_send(struct sim *sim, unsigned from, uint64_t to_node, const void *bytes,
    size_t len)
{
	for (unsigned to = 0; to < sim->count; to++) {
		if (sim->members[to].node != to_node)
			continue;
		if (sim->cut[from][to] || sim_chance(sim, sim->drop_percent))
			return;
		send_one(sim, from, to, bytes, len);
		if (!sim->quiet && sim_chance(sim, 2))
			send_one(sim, from, to, bytes, len);
		return;
	}
}

void
sim_deliver_due(struct sim *sim)
{
	while (sim->wire != NULL && sim->wire->at_us <= sim->now_us) {
		struct sim_message *msg = sim->wire;
		struct sim_member *to = &sim->members[msg->to];

		sim->wire = msg->next;
		msg->next = NULL;
		/* A connection does not survive the process at its end. */
		if (!to->up || msg->boot_to != to->boots ||
		    sim->cut[msg->from][msg->to]) {
			free(msg);
			continue;
		}
		*to->mail_last = msg;
		to->mail_last = &msg->next;
		if (to->wake_us > sim->now_us)
			to->wake_us = sim->now_us;
	}
}

uint64_t
sim_next_message_us(const struct sim *sim)
{
	return sim->wire != NULL ? sim->wire->at_us : UINT64_MAX;
}

void
sim_wire_clear(struct sim *sim, unsigned member)
{
	struct sim_message **at = &sim->wire;

	while (*at != NULL) {
		struct sim_message *msg = *at;

		if (msg->to == member) {
			*at = msg->next;
			free(msg);
		} else {
			at = &msg->next;
		}
	}
}
