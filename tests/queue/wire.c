#include <inttypes.h>
#include <string.h>

#include "consensus/msg_codec.h"
#include "queue/broker_impl.h"
#include "tests/queue/sim.h"

/*
 * What hosts say to each other is looked at where it arrives, by the linker's
 * --wrap: a member votes for one candidate in a term, whatever happened to it
 * since, and a term has one leader.  That a second one did harm, so that
 * records are others, takes far more chance.
 */

#define VOTER_CRASHES_PERCENT 10u
/* In a field that no vote has, of one that nobody really asks for. */
#define FORGED 1u

int real_on_raft(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec) __asm__("__real_zk_group_on_raft");
int wrap_on_raft(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec) __asm__("__wrap_zk_group_on_raft");

static void
advance(struct sim_place *place, const struct zk_msg *msg, uint64_t index)
{
	if (msg->term > place->term)
		*place = (struct sim_place){msg->term, index};
	else if (msg->term == place->term && place->index < index)
		place->index = index;
}

/* What was stored for a leader and committed by it is there for ever. */
static void
note_progress(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	const struct sim_place *committed = &sim->committed[part];

	if (msg->type == ZK_MSG_APPEND_REPLY)
		advance(&sim->stored[part][msg->from - 1], msg, msg->index);
	else
		advance(&sim->committed[part], msg, msg->commit);
	for (unsigned id = 0; id < SIM_HOSTS_MAX; id++) {
		const struct sim_place *stored = &sim->stored[part][id];
		const uint64_t both = stored->index < committed->index
		    ? stored->index
		    : committed->index;

		if (stored->term == committed->term &&
		    sim->has[part][id] < both)
			sim->has[part][id] = both;
	}
}

static void
note_question(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	const uint64_t has = sim->has[part][msg->to - 1];

	sim->lacks[part][msg->to - 1][msg->from - 1][msg->ctx == FORGED] =
	    (struct sim_place){msg->term,
	        has > msg->index ? has - msg->index : 0};
}

/* Who has stored what is committed lets nobody lead who has not. */
static void
check_grant(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	const struct sim_place *lacks =
	    &sim->lacks[part][msg->from - 1][msg->to - 1][msg->ctx == FORGED];

	if (lacks->term == msg->term && lacks->index > 0)
		sim_fail(sim,
		    "partition %u, term %" PRIu64 ": %" PRIu64
		    " votes for %" PRIu64 ", who lacks %" PRIu64,
		    part, msg->term, msg->from, msg->to, lacks->index);
}

/* *at is that of the term, for ever; 0: nobody yet. */
static void
hold_to(struct sim *sim, uint8_t *at, const struct zk_msg *msg, uint64_t who,
    unsigned part, const char *what)
{
	if (*at != 0 && *at != who)
		sim_fail(sim,
		    "partition %u, term %" PRIu64 ": %s of %" PRIu64
		    " is %" PRIu64 ", was %u",
		    part, msg->term, what, msg->from, who, *at);
	*at = (uint8_t)who;
}

static void
look_at_vote(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	const uint64_t candidate =
	    msg->type == ZK_MSG_VOTE ? msg->from : msg->to;
	uint8_t *votes = &sim->votes[part][msg->from - 1][msg->term];

	if (msg->type == ZK_MSG_VOTE)
		note_question(sim, part, msg);
	else
		check_grant(sim, part, msg);
	if (msg->ctx == FORGED)
		return;
	hold_to(sim, votes, msg, candidate, part, "the vote");
	if (!sim->quiet && sim_chance(sim, VOTER_CRASHES_PERCENT))
		sim->vote =
		    (struct sim_vote){part, msg->from, candidate, msg->term};
}

static void
look_at(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	if (part >= SIM_PARTS || msg->from == 0 || msg->from > SIM_HOSTS_MAX)
		return;
	if (msg->term >= SIM_TERMS) {
		sim_fail(sim, "partition %u has too many terms", part);
		return;
	}
	if (sim->term[part] < msg->term)
		sim->term[part] = msg->term;
	if (msg->type == ZK_MSG_VOTE ||
	    (msg->type == ZK_MSG_VOTE_REPLY && !msg->reject))
		look_at_vote(sim, part, msg);
	if (msg->type == ZK_MSG_APPEND_REPLY && !msg->reject)
		note_progress(sim, part, msg);
	if (msg->type == ZK_MSG_APPEND || msg->type == ZK_MSG_HEARTBEAT ||
	    msg->type == ZK_MSG_COMMIT) {
		hold_to(sim, &sim->leaders[part][msg->term], msg, msg->from,
		    part, "the leader");
		note_progress(sim, part, msg);
	}
}

static void
send_vote(struct sim *sim, unsigned part, const struct zk_msg *msg)
{
	uint8_t buf[1 + 8 + 4 + ZK_MSG_WIRE_BYTES];
	struct zk_enc enc;

	zk_enc_init(&enc, buf, sizeof(buf));
	zk_enc_u8(&enc, ZK_TELL_RAFT);
	zk_enc_u64(&enc, SIM_PART_ID + part);
	zk_enc_u32(&enc, ZK_MSG_WIRE_BYTES);
	zk_msg_encode(&enc, msg);
	sim_send(sim, (unsigned)msg->from - 1, (unsigned)msg->to - 1, buf,
	    enc.len);
}

void
sim_ask_stale(struct sim *sim, unsigned part, unsigned from, unsigned to)
{
	const struct zk_msg msg = {
	    .type = ZK_MSG_VOTE,
	    .transfer = true,
	    .from = from + 1,
	    .to = to + 1,
	    .term = sim->term[part] + 1,
	    .index = 1,
	    .log_term = 1,
	    .ctx = FORGED,
	};

	if (from == to || msg.term < 3)
		return;
	sim_mark(sim, MARK_STALE_CANDIDATE);
	send_vote(sim, part, &msg);
}

/* Another candidate of the same term asks; no vote of it will be counted. */
static void
ask_again(struct sim *sim, const struct sim_vote *vote)
{
	const struct zk_partition_spec *spec = &sim->specs[vote->part];
	struct zk_msg msg = {
	    .type = ZK_MSG_VOTE,
	    .transfer = true,
	    .to = vote->voter,
	    .term = vote->term,
	    .index = vote->term > 1 ? ZK_INDEX_MAX - 1 : 0,
	    .log_term = vote->term - 1,
	    .ctx = FORGED,
	};

	for (uint32_t i = 0; i < spec->replica_count; i++)
		if (spec->replicas[i] != vote->voter &&
		    spec->replicas[i] != vote->candidate)
			msg.from = spec->replicas[i];
	if (msg.from == 0)
		return;
	send_vote(sim, vote->part, &msg);
}

void
sim_crash_voter(struct sim *sim)
{
	const struct sim_vote vote = sim->vote;
	const unsigned id = (unsigned)vote.voter - 1;

	sim->vote.voter = 0;
	if (vote.voter == 0 || sim->hosts[id].broker == NULL || sim->failed)
		return;
	sim_mark(sim, MARK_CRASH_OF_VOTER);
	sim_host_stop(sim, id);
	sim_host_start(sim, id);
	if (!sim->failed)
		ask_again(sim, &vote);
}

int
wrap_on_raft(struct zk_broker *b, uint64_t from, uint64_t id,
    struct zk_dec *dec)
{
	struct sim_host *host = b->options.sink.arg;
	struct zk_dec copy = *dec, body;
	struct zk_msg msg;
	const void *bytes;
	size_t len;

	bytes = zk_dec_bytes(&copy, ZK_BULK_FRAME_MAX, &len);
	if (bytes != NULL) {
		zk_dec_init(&body, bytes, len);
		if (zk_msg_decode(&body, &msg) == 0)
			look_at(host->sim, (unsigned)(id - SIM_PART_ID), &msg);
	}
	return real_on_raft(b, from, id, dec);
}
