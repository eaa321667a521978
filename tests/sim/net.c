#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/msg_codec.h"
#include "daemon/member_impl.h"
#include "daemon/replica_impl.h"
#include "tests/sim/sim.h"

/*
 * The network between hosts: frames are lost, delayed, doubled and, because
 * each has its own delay, reordered; some come seconds late.  A link can be
 * cut in one direction: what is on its way then still comes.  What Raft says
 * is read on the wire for the marks.
 */

static void
mark_message(struct sim *sim, const uint8_t *bytes, size_t len)
{
	struct zk_msg msg;
	struct zk_dec dec;

	if (len < 2 || bytes[0] != ZK_KIND_RAFT || bytes[1] > ZK_MSG_TYPE_LAST)
		return;
	zk_dec_init(&dec, bytes + 1, len - 1);
	if (zk_msg_decode(&dec, &msg) < 0)
		return;
	if (msg.type == ZK_MSG_PREVOTE_REPLY && msg.reject)
		sim_mark(sim, MARK_PREVOTE_REFUSED);
	if (msg.type == ZK_MSG_VOTE_REPLY && msg.reject)
		sim_mark(sim, MARK_VOTE_REFUSED);
	if (msg.type == ZK_MSG_APPEND_REPLY && msg.reject)
		sim_mark(sim, MARK_APPEND_REFUSED);
	if (msg.type == ZK_MSG_TIMEOUT_NOW)
		sim_mark(sim, MARK_TRANSFER);
}

/*
 * Whoever says that it has a snapshot has it: the leader would not be misled,
 * for it asks again, but would send in vain.
 */
static void
check_snapshot(struct sim_host *from, const uint8_t *bytes, size_t len)
{
	struct sim *sim = from->sim;
	const size_t slots = sizeof(sim->snapshots) / sizeof(sim->snapshots[0]);
	uint64_t stream, index;
	struct zk_dec dec;
	uint8_t kind;

	if (len < 2 || bytes[0] != ZK_KIND_RAFT || bytes[1] < ZK_SNAPSHOT_OFFER)
		return;
	zk_dec_init(&dec, bytes + 1, len - 1);
	kind = zk_dec_u8(&dec);
	(void)zk_dec_u64(&dec); /* the term */
	stream = zk_dec_u64(&dec);
	if (kind == ZK_SNAPSHOT_OFFER) {
		index = zk_dec_u64(&dec);
		sim->snapshots[stream % slots].stream = stream;
		sim->snapshots[stream % slots].index = index;
		return;
	}
	(void)zk_dec_u32(&dec);
	if (kind != ZK_SNAPSHOT_ACK || zk_dec_u8(&dec) != ZK_VERDICT_DONE ||
	    sim->snapshots[stream % slots].stream != stream)
		return;
	index = sim->snapshots[stream % slots].index;
	if (zk_replica_raft(zk_member_replica(from->member))->commit_index <
	    index)
		sim_fail(sim, "host %u: says it has the snapshot of %" PRIu64,
		    from->id, index);
}

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
send_one(struct sim_host *from, struct sim_host *to, const void *bytes,
    size_t len, uint64_t delay_us)
{
	struct sim *sim = from->sim;
	struct sim_message *msg = malloc(sizeof(*msg) + len);

	if (msg == NULL)
		abort();
	msg->at_us = sim->now_us + from->lag_us + delay_us;
	msg->from = from->id;
	msg->to = to->id;
	msg->node_from = from->node;
	msg->boot_to = to->boots;
	msg->len = len;
	memcpy(msg->bytes, bytes, len);
	sim_trace(sim, bytes, len);
	put_on_wire(sim, msg);
}

static struct sim_host *
find_host(struct sim *sim, uint64_t node)
{
	for (unsigned i = 0; i < sim->count; i++)
		if (sim->hosts[i].node == node)
			return &sim->hosts[i];
	return NULL;
}

/* Of what leases are made of, more comes late: there is so little of it. */
static uint32_t
late_percent(const struct sim *sim, const uint8_t *bytes)
{
	return bytes[0] == ZK_KIND_PONG ? 8 * sim->late_percent
	                                : sim->late_percent;
}

/*
 * A connection gives a frame once.  Raft and the commands' numbers do not rely
 * on that, the refusal of a command does: a second copy, met by a disk that is
 * full by now, would be refused although the first was taken.
 */
static bool
may_double(const struct sim *sim, const uint8_t *bytes)
{
	if (sim->quiet)
		return false;
	return bytes[0] != ZK_KIND_FORWARD || !sim->disks_fill;
}

void
sim_send(struct sim_host *from, uint64_t to_node, const void *bytes, size_t len)
{
	struct sim *sim = from->sim;
	struct sim_host *to = find_host(sim, to_node);
	uint64_t *rng = &sim->rng_net;

	if (from->dying || to == NULL)
		return;
	mark_message(sim, bytes, len);
	check_snapshot(from, bytes, len);
	if ((sim->cut[from->id] >> to->id & 1) != 0)
		return;
	if (sim_chance(rng, sim->drop_percent)) {
		sim_mark(sim, MARK_MESSAGE_LOST);
		return;
	}
	send_one(from, to, bytes, len, 50 + sim_random(rng, sim->delay_us));
	if (!may_double(sim, bytes))
		return;
	if (sim_chance(rng, 2)) {
		sim_mark(sim, MARK_MESSAGE_TWICE);
		send_one(from, to, bytes, len,
		    50 + sim_random(rng, 2 * sim->delay_us));
	}
	if (sim_chance(rng, late_percent(sim, bytes))) {
		sim_mark(sim, MARK_MESSAGE_LATE);
		send_one(from, to, bytes, len, sim_random(rng, 4000000));
	}
}

void
sim_deliver_due(struct sim *sim)
{
	while (sim->wire != NULL && sim->wire->at_us <= sim->now_us) {
		struct sim_message *msg = sim->wire;
		struct sim_host *to = &sim->hosts[msg->to];

		sim->wire = msg->next;
		msg->next = NULL;
		/* A connection does not survive the process at its end. */
		if (!to->up || msg->boot_to != to->boots) {
			free(msg);
			continue;
		}
		*to->mail_last = msg;
		to->mail_last = &msg->next;
	}
}

/* All that is on its way between two hosts; b == a: from or to a. */
void
sim_wire_drop(struct sim *sim, unsigned a, unsigned b)
{
	struct sim_message **at = &sim->wire;

	while (*at != NULL) {
		struct sim_message *msg = *at;
		const bool from_a = msg->from == a, to_a = msg->to == a;

		if (a == b ? to_a
		           : (from_a && msg->to == b) ||
		            (to_a && msg->from == b)) {
			*at = msg->next;
			free(msg);
		} else {
			at = &msg->next;
		}
	}
}
